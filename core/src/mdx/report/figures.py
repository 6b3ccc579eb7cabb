"""Pictures of a run: overlays in three planes, training curves, scores by site, the change of each case.

Figures are made with matplotlib's object interface, so that nothing is shown or kept globally.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdx.evaluation.statistics import goodness
from mdx.report.curve_names import PARTS, curve_words
from mdx.report.drawing import ACROSS, FAINT, GRID, INK, OWN, SERIES, as_svg, panels_of, plain_axes, words

PREDICTED, REFERENCE = "#e69f00", "#56b4e9"  # two colours of Okabe and Ito that colour-blind readers tell apart
UP, DOWN = "#009e73", "#d55e00"


def overlay(
    path: Path,
    image: np.ndarray,
    prediction: np.ndarray,
    reference: np.ndarray | None,
    spacing_mm: Sequence[float],
    title: str,
) -> None:
    """Draw contours of a segmentation on an image, in three planes through the middle of the reference.

    Args:
        image: (C, *spatial), RAS for volumes; the first channel is shown.
        prediction, reference: (K, *spatial) bool.
        spacing_mm: voxel edges, so that a plane is drawn in its true proportions.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    planes = _planes(image, prediction, reference, spacing_mm)
    figure = Figure(figsize=(3.1 * len(planes) + 0.2, 3.7), dpi=130, facecolor="black")
    low, high = np.percentile(image[0], [1, 99.5])
    for i, (name, picture, predicted, truth, aspect) in enumerate(planes):
        axes = figure.add_subplot(1, len(planes), i + 1)
        axes.imshow(picture, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect, interpolation="nearest")
        for masks, colour, width in ((truth, REFERENCE, 1.8), (predicted, PREDICTED, 1.1)):
            for mask in masks if masks is not None else ():
                if mask.any() and not mask.all():
                    axes.contour(mask, [0.5], colors=colour, linewidths=width)
        axes.set_title(name, color="white", fontsize=8, pad=3)
        axes.axis("off")
    handles = [Line2D([], [], color=PREDICTED, label="prediction")]
    if reference is not None:
        handles.append(Line2D([], [], color=REFERENCE, label="reference"))
    figure.suptitle(words(title), color="white", fontsize=9, y=0.97)
    figure.legend(handles=handles, loc="lower center", ncol=2, frameon=False, fontsize=8, labelcolor="white")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.82, bottom=0.09, wspace=0.03)
    figure.savefig(path, facecolor="black")


def boxes(path: Path, image: np.ndarray, prediction: np.ndarray, reference: np.ndarray, title: str) -> None:
    """Draw (n, 4) boxes x1, y1, x2, y2 on an image (C, H, W); three channels are shown as colours."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    height, width = image.shape[1:]
    figure = Figure(figsize=(7, 7 * height / width + 0.8), dpi=130, facecolor="black")
    axes = figure.add_subplot()
    low, high = np.percentile(image, [0.5, 99.5])
    shown = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    picture = np.moveaxis(shown, 0, -1) if len(image) == 3 else shown[0]
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0), interpolation="nearest")
    for found, colour, thick in ((reference, REFERENCE, 2.0), (prediction, PREDICTED, 1.2)):
        for x1, y1, x2, y2 in found:
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=thick))
    axes.axis("off")
    handles = [Line2D([], [], color=c, label=n) for c, n in ((PREDICTED, "prediction"), (REFERENCE, "reference"))]
    figure.suptitle(words(title), color="white", fontsize=9, y=0.98)
    figure.legend(handles=handles, loc="lower center", ncol=2, frameon=False, fontsize=8, labelcolor="white")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.94, bottom=0.06)
    figure.savefig(path, facecolor="black")


def beside(path: Path, pictures: Mapping[str, np.ndarray], title: str) -> None:
    """Draw images (C, *spatial) of one shape side by side, on the scale of the last; of volumes the middle slice."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(pictures) + 0.2, 3.7), dpi=130, facecolor="black")
    low, high = np.percentile(list(pictures.values())[-1][0], [1, 99.5])
    for i, (name, image) in enumerate(pictures.items()):
        axes = figure.add_subplot(1, len(pictures), i + 1)
        shown = image[0] if image.ndim == 3 else np.rot90(image[0, ..., image.shape[-1] // 2])
        axes.imshow(shown, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
        axes.set_title(words(name), color="white", fontsize=8, pad=3)
        axes.axis("off")
    figure.suptitle(words(title), color="white", fontsize=9, y=0.97)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.84, bottom=0.02, wspace=0.03)
    figure.savefig(path, facecolor="black")


def _planes(
    image: np.ndarray, prediction: np.ndarray, reference: np.ndarray | None, spacing_mm: Sequence[float]
) -> list[tuple[str, np.ndarray, Any, Any, float]]:
    """(name, picture, predicted, truth, aspect) of each plane; the patient's left is on the left of the picture."""
    if image.ndim == 3:
        return [("", image[0], prediction, reference, spacing_mm[0] / spacing_mm[1])]
    shape = prediction if reference is None or not reference.any() else reference
    inside = np.argwhere(shape.any(axis=0))
    centre = inside.mean(axis=0).round().astype(int) if len(inside) else np.array(image.shape[1:]) // 2
    made = []
    for name, axis in (("axial (left is left)", 2), ("coronal (left is left)", 1), ("sagittal (front is right)", 0)):
        across, up = [a for a in range(3) if a != axis]

        def cut(volume: np.ndarray, axis: int = axis) -> np.ndarray:
            return np.take(volume, centre[axis], axis=axis).T[::-1]

        truth = None if reference is None else [cut(m) for m in reference]
        aspect = spacing_mm[up] / spacing_mm[across]
        made.append((name, cut(image[0]), [cut(m) for m in prediction], truth, aspect))
    return made


def curves(rows: Sequence[Mapping[str, Any]], own: Mapping[str, str] | None = None) -> str:
    """One panel a stage and metric of metrics.jsonl (train and val together), as SVG; empty if there is nothing.

    Args:
        own: the plugin's words for what it logs.
    """
    from matplotlib.ticker import MaxNLocator

    series: dict[tuple[str, str], dict[str, list[tuple[int, float]]]] = {}
    for row in rows:
        if "epoch" not in row or row.get("stage") is None:
            continue
        for key, value in row.items():
            if "/" in key and isinstance(value, int | float):
                part, _, metric = key.partition("/")
                series.setdefault((row["stage"], metric), {}).setdefault(part, []).append((row["epoch"] + 1, value))
    if not series:
        return ""
    figure, panels = panels_of(len(series), width=2.7, height=2.2)
    for axes, ((stage, metric), parts) in zip(panels, series.items(), strict=True):
        for j, (part, points) in enumerate(parts.items()):
            x, y = zip(*points, strict=True)
            colour = {"train": FAINT, "val": OWN}.get(part, SERIES[j % len(SERIES)])
            axes.plot(x, y, color=colour, marker="o" if len(x) < 20 else None, markersize=3, lw=1.4,
                      label=words(PARTS.get(part, part)))  # fmt: skip
        axes.set_title(words(f"{stage}: {curve_words(metric, own or {})}"), fontsize=9, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=8, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if len({epoch for points in parts.values() for epoch, _ in points}) == 1:
            axes.margins(x=20)  # one epoch: whole numbers around it, not fractions of an epoch
        axes.grid(axis="y", color=GRID, lw=0.7)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
        plain_axes(axes)
    return as_svg(figure, "training curves")


def site_scores(
    metric: str, sites: Sequence[str], methods: Sequence[tuple[str, Sequence[Mapping[str, Any] | None]]]
) -> str:
    """A panel a site: mean (dot) and interval (line) of each method, the run's own method in colour, as SVG."""
    shown = [v for _, rows in methods for r in rows if r for v in (r["mean"], r["low"], r["high"]) if v is not None]
    if not shown:
        return ""
    margin = 0.06 * (max(shown) - min(shown)) + 0.005
    figure, panels = panels_of(len(sites), width=2.3, height=0.75 + 0.22 * len(methods))
    for s, (axes, site) in enumerate(zip(panels, sites, strict=True)):
        for y, (_, rows) in enumerate(methods):
            row, colour = rows[s], INK if y else OWN
            if row is None or row["mean"] is None:
                continue
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.6 if y else 2.4)
            axes.plot(row["mean"], y, "o", color=colour, ms=4.5 if y else 6.5)
        axes.set_title(words(site), fontsize=9.5, color=INK, loc="left")
        axes.set_xlim(min(shown) - margin, max(shown) + margin)
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_yticks(range(len(methods)), [words(name) for name, _ in methods] if s % ACROSS == 0 else [])
        axes.set_xlabel(metric.replace("_", " "), fontsize=8, color=INK)
        axes.grid(axis="x", color=GRID, lw=0.7)
        plain_axes(axes)
    return as_svg(figure, f"{metric} by site and method")


def changes(
    metric: str, better: str, pairs: Mapping[str, Sequence[tuple[float, float]]], before: str, after: str
) -> str:
    """A panel a site: a line for each case from its score before to that after, as SVG."""
    figure, panels = panels_of(len(pairs), width=2.1, height=2.5)
    values = [v for pair in pairs.values() for both in pair for v in both]
    margin = 0.06 * (max(values) - min(values)) + 0.005
    for axes, (site, scores) in zip(panels, pairs.items(), strict=True):
        for a, b in scores:
            gain = goodness(b, better) - goodness(a, better)
            colour = UP if gain > 0 else DOWN if gain < 0 else FAINT
            axes.plot([0, 1], [a, b], color=colour, lw=1.2, marker="o", ms=3.5)
        axes.set_xticks([0, 1], [words(before), words(after)])
        axes.set_xlim(-0.3, 1.3)
        axes.set_ylim(min(values) - margin, max(values) + margin)
        axes.set_title(words(site), fontsize=9.5, color=INK, loc="left")
        axes.grid(axis="y", color=GRID, lw=0.7)
        axes.set_ylabel(metric.replace("_", " "), fontsize=8, color=INK)
        plain_axes(axes)
    return as_svg(figure, f"{metric} of each case with {before} and with {after}")


def reliability(methods: Mapping[str, tuple[np.ndarray, np.ndarray]], bins: int = 10) -> str:
    """A panel a method: share of cases classified rightly against confidence, as SVG; dots grow with their cases.

    Args:
        methods: name -> (n,) confidence of the predicted class, and (n,) whether it was right.
    """
    figure, axes_of = panels_of(len(methods), width=2.1, height=2.3)
    for axes, (name, (confidence, right)) in zip(axes_of, methods.items(), strict=True):
        index = np.minimum((confidence * bins).astype(int), bins - 1)
        filled = np.unique(index)
        x = [confidence[index == b].mean() for b in filled]
        y = [right[index == b].mean() for b in filled]
        share = np.array([(index == b).mean() for b in filled])
        axes.plot([0, 1], [0, 1], color=GRID, lw=1)
        axes.scatter(x, y, s=12 + 150 * share, color=INK if name != next(iter(methods)) else OWN, lw=0)
        axes.set(xlim=(0, 1.03), ylim=(-0.03, 1.03))
        axes.set_title(words(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel("confidence", fontsize=8, color=INK)
        axes.set_ylabel("share right", fontsize=8, color=INK)
        plain_axes(axes)
    return as_svg(figure, "share of cases classified rightly against confidence")


def predicted_against_true(methods: Mapping[str, Any], label: str) -> str:
    """A panel a method: predicted against true number of each test case, coloured by site, as SVG.

    Args:
        methods: name -> rows of scores.csv, with ``truth``, ``predicted`` and ``site``.
    """
    figure, axes_of = panels_of(len(methods), width=2.4, height=2.5)
    every = np.concatenate([rows[["truth", "predicted"]].to_numpy().ravel() for rows in methods.values()])
    ends = (every.min(), every.max())
    for axes, (name, rows) in zip(axes_of, methods.items(), strict=True):
        axes.plot(ends, ends, color=GRID, lw=1)
        for k, (site, part) in enumerate(rows.groupby("site", sort=True)):
            axes.scatter(part["truth"], part["predicted"], s=10, lw=0, color=SERIES[k % len(SERIES)], label=words(site))
        axes.set_title(words(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel(f"true {label}", fontsize=8, color=INK)
        axes.set_ylabel("predicted", fontsize=8, color=INK)
        plain_axes(axes)
    axes_of[0].legend(frameon=False, fontsize=8, labelcolor=INK, handletextpad=0.1, borderpad=0)
    return as_svg(figure, f"predicted against true {label}")


def embeddings(methods: Mapping[str, Mapping[str, np.ndarray]], label: str) -> str:
    """Two panels a method: the plane of its features (t-SNE), coloured by label and by site, as SVG.

    Args:
        methods: name -> the arrays of embeddings.npz.
    """
    figure, axes_of = panels_of(2 * len(methods), width=2.3, height=2.5)
    for m, (name, found) in enumerate(methods.items()):
        shown = np.isfinite(found["plane"]).all(axis=1)
        plane = found["plane"][shown]
        for axes, what, key in zip(axes_of[2 * m :], (label, "site"), ("label", "site"), strict=False):
            values = found[key][shown]
            names = np.unique(values)
            if len(names) > len(SERIES) + 4 and key == "label":  # a number
                axes.scatter(*plane.T, s=9, lw=0, c=values.astype(float), cmap="viridis")
            else:
                for k, one in enumerate(names):
                    chosen = plane[values == one]
                    marker = "osD^"[k // len(SERIES) % 4]
                    axes.scatter(*chosen.T, s=9, lw=0, color=SERIES[k % len(SERIES)], marker=marker, label=words(one))
                axes.legend(frameon=False, fontsize=7.5, labelcolor=INK, handletextpad=0, borderpad=0)
            axes.set_title(words(f"{name}: {what}"), fontsize=9.5, color=INK, loc="left")
            axes.set(xticks=[], yticks=[])
            plain_axes(axes)
    return as_svg(figure, f"features in the plane, by {label} and by site")


def panels(
    x: Sequence[float], series: Mapping[str, Sequence[float | None]], chosen: Mapping[str, float], x_name: str,
    y_name: str, label: str,
) -> str:  # fmt: skip
    """A panel a series: its values over ``x``, the chosen one of them in colour, as SVG."""
    figure, axes_of = panels_of(len(series), width=2.5, height=2.2)
    for axes, (name, values) in zip(axes_of, series.items(), strict=True):
        found = [(at, value) for at, value in zip(x, values, strict=True) if value is not None]
        axes.plot([at for at, _ in found], [value for _, value in found], color=FAINT, lw=1.4)
        for at, value in found if len(found) < 20 or name in chosen else ():
            own = at == chosen.get(name)
            axes.plot(at, value, "o", color=OWN if own else FAINT, ms=7 if own else 3.5)
        axes.set_title(words(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel(words(x_name), fontsize=8, color=INK)
        axes.set_ylabel(words(y_name), fontsize=8, color=INK)
        axes.grid(axis="y", color=GRID, lw=0.7)
        plain_axes(axes)
    return as_svg(figure, label)


def png_uri(content: bytes) -> str:
    """A PNG as a data URI, so that a page is one file."""
    return "data:image/png;base64," + base64.b64encode(content).decode()

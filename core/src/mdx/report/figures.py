"""Pictures of a run: overlays in three planes, training curves, scores by site, the change of each case.

Figures are made with matplotlib's object interface, so that nothing is shown or kept globally. Plots are inline SVG
whose ink is the text colour of the page they are put in, so that one drawing serves light, dark and printed pages.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdx.evaluation.statistics import goodness

PREDICTED, REFERENCE = "#e69f00", "#56b4e9"  # two colours of Okabe and Ito that colour-blind readers tell apart
UP, DOWN = "#009e73", "#d55e00"
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
# stand-ins that ``_svg`` replaces with the page's own colours
INK, OWN, FAINT, GRID = "#010203", "#010204", "#010205", "#010206"
PAGE_COLOURS = {INK: "currentColor", OWN: "var(--accent)", FAINT: "var(--soft)", GRID: "var(--line)"}
ACROSS = 4
"""Panels in a row."""


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
    figure.suptitle(_words(title), color="white", fontsize=9, y=0.97)
    figure.legend(handles=handles, loc="lower center", ncol=2, frameon=False, fontsize=8, labelcolor="white")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.82, bottom=0.09, wspace=0.03)
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


def curves(rows: Sequence[Mapping[str, Any]]) -> str:
    """One panel a stage and metric of metrics.jsonl (train and val together), as SVG; empty if there is nothing."""
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
    figure, panels = _panels(len(series), width=2.7, height=2.2)
    for axes, ((stage, metric), parts) in zip(panels, series.items(), strict=True):
        for j, (part, points) in enumerate(parts.items()):
            x, y = zip(*points, strict=True)
            colour = {"train": FAINT, "val": OWN}.get(part, SERIES[j % len(SERIES)])
            axes.plot(x, y, color=colour, marker="o" if len(x) < 20 else None, markersize=3, lw=1.4, label=_words(part))
        axes.set_title(_words(f"{stage}: {metric}"), fontsize=9, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=8, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.grid(axis="y", color=GRID, lw=0.7)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
        _plain(axes)
    return _svg(figure, "training curves")


def site_scores(
    metric: str, sites: Sequence[str], methods: Sequence[tuple[str, Sequence[Mapping[str, Any] | None]]]
) -> str:
    """A panel a site: mean (dot) and interval (line) of each method, the run's own method in colour, as SVG."""
    shown = [v for _, rows in methods for r in rows if r for v in (r["mean"], r["low"], r["high"]) if v is not None]
    if not shown:
        return ""
    margin = 0.06 * (max(shown) - min(shown)) + 0.005
    figure, panels = _panels(len(sites), width=2.3, height=0.75 + 0.22 * len(methods))
    for s, (axes, site) in enumerate(zip(panels, sites, strict=True)):
        for y, (_, rows) in enumerate(methods):
            row, colour = rows[s], INK if y else OWN
            if row is None or row["mean"] is None:
                continue
            if row["low"] is not None:
                axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.6 if y else 2.4)
            axes.plot(row["mean"], y, "o", color=colour, ms=4.5 if y else 6.5)
        axes.set_title(_words(site), fontsize=9.5, color=INK, loc="left")
        axes.set_xlim(min(shown) - margin, max(shown) + margin)
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_yticks(range(len(methods)), [_words(name) for name, _ in methods] if s % ACROSS == 0 else [])
        axes.set_xlabel(metric.replace("_", " "), fontsize=8, color=INK)
        axes.grid(axis="x", color=GRID, lw=0.7)
        _plain(axes)
    return _svg(figure, f"{metric} by site and method")


def changes(
    metric: str, better: str, pairs: Mapping[str, Sequence[tuple[float, float]]], before: str, after: str
) -> str:
    """A panel a site: a line for each case from its score before to that after, as SVG."""
    figure, panels = _panels(len(pairs), width=2.1, height=2.5)
    values = [v for pair in pairs.values() for both in pair for v in both]
    margin = 0.06 * (max(values) - min(values)) + 0.005
    for axes, (site, scores) in zip(panels, pairs.items(), strict=True):
        for a, b in scores:
            gain = goodness(b, better) - goodness(a, better)
            colour = UP if gain > 0 else DOWN if gain < 0 else FAINT
            axes.plot([0, 1], [a, b], color=colour, lw=1.2, marker="o", ms=3.5)
        axes.set_xticks([0, 1], [_words(before), _words(after)])
        axes.set_xlim(-0.3, 1.3)
        axes.set_ylim(min(values) - margin, max(values) + margin)
        axes.set_title(_words(site), fontsize=9.5, color=INK, loc="left")
        axes.grid(axis="y", color=GRID, lw=0.7)
        axes.set_ylabel(metric.replace("_", " "), fontsize=8, color=INK)
        _plain(axes)
    return _svg(figure, f"{metric} of each case with {before} and with {after}")


def reliability(methods: Mapping[str, tuple[np.ndarray, np.ndarray]], bins: int = 10) -> str:
    """A panel a method: share of cases classified rightly against confidence, as SVG; dots grow with their cases.

    Args:
        methods: name -> (n,) confidence of the predicted class, and (n,) whether it was right.
    """
    figure, axes_of = _panels(len(methods), width=2.1, height=2.3)
    for axes, (name, (confidence, right)) in zip(axes_of, methods.items(), strict=True):
        index = np.minimum((confidence * bins).astype(int), bins - 1)
        filled = np.unique(index)
        x = [confidence[index == b].mean() for b in filled]
        y = [right[index == b].mean() for b in filled]
        share = np.array([(index == b).mean() for b in filled])
        axes.plot([0, 1], [0, 1], color=GRID, lw=1)
        axes.scatter(x, y, s=12 + 150 * share, color=INK if name != next(iter(methods)) else OWN, lw=0)
        axes.set(xlim=(0, 1.03), ylim=(-0.03, 1.03))
        axes.set_title(_words(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel("confidence", fontsize=8, color=INK)
        axes.set_ylabel("share right", fontsize=8, color=INK)
        _plain(axes)
    return _svg(figure, "share of cases classified rightly against confidence")


def predicted_against_true(methods: Mapping[str, Any], label: str) -> str:
    """A panel a method: predicted against true number of each test case, coloured by site, as SVG.

    Args:
        methods: name -> rows of scores.csv, with ``truth``, ``predicted`` and ``site``.
    """
    figure, axes_of = _panels(len(methods), width=2.4, height=2.5)
    every = np.concatenate([rows[["truth", "predicted"]].to_numpy().ravel() for rows in methods.values()])
    ends = (every.min(), every.max())
    for axes, (name, rows) in zip(axes_of, methods.items(), strict=True):
        axes.plot(ends, ends, color=GRID, lw=1)
        for k, (site, part) in enumerate(rows.groupby("site", sort=True)):
            axes.scatter(
                part["truth"], part["predicted"], s=10, lw=0, color=SERIES[k % len(SERIES)], label=_words(site)
            )
        axes.set_title(_words(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel(f"true {label}", fontsize=8, color=INK)
        axes.set_ylabel("predicted", fontsize=8, color=INK)
        _plain(axes)
    axes_of[0].legend(frameon=False, fontsize=8, labelcolor=INK, handletextpad=0.1, borderpad=0)
    return _svg(figure, f"predicted against true {label}")


def embeddings(methods: Mapping[str, Mapping[str, np.ndarray]], label: str) -> str:
    """Two panels a method: the plane of its features (t-SNE), coloured by label and by site, as SVG.

    Args:
        methods: name -> the arrays of embeddings.npz.
    """
    figure, axes_of = _panels(2 * len(methods), width=2.3, height=2.5)
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
                    axes.scatter(*chosen.T, s=9, lw=0, color=SERIES[k % len(SERIES)], marker=marker, label=_words(one))
                axes.legend(frameon=False, fontsize=7.5, labelcolor=INK, handletextpad=0, borderpad=0)
            axes.set_title(_words(f"{name}: {what}"), fontsize=9.5, color=INK, loc="left")
            axes.set(xticks=[], yticks=[])
            _plain(axes)
    return _svg(figure, f"features in the plane, by {label} and by site")


def _panels(count: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """A figure with ``count`` panels of that size in inches, ``ACROSS`` in a row."""
    from matplotlib.figure import Figure

    columns = min(ACROSS, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(max(width * columns + 0.8, 3.2), height * lines), layout="constrained")
    return figure, [figure.add_subplot(lines, columns, i + 1) for i in range(count)]


def _plain(axes: Any) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=FAINT, labelcolor=INK, length=0)
    axes.set_axisbelow(True)


def _words(text: str) -> str:
    """``text`` for matplotlib, which reads what stands between dollar signs as mathematics."""
    return text.replace("$", r"\$")


def _svg(figure: Any, label: str) -> str:
    """The drawing as an inline SVG element that takes colours and font from the page around it."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(stream, format="svg", transparent=True)
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    for stand_in, colour in PAGE_COLOURS.items():
        text = text.replace(stand_in, colour)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)


def png_uri(content: bytes) -> str:
    """A PNG as a data URI, so that a page is one file."""
    return "data:image/png;base64," + base64.b64encode(content).decode()

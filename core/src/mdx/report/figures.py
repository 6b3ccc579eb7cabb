"""Pictures of a run: overlays in three planes, training curves, scores by site, the change of each case.

Figures are made with matplotlib's object interface, so that nothing is shown or kept globally.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PREDICTED, REFERENCE = "#e69f00", "#56b4e9"  # two colours of Okabe and Ito that colour-blind readers tell apart
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#f0e442")
INK, FAINT = "#444444", "#bbbbbb"


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
    figure.suptitle(title, color="white", fontsize=9, y=0.97)
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
    """One panel a stage and metric family of metrics.jsonl, as a data URI; empty if there is nothing to draw."""
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
    columns = min(3, len(series))
    lines = -(-len(series) // columns)
    figure = _figure(3.3 * columns, 2.3 * lines)
    for i, ((stage, metric), parts) in enumerate(series.items()):
        axes = figure.add_subplot(lines, columns, i + 1)
        for j, (part, points) in enumerate(parts.items()):
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=SERIES[j], marker="o" if len(x) < 20 else None, markersize=3, label=part)
        axes.set_title(f"{stage}: {metric}", fontsize=9, color=INK)
        axes.set_xlabel("epoch", fontsize=8, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, fontsize=8)
        _plain(axes)
    return _uri(figure)


def site_scores(
    metric: str, sites: Sequence[str], methods: Sequence[tuple[str, Sequence[Mapping[str, Any] | None]]]
) -> str:
    """Mean and interval of each method at each site, as a data URI."""
    figure = _figure(7.2, 0.8 + 0.24 * len(methods) * len(sites) + 0.25 * len(sites))
    axes = figure.add_subplot()
    y, ticks = 0.0, []
    for s, site in enumerate(sites):
        top = y
        for m, (name, rows) in enumerate(methods):
            row = rows[s]
            if row is not None and row["mean"] is not None:
                if row["low"] is not None:
                    axes.plot(
                        [row["low"], row["high"]], [y, y], color=SERIES[m % len(SERIES)], lw=2, solid_capstyle="round"
                    )
                marker = "o" if m == 0 else "s"
                label = name if s == 0 else None
                axes.plot(row["mean"], y, marker, color=SERIES[m % len(SERIES)], ms=6 if m == 0 else 4.5, label=label)
            y -= 1
        ticks.append(((top + y + 1) / 2, site))
        y -= 0.8
    axes.set_yticks([t for t, _ in ticks], [name for _, name in ticks])
    axes.set_xlabel(metric.replace("_", " "), fontsize=9, color=INK)
    shown = [v for _, rows in methods for r in rows if r for v in (r["mean"], r["low"], r["high"]) if v is not None]
    if shown and min(shown) >= 0 and max(shown) <= 1:
        axes.set_xlim(max(-0.01, min(shown) - 0.1), 1.01)
    axes.grid(axis="x", color="#e6e6e6", lw=0.7)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _plain(axes)
    return _uri(figure)


def changes(metric: str, pairs: Mapping[str, Sequence[tuple[float, float]]], before: str, after: str) -> str:
    """A line for each case from its score without to that with the method, a panel a site, as a data URI."""
    figure = _figure(2.1 * len(pairs) + 0.6, 2.7)
    for i, (site, values) in enumerate(pairs.items()):
        axes = figure.add_subplot(1, len(pairs), i + 1)
        for a, b in values:
            colour = SERIES[2] if b > a else SERIES[5] if b < a else FAINT
            axes.plot([0, 1], [a, b], color=colour, lw=1, marker="o", ms=3, alpha=0.8)
        axes.set_xticks([0, 1], [before, after], fontsize=8)
        axes.set_xlim(-0.25, 1.25)
        axes.set_ylim(-0.02, 1.02)
        axes.set_title(site, fontsize=9, color=INK)
        if i == 0:
            axes.set_ylabel(metric.replace("_", " "), fontsize=8, color=INK)
        _plain(axes)
    return _uri(figure)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)


def _uri(figure: Any) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return png_uri(stream.getvalue())


def png_uri(content: bytes) -> str:
    """A PNG as a data URI, so that a page is one file."""
    return "data:image/png;base64," + base64.b64encode(content).decode()

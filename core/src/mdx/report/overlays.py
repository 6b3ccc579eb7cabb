"""Pictures of one case: masks and boxes drawn on the image, and images side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdx.report.drawing import short, words

PREDICTED, REFERENCE = "#e69f00", "#56b4e9"  # two colours of Okabe and Ito that colour-blind readers tell apart
CLASSES = ("#e69f00", "#56b4e9", "#f0e442", "#cc79a7", "#009e73", "#d55e00")
"""Of the classes of an overlay with several, by Okabe and Ito; they are used again beyond that."""
MOST_IN_LEGEND = 10
AREA = 0.4
"""How opaque the area of a reference is."""


def overlay(
    path: Path,
    image: np.ndarray,
    prediction: np.ndarray,
    reference: np.ndarray | None,
    spacing_mm: Sequence[float],
    title: str,
    classes: Sequence[str] = (),
) -> None:
    """Draw a segmentation and its reference on an image, in three planes through the middle of the reference.

    One class: a contour of each, in two colours. Several: a colour a class, the reference as an area and the prediction
    as a contour.

    Args:
        image: (C, *spatial), RAS for volumes; the first channel is shown.
        prediction, reference: (K, *spatial) bool.
        spacing_mm: voxel edges, so that a plane is drawn in its true proportions.
        classes: the names of the K classes, for the legend.
    """
    from matplotlib.figure import Figure

    planes = _planes(image, prediction, reference, spacing_mm)
    figure = Figure(figsize=(3.1 * len(planes) + 0.2, 3.7), dpi=130, facecolor="black")
    low, high = np.percentile(image[0], [1, 99.5])
    for i, (name, picture, predicted, truth, aspect) in enumerate(planes):
        axes = figure.add_subplot(1, len(planes), i + 1)
        axes.imshow(picture, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect, interpolation="nearest")
        _draw_masks(axes, predicted, truth, aspect)
        axes.set_title(name, color="white", fontsize=8, pad=3)
        axes.axis("off")
    handles = _legend(len(prediction), classes, reference is not None)
    lines = -(-len(handles) // (2 * len(planes)))
    figure.suptitle(words(title), color="white", fontsize=9, y=0.98)
    figure.legend(
        handles=handles, loc="lower center", ncol=min(len(handles), 2 * len(planes)), frameon=False, fontsize=8,
        labelcolor="white",
    )  # fmt: skip
    figure.subplots_adjust(left=0.01, right=0.99, top=0.82, bottom=0.04 + 0.055 * lines, wspace=0.03)
    figure.savefig(path, facecolor="black")


def _draw_masks(axes: Any, predicted: Sequence[np.ndarray], truth: Sequence[np.ndarray] | None, aspect: float) -> None:
    """The (H, W) masks of each class: contours of two colours for one class, areas and contours for several."""
    several = len(predicted) > 1
    for k, mask in enumerate(truth if truth is not None else ()):
        if several:
            colour = CLASSES[k % len(CLASSES)]
            area = np.zeros((*mask.shape, 4))
            area[mask] = [*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), AREA]
            axes.imshow(area, aspect=aspect, interpolation="nearest")
        elif mask.any() and not mask.all():
            axes.contour(mask, [0.5], colors=REFERENCE, linewidths=1.8)
    for k, mask in enumerate(predicted):
        if mask.any() and not mask.all():
            colour = CLASSES[k % len(CLASSES)] if several else PREDICTED
            axes.contour(mask, [0.5], colors=colour, linewidths=1.4 if several else 1.1)


def _legend(count: int, classes: Sequence[str], has_reference: bool) -> list[Any]:
    """What the colours and lines of an overlay of ``count`` classes mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if count < 2:
        pairs = [(PREDICTED, "prediction"), *([(REFERENCE, "reference")] if has_reference else [])]
        return [Line2D([], [], color=colour, label=name) for colour, name in pairs]
    named = [f"class {name}" if name.isdigit() else name for name in classes or map(str, range(1, count + 1))]
    handles: list[Any] = [
        Patch(color=CLASSES[k % len(CLASSES)], label=words(short(name, 24)))
        for k, name in enumerate(named[:MOST_IN_LEGEND])
    ]
    handles.append(Line2D([], [], color="white", lw=1.4, label="line: prediction"))
    if has_reference:
        handles.append(Patch(color="white", alpha=AREA, label="area: reference"))
    return handles


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
    figure.subplots_adjust(left=0.01, right=0.99, top=0.91, bottom=0.06)
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
    figure.suptitle(words(title), color="white", fontsize=9, y=0.98)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.82, bottom=0.02, wspace=0.03)
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

"""Slices before and after a method changes the image that it predicts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mdx.errors import PluginError
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Sample
from mdx.report.drawing import short, words
from mdx.report.gallery import slice_of

ROOM = 2**27
"""Bytes that the slices of all cases may take."""
EDGE_PX = 384
"""Longer slices are thinned out."""
BELOW, ABOVE = "#56b4e9", "#e69f00"
Slices = dict[str, np.ndarray]
"""Name -> (H, W) or (H, W, 3); ``before`` first."""


def changed_image(prediction: Prediction, sample: Sample) -> tuple[str, np.ndarray] | None:
    """What a method made of the image, by its name: what it shows, or the image that it predicts; None without any.

    Raises PluginError for one on another grid, or with values that are not finite.
    """
    named = dict(prediction.shown) or ({} if prediction.image is None else {"harmonised": prediction.image})
    if not named:
        return None
    name, image = next(iter(named.items()))
    image = np.asarray(image, dtype=np.float32)
    if image.shape != tuple(sample.image.shape) or not np.isfinite(image).all():
        raise PluginError(
            f"'{name}', an image of shape {image.shape} for {tuple(sample.image.shape)}, or with values that are not "
            "finite, cannot be shown", "a prediction shows images on the grid of the sample", sample.case.id,
        )  # fmt: skip
    return name, image


class Changes:
    """The slice of each case before and after, kept until the median and the worst case are known.

    Attributes:
        name: what the method calls the changed image; empty where it changes none.
    """

    def __init__(self) -> None:
        self.name = ""
        self._kept: dict[str, Slices] = {}
        self._aspect: dict[str, float] = {}
        self._room = ROOM

    def add(self, sample: Sample, changed: tuple[str, np.ndarray] | None) -> None:
        """Keep the slice of a case through the middle of its mask, or of the image; nothing once the room is full."""
        if changed is None:
            return
        self.name = changed[0]
        before = sample.image.numpy()
        at = _middle(sample) if before.ndim == 4 else None
        step = -(-max(before.shape[1:3]) // EDGE_PX)
        slices = {
            name: slice_of(image, at)[::step, ::step].astype(np.float32)
            for name, image in (("before", before), (changed[0], changed[1]))
        }
        size = sum(s.nbytes for s in slices.values())
        if size <= self._room:
            self._room -= size
            self._kept[sample.case.id] = slices
            edges = sample.geometry.spacing_mm
            self._aspect[sample.case.id] = edges[1] / edges[0] if len(edges) == 3 else edges[0] / edges[1]

    @property
    def cases(self) -> list[str]:
        """The cases that can be drawn."""
        return list(self._kept)

    def change_of(self, case: str) -> float:
        """The mean absolute difference of the slices of a case."""
        return float(np.abs(_difference(self._kept[case])).mean())

    def draw(self, path: Path, case: str, title: str) -> None:
        """Both slices of a case and their difference, in their true proportions."""
        draw(path, self._kept[case], title, self._aspect[case])


def _middle(sample: Sample) -> int:
    """The index of the axial slice in the middle of the mask, or of the volume without one."""
    depth = sample.image.shape[-1]
    mask = sample.labels.get("mask")
    inside = [] if mask is None else np.flatnonzero((mask.numpy() > 0.5).any(axis=(0, 1, 2)))
    return int(np.mean(inside).round()) if len(inside) else depth // 2


def _difference(slices: Mapping[str, np.ndarray]) -> np.ndarray:
    """(H, W) after less before; of colours the mean over the channels."""
    before, after = (s.astype(np.float32) for s in list(slices.values())[:2])
    change = after - before
    return change.mean(axis=2) if change.ndim == 3 else change


def draw(path: Path, slices: Slices, title: str, aspect: float) -> None:
    """Slices on one scale of greys, and the difference in blue (darker) and orange (brighter) on black."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    every = np.concatenate([s.astype(np.float32).ravel() for s in slices.values()])
    low, high = np.percentile(every, [1, 99.5])
    span = max(float(high - low), 1e-6)
    change = _difference(slices)
    most = max(float(np.percentile(np.abs(change), 99.5)), 1e-6)
    tall = 3.1 * min(max(change.shape[0] * aspect / change.shape[1], 0.4), 2.0)
    figure = Figure(figsize=(3.1 * (len(slices) + 1) + 0.2, tall + 0.8), dpi=130, facecolor="black")
    panels: list[tuple[str, np.ndarray, dict[str, Any]]] = [
        (name, np.clip((s.astype(np.float32) - low) / span, 0, 1), {"cmap": "gray", "vmin": 0, "vmax": 1})
        for name, s in slices.items()
    ]
    colours = LinearSegmentedColormap.from_list("difference", [BELOW, "black", ABOVE])
    said = f"difference: blue -{most:.2g}, orange +{most:.2g}"
    panels.append((said, change, {"cmap": colours, "vmin": -most, "vmax": most}))
    for i, (name, picture, scale) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        axes.imshow(picture, aspect=aspect, interpolation="nearest", **scale)
        axes.set_title(words(short(name, 40)), color="white", fontsize=8, pad=3)
        axes.axis("off")
    figure.suptitle(words(title), color="white", fontsize=9, y=1 - 0.08 / (tall + 0.8))
    figure.subplots_adjust(left=0.01, right=0.99, top=1 - 0.7 / (tall + 0.8), bottom=0.1 / (tall + 0.8), wspace=0.03)
    figure.savefig(path, facecolor="black")

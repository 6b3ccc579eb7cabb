"""How well two segmentations agree: volume Dice, surface Dice, the 95th percentile of distances, volumes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from pandas import DataFrame

from mdx.config import RunSettings
from mdx.errors import DataError
from mdx.evaluation.statistics import RESAMPLINGS, summarise
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset, Sample, Task

if TYPE_CHECKING:
    from torch import Tensor

SCORES = {"dice": "max", "surface_dice": "max", "hd95_mm": "min", "volume_error_percent": "zero"}
"""The scores of a case and which value is better."""


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """2 |P and R| / (|P| + |R|) of two bool arrays of one shape; 1 if both are empty, 0 if one is."""
    _check(prediction, reference)
    total = int(prediction.sum()) + int(reference.sum())
    return 2 * int((prediction & reference).sum()) / total if total else 1.0


def surface_dice(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float
) -> float:
    """The share of both surfaces that lies within ``tolerance_mm`` of the other (Nikolov et al. 2021).

    Args:
        prediction, reference: bool arrays of one shape, 3-D (or 2-D for pictures); the surface of a volume is taken in
            3-D, never slice by slice.
        spacing_mm: voxel edge of each axis.

    Returns:
        1 if both are empty, 0 if one is; MONAI's sub-voxel form. Raises DataError for other shapes or types.
    """
    _check(prediction, reference)
    if len(spacing_mm) != prediction.ndim:
        raise DataError(
            f"{len(spacing_mm)} voxel edges for {prediction.ndim} dimensions", "give spacing_mm one edge for each axis"
        )
    if not prediction.any() or not reference.any():
        return float(prediction.any() == reference.any())
    from monai.metrics.surface_dice import compute_surface_dice

    with _monai_deprecating_itself():
        score = compute_surface_dice(
            *_around_both(prediction, reference),
            class_thresholds=[tolerance_mm],
            include_background=True,
            spacing=tuple(map(float, spacing_mm)),
            use_subvoxels=True,
        )
    return float(score)


def hd95_mm(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """95th percentile of the distances between two surfaces, the larger of both directions (MONAI's).

    Args:
        prediction, reference: bool arrays of one shape, 3-D, or 2-D for pictures.
        spacing_mm: voxel edge of each axis.

    Returns:
        millimetres (pixels, of pictures); NaN where one of both is empty, for no distance says what that is worth.
    """
    _check(prediction, reference)
    if not prediction.any() or not reference.any():
        return math.nan
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    spacing = tuple(map(float, spacing_mm))
    pair = _around_both(prediction, reference)
    with _monai_deprecating_itself():
        return float(compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing))


@contextmanager
def _monai_deprecating_itself() -> Iterator[None]:
    """MONAI 1.6 calls itself with an argument that it has deprecated, and says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _around_both(prediction: np.ndarray, reference: np.ndarray) -> list[Tensor]:
    """Both as (1, 1, *spatial), cut to a margin around both: beyond it no distance changes, and distances cost."""
    import torch

    box = np.argwhere(prediction | reference)
    window = tuple(
        slice(max(int(low) - 2, 0), int(high) + 3) for low, high in zip(box.min(axis=0), box.max(axis=0), strict=True)
    )
    return [torch.from_numpy(np.ascontiguousarray(np.pad(m[window], 1)))[None, None] for m in (prediction, reference)]


def volume_error_percent(prediction: np.ndarray, reference: np.ndarray) -> float:
    """100 (|P| - |R|) / |R|: above 0 where too much is marked; NaN for an empty reference."""
    _check(prediction, reference)
    truth = int(reference.sum())
    return 100 * (int(prediction.sum()) - truth) / truth if truth else math.nan


def _check(prediction: np.ndarray, reference: np.ndarray) -> None:
    if prediction.shape != reference.shape:
        raise DataError(f"shapes {prediction.shape} and {reference.shape} differ", "bring both to one grid")
    if prediction.dtype != bool or reference.dtype != bool:
        raise DataError(f"types {prediction.dtype} and {reference.dtype}", "give bool arrays, such as mask > 0")


def hard_masks(probabilities: np.ndarray) -> np.ndarray:
    """(K, *spatial) bool: each voxel belongs to its most probable class, if that is above one half."""
    best = probabilities.argmax(axis=0)
    certain = probabilities.max(axis=0) > 0.5
    return np.stack([(best == k) & certain for k in range(len(probabilities))])


class SegmentationEvaluator:
    """Dice, surface Dice, HD95, volume error: the mean over classes and, where there are several, each class's own."""

    def __init__(self, task: Task, tolerance_mm: float = 1.0, resamplings: int = RESAMPLINGS) -> None:
        self.task, self.tolerance_mm, self.resamplings = task, tolerance_mm, resamplings
        several = [f"_{c}" for c in task.classes] if len(task.classes) > 1 else []
        self.metrics: Mapping[str, str] = {m + c: better for c in ("", *several) for m, better in SCORES.items()}

    def per_case(self, prediction: Prediction, sample: Sample) -> dict[str, float]:
        """Scores of one case. A class that neither has is undefined (NaN) there, and no part of the case's mean.

        That is the convention of nnU-Net, and of MONAI's ``ignore_empty``. A class that only one of them has counts 0.
        """
        if prediction.segmentation is None:
            raise DataError("the method predicted no segmentation", "its apply() must fill it", sample.case.id)
        predicted = hard_masks(prediction.segmentation)
        truth = sample.mask.numpy() > 0.5
        spacing = sample.geometry.spacing_mm
        pairs = list(zip(predicted, truth, strict=True))
        there = [bool(p.any() or t.any()) for p, t in pairs]
        found = {
            "dice": [dice(p, t) if seen else math.nan for (p, t), seen in zip(pairs, there, strict=True)],
            "surface_dice": [
                surface_dice(p, t, spacing, self.tolerance_mm) if seen else math.nan
                for (p, t), seen in zip(pairs, there, strict=True)
            ],
            "hd95_mm": [hd95_mm(p, t, spacing) for p, t in pairs],
            "volume_error_percent": [volume_error_percent(p, t) for p, t in pairs],
        }
        scores = {name: _mean(values) for name, values in found.items()}
        if len(pairs) > 1:
            for k, c in enumerate(self.task.classes):
                scores |= {f"{name}_{c}": values[k] for name, values in found.items()}
        return scores

    def population(self, predictions: Sequence[Prediction], data: Dataset) -> dict[str, float]:
        """Nothing: every score of a segmentation belongs to a case."""
        return {}

    def summarise(self, rows: DataFrame) -> DataFrame:
        """See ``mdx.evaluation.statistics.summarise``."""
        return summarise(rows, self.metrics, self.resamplings)


def _mean(values: Sequence[float]) -> float:
    """The mean of the defined values; NaN where there is none."""
    defined = [v for v in values if not math.isnan(v)]
    return sum(defined) / len(defined) if defined else math.nan


def for_run(task: Task, settings: RunSettings) -> SegmentationEvaluator:
    """The evaluator of a run."""
    return SegmentationEvaluator(task, settings.tolerance_mm, settings.bootstrap)

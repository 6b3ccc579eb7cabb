"""How near a harmonised image comes to the same subject's scan at the reference site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pandas import DataFrame

from mdx.config import RunSettings
from mdx.data.labels.image import TWIN
from mdx.errors import DataError
from mdx.evaluation.statistics import RESAMPLINGS, summarise
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset, Sample

SCORES = {"ssim": "max", "psnr": "max", "mae": "min", "ssim_gain": "max"}
"""Structural similarity (Wang et al. 2004), peak signal to noise in dB, mean absolute difference, and how much higher
the similarity is than that of the untouched scan. Peak and range are those of the twin."""


class HarmonisationEvaluator:
    """Scores of scans whose subject was also seen at the reference site; NaN for others."""

    def __init__(self, resamplings: int = RESAMPLINGS) -> None:
        self.resamplings = resamplings
        self.metrics: Mapping[str, str] = SCORES

    def per_case(self, prediction: Prediction, sample: Sample) -> dict[str, float]:
        """Raises DataError where the method made no image, one of another shape, or values that are not finite."""
        if prediction.image is None:
            raise DataError("the method made no image", "its apply() must fill it", sample.case.id)
        made, before = np.asarray(prediction.image, dtype=np.float32), sample.image.numpy()
        if made.shape != before.shape or not np.isfinite(made).all():
            raise DataError(
                f"the method made an image of shape {made.shape} for {before.shape}, or values that are not finite",
                "mend its apply()", sample.case.id,
            )  # fmt: skip
        if TWIN not in sample.labels:
            return dict.fromkeys(SCORES, float("nan"))
        twin = sample.labels[TWIN].numpy()
        similarity = ssim(made, twin)
        return {
            "ssim": similarity, "psnr": psnr(made, twin), "mae": float(np.abs(made - twin).mean()),
            "ssim_gain": similarity - ssim(before, twin),
        }  # fmt: skip

    def population(self, predictions: Sequence[Prediction], data: Dataset) -> dict[str, float]:
        """Nothing: every score belongs to a case."""
        return {}

    def summarise(self, rows: DataFrame) -> DataFrame:
        """See ``mdx.evaluation.statistics.summarise``."""
        return summarise(rows, SCORES, self.resamplings)


def ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """Mean structural similarity of (C, *spatial) images by MONAI, windows of 11 (fewer in smaller images)."""
    import torch
    from monai.metrics.regression import SSIMMetric

    span = float(reference.max() - reference.min()) or 1.0
    edge = min(11, *reference.shape[1:])
    metric: Any = SSIMMetric(reference.ndim - 1, data_range=span, win_size=edge - (edge % 2 == 0))
    pair = [torch.from_numpy(np.ascontiguousarray(each))[None] for each in (image, reference)]
    return float(metric(*pair).mean())


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """10 log10 of squared range over mean squared difference, in dB; infinite for equal images is given as 100."""
    error = float(((image - reference) ** 2).mean())
    span = float(reference.max() - reference.min()) or 1.0
    return min(100.0, 10 * float(np.log10(span**2 / error))) if error else 100.0


def for_run(task: object, settings: RunSettings) -> HarmonisationEvaluator:
    """The evaluator of a run."""
    return HarmonisationEvaluator(settings.bootstrap)

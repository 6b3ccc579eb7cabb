"""How far predicted numbers are from the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pandas import DataFrame

from mdx.config import RunSettings
from mdx.errors import DataError
from mdx.evaluation.statistics import RESAMPLINGS, summarise
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset, Sample, Task

SCORES = {"absolute_error": "min", "error": "zero"}
"""The scores of a case: |predicted - true|, whose mean is the MAE, and predicted - true, whose mean is the bias."""


class RegressionEvaluator:
    """Absolute and signed error, in the unit of the label: mean and SD over cases, by role, by site, worst site."""

    def __init__(self, task: Task, resamplings: int = RESAMPLINGS) -> None:
        self.task, self.resamplings = task, resamplings
        self.metrics: Mapping[str, str] = SCORES

    def per_case(self, prediction: Prediction, sample: Sample) -> dict[str, float]:
        """Truth, prediction and both errors."""
        if prediction.value is None or not np.isfinite(prediction.value):
            raise DataError(
                f"the method predicted {prediction.value}", "its apply() must give a number", sample.case.id
            )
        truth = float(sample.label(self.task.label))
        error = float(prediction.value) - truth
        return {"truth": truth, "predicted": float(prediction.value), "absolute_error": abs(error), "error": error}

    def population(self, predictions: Sequence[Prediction], data: Dataset) -> dict[str, float]:
        """Nothing: every error belongs to a case."""
        return {}

    def summarise(self, rows: DataFrame) -> DataFrame:
        """See ``mdx.evaluation.statistics.summarise``."""
        return summarise(rows, SCORES, self.resamplings)


def for_run(task: Task, settings: RunSettings) -> RegressionEvaluator:
    """The evaluator of a run."""
    return RegressionEvaluator(task, settings.bootstrap)

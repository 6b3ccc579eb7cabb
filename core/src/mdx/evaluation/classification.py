"""How well classes are told apart: accuracy, kappa, AUROC and calibration, each with an interval over subjects.

Most of these scores belong to a set of cases, not to one. Each is written for *weighted* cases, because a bootstrap
sample of subjects is a weighting of their cases: one function gives the score and all its resamplings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mdx.config import RunSettings
from mdx.errors import DataError
from mdx.evaluation.of_sets import CasesAndSets
from mdx.evaluation.statistics import RESAMPLINGS
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Sample, Task

PER_CASE = {"accuracy": "max", "brier": "min"}
"""Scores that a case has: 1 if it is classified rightly, else 0; and the squared error of its probabilities."""
BINS = 10
BLOCK = 64
"""Resamplings at a time, so that what is summed stays in the processor's cache."""

SetScore = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(n,) true class indices, (n, K) probabilities and (R, n) weights of the cases to (R,) scores; NaN: not defined."""


def _confusion(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R, K, K) weighted counts; rows are true classes, columns the most probable ones."""
    k = probabilities.shape[1]
    cells = np.eye(k * k)[truth * k + probabilities.argmax(axis=1)]
    return (weights @ cells).reshape(-1, k, k)


def weighted_balanced_accuracy(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over the classes that occur of the share of their cases that is found."""
    counts = _confusion(truth, probabilities, weights)
    of_class = counts.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nanmean(np.diagonal(counts, axis1=1, axis2=2) / np.where(of_class > 0, of_class, np.nan), axis=1)


def weighted_kappa(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Cohen's kappa: agreement beyond chance. 0 for a constant prediction, NaN where only one class occurs."""
    counts = _confusion(truth, probabilities, weights)
    total = counts.sum(axis=(1, 2))
    observed = np.trace(counts, axis1=1, axis2=2) / total
    expected = (counts.sum(axis=2) * counts.sum(axis=1)).sum(axis=1) / total**2
    several = (counts.sum(axis=2) > 0).sum(axis=1) > 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(several, (observed - expected) / (1 - expected), np.nan)


def weighted_auroc(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The chance that a case of a class is given a higher probability of it than another case; ties count half.

    Two classes: that of the second. More: the mean over the classes, each against the rest. NaN where a class or its
    rest does not occur.
    """
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    each = np.stack([_binary_auroc(truth == c, probabilities[:, c], weights) for c in classes])
    defined = np.isfinite(each).any(axis=0)
    mean = np.full(len(weights), np.nan)
    mean[defined] = np.nanmean(each[:, defined], axis=0)
    return mean


def _binary_auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    negative = np.flatnonzero(~positive)
    negative = negative[np.argsort(score[negative], kind="stable")]
    lower, not_higher = (np.searchsorted(score[negative], score[positive], side) for side in ("left", "right"))
    ties = bool((not_higher > lower).any())
    made = np.full(len(weights), np.nan)
    for start in range(0, len(weights), BLOCK):
        block = weights[start : start + BLOCK]
        of_positives = block[:, positive]
        up_to = np.zeros((len(block), len(negative) + 1))  # weight of the first 0, 1, ... negatives
        np.cumsum(block[:, negative], axis=1, out=up_to[:, 1:])
        beaten = (up_to[:, lower] + up_to[:, not_higher]) / 2 if ties else up_to[:, lower]
        pairs = of_positives.sum(axis=1) * up_to[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.einsum("rn,rn->r", of_positives, beaten) / pairs
        made[start : start + BLOCK] = np.where(pairs > 0, share, np.nan)
    return made


def weighted_ece(truth: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected calibration error (Guo et al. 2017): |share right - confidence|, over ten bins of confidence."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.eye(BINS)[np.minimum((confidence * BINS).astype(int), BINS - 1)]
    gap = (weights * (right - confidence)) @ bins
    return np.abs(gap).sum(axis=1) / weights.sum(axis=1)


SET_SCORES: Mapping[str, tuple[str, SetScore]] = {
    "balanced_accuracy": ("max", weighted_balanced_accuracy),
    "kappa": ("max", weighted_kappa),
    "auroc": ("max", weighted_auroc),
    "ece": ("min", weighted_ece),
}
"""Scores of a set of cases: which value is better, and the function."""


def truth_and_probabilities(rows: pd.DataFrame, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) true class indices and (n, K) probabilities from the columns that ``ClassificationEvaluator`` writes."""
    index = {c: k for k, c in enumerate(classes)}
    truth = np.array([index[str(name)] for name in rows["truth"]], dtype=int)
    return truth, rows[[f"p_{c}" for c in classes]].to_numpy(dtype=float)


class ClassificationEvaluator(CasesAndSets):
    """Accuracy, balanced accuracy, kappa, AUROC, Brier score and calibration; all, by role, by site, worst site."""

    def __init__(self, task: Task, resamplings: int = RESAMPLINGS) -> None:
        self.task = task
        super().__init__(PER_CASE, {name: better for name, (better, _) in SET_SCORES.items()}, resamplings)

    def per_case(self, prediction: Prediction, sample: Sample) -> dict[str, Any]:
        """Truth, prediction, the probability of each class, and the scores that a single case has."""
        if prediction.classes is None:
            raise DataError("the method predicted no class", "its apply() must fill it", sample.case.id)
        p = np.asarray(prediction.classes, dtype=float)
        if p.shape != (len(self.task.classes),) or not np.isfinite(p).all():
            raise DataError(
                f"predicted probabilities {p.tolist()} for {len(self.task.classes)} classes",
                "a method gives a finite probability for each class of the task", sample.case.id,
            )  # fmt: skip
        truth, predicted = int(sample.label(self.task.label)), int(p.argmax())
        return {
            "truth": self.task.classes[truth],
            "predicted": self.task.classes[predicted],
            **{f"p_{c}": v for c, v in zip(self.task.classes, p.tolist(), strict=True)},
            "accuracy": float(truth == predicted),
            "brier": float(((p - np.eye(len(p))[truth]) ** 2).sum()),
        }

    def set_scores(self, part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(R,) values of each of ``SET_SCORES`` for (R, n) weights of rows."""
        truth, probabilities = truth_and_probabilities(part, self.task.classes)
        return {metric: score(truth, probabilities, weights) for metric, (_, score) in SET_SCORES.items()}


def for_run(task: Task, settings: RunSettings) -> ClassificationEvaluator:
    """The evaluator of a run."""
    return ClassificationEvaluator(task, settings.bootstrap)

"""Scores that belong to a set of cases, each with an interval over subjects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pandas as pd

from mdx.config import RunSettings
from mdx.data.labels import label_of
from mdx.evaluation.statistics import COLUMNS, RESAMPLINGS, groups, resampled_weights, summarise, worst_groups
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset, Task

SetScores = Callable[[pd.DataFrame, np.ndarray], Mapping[str, np.ndarray]]
"""The rows of n cases and (R, n) weights of them to (R,) values of each score; NaN: not defined."""


def summarise_sets(
    rows: pd.DataFrame, better: Mapping[str, str], scores: SetScores, n: int = RESAMPLINGS
) -> pd.DataFrame:
    """One row a score and group, as ``statistics.summarise``; ``std`` and ``median`` over cases do not exist (NaN).

    Args:
        better: name of each score -> ``max``, ``min`` or ``zero``.
        n: bootstrap samples of subjects; each is a weighting of their cases.
    """
    found: dict[str, list[dict[str, Any]]] = {metric: [] for metric in better}
    for group, part in groups(rows):
        for row in _of_group(part, group, better, scores, n):
            found[row["metric"]].append(row)
    made = [row for each in found.values() for row in (*each, *worst_groups(each))]
    return pd.DataFrame(made, columns=list(COLUMNS))


class CasesAndSets(ABC):
    """An evaluator with scores of single cases, and others that only a set of cases has.

    Attributes:
        of_cases, of_sets: name of each score -> what is better.
    """

    def __init__(self, of_cases: Mapping[str, str], of_sets: Mapping[str, str], resamplings: int) -> None:
        self.of_cases, self.of_sets, self.resamplings = of_cases, of_sets, resamplings
        self.metrics: Mapping[str, str] = {**of_cases, **of_sets}

    @abstractmethod
    def set_scores(self, part: pd.DataFrame, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        """(R,) values of each of ``of_sets`` for (R, n) weights of n rows."""

    def population(self, predictions: Sequence[Prediction], data: Dataset) -> dict[str, float]:
        """Nothing: scores of a set are made from the rows, with their intervals."""
        return {}

    def summarise(self, rows: pd.DataFrame) -> pd.DataFrame:
        """One row a metric and group; a score of a set has no spread over cases, so ``std`` and ``median`` are NaN."""
        of_cases = summarise(rows, self.of_cases, self.resamplings)
        of_sets = summarise_sets(rows, self.of_sets, self.set_scores, self.resamplings)
        return pd.concat([of_cases, of_sets], ignore_index=True)


def set_scores_of(task: Task) -> tuple[Mapping[str, str], SetScores] | None:
    """Names of the scores of a set of cases that a task has, with what is better, and the function that makes them.

    None for a task that has none, and for classification, whose scores are ``classification.SET_SCORES``.
    """
    from mdx.evaluation.classification import ClassificationEvaluator  # it is made of what is here

    made_by = label_of(task).evaluator
    evaluator: Any = resolve_name(made_by)(task, RunSettings.model_validate({})) if made_by else None
    if not isinstance(evaluator, CasesAndSets) or isinstance(evaluator, ClassificationEvaluator):
        return None
    return evaluator.of_sets, evaluator.set_scores


def _of_group(
    part: pd.DataFrame, group: str, better: Mapping[str, str], scores: SetScores, n: int
) -> Iterator[dict[str, Any]]:
    subjects = part["subject"].astype(str).tolist()
    several = len(set(subjects)) > 1
    whole = scores(part, np.ones((1, len(part))))
    drawn = scores(part, resampled_weights(subjects, n=n)) if several else {}
    for metric, direction in better.items():
        value = float(whole[metric][0])
        sample = drawn[metric] if several and np.isfinite(value) else np.array([np.nan])
        low, high = np.nanquantile(sample, [0.025, 0.975]) if np.isfinite(sample).any() else (np.nan, np.nan)
        yield {
            "metric": metric, "better": direction, "group": group, "n_cases": len(part),
            "n_subjects": len(set(subjects)), "n_undefined": 0 if np.isfinite(value) else len(part), "mean": value,
            "std": float("nan"), "median": float("nan"), "low": float(low), "high": float(high),
        }  # fmt: skip

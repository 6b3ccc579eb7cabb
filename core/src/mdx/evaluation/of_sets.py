"""Scores that belong to a set of cases, each with an interval over subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mdx.evaluation.statistics import COLUMNS, RESAMPLINGS, groups, resampled_weights, worst_sites

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
    made = [row for each in found.values() for row in (*each, *worst_sites(each))]
    return pd.DataFrame(made, columns=list(COLUMNS))


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

"""Uncertainty and comparison: everything is resampled by subject, because a subject's scans are not independent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ("metric", "better", "group", "n_cases", "n_subjects", "n_undefined", "mean", "std", "median", "low", "high")
GROUP = "group:"
"""How the columns of rows that group them begin (``data.groups``)."""
RESAMPLINGS = 2000
BLOCK = 2**16
"""Draws at a time, so that what is counted stays in the processor's cache."""
Draw = Callable[..., np.ndarray]
"""The names of the cases' subjects, and a seed, to (R, n) weights: ``resampled_weights``."""


def bootstrap_interval(
    values: np.ndarray, subjects: Sequence[Any], seed: int = 0, n: int = RESAMPLINGS, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean, resampling subjects with all their cases; NaN for fewer than two subjects."""
    return bootstrap_intervals(np.asarray(values, dtype=float)[:, None], subject_codes(subjects), seed, n, level)[0]


def bootstrap_intervals(
    values: np.ndarray, subjects: np.ndarray, seed: int = 0, n: int = RESAMPLINGS, level: float = 0.95
) -> list[tuple[float, float]]:
    """``bootstrap_interval`` of each column of (cases, m) values, of the subjects of its cases that are not NaN.

    Args:
        subjects: (cases,) ints in the order of the subjects' names. Columns with equally many subjects share draws.
    """
    alike: dict[int, dict[int, tuple[np.ndarray, np.ndarray]]] = defaultdict(dict)
    for column in range(values.shape[1]):
        defined = ~np.isnan(values[:, column])
        present, index = np.unique(subjects[defined], return_inverse=True)
        k = len(present)
        alike[k][column] = np.bincount(index, values[defined, column], k), np.bincount(index, minlength=k)
    found = [(float("nan"), float("nan"))] * values.shape[1]
    tail = (1 - level) / 2
    for k in set(alike) - {0, 1}:
        sums, sizes = (np.column_stack(part) for part in zip(*alike[k].values(), strict=True))
        means = np.concatenate([(counts @ sums) / (counts @ sizes) for counts in _drawn_counts(k, seed, n)])
        for column, low, high in zip(alike[k], *np.quantile(means, [tail, 1 - tail], axis=0).tolist(), strict=True):
            found[column] = low, high
    return found


def subject_codes(subjects: Sequence[Any]) -> np.ndarray:
    """(cases,) int of each case's subject, in the order of their names."""
    return np.unique(np.asarray(subjects, dtype=str), return_inverse=True)[1]


def resampled_weights(subjects: Sequence[Any], seed: int = 0, n: int = RESAMPLINGS) -> np.ndarray:
    """(n, cases): how often each case is drawn when subjects are drawn with replacement, all their cases with them."""
    index = subject_codes(subjects)
    return np.concatenate([counts[:, index] for counts in _drawn_counts(int(index.max()) + 1, seed, n)])


def remembered_draws() -> Draw:
    """``resampled_weights`` that keeps the last few, for as long as the function is kept."""
    kept = lru_cache(maxsize=3)(resampled_weights)
    return lambda subjects, seed=0: kept(tuple(subjects), seed)


def _drawn_counts(k: int, seed: int, n: int) -> Iterator[np.ndarray]:
    """How often each of ``k`` subjects is drawn, as blocks of the rows of an (n, k) array that suit the cache."""
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK // k)
    for start in range(0, n, block):
        rows = min(block, n - start)
        drawn = generator.integers(k, size=(rows, k)) + np.arange(rows)[:, None] * k
        yield np.bincount(drawn.ravel(), minlength=rows * k).reshape(rows, k).astype(float)


def summarise(rows: pd.DataFrame, metrics: Mapping[str, str], n: int = RESAMPLINGS) -> pd.DataFrame:
    """One row a metric and group: all, each role, each site and value of ``group:`` columns, and the worst of these.

    Args:
        rows: one row a case, with ``subject``, ``site`` and the metrics; ``role`` if there are roles.
        metrics: name -> ``max``, ``min`` or ``zero`` (a signed error), which is better; says which site is worst.

    Returns:
        columns ``COLUMNS``. A score that is not defined for a case (NaN) is left out of the mean and counted.
    """
    found: dict[str, list[dict[str, Any]]] = {metric: [] for metric in metrics if metric in rows}
    for group, part in groups(rows.assign(subject=subject_codes(rows["subject"].tolist()))):
        for row in _describe(part, list(found), group, n):
            found[row["metric"]].append({"better": metrics[row["metric"]]} | row)
    made = [row for each in found.values() for row in (*each, *worst_groups(each))]
    return pd.DataFrame(made, columns=list(COLUMNS))


def goodness(value: float, better: str) -> float:
    """A number that grows as a score gets better: the score, its negative (``min``) or its distance to 0 (``zero``)."""
    return {"max": value, "min": -value, "zero": -abs(value)}[better]


def worst_groups(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The row of the site with the worst mean, ``worst site (NAME)``, and so of every column that groups the cases.

    Nothing where fewer than two are scored.
    """
    of_column: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in found:
        column, equals, _ = row["group"].partition("=")
        if equals and column != "role" and row["mean"] == row["mean"]:
            of_column[column].append(row)
    made = []
    for column, scored in of_column.items():
        worst = min(scored, key=lambda row: goodness(row["mean"], row["better"]))
        if len(scored) > 1:
            made.append({**worst, "group": f"worst {column} ({worst['group'].partition('=')[2]})"})
    return made


def groups(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The groups of a summary and their rows: all, each role, each site, each value of a ``group:`` column."""
    yield "all", rows
    if "role" in rows:
        for role, part in rows.groupby("role", sort=True):
            yield f"role={role}", part
    for site, part in rows.groupby("site", sort=True):
        yield f"site={site}", part
    for name in group_columns(rows):
        for value, part in rows.groupby(f"{GROUP}{name}", sort=True):
            yield f"{name}={value}", part


def group_columns(rows: pd.DataFrame) -> list[str]:
    """The columns of the cohort's table that group these rows, besides role and site."""
    return [name.removeprefix(GROUP) for name in rows.columns if name.startswith(GROUP)]


def _describe(part: pd.DataFrame, metrics: Sequence[str], group: str, n: int) -> Iterator[dict[str, Any]]:
    scores = part[list(metrics)].to_numpy(dtype=float)
    subjects = part["subject"].to_numpy()
    intervals = bootstrap_intervals(scores, subjects, n=n)
    for metric, column, (low, high) in zip(metrics, scores.T, intervals, strict=True):
        defined = ~np.isnan(column)
        values = column[defined]
        some = len(values) > 0
        yield {
            "metric": metric,
            "group": group,
            "n_cases": len(values),
            "n_subjects": len(np.unique(subjects[defined])),
            "n_undefined": len(part) - len(values),
            "mean": float(values.mean()) if some else float("nan"),
            "std": float(values.std()) if some else float("nan"),
            "median": float(np.median(values)) if some else float("nan"),
            "low": low,
            "high": high,
        }


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down adjustment (Holm 1979) of a family of p values, in the order given; NaN is no member of it."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]  # NaN sorts last
    result = np.full_like(p, np.nan)
    result[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return result.tolist()

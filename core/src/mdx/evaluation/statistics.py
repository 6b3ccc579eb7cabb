"""Uncertainty and comparison: everything is resampled by subject, because a subject's scans are not independent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ("metric", "better", "group", "n_cases", "n_subjects", "n_undefined", "mean", "std", "median", "low", "high")
RESAMPLINGS = 2000


def bootstrap_interval(
    values: np.ndarray, subjects: Sequence[Any], seed: int = 0, n: int = RESAMPLINGS, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean, resampling subjects with all their cases; NaN for fewer than two subjects."""
    values = np.asarray(values, dtype=float)
    _, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    k = int(index.max(initial=-1)) + 1
    if k < 2:
        return float("nan"), float("nan")
    sums, counts = np.bincount(index, values, k), np.bincount(index, minlength=k)
    drawn = np.random.default_rng(seed).integers(k, size=(n, k))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def summarise(rows: pd.DataFrame, metrics: Mapping[str, str], n: int = RESAMPLINGS) -> pd.DataFrame:
    """One row a metric and group: all, each role, each site, and the worst site.

    Args:
        rows: one row a case, with ``subject``, ``site`` and the metrics; ``role`` if there are roles.
        metrics: name -> ``max``, ``min`` or ``zero`` (a signed error), which is better; says which site is worst.

    Returns:
        columns ``COLUMNS``. A score that is not defined for a case (NaN) is left out of the mean and counted.
    """
    made: list[dict[str, Any]] = []
    for metric, better in metrics.items():
        if metric not in rows:
            continue
        sites: list[dict[str, Any]] = []
        for group, part in _groups(rows):
            row = {"better": better} | _describe(part, metric, group, n)
            made.append(row)
            if group.startswith("site="):
                sites.append(row)
        scored = [s for s in sites if s["mean"] == s["mean"]]
        if len(scored) > 1:
            worst = min(scored, key=lambda s: goodness(s["mean"], better))
            made.append({**worst, "group": f"worst site ({worst['group'].removeprefix('site=')})"})
    return pd.DataFrame(made, columns=list(COLUMNS))


def goodness(value: float, better: str) -> float:
    """A number that grows as a score gets better: the score, its negative (``min``) or its distance to 0 (``zero``)."""
    return {"max": value, "min": -value, "zero": -abs(value)}[better]


def _groups(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "all", rows
    if "role" in rows:
        for role, part in rows.groupby("role", sort=True):
            yield f"role={role}", part
    for site, part in rows.groupby("site", sort=True):
        yield f"site={site}", part


def _describe(part: pd.DataFrame, metric: str, group: str, n: int) -> dict[str, Any]:
    defined: Any = part.dropna(subset=[metric])
    values = defined[metric].to_numpy(dtype=float)
    some = len(values) > 0
    low, high = bootstrap_interval(values, defined["subject"].tolist(), n=n)
    return {
        "metric": metric,
        "group": group,
        "n_cases": len(values),
        "n_subjects": int(defined["subject"].nunique()),
        "n_undefined": len(part) - len(defined),
        "mean": float(values.mean()) if some else float("nan"),
        "std": float(values.std()) if some else float("nan"),
        "median": float(np.median(values)) if some else float("nan"),
        "low": low,
        "high": high,
    }


def paired_comparison(a: Sequence[float], b: Sequence[float], subjects: Sequence[Any], seed: int = 0) -> dict[str, Any]:
    """a - b on the same cases: mean difference with its interval, and Wilcoxon's p over subjects.

    Cases of a subject are averaged first. Pairs with an undefined score are left out and counted.

    Returns:
        ``difference``, ``low``, ``high``; ``higher`` and ``lower``, the subjects whose a is above and below b;
        ``n_subjects``, ``n_undefined``; ``p``, two-sided, 1 where nothing differs and NaN where there is no pair.
    """
    from scipy import stats

    table = pd.DataFrame({"d": np.asarray(a, float) - np.asarray(b, float), "subject": [str(s) for s in subjects]})
    defined: Any = table.dropna()
    each: np.ndarray = defined.groupby("subject")["d"].mean().to_numpy()
    low, high = bootstrap_interval(defined["d"].to_numpy(), defined["subject"].tolist(), seed)
    p = 1.0 if len(each) else float("nan")
    if len(each) > 1 and np.any(each != 0):
        test: Any = stats.wilcoxon(each)
        p = float(test.pvalue)
    return {
        "difference": float(defined["d"].mean()) if len(defined) else float("nan"),
        "low": low,
        "high": high,
        "higher": int((each > 0).sum()),
        "lower": int((each < 0).sum()),
        "n_subjects": len(each),
        "n_undefined": len(table) - len(defined),
        "p": p,
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down adjustment (Holm 1979) of a family of p values, in the order given; NaN is no member of it."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]  # NaN sorts last
    result = np.full_like(p, np.nan)
    result[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return result.tolist()

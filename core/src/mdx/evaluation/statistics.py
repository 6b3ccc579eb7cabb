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
    if len(set(map(str, subjects))) < 2:
        return float("nan"), float("nan")
    weights = resampled_weights(subjects, seed, n)
    means = weights @ values / weights.sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def resampled_weights(subjects: Sequence[Any], seed: int = 0, n: int = RESAMPLINGS) -> np.ndarray:
    """(n, cases): how often each case is drawn when subjects are drawn with replacement, all their cases with them."""
    _, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    k = int(index.max()) + 1
    drawn = np.random.default_rng(seed).integers(k, size=(n, k))
    counts = np.bincount((drawn + np.arange(n)[:, None] * k).ravel(), minlength=n * k).reshape(n, k)
    return counts[:, index].astype(float)


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
        found = [{"better": better} | _describe(part, metric, group, n) for group, part in groups(rows)]
        made += [*found, *worst_sites(found)]
    return pd.DataFrame(made, columns=list(COLUMNS))


def goodness(value: float, better: str) -> float:
    """A number that grows as a score gets better: the score, its negative (``min``) or its distance to 0 (``zero``)."""
    return {"max": value, "min": -value, "zero": -abs(value)}[better]


def worst_sites(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The row of the site with the worst mean, under a name that says so; nothing where fewer than two are scored."""
    scored = [row for row in found if row["group"].startswith("site=") and row["mean"] == row["mean"]]
    if len(scored) < 2:
        return []
    worst = min(scored, key=lambda row: goodness(row["mean"], row["better"]))
    return [{**worst, "group": f"worst site ({worst['group'].removeprefix('site=')})"}]


def groups(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The groups of a summary and their rows: all, each role, each site."""
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

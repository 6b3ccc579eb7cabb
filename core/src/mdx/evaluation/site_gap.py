"""How far apart a method's worst and best site are, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mdx.evaluation.paired import NAN, MethodScores, interval
from mdx.evaluation.statistics import Draw, goodness, resampled_weights


def site_gap(
    method: Callable[[np.ndarray], MethodScores], subjects: Sequence[Any], sites: Sequence[str], better: str,
    draw: Draw = resampled_weights,
) -> dict[str, Any]:  # fmt: skip
    """The worst and the best site of a method, and the gap between them with its interval over subjects.

    Args:
        method: the method's scores on the cases of an index array.
        draw: ``remembered_draws`` for several methods on the same cases.

    Returns:
        ``worst`` and ``best``, each with its ``_mean``, the worst with ``_low`` and ``_high``; ``gap`` (at least 0),
        ``gap_low``, ``gap_high``; None and NaN with fewer than two sites. The interval takes the two sites as given: it
        says how sure their gap is, not that they are the worst and the best. Subjects seen at both are drawn for both.
    """
    names, places = np.asarray([str(s) for s in subjects]), np.asarray(sites)
    cases = {site: np.flatnonzero(places == site) for site in sorted(set(places.tolist()))}
    means = {s: float(method(i).weighted(np.ones((1, len(i))))[0]) for s, i in cases.items()}
    order = sorted((s for s in means if means[s] == means[s]), key=lambda s: goodness(means[s], better))
    if len(order) < 2:
        return {"worst": None, "best": None} | dict.fromkeys(
            ("worst_mean", "worst_low", "worst_high", "best_mean", "gap", "gap_low", "gap_high"), NAN
        )
    worst, best = order[0], order[-1]
    drawn = _drawn_at(method, names, cases[worst], cases[best], draw)
    low, high = interval(goodness(1.0, better) * (drawn[1] - drawn[0]))
    worst_low, worst_high = interval(_drawn(method, names, cases[worst], draw))
    return {
        "worst": worst, "worst_mean": means[worst], "worst_low": worst_low, "worst_high": worst_high, "best": best,
        "best_mean": means[best], "gap": abs(means[best] - means[worst]), "gap_low": low, "gap_high": high,
    }  # fmt: skip


def _drawn(
    method: Callable[[np.ndarray], MethodScores], subjects: np.ndarray, cases: np.ndarray, draw: Draw, seed: int = 0
) -> Any:
    """(R,) the score on resampled subjects of some cases; NaN where there is one subject."""
    names = subjects[cases].tolist()
    return method(cases).weighted(draw(names, seed)) if len(set(names)) > 1 else np.full(1, np.nan)


def _drawn_at(
    method: Callable[[np.ndarray], MethodScores], subjects: np.ndarray, a: np.ndarray, b: np.ndarray, draw: Draw
) -> tuple[np.ndarray, np.ndarray]:
    """The scores at two sites on resampled subjects: drawn together if any was scanned at both, else apart."""
    if not set(subjects[a]) & set(subjects[b]):
        x, y = _drawn(method, subjects, a, draw), _drawn(method, subjects, b, draw, seed=1)
        return (x, y) if len(x) == len(y) else (np.full(1, np.nan), np.full(1, np.nan))
    weights = draw(np.concatenate([subjects[a], subjects[b]]).tolist())
    return method(a).weighted(weights[:, : len(a)]), method(b).weighted(weights[:, len(a) :])

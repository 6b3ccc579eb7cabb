"""Paired scores by their signed ranks: Wilcoxon's test and its effect size, for many pairs of methods at once."""

from __future__ import annotations

from typing import Any

import numpy as np

MOST_EXACT = 50
"""Subjects for which scipy takes the exact distribution, if no gain is 0 or as large as another."""
MOST_PERMUTED = 13
"""Subjects for which scipy goes through all signs, if one is."""


def wilcoxon_p(gains: np.ndarray) -> np.ndarray:
    """(pairs,) two-sided p of scipy's signed-rank test of each column of (subjects, pairs) gains.

    A subject with NaN is left out of its pair. 1 where nothing differs or there is one subject, NaN without a subject.
    """
    defined = ~np.isnan(gains)
    counts = defined.sum(axis=0)
    found = np.where(counts > 0, 1.0, np.nan)
    moved = (counts > 1) & (defined & (gains != 0)).any(axis=0)
    few = counts <= MOST_EXACT
    tied = few.copy()
    tied[few] = _tied(gains[:, few])
    for n, ties in {(int(counts[i]), bool(tied[i])) for i in np.flatnonzero(moved)}:
        columns = np.flatnonzero(moved & (counts == n) & (tied == ties))
        each = gains[:, columns].T[defined[:, columns].T].reshape(len(columns), n)
        found[columns] = [_permuted_p(one) for one in each] if ties and n <= MOST_PERMUTED else _scipys_p(each)
    return found


def rank_biserial(gains: np.ndarray) -> Any:
    """Matched-pairs rank-biserial correlation (Kerby 2014): (ranks of gains - ranks of losses) / all ranks.

    1 where every subject gains; subjects without a change or with NaN are left out; NaN where nothing changes.

    Args:
        gains: (subjects, ...), compared along the first axis.
    """
    from scipy.stats import rankdata

    moved = ~np.isnan(gains) & (gains != 0)
    ranks = rankdata(np.where(moved, np.abs(gains), 0.0), axis=0) - (~moved).sum(axis=0)
    up, down = (np.where(moved & way, ranks, 0.0).sum(axis=0) for way in (gains > 0, gains < 0))
    with np.errstate(invalid="ignore"):
        return (up - down) / (up + down)


def _tied(gains: np.ndarray) -> np.ndarray:
    """(pairs,) bool: a gain of the column is 0 or as large as another."""
    sizes = np.sort(np.abs(gains), axis=0)  # NaN last
    return (sizes == 0).any(axis=0) | (np.diff(sizes, axis=0) == 0).any(axis=0)


def _permuted_p(gains: np.ndarray) -> float:
    """The two-sided p over all signs of (subjects,) gains, which may be 0 or tied: what scipy's permutations count.

    Ranks of ties are halves, so twice the sum of the positive ranks is a whole number, whose distribution is built up
    subject by subject.
    """
    from scipy.stats import rankdata

    moved = gains[gains != 0]
    ranks = np.rint(2 * rankdata(np.abs(moved))).astype(int)
    ways = np.zeros(ranks.sum() + 1)
    ways[0] = 1
    for rank in ranks:
        ways[rank:] = ways[rank:] + ways[:-rank]
    up = ranks[moved > 0].sum()
    return float(min(1.0, 2 * min(ways[: up + 1].sum(), ways[up:].sum()) / ways.sum()))


def _scipys_p(gains: np.ndarray) -> np.ndarray:
    """(pairs,) p of (pairs, subjects) gains for which scipy chooses the same method."""
    from scipy import stats

    found: Any = stats.wilcoxon(gains, axis=1)
    return found.pvalue

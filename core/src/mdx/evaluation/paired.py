"""Methods on the same cases: how sure their differences and their order are.

A method is a function from weights of cases to a score, because a bootstrap sample of subjects is a weighting of their
cases: one function gives the score and all its resamplings, for the mean of a score of cases as for a score of a set
(kappa, AUROC). All methods are resampled together, so differences are paired; a subject is drawn with all its cases.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mdx.evaluation.classification import SetScore
from mdx.evaluation.of_sets import SetScores
from mdx.evaluation.signed_ranks import rank_biserial, wilcoxon_p
from mdx.evaluation.statistics import goodness, holm, resampled_weights, subject_codes

NAN = float("nan")
TAILS = (0.025, 0.975)
Weighted = Callable[[np.ndarray], np.ndarray]
"""(R, n) weights of the cases to (R,) scores; NaN where not defined."""


@dataclass(frozen=True)
class MethodScores:
    """The scores of one method on the cases of a group.

    Attributes:
        weighted: the score of any weighting of the cases.
        values: (n,) score of each case, NaN where not defined; None for a score that only a set has.
    """

    weighted: Weighted
    values: np.ndarray | None = None


def case_scores(values: Sequence[float] | np.ndarray) -> MethodScores:
    """The mean over cases; a case without a score is left out. Of (n, m) values the means of the m columns."""
    each = np.asarray(values, dtype=float)
    defined = np.isfinite(each)
    filled = np.where(defined, each, 0.0)
    alike = each.ndim > 1 and defined.all()
    counted = defined[:, :1] if alike else defined

    def weighted(weights: np.ndarray) -> np.ndarray:
        total, sums = weights @ counted, weights @ filled
        return np.divide(sums, total, out=np.full(sums.shape, np.nan), where=total > 0)

    return MethodScores(weighted, each)


def case_scores_over_seeds(values: Sequence[np.ndarray], tested: Sequence[np.ndarray]) -> MethodScores:
    """``case_scores`` of each case's mean over the seeds at which it was tested.

    Args:
        values: for each seed (n,) scores; a tested case without one has none at all.
        tested: for each seed (n,) bool.
    """
    count = np.sum(tested, axis=0)
    total = np.sum([np.where(t, v, 0.0) for v, t in zip(values, tested, strict=True)], axis=0)
    return case_scores(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))


def set_scores(
    score: SetScore, truth: np.ndarray, probabilities: Sequence[np.ndarray], tested: Sequence[np.ndarray] | None = None
) -> MethodScores:
    """A score of a set of cases, averaged over seeds: those of one seed are ranked among themselves.

    Args:
        truth: (n,) class indices.
        probabilities: for each seed (n, K).
        tested: for each seed (n,) bool, the cases that it has; all if not given.
    """
    parts = [np.ones(len(truth), bool)] * len(probabilities) if tested is None else tested

    def weighted(weights: np.ndarray) -> np.ndarray:
        each = [score(truth[t], p[t], weights[:, t]) for p, t in zip(probabilities, parts, strict=True) if t.any()]
        return np.mean(each, axis=0) if each else np.full(len(weights), NAN)

    return MethodScores(weighted)


def row_scores(
    scores: SetScores, metric: str, rows: Sequence[Any], places: Sequence[np.ndarray], tested: Sequence[np.ndarray]
) -> MethodScores:
    """A score that is made of rows of scores.csv, averaged over seeds.

    Args:
        rows: for each seed the rows of its cases.
        places: for each seed (n,) the number of each case's row there, NaN where it has none.
        tested: for each seed (n,) bool, the cases that it has.
    """

    def weighted(weights: np.ndarray) -> np.ndarray:
        each = [scores(table.iloc[place[t].astype(int)], weights[:, t])[metric]
                for table, place, t in zip(rows, places, tested, strict=True) if t.any()]  # fmt: skip
        return np.mean(each, axis=0) if each else np.full(len(weights), NAN)

    return MethodScores(weighted)


def compare_group(
    methods: Mapping[str, MethodScores],
    subjects: Sequence[Any],
    better: str,
    reference: str | None = None,
    ranked: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Everything about one score on one group of cases.

    Args:
        better: ``max`` or ``min``.
        reference: compare every method with this one only, instead of all pairs.
        ranked: the methods whose order is asked for; all if not given. Pairs with another one are outside the family:
            they have no ``p_holm``, and the others' is not raised by them.

    Returns:
        ``methods``: mean, SD over cases, 95 % interval over subjects.
        ``pairs``: see ``_pairs_of_cases``, with ``p_holm`` over the ranked methods' pairs of this group.
        ``family``: how many those are.
        ``ranks``: see ``rank_stability``; ``order_stays``; ``friedman_p`` of the ranks within subjects.
    """
    names = [str(s) for s in subjects]
    several = len(set(names)) > 1
    weights = resampled_weights(names) if several else np.ones((1, len(names)))
    whole = np.ones((1, len(names)))
    now = {name: float(m.weighted(whole)[0]) for name, m in methods.items()}
    drawn = {name: m.weighted(weights) if several else np.full(1, np.nan) for name, m in methods.items()}
    described = [_describe(name, m, names, now[name], drawn[name]) for name, m in methods.items()]
    everyone = itertools.combinations(methods, 2)
    chosen = [(n, reference) for n in methods if n != reference] if reference else list(everyone)
    values = {name: m.values for name, m in methods.items() if m.values is not None}
    if not chosen or len(values) < len(methods):
        pairs = _pairs_of_sets(chosen, len(set(names)), now, drawn)
    else:
        pairs = _pairs_of_cases(chosen, values, names, better, weights, now, drawn)
    competitors = list(methods if ranked is None else ranked)
    family = [row for row in pairs if {row["a"], row["b"]} <= set(competitors)]
    for row in pairs:
        row["p_holm"] = NAN
    for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
        row["p_holm"] = p
    order = [n for n in competitors if now[n] == now[n]]
    stability, stays = rank_stability({n: now[n] for n in order}, {n: drawn[n] for n in order}, better)
    within, friedman = _subject_ranks({n: methods[n] for n in order}, names, better)
    for row in stability:
        row["subject_rank"] = within.get(row["method"], NAN)
    return {"methods": described, "pairs": pairs, "family": len(family), "ranks": stability, "order_stays": stays,
            "friedman_p": friedman}  # fmt: skip


def paired(a: Sequence[float], b: Sequence[float], subjects: Sequence[Any]) -> dict[str, Any]:
    """a - b on the same cases, of those that have both scores.

    Returns:
        ``difference`` with its interval ``low`` to ``high``; ``higher`` and ``lower``, the subjects whose a is above
        and below b; ``n_subjects``, ``n_undefined``; ``p``, Wilcoxon's over subjects, whose cases are averaged first:
        two-sided, 1 where nothing differs and NaN where there is no pair.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    both = np.isfinite(first - second)
    names = [str(s) for s, there in zip(subjects, both, strict=True) if there]
    if not names:
        none = {"difference": NAN, "low": NAN, "high": NAN, "higher": 0, "lower": 0, "n_subjects": 0, "p": NAN}
        return {**none, "n_undefined": len(first)}
    scores = {"a": case_scores(first[both]), "b": case_scores(second[both])}
    (found,) = compare_group(scores, names, "max", reference="b")["pairs"]
    kept = {key: found[key] for key in ("difference", "low", "high", "n_subjects", "p")}
    return {**kept, "higher": found["wins"], "lower": found["losses"], "n_undefined": int((~both).sum())}


def _describe(name: str, m: MethodScores, subjects: Sequence[str], now: float, drawn: np.ndarray) -> dict[str, Any]:
    defined = np.ones(len(subjects), bool) if m.values is None else np.isfinite(m.values)
    low, high = interval(drawn)
    return {
        "method": name, "mean": now,
        "std": float(m.values[defined].std()) if m.values is not None and defined.any() else NAN,
        "low": low, "high": high, "n_cases": int(defined.sum()),
        "n_subjects": len({s for s, d in zip(subjects, defined, strict=True) if d}),
        "n_undefined": int((~defined).sum()),
    }  # fmt: skip


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of resampled values; NaN where none is defined."""
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return NAN, NAN
    low, high = np.quantile(defined, TAILS)
    return float(low), float(high)


def intervals(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``interval`` of each column."""
    if np.isfinite(drawn).all():
        low, high = np.quantile(drawn, TAILS, axis=0)
        return low, high
    low, high = np.array([interval(column) for column in drawn.T]).T
    return low, high


def _pairs_of_sets(
    chosen: Sequence[tuple[str, str]], n_subjects: int, now: Mapping[str, float], drawn: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """``_pairs_of_cases`` of scores that only a set of cases has: no test, no counts."""
    made = []
    for a, b in chosen:
        low, high = interval(drawn[a] - drawn[b])
        nothing = {"p": NAN, "smallest_p": NAN, "effect": NAN, "wins": None, "losses": None, "ties": None}
        made.append({"a": a, "b": b, "mean_a": now[a], "mean_b": now[b], "difference": now[a] - now[b], "low": low,
                     "high": high, **nothing, "n_subjects": n_subjects, "n_undefined": 0})  # fmt: skip
    return made


def _pairs_of_cases(
    chosen: Sequence[tuple[str, str]], values: Mapping[str, np.ndarray], subjects: Sequence[str], better: str,
    weights: np.ndarray, now: Mapping[str, float], drawn: Mapping[str, np.ndarray],
) -> list[dict[str, Any]]:  # fmt: skip
    """a against b on the cases that both have a score for.

    Returns:
        ``difference`` (a - b) with ``low`` and ``high``; Wilcoxon's two-sided ``p`` over subjects (their cases averaged
        first), ``smallest_p`` that so many subjects can give, ``effect`` (see ``rank_biserial``), and the subjects in
        which a is better (``wins``), worse (``losses``) and equal (``ties``).
    """
    gaps = np.column_stack([values[a] - values[b] for a, b in chosen])
    mean = case_scores(gaps).weighted
    low, high = intervals(mean(weights)) if len(weights) > 1 else np.full((2, len(chosen)), NAN)
    each = subject_means(gaps, subjects) * goodness(1.0, better)
    n = (~np.isnan(each)).sum(axis=0)
    columns = {
        "difference": mean(np.ones((1, len(gaps))))[0], "low": low, "high": high,
        "p": wilcoxon_p(each), "smallest_p": np.where(n > 0, 2.0 ** (1 - n), NAN), "effect": rank_biserial(each),
        "wins": (each > 0).sum(axis=0), "losses": (each < 0).sum(axis=0), "ties": (each == 0).sum(axis=0),
        "n_subjects": n, "n_undefined": (~np.isfinite(gaps)).sum(axis=0),
    }  # fmt: skip
    listed = [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
    named = [{"a": a, "b": b, "mean_a": now[a], "mean_b": now[b]} for a, b in chosen]
    return [start | row for start, row in zip(named, listed, strict=True)]


def subject_means(values: np.ndarray, subjects: Sequence[str]) -> np.ndarray:
    """(subjects, pairs) mean of each subject's defined values, in the order of their names; NaN where it has none."""
    table: Any = pd.DataFrame(values).groupby(subject_codes(subjects))
    return table.mean().to_numpy()


def rank_stability(
    now: Mapping[str, float], drawn: Mapping[str, np.ndarray], better: str
) -> tuple[list[dict[str, Any]], float]:
    """How steady the order of the methods is when other subjects had been scanned.

    Args:
        now, drawn: the score of each method, and (R,) its scores on resampled subjects.

    Returns:
        for each method its ``rank`` (1 is best, ties share), the ``mean_rank`` over resamplings with the 95 % range
        ``rank_low`` to ``rank_high``, and ``shares``, how often it has rank 1, 2, ...; and how often the whole order is
        the measured one. Nothing and NaN where there is nothing to resample.
    """
    names = list(now)
    scores = np.column_stack([drawn[n] for n in names]) if names else np.empty((0, 0))
    scores = scores[np.isfinite(scores).all(axis=1)]
    if len(names) < 2 or not len(scores):
        return [], NAN
    sign = goodness(1.0, better)
    first, last = _ranks(sign * scores)
    measured = np.mean(_ranks(sign * np.array([[now[n] for n in names]])), axis=0)[0]
    middle = (first + last) / 2
    places = np.arange(1, len(names) + 1)
    # methods that are equal share the places that they take together
    holds = (first[..., None] <= places) & (places <= last[..., None])
    shares = (holds / (last - first + 1)[..., None]).mean(axis=0)
    low, high = np.quantile(middle, TAILS, axis=0)
    rows = [
        {"method": n, "rank": float(measured[k]), "mean_rank": float(middle[:, k].mean()), "rank_low": float(low[k]),
         "rank_high": float(high[k]), "shares": shares[k].tolist()}
        for k, n in enumerate(names)
    ]  # fmt: skip
    return rows, float((middle == measured).all(axis=1).mean())


def _ranks(good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R, methods) first and last place that a method takes, 1 for the largest; they differ where methods are equal."""
    above = (good[:, None, :] > good[:, :, None]).sum(axis=2)
    equal = (good[:, None, :] == good[:, :, None]).sum(axis=2)
    return above + 1, above + equal


def _subject_ranks(
    methods: Mapping[str, MethodScores], subjects: Sequence[str], better: str
) -> tuple[dict[str, float], float]:
    """Mean over subjects of each method's rank within the subject, and p of Friedman's test of no difference."""
    from scipy import stats

    values = {n: m.values for n, m in methods.items() if m.values is not None}
    if len(values) < 2:
        return {}, NAN
    table: Any = pd.DataFrame({**values, "subject": list(subjects)}).dropna().groupby("subject").mean()
    if not len(table):
        return {}, NAN
    ranks = (table * goodness(-1.0, better)).rank(axis=1)
    p = NAN
    if len(values) > 2 and len(table) > 1 and (ranks.max(axis=1) > ranks.min(axis=1)).any():
        found: Any = stats.friedmanchisquare(*(ranks[n] for n in values))
        p = float(found.pvalue)
    return {str(n): float(r) for n, r in ranks.mean().items()}, p

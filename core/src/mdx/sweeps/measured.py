"""Measured beside published: the cells of a table, and the orders that the paper claims."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mdx.evaluation.classification import SET_SCORES, truth_and_probabilities
from mdx.evaluation.of_sets import set_scores_of
from mdx.evaluation.paired import MethodScores, interval, paired, row_scores, set_scores
from mdx.evaluation.statistics import GROUP, goodness, resampled_weights
from mdx.interfaces.dataset import Task
from mdx.plugins.published import Claim, PublishedTable
from mdx.report.text import key_words
from mdx.report.verdicts import ENOUGH_SUBJECTS
from mdx.runs.folders import read_json, read_scores
from mdx.runs.loading import task_from
from mdx.sweeps.jobs import Job
from mdx.sweeps.pool import FINISHED
from mdx.sweeps.table import TARGETS, Cell


@dataclass(frozen=True)
class Measured:
    """A cell with what was measured.

    Attributes:
        values: one a seed, in the unit of the paper.
        group: where in the run it was measured.
        subjects: the fewest of any seed.
    """

    cell: Cell
    values: Mapping[int, float] = field(default_factory=dict)
    group: str = ""
    subjects: int = 0
    better: str = "max"
    missing: str = ""

    @property
    def mean(self) -> float | None:
        """Over the seeds."""
        return float(np.mean(list(self.values.values()))) if self.values else None

    @property
    def sd(self) -> float | None:
        """Sample SD over the seeds."""
        return float(np.std(list(self.values.values()), ddof=1)) if len(self.values) > 1 else None


def measure(cells: Sequence[Cell], runs: Mapping[int, Path]) -> list[Measured]:
    """The cells with their numbers.

    Args:
        runs: ``id`` of a job -> the directory of its run, for the jobs that have one.
    """
    return [_measured(cell, runs) for cell in cells]


def _measured(cell: Cell, runs: Mapping[int, Path]) -> Measured:
    if cell.where is None:
        return Measured(cell, missing=cell.reason)
    values: dict[int, float] = {}
    group, subjects, better, lacking = cell.where.group, [], "max", ""
    for seed, job in cell.runs.items():
        run = runs.get(id(job))
        if run is None:
            lacking = "its run has not finished"
            continue
        rows = read_json(run / "summary.json")
        if cell.where.group == TARGETS:
            group = "role=target" if any(r["group"] == "role=target" for r in rows) else "all"
        row = next((r for r in rows if r["metric"] == cell.where.metric and r["group"] == group), None)
        if row is None or row["mean"] is None:
            lacking = f"its run has no {cell.where.metric} for {group}"
            continue
        values[seed] = row["mean"] * cell.where.scale
        subjects.append(row["n_subjects"])
        better = row["better"]
    return Measured(cell, values, group, min(subjects, default=0), better, lacking)


@dataclass(frozen=True)
class Verdict:
    """Whether one step of a claimed order came out: the better method against the next one.

    Attributes:
        difference: better minus next, positive in the direction of the claim, in the paper's unit.
        low, high: paired bootstrap over subjects; None for a number that a run has only one of.
        by_seed: how many seeds went the claimed way, of how many.
        n_subjects: behind the interval; 0 without one.
    """

    claim: str
    place: str
    better: str
    other: str
    metric: str
    difference: float | None
    low: float | None
    high: float | None
    by_seed: tuple[int, int]
    missing: str = ""
    n_subjects: int = 0

    @property
    def text(self) -> str:
        """``came out``, ``did not come out``, each as clearly as interval and subjects allow; or the bare order."""
        if self.difference is None:
            return self.missing or "not measured"
        apart = self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
        if self.low is None:
            return "the same order, one number each" if self.difference > 0 else "another order, one number each"
        few = f", but of {self.n_subjects} subjects only" if apart and self.n_subjects < ENOUGH_SUBJECTS else ""
        if self.difference > 0:
            return f"came out{few}" if apart else "came out, but the interval holds 0"
        return f"did not come out: the reverse{few}" if apart else "did not come out"


def judge(table: PublishedTable, measured: Sequence[Measured], runs: Mapping[int, Path]) -> list[Verdict]:
    """Every claimed order of the table, step by step, for every place (values of the other key columns)."""
    made: list[Verdict] = []
    for text, claim in table.claims.items():
        metric = claim.metric or next(iter(table.metrics))
        column = claim.column or next(iter(table.keys))
        places: dict[tuple[tuple[str, str], ...], dict[str, Measured]] = {}
        for m in measured:
            if m.cell.metric == metric and _inside(claim, m.cell, column):
                place = tuple((k, v) for k, v in m.cell.keys.items() if k != column)
                places.setdefault(place, {})[m.cell.keys[column]] = m
        for place, found in places.items():
            name = key_words(dict(place))
            lacking = [value for value in claim.order if value not in found or not found[value].values]
            if lacking:  # a claim is about all of its rows
                reasons = [f"{v}: {found[v].missing if v in found else 'it was not asked for'}" for v in lacking]
                why = f"not judged ({'; '.join(reasons)})"
                first, last = claim.order[0], claim.order[-1]
                made.append(Verdict(text, name, first, last, metric, None, None, None, (0, 0), why))
                continue
            for better, other in itertools.pairwise(claim.order):
                made.append(_verdict(text, name, found[better], found[other], better, other, metric, runs))
    return made


def _inside(claim: Claim, cell: Cell, column: str) -> bool:
    return cell.keys.get(column) in claim.order and all(cell.keys.get(k) == v for k, v in claim.where.items())


def _verdict(
    text: str, place: str, a: Measured, b: Measured, better: str, other: str, metric: str, runs: Mapping[int, Path]
) -> Verdict:
    seeds = [seed for seed in a.values if seed in b.values]
    if not seeds:
        missing = a.missing or b.missing or "not measured"
        return Verdict(text, place, better, other, metric, None, None, None, (0, 0), missing)
    gains = [goodness(a.values[s], a.better) - goodness(b.values[s], b.better) for s in seeds]
    low, high, n = _interval(a, b, seeds, runs)
    ways = (sum(g > 0 for g in gains), len(gains))
    return Verdict(text, place, better, other, metric, float(np.mean(gains)), low, high, ways, n_subjects=n)


def _interval(
    a: Measured, b: Measured, seeds: Sequence[int], runs: Mapping[int, Path]
) -> tuple[float | None, float | None, int]:
    """95 % interval of the mean gain over seeds, resampling subjects with all their seeds together; and its subjects.

    None, of 0 subjects, for what no case has a score of (a site probe), a signed error, and cells of different data.
    """
    assert a.cell.where is not None and b.cell.where is not None  # both were measured
    metric, scale = a.cell.where.metric, a.cell.where.scale
    both = _paired_rows(a, b, seeds, runs)
    if both is None or both["subject"].nunique() < 2 or a.better == "zero":
        return None, None, 0
    sign = scale if a.better == "max" else -scale
    if f"{metric}_a" in both:
        first, second = ((sign * both[f"{metric}_{side}"]).to_numpy() for side in "ab")
        found = paired(first, second, both["subject"].tolist())
        return found["low"], found["high"], found["n_subjects"]
    task = task_from(read_json(runs[id(a.cell.runs[seeds[0]])] / "provenance.json")["task"])
    scores = [_set_scores(both, metric, side, task) for side in "ab"]
    if scores[0] is None or scores[1] is None:
        return None, None, 0
    weights = resampled_weights(both["subject"].tolist())
    low, high = interval(sign * (scores[0].weighted(weights) - scores[1].weighted(weights)))
    return low, high, both["subject"].nunique()


def _set_scores(both: Any, metric: str, side: str, task: Task) -> MethodScores | None:
    """A score of sets of cases, of one of two methods side by side, averaged over the seeds; None for another score."""
    own = both.rename(columns={c: c[:-2] for c in both.columns if c.endswith(f"_{side}")})
    tested = [(own["seed"] == seed).to_numpy() for seed in sorted(set(own["seed"]))]
    others = set_scores_of(task)
    if others and metric in others[0]:
        places = np.arange(len(own), dtype=float)
        return row_scores(others[1], metric, [own] * len(tested), [places] * len(tested), tested)
    if others or metric not in SET_SCORES:
        return None
    truth, probabilities = truth_and_probabilities(own, task.classes)
    return set_scores(SET_SCORES[metric][1], truth, [probabilities] * len(tested), tested)


def _paired_rows(a: Measured, b: Measured, seeds: Sequence[int], runs: Mapping[int, Path]) -> Any:
    """Rows of scores.csv of both, side by side, of the cases that both were measured on; None without such cases."""
    import pandas as pd

    parts = []
    for seed in seeds:
        jobs = [m.cell.runs[seed] for m in (a, b)]
        if jobs[0].data != jobs[1].data:
            return None
        rows = [_rows(runs[id(job)], m) for job, m in zip(jobs, (a, b), strict=True)]
        both = rows[0].merge(rows[1], on=["case", "subject"], suffixes=("_a", "_b"))
        # the same name in other data is another subject
        parts.append(both.assign(seed=seed, subject=[f"{jobs[0].data}|{s}" for s in both["subject"]]))
    pooled = pd.concat(parts, ignore_index=True)
    return pooled if len(pooled) else None


def _rows(run: Path, measured: Measured) -> Any:
    table = read_scores(run)
    column, _, value = measured.group.partition("=")
    name = column if column in ("role", "site") else f"{GROUP}{column}"
    if not value:
        return table
    return table[table[name] == value] if name in table else table[:0]


def rank_agreement(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """For each place and metric how many pairs of rows have the published order, and Kendall's tau of the two orders.

    Pairs with equal published numbers have no order and are not counted.
    """
    from scipy.stats import kendalltau

    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for m in measured:
        if m.mean is not None and m.cell.mean is not None:
            place = key_words(dict(list(m.cell.keys.items())[1:]))
            groups.setdefault((place, m.cell.metric), []).append((m.cell.mean, m.mean))
    found = []
    for (place, metric), rows in groups.items():
        signs = [(np.sign(p - q), np.sign(x - y)) for (p, x), (q, y) in itertools.combinations(rows, 2) if p != q]
        if signs:
            found_tau: Any = kendalltau(*zip(*rows, strict=True))
            tau = float(found_tau.statistic)
            found.append({
                "place": place, "metric": metric, "rows": len(rows), "pairs": len(signs),
                "pairs_in_order": sum(bool(p == m) for p, m in signs), "tau": None if np.isnan(tau) else tau,
            })  # fmt: skip
    return found


def run_directories(jobs: Sequence[Job], folder: Path, outcomes: Sequence[Any]) -> dict[int, Path]:
    """``id`` of each finished job -> the directory of its run."""
    return {
        id(job): folder / "runs" / outcome.directory
        for job, outcome in zip(jobs, outcomes, strict=True)
        if outcome.state in FINISHED
    }

"""What a summary and a comparison cost, against the least that their numbers need, written out in numpy and scipy.

``python tools/bench_statistics.py`` prints CPU time, medians of alternating turns, and their ratios. The peer of a
comparison draws weights once, takes all differences in one product and all p values in one call; it has neither ranks,
nor their stability, nor effect sizes. That of a summary draws weights once a group.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from mdx.evaluation.paired import case_scores, compare_group
from mdx.evaluation.statistics import groups, resampled_weights, summarise

TURNS = 7
ENDS = (0.025, 0.975)


def plain_comparison(values: np.ndarray, subjects: list[str]) -> None:
    """Intervals and p values of all pairs of (cases, methods) scores, one case a subject."""
    weights = resampled_weights(subjects)
    first, second = np.triu_indices(values.shape[1], 1)
    gaps = values[:, first] - values[:, second]
    np.quantile(weights @ gaps / weights.sum(axis=1, keepdims=True), ENDS, axis=0)
    stats.wilcoxon(gaps, axis=0)


def plain_summary(rows: pd.DataFrame, metrics: list[str]) -> None:
    """Mean and interval of each metric in each group."""
    for _, part in groups(rows):
        weights = resampled_weights(part["subject"].tolist())
        values = part[metrics].to_numpy()
        values.mean(axis=0)
        np.quantile(weights @ values / weights.sum(axis=1, keepdims=True), ENDS, axis=0)


def measured(title: str, ours: Callable[[], object], plain: Callable[[], object], turns: int = TURNS) -> None:
    """Print the median CPU seconds of both, taken in turns after one that is not counted, and their ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns + 1):
        for into, action in zip(times, (ours, plain), strict=True):
            started = time.process_time()
            action()
            into += [time.process_time() - started] if turn else []
    a, b = statistics.median(times[0]), statistics.median(times[1])
    print(f"{title:<54}{a:8.3f} s{b:8.3f} s{a / b:7.2f}")


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"{'':<54}{'mdx':>10}{'plain':>10}{'ratio':>7}")
    for methods, cases in ((20, 500), (40, 500), (20, 2000)):
        values = rng.normal(0.8, 0.05, (cases, 1)) + rng.normal(0, 0.02, (cases, methods))
        subjects = [f"s{i}" for i in range(cases)]
        scores = {f"m{i}": case_scores(column) for i, column in enumerate(values.T)}
        title = f"comparison, {methods} methods on {cases} subjects"
        measured(
            title, lambda m=scores, s=subjects: compare_group(m, s, "max"),
            lambda v=values, s=subjects: plain_comparison(v, s),
        )  # fmt: skip
    for cases, count, turns in ((2000, 9, TURNS), (25000, 3, 3)):
        metrics = [f"m{i}" for i in range(count)]
        rows = pd.DataFrame(rng.random((cases, count)), columns=metrics).assign(
            subject=[f"s{i}" for i in range(cases)], site=rng.choice(list("ABCDE"), cases), role="target"
        )
        rows.loc[rows["site"] == "A", "role"] = "source"
        title = f"summary, {cases} cases, {count} metrics, 8 groups"
        measured(
            title, lambda r=rows, m=metrics: summarise(r, dict.fromkeys(m, "max")),
            lambda r=rows, m=metrics: plain_summary(r, m), turns,
        )  # fmt: skip


if __name__ == "__main__":
    main()

"""What is computed for many scores and pairs at once is what a plain loop gives, one at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mdx.evaluation.paired import case_scores, compare_group
from mdx.evaluation.signed_ranks import rank_biserial, wilcoxon_p
from mdx.evaluation.site_gap import site_gap
from mdx.evaluation.statistics import bootstrap_interval, groups, remembered_draws, resampled_weights, summarise


def interval_by_loop(values: np.ndarray, subjects: list[str], n: int, seed: int = 0) -> tuple[float, float]:
    """Subjects drawn one resampling after the other, their cases pooled and averaged."""
    defined = [(s, v) for s, v in zip(subjects, values, strict=True) if v == v]
    names = sorted({s for s, _ in defined})
    if len(names) < 2:
        return float("nan"), float("nan")
    cases = [np.array([v for s, v in defined if s == name]) for name in names]
    drawn = np.random.default_rng(seed).integers(len(names), size=(n, len(names)))
    means = [np.concatenate([cases[i] for i in one]).mean() for one in drawn]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@pytest.fixture
def rows() -> pd.DataFrame:
    """90 cases of 45 subjects; each score is undefined for other cases, ``c`` at a whole site, ``d`` everywhere."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"subject": [f"s{i // 2}" for i in range(90)], "site": rng.choice(list("ABC"), 90)})
    table["role"] = np.where(table["site"] == "A", "source", "target")
    for name in "abcd":
        table[name] = rng.random(90)
    table.loc[rng.random(90) < 0.1, "a"] = np.nan
    table.loc[table["subject"].isin(["s3", "s44"]), "b"] = np.nan
    table.loc[table["site"] == "C", "c"] = np.nan
    table["d"] = np.nan
    return table


@pytest.mark.filterwarnings("error")
def test_every_interval_of_a_summary_is_that_of_a_loop(rows: pd.DataFrame) -> None:
    table = summarise(rows, dict.fromkeys("abcd", "max"), n=300).set_index(["metric", "group"])
    for metric in "abcd":
        for group, part in groups(rows):
            found: Any = table.loc[(metric, group)]
            expected = interval_by_loop(part[metric].to_numpy(), part["subject"].tolist(), 300)
            assert (found["low"], found["high"]) == pytest.approx(expected, abs=1e-12, nan_ok=True)
            defined: Any = part.dropna(subset=[metric])
            assert found["n_subjects"] == defined["subject"].nunique()
            assert found["mean"] == pytest.approx(defined[metric].mean(), abs=1e-12, nan_ok=True)


def test_the_interval_of_one_score_is_that_of_a_loop(rows: pd.DataFrame) -> None:
    values, subjects = rows["c"].to_numpy(), rows["subject"].tolist()
    expected = interval_by_loop(values, subjects, 200, seed=3)
    assert bootstrap_interval(values, subjects, seed=3, n=200) == pytest.approx(expected, abs=1e-12)


def test_draws_in_blocks_are_those_of_one_call() -> None:
    # 3,000 subjects: more than a block
    weights = resampled_weights(range(3000), seed=4, n=70)
    drawn = np.random.default_rng(4).integers(3000, size=(70, 3000))
    order = np.argsort([str(i) for i in range(3000)])
    for row, one in zip(weights, drawn, strict=True):
        assert (row[order] == np.bincount(one, minlength=3000)).all()


def gains(n: int, seed: int) -> np.ndarray:
    """Eight columns: plain, with ties, with zeros, with both, with NaN, equal in all, one subject, none."""
    rng = np.random.default_rng(seed)
    made = rng.normal(0.3, 1, (n, 8))
    made[:, [1, 3]] = np.round(made[:, [1, 3]] * 2) / 2
    made[: n // 3, [2, 3]] = 0
    made[rng.random(n) < 0.3, 4] = np.nan
    made[:, 5] = 0
    made[1:, 6] = np.nan
    made[:, 7] = np.nan
    return made


@pytest.mark.parametrize("n", [2, 8, 14, 30, 50, 51])
def test_p_values_of_many_pairs_are_scipys_one_by_one(n: int) -> None:
    each = gains(n, seed=n)
    found = wilcoxon_p(each)
    for p, column in zip(found[:5], each.T, strict=False):
        defined = column[~np.isnan(column)]
        if len(defined) > 1 and defined.any():
            expected: Any = stats.wilcoxon(defined)
            assert p == pytest.approx(expected.pvalue, abs=1e-12)
    assert found[5] == found[6] == 1
    assert np.isnan(found[7])


def test_effects_of_many_pairs_are_those_one_by_one() -> None:
    each = gains(40, seed=1)
    for effect, column in zip(rank_biserial(each), each.T, strict=True):
        moved = column[~np.isnan(column) & (column != 0)]
        ranks = stats.rankdata(np.abs(moved))
        expected = ranks @ np.sign(moved) / ranks.sum() if len(moved) else np.nan
        assert effect == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("better", ["max", "min"])
def test_every_pair_of_a_comparison_is_that_of_a_loop(rows: pd.DataFrame, better: str) -> None:
    rows = rows[rows["site"] != "C"].assign(twin=lambda t: t["a"])
    subjects = rows["subject"].tolist()
    names = ["a", "b", "c", "d", "twin"]
    found = compare_group({name: case_scores(rows[name]) for name in names}, subjects, better)
    assert len(found["pairs"]) == 10
    for pair in found["pairs"]:
        gap = (rows[pair["a"]] - rows[pair["b"]]).to_numpy()
        each = pd.Series(gap).groupby(subjects).mean().dropna().to_numpy() * (1 if better == "max" else -1)
        assert pair["difference"] == pytest.approx(pd.Series(gap).mean(), abs=1e-12, nan_ok=True)
        assert (pair["wins"], pair["losses"], pair["ties"]) == ((each > 0).sum(), (each < 0).sum(), (each == 0).sum())
        assert (pair["n_subjects"], pair["n_undefined"]) == (len(each), np.isnan(gap).sum())
        weights = resampled_weights(subjects)
        defined = ~np.isnan(gap)
        if not defined.any():
            assert all(np.isnan(pair[k]) for k in ("low", "high", "p", "effect", "smallest_p"))
            continue
        drawn = (weights[:, defined] * gap[defined]).sum(axis=1) / weights[:, defined].sum(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert (pair["low"], pair["high"]) == pytest.approx((low, high), abs=1e-12)
        expected: Any = stats.wilcoxon(each) if each.any() else None
        assert pair["p"] == pytest.approx(expected.pvalue if expected else 1.0, abs=1e-12)


def test_two_equal_methods_have_a_difference_of_exactly_nothing(rows: pd.DataFrame) -> None:
    methods = {f"m{i}": case_scores(rows["c"]) for i in range(9)} | {"b": case_scores(rows["b"])}
    for pair in compare_group(methods, rows["subject"].tolist(), "max")["pairs"]:
        if "b" not in (pair["a"], pair["b"]):
            assert (pair["difference"], pair["low"], pair["high"], pair["p"]) == (0, 0, 0, 1)


def test_the_gap_of_sites_is_the_same_from_remembered_draws(rows: pd.DataFrame) -> None:
    draw = remembered_draws()
    for name in "ab":
        each = rows[name].to_numpy()
        about = (lambda cases, of=each: case_scores(of[cases])), rows["subject"].tolist(), rows["site"].tolist(), "max"
        assert site_gap(*about, draw) == site_gap(*about)

"""A worked example: what ``mdx compare`` computes is what scipy, statsmodels and scikit-learn compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

from mdx.evaluation.classification import SET_SCORES
from mdx.evaluation.paired import case_scores, compare_group, paired, rank_biserial, set_scores
from mdx.evaluation.site_gap import site_gap
from mdx.evaluation.statistics import summarise

SUBJECTS = [f"s{i:02d}" for i in range(20)]


def example(seed: int = 0) -> pd.DataFrame:
    """Three methods on 20 subjects: b is a little below a, c well below."""
    rng = np.random.default_rng(seed)
    a = rng.normal(0.8, 0.05, 20)
    return pd.DataFrame({"a": a, "b": a - 0.01 + rng.normal(0, 0.02, 20), "c": a - 0.08 + rng.normal(0, 0.03, 20)})


def compared(table: pd.DataFrame, subjects: Any = SUBJECTS, better: str = "max", **asked: Any) -> dict[str, Any]:
    return compare_group({str(n): case_scores(table[n]) for n in table}, list(subjects), better, **asked)


def pair(found: dict[str, Any], a: str, b: str) -> dict[str, Any]:
    return next(p for p in found["pairs"] if (p["a"], p["b"]) == (a, b))


def ranks(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {r["method"]: r for r in found["ranks"]}


def test_p_values_are_scipys_wilcoxon() -> None:
    table = example()
    for row in compared(table)["pairs"]:
        assert row["p"] == pytest.approx(stats.wilcoxon(table[row["a"]], table[row["b"]]).pvalue, rel=1e-12)


def test_adjusted_p_values_are_statsmodels_holm() -> None:
    rows = compared(example())["pairs"]
    assert len(rows) == 3
    expected = multipletests([r["p"] for r in rows], method="holm")[1]
    assert [r["p_holm"] for r in rows] == pytest.approx(expected, rel=1e-12)


def test_with_a_reference_the_family_is_its_pairs_alone() -> None:
    rows = compared(example(), reference="c")["pairs"]
    assert [(r["a"], r["b"]) for r in rows] == [("a", "c"), ("b", "c")]
    expected = multipletests([r["p"] for r in rows], method="holm")[1]
    assert [r["p_holm"] for r in rows] == pytest.approx(expected, rel=1e-12)


def test_the_interval_is_scipys_paired_percentile_bootstrap() -> None:
    # ours 2000 draws (seed 0), scipy's 20000 (seed 1); an end of 2000 draws has an error of some 4 % of the width
    table = example()
    row = pair(compared(table), "a", "c")
    found = stats.bootstrap(
        (table["a"], table["c"]), lambda x, y, axis: (x - y).mean(axis=axis), paired=True, n_resamples=20000,
        method="percentile", rng=np.random.default_rng(1), vectorized=True,
    ).confidence_interval  # fmt: skip
    width = found.high - found.low
    assert (row["low"], row["high"]) == pytest.approx((found.low, found.high), abs=0.1 * width)


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    # 300 studies of 40 subjects, seed 2: 95 % give or take three standard errors (1.3 %)
    rng, inside = np.random.default_rng(2), 0
    for _ in range(300):
        a = rng.normal(0, 1, 40)
        row = compared(pd.DataFrame({"a": a + 0.3 + rng.normal(0, 0.5, 40), "b": a}), range(40))["pairs"][0]
        inside += row["low"] <= 0.3 <= row["high"]
    assert 0.91 <= inside / 300 <= 0.99


def test_a_pair_is_that_of_the_report_of_a_run() -> None:
    table = example()
    subjects = [s for s in SUBJECTS[:10] for _ in range(2)]
    row = pair(compared(table, subjects), "a", "b")
    other = paired(table["a"].tolist(), table["b"].tolist(), subjects)
    assert {k: row[k] for k in ("difference", "low", "high", "p", "n_subjects")} == pytest.approx(
        {k: other[k] for k in ("difference", "low", "high", "p", "n_subjects")}
    )
    assert (row["wins"], row["losses"]) == (other["higher"], other["lower"])


def test_a_method_is_described_as_in_its_summary() -> None:
    table = example()
    rows = pd.DataFrame({"subject": SUBJECTS, "site": "A", "score": table["a"]})
    expected = summarise(rows, {"score": "max"}).iloc[0]
    found = compared(table)["methods"][0]
    for key in ("mean", "std", "low", "high", "n_cases", "n_subjects"):
        assert found[key] == pytest.approx(expected[key])


def test_scans_of_one_subject_count_once() -> None:
    table = pd.concat([example()] * 3, ignore_index=True)
    once, thrice = compared(example()), compared(table, SUBJECTS * 3)
    for key in ("p", "low", "high", "n_subjects", "effect"):
        assert [r[key] for r in once["pairs"]] == pytest.approx([r[key] for r in thrice["pairs"]])


def test_no_p_falls_below_what_so_few_subjects_allow() -> None:
    table = pd.DataFrame({"a": [0.9, 0.8, 0.95, 0.85], "b": [0.1, 0.2, 0.15, 0.3]})
    row = compared(table, "wxyz")["pairs"][0]
    assert row["p"] == row["smallest_p"] == 2 / 2**4


def test_the_sign_of_effect_wins_and_losses_follows_what_is_better() -> None:
    table = pd.DataFrame({"a": [0.9, 0.8, 0.95, 0.3], "b": [0.1, 0.2, 0.15, 0.3]})
    high, low = (compared(table, "wxyz", better)["pairs"][0] for better in ("max", "min"))
    assert (high["effect"], high["wins"], high["losses"], high["ties"]) == (1, 3, 0, 1)
    assert (low["effect"], low["wins"], low["losses"], low["ties"]) == (-1, 0, 3, 1)
    assert high["difference"] == low["difference"] > 0


def test_rank_biserial_on_a_worked_example() -> None:
    # |gains| 3 1 2 have ranks 3 1 2; gains hold 3 + 2, losses 1; the zero is left out
    assert rank_biserial(np.array([3.0, -1.0, 2.0, 0.0])) == pytest.approx((5 - 1) / 6)
    assert np.isnan(rank_biserial(np.zeros(3)))


def test_one_subject_has_no_interval_and_no_order() -> None:
    found = compared(example().iloc[:2], ["s", "s"])
    assert all(np.isnan(p["low"]) and p["p"] == 1 for p in found["pairs"])
    assert found["ranks"] == []


def test_an_undefined_score_leaves_its_case_out_of_its_pairs_alone() -> None:
    table = example()
    table.loc[0, "b"] = np.nan
    found = compared(table)
    assert [m["n_undefined"] for m in found["methods"]] == [0, 1, 0]
    assert [(p["n_subjects"], p["n_undefined"]) for p in found["pairs"]] == [(19, 1), (20, 0), (19, 1)]
    assert pair(found, "a", "b")["p"] == pytest.approx(stats.wilcoxon(table["a"][1:], table["b"][1:]).pvalue)


def test_friedmans_test_is_scipys() -> None:
    table = example()
    expected = stats.friedmanchisquare(table["a"], table["b"], table["c"]).pvalue
    assert compared(table)["friedman_p"] == pytest.approx(expected)


def test_the_mean_rank_within_subjects_is_counted_from_the_best() -> None:
    table = example()
    expected = table.rank(axis=1, ascending=False).mean()
    assert {n: r["subject_rank"] for n, r in ranks(compared(table)).items()} == pytest.approx(expected.to_dict())
    expected = table.rank(axis=1).mean()
    assert {n: r["subject_rank"] for n, r in ranks(compared(table, better="min")).items()} == pytest.approx(
        expected.to_dict()
    )


def test_a_clearly_worse_method_is_last_in_all_resamplings() -> None:
    found = ranks(compared(example()))
    assert found["c"]["shares"] == [0, 0, 1]
    assert (found["c"]["rank_low"], found["c"]["rank_high"]) == (3, 3)
    for row in found.values():
        assert sum(row["shares"]) == pytest.approx(1)


def test_the_share_of_first_places_is_that_of_resampled_subjects() -> None:
    # an own bootstrap of 4000 draws (seed 5) against the 2000 of the package: standard errors .008 and .011
    table = example(4)[["a", "b"]]
    drawn = np.random.default_rng(5).integers(20, size=(4000, 20))
    expected = float((table["a"].to_numpy()[drawn].mean(axis=1) > table["b"].to_numpy()[drawn].mean(axis=1)).mean())
    found = compared(table)
    assert ranks(found)["a"]["shares"][0] == pytest.approx(expected, abs=0.05)
    assert found["order_stays"] == pytest.approx(max(expected, 1 - expected), abs=0.05)


def test_equal_methods_share_their_places() -> None:
    table = example()[["a", "c"]].assign(twin=lambda t: t["a"])
    found = compared(table)
    assert ranks(found)["a"]["rank"] == ranks(found)["twin"]["rank"] == 1.5
    assert ranks(found)["a"]["shares"] == [0.5, 0.5, 0]
    assert found["order_stays"] == 1


def test_only_competitors_are_ranked() -> None:
    found = compared(example(), ranked=["b", "c"])
    assert [r["method"] for r in found["ranks"]] == ["b", "c"]
    assert len(found["pairs"]) == 3


def test_a_method_that_is_not_ranked_does_not_raise_the_p_of_the_others() -> None:
    found = compared(example(), ranked=["a", "b"])
    assert found["family"] == 1
    assert pair(found, "a", "b")["p_holm"] == pair(found, "a", "b")["p"]
    assert np.isnan(pair(found, "a", "c")["p_holm"]) and np.isfinite(pair(found, "a", "c")["p"])


def graded(signal: float, seed: int, truth: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, len(truth))
    p = 1 / (1 + np.exp(-(signal * (truth - 0.5) + noise)))
    return np.column_stack([1 - p, p])


TRUTH = np.random.default_rng(3).integers(0, 2, 80)
GOOD, BAD = graded(2.0, 4, TRUTH), graded(0.2, 5, TRUTH)


@pytest.mark.parametrize("metric", ["auroc", "kappa"])
def test_a_score_of_sets_is_compared_by_a_paired_bootstrap_over_subjects(metric: str) -> None:
    # an own bootstrap of 600 draws (seed 6) with scikit-learn's scores; its ends have an error of some 7 % of the width
    score = SET_SCORES[metric][1]
    methods = {n: set_scores(score, TRUTH, [p]) for n, p in (("good", GOOD), ("bad", BAD))}
    row = compare_group(methods, [f"s{i // 2}" for i in range(80)], "max")["pairs"][0]
    reference = {
        "auroc": lambda t, p: roc_auc_score(t, p[:, 1]),
        "kappa": lambda t, p: cohen_kappa_score(t, p.argmax(axis=1)),
    }[metric]
    assert row["difference"] == pytest.approx(reference(TRUTH, GOOD) - reference(TRUTH, BAD))
    rng, drawn = np.random.default_rng(6), []
    for _ in range(600):
        cases = (2 * rng.integers(40, size=40)[:, None] + [0, 1]).ravel()
        drawn.append(reference(TRUTH[cases], GOOD[cases]) - reference(TRUTH[cases], BAD[cases]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=0.2 * (high - low))
    assert np.isnan(row["p"]) and np.isnan(row["p_holm"])


def test_scores_of_sets_that_agree_have_a_difference_that_is_surer_than_either() -> None:
    # they differ in one case of eighty: resampled apart, their difference would be as unsure as their scores
    almost = GOOD.copy()
    almost[0] = almost[0, ::-1]
    methods = {n: set_scores(SET_SCORES["auroc"][1], TRUTH, [p]) for n, p in (("good", GOOD), ("almost", almost))}
    found = compare_group(methods, [f"s{i}" for i in range(80)], "max")
    row, alone = found["pairs"][0], found["methods"][0]
    assert row["high"] - row["low"] < 0.3 * (alone["high"] - alone["low"])


def test_seeds_of_a_score_of_sets_are_scored_one_by_one() -> None:
    # probabilities that say the same order on another scale: pooled they would be ranked against each other
    squeezed = np.column_stack([1 - GOOD[:, 1] / 10, GOOD[:, 1] / 10])
    both = set_scores(SET_SCORES["auroc"][1], TRUTH, [GOOD, squeezed]).weighted(np.ones((1, 80)))
    assert both[0] == pytest.approx(roc_auc_score(TRUTH, GOOD[:, 1]))
    pooled = roc_auc_score(np.tile(TRUTH, 2), np.concatenate([GOOD[:, 1], squeezed[:, 1]]))
    assert abs(pooled - both[0]) > 0.05


def gap(values: list[float], subjects: str, sites: str, better: str) -> dict[str, Any]:
    each = np.array(values)
    return site_gap(lambda cases: case_scores(each[cases]), list(subjects), list(sites), better)


def test_the_worst_site_of_an_error_is_that_with_the_largest() -> None:
    found = gap([1.0, 2.0, 5.0, 6.0], "wxyz", "AABB", "min")
    assert (found["worst"], found["worst_mean"], found["best"], found["gap"]) == ("B", 5.5, "A", 4.0)
    assert gap([1.0, 2.0, 5.0, 6.0], "wxyz", "AABB", "max")["worst"] == "A"
    assert 3.0 <= found["gap_low"] <= 4.0 <= found["gap_high"] <= 5.0


def test_the_gap_between_sites_of_different_subjects_is_that_of_two_samples() -> None:
    # two samples of 60, seed 7; the ends of 2000 draws against the normal interval, within 15 % of its width
    rng = np.random.default_rng(7)
    a, b = rng.normal(0.9, 0.05, 60), rng.normal(0.7, 0.1, 60)
    each = np.concatenate([a, b])
    found = site_gap(lambda c: case_scores(each[c]), range(120), ["A"] * 60 + ["B"] * 60, "max")
    se = np.sqrt(a.var() / 60 + b.var() / 60)
    expected = a.mean() - b.mean() - 1.96 * se, a.mean() - b.mean() + 1.96 * se
    assert (found["gap_low"], found["gap_high"]) == pytest.approx(expected, abs=0.15 * 3.92 * se)


def test_subjects_seen_at_both_sites_are_drawn_for_both_at_once() -> None:
    rng = np.random.default_rng(8)
    a = rng.normal(0.7, 0.2, 30)
    each = np.concatenate([a, a - 0.1])
    found = site_gap(lambda c: case_scores(each[c]), [*range(30), *range(30)], ["A"] * 30 + ["B"] * 30, "max")
    assert (found["gap"], found["gap_low"], found["gap_high"]) == pytest.approx((0.1, 0.1, 0.1))


def test_one_site_has_no_gap() -> None:
    found = gap([1.0, 2.0], "xy", "AA", "max")
    assert found["worst"] is None and np.isnan(found["gap"])

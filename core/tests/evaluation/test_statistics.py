from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mdx.evaluation.paired import paired
from mdx.evaluation.statistics import bootstrap_interval, holm, summarise


def test_the_interval_of_a_large_sample_is_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.7, 0.1, 400)
    low, high = bootstrap_interval(values, range(400), n=4000)
    expected = stats.norm.interval(0.95, values.mean(), values.std() / 20)
    assert (low, high) == pytest.approx(expected, abs=0.002)


def test_subjects_are_resampled_not_cases() -> None:
    values = np.repeat(np.random.default_rng(1).normal(0, 1, 20), 10)
    subjects = np.repeat(np.arange(20), 10)
    low, high = bootstrap_interval(values, subjects)
    naive = bootstrap_interval(values, range(200))
    assert high - low > 2 * (naive[1] - naive[0])


def test_one_subject_has_no_interval() -> None:
    assert np.isnan(bootstrap_interval(np.array([0.1, 0.2]), ["a", "a"])).all()


def test_the_interval_is_repeatable() -> None:
    values = np.random.default_rng(2).random(12)
    assert bootstrap_interval(values, range(12), seed=3) == bootstrap_interval(values, range(12), seed=3)


def test_wilcoxon_is_scipys_over_subjects() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random(30), rng.random(30)
    subjects = np.repeat(np.arange(15), 2)
    found = paired(a, b, subjects)
    each = (a - b).reshape(15, 2).mean(axis=1)
    assert found["p"] == pytest.approx(stats.wilcoxon(each).pvalue)
    assert found["difference"] == pytest.approx(each.mean())
    assert (found["higher"], found["lower"]) == ((each > 0).sum(), (each < 0).sum())


def test_equal_scores_differ_in_nothing() -> None:
    found = paired([0.5, 0.6], [0.5, 0.6], ["a", "b"])
    assert (found["difference"], found["p"], found["higher"], found["lower"]) == (0.0, 1.0, 0, 0)


def test_holm_on_a_worked_example() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1 gives .04 .06 .06 .04, made monotone: .04 .06 .06 .06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []


def test_an_undefined_p_is_no_member_of_holms_family() -> None:
    found = holm([0.02, float("nan"), 0.01])
    assert [found[0], found[2]] == pytest.approx([0.02, 0.02])
    assert np.isnan(found[1])


def test_a_pair_with_an_undefined_score_is_counted_not_compared() -> None:
    found = paired([0.5, np.nan, 0.9], [0.4, 0.1, 0.7], ["a", "b", "c"])
    assert (found["n_subjects"], found["n_undefined"]) == (2, 1)
    assert found["difference"] == pytest.approx(0.15)


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject": list("abcdef"),
            "site": ["A", "A", "A", "B", "B", "B"],
            "role": ["source"] * 3 + ["target"] * 3,
            "dice": [0.9, 0.8, 1.0, 0.5, 0.7, np.nan],
            "mae": [1.0, 1.0, 1.0, 3.0, 3.0, 3.0],
        }
    )


def test_the_worst_site_is_named_by_the_better_direction(rows: pd.DataFrame) -> None:
    table = summarise(rows, {"dice": "max", "mae": "min"}).set_index(["metric", "group"])
    assert table.loc[("dice", "worst site (B)"), "mean"] == pytest.approx(0.6)
    assert table.loc[("mae", "worst site (B)"), "mean"] == pytest.approx(3.0)
    assert table.loc[("dice", "role=source"), "mean"] == pytest.approx(0.9)


def test_the_worst_site_of_a_signed_error_is_the_one_farthest_from_zero() -> None:
    rows = pd.DataFrame({"subject": list("abc"), "site": list("ABC"), "error": [-30.0, 5.0, 20.0]})
    assert "worst site (A)" in summarise(rows, {"error": "zero"})["group"].tolist()


def test_an_undefined_score_is_counted_not_hidden(rows: pd.DataFrame) -> None:
    table = summarise(rows, {"dice": "max"}).set_index("group")
    assert table.loc["site=B", ["n_cases", "n_undefined"]].tolist() == [2, 1]
    assert table.loc["all", "n_undefined"] == 1


def test_sites_roles_and_the_whole_are_summarised(rows: pd.DataFrame) -> None:
    groups = ["all", "role=source", "role=target", "site=A", "site=B", "worst site (B)"]
    assert summarise(rows, {"dice": "max"})["group"].tolist() == groups


def test_one_site_has_no_worst(rows: pd.DataFrame) -> None:
    table = summarise(rows[rows["site"] == "A"], {"dice": "max"})
    assert not table["group"].str.startswith("worst").any()

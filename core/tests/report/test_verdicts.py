"""What may be said of a comparison, by direction, size and number of subjects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mdx.evaluation.statistics import summarise
from mdx.report.text import Method
from mdx.report.verdicts import headline, p_text, paired_tests, parts_of

ROLES = {"S": "source", "T": "target", "U": "target"}


def method(name: str, errors: list[float], better: str) -> tuple[Method, pd.DataFrame]:
    """Eight subjects at each of three sites."""
    rows = pd.DataFrame({"error": errors, "site": [s for s in ROLES for _ in range(8)]})
    rows["case"] = rows["subject"] = [f"s{i}" for i in range(24)]
    rows["role"] = rows["site"].map(ROLES)
    return Method(name, Path(), "never", summarise(rows, {"error": better}, n=200).to_dict(orient="records")), rows


def say(own: list[float], baseline: list[float], better: str) -> list[str]:
    methods, tables = zip(method("own", own, better), method("plain", baseline, better), strict=True)
    parts = parts_of(ROLES)
    tests = paired_tests(methods, {m.name: t for m, t in zip(methods, tables, strict=True)}, "error", parts)
    return headline(methods, "error", better, parts, tests)


SMALL = [1 + 0.01 * i for i in range(24)]
LARGE = [2 + 0.02 * i for i in range(24)]


@pytest.mark.parametrize(
    ("own", "better", "words"),
    [
        (SMALL, "min", "is better than"), (SMALL, "max", "is worse than"), (SMALL, "zero", "differs from"),
        (LARGE, "min", "is worse than"), (LARGE, "max", "is better than"),
    ],
)  # fmt: skip
def test_the_verdict_follows_the_direction_of_the_metric(own: list[float], better: str, words: str) -> None:
    for sentence in say(own, LARGE if own is SMALL else SMALL, better):
        assert f"which {words} 'plain'" in sentence


def test_the_targets_come_together_first_and_the_source_is_no_headline() -> None:
    sentences = say(SMALL, LARGE, "min")
    assert [s.split(",")[0] for s in sentences] == ["Over all target sites", "At T", "At U"]


def test_a_difference_that_the_test_does_not_confirm_is_no_verdict() -> None:
    # six of eight fall by a little and two rise by more: the mean moves, the signed ranks do not decide
    changed = [v + (0.2 if i % 4 == 0 else -0.05) for i, v in enumerate(LARGE)]
    assert all("cannot be told from 'plain'" in s for s in say(changed, LARGE, "max"))


def test_p_values_are_adjusted_over_the_baselines_of_each_part() -> None:
    (own, rows), (one, a), (two, b) = (method(n, e, "min") for n, e in (("o", SMALL), ("one", LARGE), ("two", LARGE)))
    tests = paired_tests([own, one, two], {"o": rows, "one": a, "two": b}, "error", parts_of(ROLES))
    assert [(t["part"], t["baseline"]) for t in tests[:3]] == [
        ("all target sites", "one"), ("all target sites", "two"), ("S", "one"),
    ]  # fmt: skip
    assert all(t["p_holm"] == pytest.approx(2 * t["p"]) for t in tests)


def test_an_oracle_is_outside_the_family_unless_it_is_all_there_is() -> None:
    (own, rows), (one, a), (two, b) = (method(n, e, "min") for n, e in (("o", SMALL), ("one", LARGE), ("two", LARGE)))
    oracle = replace(two, target_labels="train")
    tables = {"o": rows, "one": a, "two": b}
    tests = paired_tests([own, one, oracle], tables, "error", parts_of(ROLES))
    for test in tests:
        if test["baseline"] == "two":
            assert np.isnan(test["p_holm"])
            assert test["p"] == test["p"]
        else:
            assert test["p_holm"] == pytest.approx(test["p"])
    alone = paired_tests([own, oracle], tables, "error", parts_of(ROLES))
    assert all(t["p_holm"] == pytest.approx(t["p"]) for t in alone)


def test_without_roles_every_site_counts() -> None:
    parts = parts_of({"A": "", "B": ""})
    assert [(p.name, p.group, p.is_target) for p in parts] == [
        ("all sites", "all", True), ("A", "site=A", True), ("B", "site=B", True),
    ]  # fmt: skip


def test_small_p_values_are_not_printed_as_zero() -> None:
    assert [p_text(p) for p in (0.0301, 0.0001, float("nan"))] == ["0.030", "< 0.001", "-"]

"""A budget of labels: who keeps them, how sites share it, what is refused, and who is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mdx.data.budgets import said, within_budget
from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.open import open_dataset
from mdx.errors import DataError
from mdx.interfaces.dataset import Case, Dataset, Sample, Task

Cli = Callable[..., tuple[int, str]]


def load(case: Case, visible: bool) -> Sample:
    raise AssertionError("nothing is loaded to choose who keeps a label")


def cohort(sizes: dict[str, int], roles: dict[str, str] | None = None, scans: int = 1) -> Dataset:
    """Training subjects by site, and one test subject at each."""
    cases = [
        Case(f"{site}{i}_{scan}", f"{site}{i}", site, {}, split="train" if i else "test",
             role=(roles or {}).get(site, "source"), columns={"age": 50.0})
        for site, size in sizes.items() for i in range(size + 1) for scan in range(scans)
    ]  # fmt: skip
    return Dataset(Task("regression", (), ("image",), 3, tuple(sizes), "age"), cases, load)


def config(**settings: Any) -> DataConfig:
    return DataConfig.model_validate(settings)


def kept(data: Dataset, **settings: Any) -> list[str]:
    """The training subjects whose labels may be read."""
    found = within_budget(data, config(**settings)).where(split="train").labelled
    return sorted({case.subject for case in found.cases})


def test_without_a_budget_nothing_is_hidden() -> None:
    data = cohort({"A": 4})
    assert within_budget(data, config()) is data
    assert said(data, config()) == ""


def test_only_so_many_training_subjects_keep_their_labels_and_all_their_scans_do() -> None:
    made = within_budget(cohort({"A": 6, "B": 6}, scans=2), config(labelled=4))
    shown = made.labelled.where(split="train")
    assert len({case.subject for case in shown.cases}) == 4
    assert len(shown) == 8
    assert len(made.where(split="test").labelled) == 4
    assert all(case.value("age") is None for case in made.cases if case.id in made.hidden)


@pytest.mark.parametrize(("number", "shares"), [(1, [1, 0, 0]), (3, [1, 1, 1]), (4, [2, 1, 1]), (8, [5, 2, 1])])
def test_sites_share_the_budget_by_their_numbers_and_each_has_one_where_it_reaches(number: int, shares: list) -> None:
    found = Counter(name[0] for name in kept(cohort({"A": 12, "B": 4, "C": 2}), labelled=number))
    assert [found[site] for site in "ABC"] == shares


@pytest.mark.parametrize(("share", "number"), [("10%", 2), ("0.5%", 1), ("100%", 20), ("12.5%", 2)])
def test_a_share_of_the_subjects_is_at_least_one(share: str, number: int) -> None:
    assert len(kept(cohort({"A": 10, "B": 10}), labelled=share)) == number


def test_the_seed_chooses_others_and_a_smaller_budget_is_part_of_a_larger_one() -> None:
    data = cohort({"A": 20, "B": 10})
    chosen = [set(kept(data, labelled=n)) for n in (1, 2, 5, 9, 30)]
    assert all(small < large for small, large in pairwise(chosen))
    assert kept(data, labelled=5) == kept(data, labelled=5)
    assert kept(data, labelled=5) != kept(data, labelled=5, labelled_seed=1)


def test_the_budget_is_of_one_role_and_the_other_keeps_its_labels() -> None:
    data = cohort({"A": 5, "B": 5}, {"B": "target"})
    assert Counter(name[0] for name in kept(data, labelled=2)) == {"A": 2, "B": 5}
    assert Counter(name[0] for name in kept(data, labelled=2, labelled_role="target")) == {"A": 5, "B": 2}
    assert Counter(name[0] for name in kept(data, labelled=2, labelled_role="all")) == {"A": 1, "B": 1}


def test_a_subject_at_several_sites_is_one_subject() -> None:
    data = cohort({"A": 3, "B": 3})
    traveller = [replace(data.cases[1], id=f"T{site}", subject="T", site=site) for site in "AB"]
    data = Dataset(data.task, [*data.cases, *traveller], load)
    made = within_budget(data, config(labelled=7))
    assert "A and B 1 of 1" in said(made, config(labelled=7))
    assert not made.hidden


@pytest.mark.parametrize("wrong", ["0", "-1", "2.5", "0%", "101%", "some", "%"])
def test_a_budget_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="whole number of subjects above 0, or a share"):
        config(labelled=wrong)


def test_more_than_there_are_is_refused_with_their_numbers() -> None:
    with pytest.raises(DataError, match=r"9 training subject\(s\) of the source .* 8 have one \(A 5, B 3\)"):
        within_budget(cohort({"A": 5, "B": 3}), config(labelled=9))
    with pytest.raises(DataError, match="of the target are to keep their labels, and 0 have one"):
        within_budget(cohort({"A": 5}), config(labelled=1, labelled_role="target"))


def test_the_budget_is_part_of_the_fingerprint() -> None:
    data = cohort({"A": 6})
    prints = [within_budget(data, config(**s)).fingerprint() for s in ({}, {"labelled": 2}, {"labelled": 3})]
    assert len(set(prints)) == 3


def test_a_table_is_opened_with_its_budget_and_hidden_labels_are_checked_too(table: Path) -> None:
    settings = config(labelled=2, test_fraction=0, val_fraction=0)
    data = open_dataset(str(table), settings)
    assert len(data.labelled) == 2
    assert sum(case.mask is not None for case in data.cases) == 2
    report = check(data, settings)
    assert report.files == 12
    assert "2 of 6 training subjects of the source keep their labels" in report.notes[-1].what


def test_data_check_says_the_budget(table: Path, mdx: Cli) -> None:
    asked = ("data", "check", table, "--set", "data.labelled=50%", "data.test_fraction=0", "data.val_fraction=0")
    code, printed = mdx(*asked)
    assert code == 0, printed
    assert "3 of 6 training subjects of the source keep their labels (data.labelled=50%, data.label" in printed
    assert mdx(*asked[:-3], "data.labelled=7", "data.test_fraction=0", "data.val_fraction=0")[0] == 4

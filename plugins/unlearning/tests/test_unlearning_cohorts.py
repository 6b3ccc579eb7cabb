"""Who is trained on, and who is unlearnt on."""

from __future__ import annotations

import dataclasses

import pytest
from made_ages import make_ages

from mdx.errors import DataError, HiddenLabelError
from mdx.interfaces.dataset import Dataset
from mdx.workflow.method import hide
from mdx_unlearning.cohort import OverlapCohort, TrainingCohort, shared_range
from mdx_unlearning.config import UnlearningConfig

B_REGIME = UnlearningConfig.model_validate({"unlearn_on": "overlap"})


def test_only_labelled_source_cases_are_trained_on(three_sites: Dataset) -> None:
    cases = [dataclasses.replace(c, role="target" if c.site == "C" else "source") for c in three_sites.cases]
    cases[0] = dataclasses.replace(cases[0], columns={"age": None})
    data = hide(Dataset(three_sites.task, cases, three_sites.loader), "never")
    cohort = TrainingCohort(data, B_REGIME)
    assert cohort.domains.names == ("A", "B")
    assert {c.split for c in cohort.train.cases} == {"train"}
    assert "A0" not in {c.id for c in cohort.train.cases}


def test_a_table_without_labelled_source_cases_is_refused(three_sites: Dataset) -> None:
    with pytest.raises(DataError, match="no labelled source case"):
        TrainingCohort(three_sites.without_labels(), B_REGIME)


def test_the_overlap_comes_from_the_training_labels_alone(confounded: Dataset) -> None:
    cohort = TrainingCohort(confounded, B_REGIME)
    low, high = shared_range(cohort)
    assert (low, high) == (
        min(c.columns["age"] for c in cohort.train.cases if c.site == "B"),
        max(c.columns["age"] for c in cohort.train.cases if c.site == "A"),
    )
    # test cases of every age exist now, as in the paper's full test sets, and such that validate; it must not move
    held_out = make_ages({"A": 40, "B": 40}).where(split=["val", "test"])
    more = [dataclasses.replace(c, id=f"{c.id}h", subject=f"{c.id}h") for c in held_out.cases]
    wider = Dataset(confounded.task, [*confounded.cases, *more], confounded.loader)
    seen = hide(wider, "never")
    again = TrainingCohort(seen, B_REGIME)
    assert shared_range(again) == OverlapCohort(seen, again, B_REGIME).range == (low, high)


def test_overlap_cases_stay_among_the_training_cases_and_their_labels_are_hidden(confounded: Dataset) -> None:
    cohort = TrainingCohort(confounded, B_REGIME)
    overlap = OverlapCohort(confounded, cohort, B_REGIME)
    ids = {c.id for c in overlap.train.cases}
    assert ids < {c.id for c in cohort.train.cases}
    assert {c.site for c in overlap.train.cases} == {"A", "B"}
    with pytest.raises(HiddenLabelError):
        overlap.train.load(overlap.train.cases[0]).label("age")
    assert cohort.train.load(overlap.train.cases[0]).label("age") is not None


def test_a_given_range_excludes_its_ends(confounded: Dataset) -> None:
    ages = sorted(c.columns["age"] for c in confounded.where(split="train", site="B").cases)
    config = UnlearningConfig.model_validate({"unlearn_on": "overlap", "overlap": f"{ages[0]},{ages[4]}"})
    chosen = OverlapCohort(confounded, TrainingCohort(confounded, config), config).train.where(site="B")
    assert sorted(c.columns["age"] for c in chosen.revealed().cases) == ages[1:4]


def test_domains_that_share_no_label_are_refused_with_their_ranges() -> None:
    apart = make_ages({"A": 16, "B": 16}, {"A": (40, 50), "B": (60, 70)})
    with pytest.raises(
        DataError, match=r"no age occurs in every site \(A 40 to 49.3333, B 60 to 69.3333\)[\s\S]*--data overlap="
    ):
        OverlapCohort(apart, TrainingCohort(apart, B_REGIME), B_REGIME)


def test_a_given_range_without_cases_of_a_domain_names_it(confounded: Dataset) -> None:
    config = UnlearningConfig.model_validate({"unlearn_on": "overlap", "overlap": [41, 50]})
    with pytest.raises(DataError, match="no case of site B"):
        OverlapCohort(confounded, TrainingCohort(confounded, config), config)


def test_a_cohort_called_overlap_is_used_instead(confounded: Dataset) -> None:
    other = renamed(make_ages({"A": 8, "B": 8}))
    data = Dataset(confounded.task, confounded.cases, confounded.loader, {"overlap": other})
    overlap = OverlapCohort(data, TrainingCohort(data, B_REGIME), B_REGIME)
    assert {c.id for c in overlap.train.cases} == {c.id for c in other.where(split="train").cases}
    assert overlap.train.hidden >= {c.id for c in overlap.train.cases}


def renamed(data: Dataset) -> Dataset:
    """Other subjects with the same images."""
    return Dataset(data.task, [dataclasses.replace(c, subject=f"other {c.subject}") for c in data.cases], data.loader)


def test_subjects_that_are_held_out_are_not_unlearnt_on(confounded: Dataset) -> None:
    everyone = [dataclasses.replace(c, split="train") for c in confounded.cases]
    other = Dataset(confounded.task, everyone, confounded.loader)
    data = Dataset(confounded.task, confounded.cases, confounded.loader, {"overlap": other})
    overlap = OverlapCohort(data, TrainingCohort(data, B_REGIME), B_REGIME)
    assert {c.id for c in overlap.train.cases} == {c.id for c in confounded.where(split="train").cases}


def test_an_overlap_of_another_kind_of_image_is_refused(confounded: Dataset) -> None:
    data = Dataset(confounded.task, confounded.cases, confounded.loader, {"overlap": make_ages({"A": 8}, dims=2)})
    with pytest.raises(DataError, match="2-D images of 1 channel"):
        OverlapCohort(data, TrainingCohort(data, B_REGIME), B_REGIME)

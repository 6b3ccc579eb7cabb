"""Core hides labels, not the method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdx.data.batches.sampling import make_loader
from mdx.errors import DataError, HiddenLabelError
from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.workflow.method import hide


@pytest.fixture
def data() -> Dataset:
    """One case for each role and split, each with a class."""
    cases = [
        Case(f"{role}-{split}", f"{role}-{split}", role[0].upper(), {"image": Path("x.png")}, split=split, role=role,
             columns={"class": 1})
        for role in ("source", "target", "unlabelled")
        for split in ("train", "val", "test")
    ]  # fmt: skip

    def load(case: Case, visible: bool) -> Sample:
        labels = {"class": case.columns["class"]} if visible else {}
        hidden = frozenset() if visible else frozenset({"class"})
        return Sample(case, torch.ones(1, 4, 4), Geometry(np.eye(4), (4, 4)), labels, hidden)

    return Dataset(Task("classification", ("a", "b"), ("image",), 2, ("S", "T", "U"), "class"), cases, load)


@pytest.mark.parametrize(
    ("target_labels", "visible"),
    [("never", set()), ("val", {"target-val"}), ("train", {"target-train", "target-val"})],
)
def test_target_labels_are_visible_as_far_as_declared(data: Dataset, target_labels: str, visible: set[str]) -> None:
    seen = {c.id for c in data.cases if "class" in hide(data, target_labels).load(c).labels}
    assert seen == {"source-train", "source-val"} | visible


def test_a_hidden_label_raises_when_asked_for(data: Dataset) -> None:
    hidden = hide(data, "never")
    case = next(c for c in hidden.cases if c.id == "target-train")
    with pytest.raises(HiddenLabelError, match="declare what is read as target_labels"):
        hidden.load(case).label("class")


def test_a_batch_says_which_items_are_labelled_and_refuses_the_others(data: Dataset) -> None:
    train = hide(data, "never").where(split="train")
    (batch,) = make_loader(train, 3, shuffle=False, seed=0)
    assert dict(zip(batch.case_ids, batch.labelled.tolist(), strict=True)) == {
        "source-train": True, "target-train": False, "unlabelled-train": False,
    }  # fmt: skip
    with pytest.raises(HiddenLabelError, match="2 case"):
        batch.label("class")


def test_a_subset_keeps_what_is_hidden(data: Dataset) -> None:
    part = hide(data, "never").where(role="target").where(split=["train", "val"])
    assert all("class" not in part.load(c).labels for c in part.cases)
    assert len(part) == 2


def test_a_column_that_no_case_has_is_answered_with_the_nearest(data: Dataset) -> None:
    with pytest.raises(DataError, match="did you mean 'split'"):
        data.where(splitt="train")


def test_the_fingerprint_depends_on_what_is_hidden(data: Dataset) -> None:
    assert data.fingerprint() == data.where().fingerprint()
    assert data.fingerprint() != hide(data, "never").fingerprint()


def test_a_twin_is_the_same_subject_at_another_site(data: Dataset) -> None:
    first = Case("a", "s", "A", {})
    cohort = Dataset(data.task, [first, Case("b", "s", "B", {}), Case("c", "t", "B", {})], data.loader)
    twin = cohort.twin(first, "B")
    assert twin is not None
    assert twin.id == "b"
    assert cohort.twin(first, "C") is None


def test_a_hidden_label_does_not_stand_in_the_row(data: Dataset) -> None:
    hidden = hide(data, "never")
    case = next(c for c in hidden.cases if c.id == "target-train")
    assert case.columns["class"] is None
    assert case.value("class") is None
    assert {c.id for c in hidden.where(**{"class": 1}).cases} == {"source-train", "source-val"}
    assert hidden.load(case).case == case


def test_a_row_of_the_whole_table_does_not_show_what_a_hiding_one_hides(data: Dataset) -> None:
    known = next(c for c in data.cases if c.id == "target-train")
    assert hide(data, "never").load(known).case.columns["class"] is None


def test_a_hidden_mask_does_not_stand_in_the_row_and_is_known_to_exist() -> None:
    task = Task("segmentation", ("1",), ("image",), 3, ("S",), "mask", ((1,),))
    case = Case("a", "a", "S", {"image": Path("a.nii")}, mask=Path("a_mask.nii"), split="test")

    def load(case: Case, visible: bool) -> Sample:
        there = frozenset({"mask"}) if case.mask is not None and not visible else frozenset[str]()
        return Sample(case, torch.ones(1, 4, 4, 4), Geometry(np.eye(4), (4, 4, 4)), {}, there)

    hidden = hide(Dataset(task, [case], load), "never")
    assert hidden.cases[0].mask is None
    with pytest.raises(HiddenLabelError):
        _ = hidden.load(hidden.cases[0]).mask


@pytest.mark.parametrize("target_labels", ["never", "train"])
def test_labels_of_a_cohort_are_hidden_as_those_of_the_data_are(data: Dataset, target_labels: str) -> None:
    whole = Dataset(data.task, data.cases, data.loader, {"finetune": data})
    hidden = hide(whole, target_labels)
    part = hidden.where(split="train").cohorts["finetune"]
    assert {c.id for c in part.cases if c.columns["class"] is not None} == {
        c.id for c in hidden.cases if c.columns["class"] is not None
    }
    assert not [c.id for c in part.where(split="test").cases if "class" in part.load(c).labels]


def test_core_can_score_what_a_method_may_not_see(data: Dataset) -> None:
    part = hide(data, "never").where(split="test").revealed()
    assert [c.columns["class"] for c in part.cases] == [1, 1, 1]
    assert all(part.load(c).labels["class"] == 1 for c in part.cases)

"""What a method may ask of its data: the cases of a split, and that there is what it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdx.errors import DataError
from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry


@pytest.fixture
def data() -> Dataset:
    """At A a training case of each class; at B one of class a, and one that validates."""
    rows = [("A", "train", "a"), ("A", "train", "b"), ("B", "train", "a"), ("B", "val", "b")]
    cases = [
        Case(f"{site}{i}", f"{site}{i}", site, {"image": Path("x.png")}, split=split, columns={"class": name})
        for i, (site, split, name) in enumerate(rows)
    ]

    def load(case: Case, visible: bool) -> Sample:
        return Sample(case, torch.ones(1, 4, 4), Geometry(np.eye(4), (4, 4)))

    return Dataset(Task("classification", ("a", "b"), ("image",), 2, ("A", "B"), "class"), cases, load)


def test_train_and_val_are_the_cases_of_these_splits(data: Dataset) -> None:
    assert [case.id for case in data.train.cases] == ["A0", "A1", "B2"]
    assert [case.id for case in data.val.cases] == ["B3"]


def test_a_class_without_a_case_is_named_with_the_counts_of_the_others(data: Dataset) -> None:
    assert data.train.require_every_class("training cases").cases == data.train.cases
    with pytest.raises(DataError, match=r"no case of class b among the training cases of B \(there are 1 of a\)"):
        data.train.where(site="B").require_every_class("training cases of B")


def test_a_hidden_label_is_no_case_of_its_class(data: Dataset) -> None:
    with pytest.raises(DataError, match="no case of class a, b"):
        data.train.without_labels().labelled.require_every_class("training cases")


def test_one_site_is_not_several(data: Dataset) -> None:
    assert data.require_several_sites("cases").cases == data.cases
    with pytest.raises(DataError, match=r"the validation cases are of one site \(B\)"):
        data.val.require_several_sites("validation cases")


def test_no_case_is_one_message(data: Dataset) -> None:
    assert data.val.require_some("validation case", "raise data.val_fraction").cases == data.val.cases
    with pytest.raises(DataError, match="there is no test case"):
        data.where(split="test").require_some("test case", "raise data.test_fraction")

"""What a page says in red, and what is left out of a mean."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mdx.evaluation.classification import ClassificationEvaluator
from mdx.evaluation.regression import RegressionEvaluator
from mdx.evaluation.segmentation import SegmentationEvaluator
from mdx.files import write_json
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.report.alarms import alarms, undefined
from mdx.report.text import methods_of, summary_table
from mdx.spreadsheets import csv_text

SEGMENT = Task("segmentation", ("1", "2"), ("image",), 3, ("A", "B"), "mask", ((1,), (2,)))


def scored(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    case = Case("c", "s", "A", {})
    grid = Geometry(np.eye(4), truth.shape[1:])
    sample = Sample(case, torch.zeros(1, *truth.shape[1:]), grid, {"mask": torch.from_numpy(truth.astype(np.float32))})
    made = Prediction(grid, segmentation=predicted.astype(np.float32))
    return SegmentationEvaluator(SEGMENT).per_case(made, sample)


def block(first: bool, second: bool) -> np.ndarray:
    masks = np.zeros((2, 8, 8, 8), bool)
    masks[0, 1:4, 1:4, 1:4], masks[1, 5:7, 5:7, 5:7] = first, second
    return masks


def test_a_class_that_neither_has_is_no_part_of_the_mean() -> None:
    found = scored(block(False, False), block(True, False))  # a network that marks nothing
    assert (found["dice"], found["dice_1"], found["surface_dice"]) == (0.0, 0.0, 0.0)
    assert math.isnan(found["dice_2"])
    assert math.isnan(found["surface_dice_2"])


def test_a_class_that_is_marked_though_it_is_not_there_counts_nothing() -> None:
    found = scored(block(True, True), block(True, False))
    assert (found["dice_1"], found["dice_2"], found["dice"]) == (1.0, 0.0, 0.5)


def test_scores_of_cases_that_have_every_class_are_what_they_were() -> None:
    found = scored(block(True, True), block(True, True))
    assert found["dice"] == found["dice_1"] == found["dice_2"] == 1.0
    assert found["surface_dice"] == pytest.approx(1.0)


def method(folder: Path, name: str, task: Task, rows: list[dict[str, object]], reads: str = "never") -> None:
    """What a scored run leaves behind, as far as alarms look at it."""
    folder.mkdir(parents=True)
    table = pd.DataFrame(rows)
    made = {"segmentation": SegmentationEvaluator, "classification": ClassificationEvaluator,
            "regression": RegressionEvaluator}[task.kind]  # fmt: skip
    summary = (made(task, resamplings=20) if task.kind == "segmentation" else made(task, 20)).summarise(table)
    write_json(folder / "summary.json", summary.to_dict(orient="records"))
    (folder / "scores.csv").write_text(csv_text(table))
    others = table[["case", "subject", "site", "role"]].assign(split="train")
    (folder / "splits.csv").write_text(csv_text(others))
    (folder / "data.csv").write_text(csv_text(others.assign(age=50.0)))
    beside = ["oracle"] if reads == "never" and (folder.name == "run") else []
    write_json(
        folder / "provenance.json",
        {
            "variant": name,
            "target_labels": reads,
            "baselines": beside,
            "task": {"kind": task.kind, "label": task.label},
        },
    )


def rows_of(n: int = 4, **values: object) -> list[dict[str, object]]:
    return [
        {"case": f"{site}{i}", "subject": f"{site}{i}", "site": site, "role": "source" if site == "A" else "target",
         **{k: v[i] if isinstance(v, list) else v for k, v in values.items()}}
        for site in "AB" for i in range(n)
    ]  # fmt: skip


def test_a_network_that_marks_nothing_is_named_with_its_site(tmp_path: Path) -> None:
    empty = rows_of(dice=0.0, surface_dice=0.0, volume_error_percent=-100.0)
    fine = rows_of(dice=0.9, surface_dice=0.9, volume_error_percent=1.0)
    rows = [e if e["site"] == "B" else f for e, f in zip(empty, fine, strict=True)]
    method(tmp_path / "run", "fda", SEGMENT, rows)
    assert alarms(tmp_path / "run", methods_of(tmp_path / "run")) == [
        "'fda' marks nothing in any of the 4 test case(s) at B."
    ]
    assert "ATTENTION: 'fda' marks nothing" in summary_table(tmp_path / "run")


def test_a_network_that_finds_next_to_nothing_is_named_at_a_source_too(tmp_path: Path) -> None:
    lost = rows_of(dice=[0.0, 0.02, 0.04, 0.01], surface_dice=0.0, volume_error_percent=-90.0)
    method(tmp_path / "run", "fda", SEGMENT, lost)
    found = alarms(tmp_path / "run", methods_of(tmp_path / "run"))
    assert found == [
        f"'fda' finds next to nothing (Dice below 0.05) in any of the 4 test case(s) at {site}." for site in "AB"
    ]


def test_an_oracle_below_a_method_is_no_upper_bound(tmp_path: Path) -> None:
    for folder, name, dice, reads in (("run", "fda", 0.9, "never"), ("run/baselines/oracle", "oracle", 0.8, "train")):
        method(tmp_path / folder, name, SEGMENT, rows_of(dice=dice, surface_dice=dice, volume_error_percent=1.0), reads)
    (found,) = alarms(tmp_path / "run", methods_of(tmp_path / "run"))
    assert found == (
        "'oracle' reaches 0.800 surface dice at B, 'fda' 0.900: it is no upper bound here (4 training cases of that "
        "site)."
    )


@pytest.mark.parametrize(("predicted", "warned"), [(["a", "a", "a", "a"], True), (["a", "a", "a", "b"], False)])
def test_a_classifier_is_held_against_the_commonest_class(tmp_path: Path, predicted: list[str], warned: bool) -> None:
    task = Task("classification", ("a", "b"), ("image",), 2, ("A", "B"), "class")
    truth = ["a", "a", "a", "b"]
    rows = rows_of(truth=truth, predicted=predicted, p_a=0.6, p_b=0.4,
                   accuracy=[float(t == p) for t, p in zip(truth, predicted, strict=True)])  # fmt: skip
    method(tmp_path / "run", "l2i", task, rows)
    found = alarms(tmp_path / "run", methods_of(tmp_path / "run"))
    said = "'l2i' has an accuracy of 0.750 at A; always saying 'a' has 0.750 (3 of 4 cases)."
    assert (found[:1] == [said]) is warned


def test_a_regression_is_held_against_the_mean(tmp_path: Path) -> None:
    task = Task("regression", (), ("image",), 3, ("A", "B"), "age")
    truth = [40.0, 45.0, 55.0, 60.0]
    rows = rows_of(truth=truth, predicted=[70.0] * 4, absolute_error=[30.0, 25.0, 15.0, 10.0],
                   signed_error=[30.0, 25.0, 15.0, 10.0])  # fmt: skip
    method(tmp_path / "run", "unlearning", task, rows)
    found = alarms(tmp_path / "run", methods_of(tmp_path / "run"))
    assert found[0] == (
        "'unlearning' has a mean error of 20 at A; always saying the training cases' mean of 50 has 7.5."
    )


def test_what_is_undefined_is_counted_under_the_table(tmp_path: Path) -> None:
    rows = rows_of(dice=0.9, surface_dice=0.9, volume_error_percent=1.0, dice_1=0.9,
                   dice_2=[0.9, math.nan, math.nan, math.nan])  # fmt: skip
    method(tmp_path / "run", "fda", SEGMENT, rows)
    (said,) = undefined(methods_of(tmp_path / "run"))
    assert said == (
        "class 2 is in neither mask nor prediction of 6 of 8 cases of fda: undefined there, and left out of their means"
    )
    assert f"note: {said}" in summary_table(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())

"""Scores of several classes at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mdx.errors import DataError
from mdx.evaluation.multilabel import MultilabelEvaluator
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Sample, Task
from mdx.interfaces.geometry import Geometry

TASK = Task("multilabel", ("a", "b", "c"), ("image",), 2, ("A",), "class")
NOWHERE = Geometry(np.eye(4), (1, 1))


def row(said: list[float], truth: list[int], name: str = "c") -> dict[str, Any]:
    sample = Sample(Case(name, name, "A", {}), torch.zeros(1, 1, 1), NOWHERE, {"class": torch.tensor(truth).float()})
    made = MultilabelEvaluator(TASK).per_case(Prediction(NOWHERE, classes=np.array(said)), sample)
    return {"case": name, "subject": name, "site": "A", **made}


def test_a_case_worked_out_by_hand() -> None:
    found = row([0.9, 0.8, 0.1], [1, 0, 1])
    assert (found["truth"], found["predicted"]) == ("a|c", "a|b")
    assert found["f1"] == 0.5
    assert found["hamming"] == pytest.approx(1 / 3)
    assert found["brier"] == pytest.approx((0.01 + 0.64 + 0.81) / 3)


def test_a_case_without_any_class() -> None:
    assert row([0.1, 0.2, 0.3], [0, 0, 0])["f1"] == 1.0
    assert row([0.1, 0.2, 0.3], [0, 0, 0])["truth"] == "No Finding"
    assert row([0.9, 0.2, 0.3], [0, 0, 0])["f1"] == 0.0


def test_the_mean_auroc_is_that_of_the_classes_that_vary() -> None:
    rng = np.random.default_rng(1)
    truth = np.concatenate([rng.integers(2, size=(40, 2)), np.ones((40, 1), int)], axis=1)
    said = np.clip(truth * 0.2 + rng.random((40, 3)) * 0.8, 0, 1)
    table = pd.DataFrame([row(said[i].tolist(), truth[i].tolist(), f"c{i}") for i in range(40)])
    found = MultilabelEvaluator(TASK, 100).summarise(table).set_index(["metric", "group"])
    each = [roc_auc_score(truth[:, k], said[:, k]) for k in range(2)]
    assert found.loc[("auroc", "all"), "mean"] == pytest.approx(np.mean(each))
    assert found.loc[("auroc_b", "all"), "mean"] == pytest.approx(each[1])
    assert math.isnan(found.loc[("auroc_c", "all"), "mean"])  # every case has it
    assert found.loc[("auroc", "all"), "low"] < np.mean(each) < found.loc[("auroc", "all"), "high"]


@pytest.mark.parametrize("said", [[0.5, 0.5], [0.5, 1.2, 0.1], [0.5, math.nan, 0.1]])
def test_probabilities_that_are_none_are_refused(said: list[float]) -> None:
    with pytest.raises(DataError, match="probabilit"):
        row(said, [1, 0, 0])

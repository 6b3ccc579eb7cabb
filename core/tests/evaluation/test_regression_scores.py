from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mdx.errors import DataError
from mdx.evaluation.regression import RegressionEvaluator
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Sample, Task
from mdx.interfaces.geometry import Geometry

EVALUATOR = RegressionEvaluator(Task("regression", (), ("image",), 3, ("a",), "age"), 200)
NOWHERE = Geometry(np.eye(4), (1, 1, 1))


def sample(age: float) -> Sample:
    return Sample(Case("case7", "s", "a", {}), None, NOWHERE, {"age": age})  # type: ignore[arg-type]


def test_errors_are_absolute_and_signed() -> None:
    assert EVALUATOR.per_case(Prediction(NOWHERE, value=57.5), sample(60)) == {
        "truth": 60, "predicted": 57.5, "absolute_error": 2.5, "error": -2.5,
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_prediction_that_is_no_number_names_its_case(value) -> None:
    with pytest.raises(DataError, match="case7"):
        EVALUATOR.per_case(Prediction(NOWHERE, value=value), sample(60))


def test_the_spread_is_that_of_absolute_errors_over_cases() -> None:
    table = pd.DataFrame(
        {"subject": list("abcd"), "site": "x", "absolute_error": [1.0, 2, 3, 6], "error": [1.0, -2, 3, 6]}
    )
    row = EVALUATOR.summarise(table).iloc[0]
    assert (row["mean"], row["std"]) == (3, pytest.approx(np.std([1, 2, 3, 6])))


def test_the_worst_site_has_the_largest_error() -> None:
    table = pd.DataFrame(
        {"subject": list("abcd"), "site": list("xxyy"), "absolute_error": [1.0, 2, 3, 6], "error": 0.0}
    )
    groups = EVALUATOR.summarise(table)["group"].tolist()
    assert "worst site (y)" in groups

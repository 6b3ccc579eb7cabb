"""A number, such as an age in years."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from mdx.data.config import DataConfig
from mdx.data.confounding import numbers_by_site
from mdx.data.labels.base import Label, numbers, values_by_case
from mdx.data.problems import Problem
from mdx.interfaces.dataset import Case, Dataset, Task, TaskKind
from mdx.interfaces.geometry import Geometry

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Prediction

OLDEST = 120
NUMBERS_FOR_MISSING = {-1.0, -4.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0}


class Value(Label):
    """A float."""

    kind: ClassVar[TaskKind] = "regression"
    columns: ClassVar[tuple[str, ...]] = ("age",)
    of_the_case: ClassVar[bool] = True
    says_rows: ClassVar[bool] = True
    evaluator: ClassVar[str] = "mdx.evaluation.regression:for_run"
    page: ClassVar[str] = "mdx.report.truths:ValuePage"

    def fits(self, column: str, values: Sequence[Any]) -> bool:
        """Numbers only."""
        return bool(values) and all(isinstance(v, int | float) for v in values)

    def read(self, case: Case, task: Task, geometry: Geometry, config: DataConfig) -> float:
        """The number."""
        return float(case.columns[task.label])

    def collate(self, task: Task, values: Sequence[Any], image: Tensor) -> dict[str, Any]:
        """(B,) float32."""
        return {task.label: numbers(values, torch.float32)}

    def errors(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """Infinite values."""
        for case, value in values_by_case(data).items():
            if math.isinf(float(value)):
                what = f"its {data.task.label} is infinite"
                yield Problem(case, what, "correct it, or empty the cell if it is unknown")

    def warnings(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """Numbers that stand for "missing", and ages that nobody has."""
        label = data.task.label
        found = {case: float(value) for case, value in values_by_case(data).items()}
        inside = [v for v in found.values() if v not in NUMBERS_FOR_MISSING]
        odd = [
            f"{case}: {v:g}" for case, v in found.items()
            if (label == "age" and not 0 <= v <= OLDEST)
            or (v in NUMBERS_FOR_MISSING and inside and not min(inside) <= v <= max(inside))
        ]  # fmt: skip
        if odd:
            more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
            yield Problem(
                "the table", f"{len(odd)} value(s) of {label} look like codes for missing ones: "
                f"{', '.join(odd[:5])}{more}", "empty these cells if they are",
            )  # fmt: skip

    def by_site(self, data: Dataset) -> dict[str, Any] | None:
        """Means, quartiles and eta squared."""
        found = {case: float(value) for case, value in values_by_case(data).items()}
        return numbers_by_site(data, found, data.task.label)

    def said(self, prediction: Prediction, task: Task) -> dict[str, Any]:
        """The number."""
        return {} if prediction.value is None else {"predicted": float(prediction.value)}

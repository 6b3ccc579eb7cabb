"""Several classes at once, ``A|B``: findings that do not exclude each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from mdx.data.config import DataConfig
from mdx.data.confounding import several_by_site
from mdx.data.labels.base import Label, values_by_case
from mdx.data.problems import Problem
from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Case, Dataset, Task, TaskKind
from mdx.interfaces.geometry import Geometry

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Prediction

BETWEEN = "|"
NONE = "No Finding"
"""The cell of a case that has none of the classes (as in ChestX-ray14); an empty cell is a case without label."""


class Several(Label):
    """(K,) float32 of 0 and 1."""

    kind: ClassVar[TaskKind] = "multilabel"
    columns: ClassVar[tuple[str, ...]] = ("class", "classes", "findings")
    of_the_case: ClassVar[bool] = True
    says_rows: ClassVar[bool] = True
    evaluator: ClassVar[str] = "mdx.evaluation.multilabel:for_run"
    page: ClassVar[str] = "mdx.report.truths:SeveralPage"

    def fits(self, column: str, values: Sequence[Any]) -> bool:
        """Texts of which one at least holds ``|``."""
        return any(BETWEEN in v for v in values if isinstance(v, str)) and all(isinstance(v, str) for v in values)

    def details(self, cases: Sequence[Case], column: str, config: DataConfig) -> dict[str, Any]:
        """The classes, sorted."""
        found = {name for case in cases if (v := case.columns.get(column)) is not None for name in classes_of(v)}
        return {"classes": tuple(sorted(found))}

    def read(self, case: Case, task: Task, geometry: Geometry, config: DataConfig) -> Tensor:
        """Which classes a case has. Raises DataError for one that the task does not know."""
        truth = torch.zeros(len(task.classes))
        for name in classes_of(case.columns[task.label]):
            if name not in task.classes:
                raise DataError(f"has the unknown class '{name}'", nearest(name, task.classes), case.id)
            truth[task.classes.index(name)] = 1
        return truth

    def collate(self, task: Task, values: Sequence[Any], image: Tensor) -> dict[str, Any]:
        """(B, K) float32."""
        absent = torch.zeros(len(task.classes))
        return {task.label: torch.stack([absent if value is None else value for value in values])}

    def warnings(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """Classes that the training cases of no site show, or that are in every case."""
        trained = [classes_of(c.value(data.task.label) or "") for c in data.cases if c.split == "train"]
        for name in data.task.classes:
            n = sum(name in found for found in trained)
            if trained and n in (0, len(trained)):
                what = f"{'no' if n == 0 else 'every'} training case has {name}"
                yield Problem("the table", what, "nothing can be learnt of it; leave it out, or add cases")

    def by_site(self, data: Dataset) -> dict[str, Any] | None:
        """Cases of each class, and the strongest Cramér's V of a class and the site."""
        return several_by_site(data, {case: classes_of(cell) for case, cell in values_by_case(data).items()})

    def said(self, prediction: Prediction, task: Task) -> dict[str, Any]:
        """The classes above one half, and every probability."""
        if prediction.classes is None:
            return {}
        each = dict(zip(task.classes, map(float, prediction.classes), strict=True))
        return {"predicted": text_of([c for c, p in each.items() if p > 0.5]), **{f"p_{c}": p for c, p in each.items()}}


def classes_of(cell: Any) -> list[str]:
    """The classes that a cell names; none for ``No Finding``."""
    named = [part.strip() for part in str(cell).split(BETWEEN)]
    return [name for name in dict.fromkeys(named) if name and name != NONE]


def text_of(classes: Sequence[str]) -> str:
    """The reverse of ``classes_of``."""
    return BETWEEN.join(classes) or NONE

"""Several classes at once: findings that do not exclude each other.

They stand in one column as ``A|B``, or have a column each (``data.label=Edema,Fracture``) with 1, 0, -1 or nothing, as
in the tables of CheXpert and MIMIC-CXR: -1 is not certain, and of an empty cell the report says nothing. As one text an
uncertain class is ``?B``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from mdx.data.config import DataConfig
from mdx.data.confounding import several_by_site
from mdx.data.findings import NOTHING as NONE
from mdx.data.findings import columns_of
from mdx.data.labels.base import Label, values_by_case
from mdx.data.problems import Problem
from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Case, Dataset, Task, TaskKind
from mdx.interfaces.geometry import Geometry

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Prediction

BETWEEN = "|"
UNCERTAIN = "?"


class Several(Label):
    """(K,) float32 of 0 and 1; NaN for a class that is uncertain, where ``data.uncertain=ignore``."""

    kind: ClassVar[TaskKind] = "multilabel"
    columns: ClassVar[tuple[str, ...]] = ("class", "classes", "findings")
    of_the_case: ClassVar[bool] = True
    says_rows: ClassVar[bool] = True
    evaluator: ClassVar[str] = "mdx.evaluation.multilabel:for_run"
    page: ClassVar[str] = "mdx.report.truths:SeveralPage"

    def fits(self, column: str, values: Sequence[Any]) -> bool:
        """Texts of which one at least holds ``|``."""
        return any(BETWEEN in v for v in values if isinstance(v, str)) and all(isinstance(v, str) for v in values)

    def find(self, cases: Sequence[Case], config: DataConfig) -> str | None:
        """As of every label; several columns that the settings name are one, of such truths whatever they hold."""
        if columns_of(config) and any(case.columns.get(config.label) is not None for case in cases):
            return config.label
        return super().find(cases, config)

    def details(self, cases: Sequence[Case], column: str, config: DataConfig) -> dict[str, Any]:
        """The classes, sorted; those of columns in the order in which these are named."""
        if columns_of(config):
            return {"classes": columns_of(config)}
        cells = [cell for case in cases if (cell := case.columns.get(column)) is not None]
        return {"classes": tuple(sorted({name for cell in cells for name in (*classes_of(cell), *uncertain_of(cell))}))}

    def read(self, case: Case, task: Task, geometry: Geometry, config: DataConfig) -> Tensor:
        """Which classes a case has. Raises DataError for one that the task does not know."""
        truth, cell = torch.zeros(len(task.classes)), case.columns[task.label]
        unsure = {"negative": 0.0, "positive": 1.0, "ignore": float("nan")}[config.uncertain]
        for name, value in [*((n, 1.0) for n in classes_of(cell)), *((n, unsure) for n in uncertain_of(cell))]:
            if name not in task.classes:
                raise DataError(f"has the unknown class '{name}'", nearest(name, task.classes), case.id)
            truth[task.classes.index(name)] = value
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
    """The classes that a cell is sure of; none for ``No Finding``."""
    return [name for name in _named(cell) if not name.startswith(UNCERTAIN)]


def uncertain_of(cell: Any) -> list[str]:
    """The classes that a cell says may be there."""
    return [name[1:].strip() for name in _named(cell) if name.startswith(UNCERTAIN)]


def _named(cell: Any) -> list[str]:
    parts = (part.strip() for part in str(cell).split(BETWEEN))
    return [name for name in dict.fromkeys(parts) if name and name != NONE]


def text_of(classes: Sequence[str]) -> str:
    """The reverse of ``classes_of``."""
    return BETWEEN.join(classes) or NONE

"""What every kind of truth answers: the column it takes, and how it is read, batched, checked and said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from mdx.data.config import DataConfig
from mdx.data.problems import Problem
from mdx.interfaces.dataset import Case, Dataset, Sample, Task, TaskKind, has_label
from mdx.interfaces.geometry import Geometry

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Prediction


class Label(ABC):
    """One kind of truth.

    Attributes:
        kind: of the tasks that have such a truth.
        columns: names that are looked for where ``data.label`` names none.
        of_the_case: whether a case has one such value, whatever is cut out of its image; else only masks are cut.
        takes_reference: whether a prediction may follow an example (``mdx apply --reference``).
        says_rows: whether a prediction is a row of ``predictions.csv``.
        evaluator: ``module:callable`` of (task, run settings) that makes the evaluator; empty: a plugin must bring one.
        page: ``module:class`` of what reports draw and say of it (see ``mdx.report.truths``).
    """

    kind: ClassVar[TaskKind]
    columns: ClassVar[tuple[str, ...]] = ()
    of_the_case: ClassVar[bool] = False
    takes_reference: ClassVar[bool] = False
    says_rows: ClassVar[bool] = False
    evaluator: ClassVar[str] = ""
    page: ClassVar[str] = "mdx.report.truths:Page"

    def find(self, cases: Sequence[Case], config: DataConfig) -> str | None:
        """The column of the table that holds such a truth; None if there is none."""
        there = {name for case in cases for name in case.columns}
        named = [config.label] if config.label != "mask" else [name for name in self.columns if name in there]
        return next((name for name in named if name in there and self.fits(name, _values(cases, name))), None)

    def fits(self, column: str, values: Sequence[Any]) -> bool:
        """Whether the values of a column, of which there is at least one, are such truths."""
        return False

    def details(self, cases: Sequence[Case], column: str, config: DataConfig) -> dict[str, Any]:
        """``classes`` and whatever else of the task only the table can say."""
        return {}

    @abstractmethod
    def read(self, case: Case, task: Task, geometry: Geometry, config: DataConfig) -> Any:
        """The truth of a case that has one, on the grid of its sample."""

    def shown(self, case: Case, config: DataConfig) -> Case:
        """The row as the data set holds it."""
        return case

    def is_known(self, case: Case, column: str) -> bool:
        """Whether the row has such a truth."""
        return not column or has_label(case, column)

    def stratum(self, case: Case, column: str) -> str:
        """What folds hold equal parts of, besides sites: here whether a case has a truth."""
        return "" if self.is_known(case, column) else "unlabelled"

    def reference(self, config: DataConfig) -> str | None:
        """The site whose look test cases are given; None for tasks without one."""
        return None

    def with_truth(self, sample: Sample, data: Dataset, config: DataConfig) -> Sample:
        """The sample with whatever of its truth other cases of ``data`` hold; asked before it is scored."""
        return sample

    def collate(self, task: Task, values: Sequence[Any], image: Tensor) -> dict[str, Any]:
        """The truths of a batch by name; ``None`` among ``values`` is hidden or missing and becomes zeros.

        Args:
            image: (B, C, *spatial) of the batch.
        """
        return {}

    def errors(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """What forbids a run."""
        yield from ()

    def warnings(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """What should be read before a run; asked only where there is no error."""
        yield from ()

    def by_site(self, data: Dataset) -> dict[str, Any] | None:
        """Site against truth (see ``mdx.data.confounding``); None where there is nothing to tabulate."""
        return None

    def said(self, prediction: Prediction, task: Task) -> dict[str, Any]:
        """A prediction as cells of a row; empty where it is written as a file of its own."""
        return {}


def values_by_case(data: Dataset) -> Mapping[str, Any]:
    """Case id -> the raw cell of the task's label, of the cases that have one."""
    name = data.task.label
    return {case.id: value for case in data.cases if (value := case.value(name)) is not None}


def numbers(values: Sequence[Any], dtype: torch.dtype) -> Tensor:
    """(B,) of one number a case, 0 where there is none."""
    return torch.tensor([0 if value is None else value for value in values], dtype=dtype)


def _values(cases: Sequence[Case], name: str) -> list[Any]:
    return [value for case in cases if (value := case.columns.get(name)) is not None]

"""Tasks whose truth stands in no column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from mdx.data.config import DataConfig
from mdx.data.files.geometry import compare_grids
from mdx.data.labels.base import Label
from mdx.data.labels.boxes import Boxes
from mdx.data.labels.classes import Classes
from mdx.data.labels.several import Several
from mdx.data.labels.value import Value
from mdx.errors import DataError
from mdx.interfaces.dataset import Case, Dataset, Sample, Task, TaskKind
from mdx.interfaces.geometry import Geometry

TWIN = "twin"
USUAL = {name for kind in (Boxes, Several, Classes, Value) for name in kind.columns}
"""Columns that hold a label where ``data.label`` names none."""


class Unlabelled(Label):
    """Tasks that any table will do for."""

    def find(self, cases: Sequence[Case], config: DataConfig) -> str | None:
        """No column, always."""
        return ""

    def read(self, case: Case, task: Task, geometry: Geometry, config: DataConfig) -> Any:
        """Raises DataError: no row holds it."""
        raise DataError(f"{task.kind} has no label to read", "choose a plugin for the labels of the table", case.id)


class Image(Unlabelled):
    """Harmonisation: the truth of a scan is the same subject's at the site whose look it is given (``data.reference``).

    Only travelling subjects have one; it must lie on the grid of the scan.
    """

    kind: ClassVar[TaskKind] = "harmonisation"
    takes_reference: ClassVar[bool] = True
    evaluator: ClassVar[str] = "mdx.evaluation.harmonisation:for_run"
    page: ClassVar[str] = "mdx.report.truths:ImagePage"

    def reference(self, config: DataConfig) -> str | None:
        """The site whose look is wanted."""
        return config.reference

    def with_truth(self, sample: Sample, data: Dataset, config: DataConfig) -> Sample:
        """The sample with the image of its twin as label ``twin``, where it has one."""
        twin = data.twin(sample.case, config.reference) if config.reference else None
        if twin is None:
            return sample
        other = data.load(twin)
        if compare_grids(sample.geometry, other.geometry) != "same" or other.image.shape != sample.image.shape:
            return sample
        return replace(sample, labels={**sample.labels, TWIN: other.image})


class Nothing(Unlabelled):
    """Self-supervision: images only, whatever else the table holds."""

    kind: ClassVar[TaskKind] = "nothing"

    def shown(self, case: Case, config: DataConfig) -> Case:
        """Without mask and columns that are labels of other tasks: the table may be that of the test cases."""
        truths = {config.label, *USUAL}
        return replace(case, mask=None, columns={k: v for k, v in case.columns.items() if k not in truths})

"""Tasks whose truth stands in no column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from mdx.data.config import DataConfig
from mdx.data.geometry import compare_grids
from mdx.data.labels.base import Label
from mdx.interfaces.dataset import Case, Dataset, Sample, TaskKind

TWIN = "twin"


class Image(Label):
    """Harmonisation: the truth of a scan is the same subject's at the site whose look it is given (``data.reference``).

    Only travelling subjects have one; it must lie on the grid of the scan.
    """

    kind: ClassVar[TaskKind] = "harmonisation"
    takes_reference: ClassVar[bool] = True
    evaluator: ClassVar[str] = "mdx.evaluation.harmonisation:for_run"
    page: ClassVar[str] = "mdx.report.truths:ImagePage"

    def find(self, cases: Sequence[Case], config: DataConfig) -> str | None:
        """No column, always."""
        return ""

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


class Nothing(Label):
    """Self-supervision: images only, whatever else the table holds."""

    kind: ClassVar[TaskKind] = "nothing"

    def find(self, cases: Sequence[Case], config: DataConfig) -> str | None:
        """No column, always."""
        return ""

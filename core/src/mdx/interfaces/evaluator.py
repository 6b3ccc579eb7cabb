"""How predictions become numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset, Sample

if TYPE_CHECKING:
    from pandas import DataFrame


@runtime_checkable
class Evaluator(Protocol):
    """Scores of cases and of a whole population.

    ``metrics`` names each score with what is better: ``{"dice": "max", "mae": "min", "signed_error": "zero"}``.
    """

    metrics: Mapping[str, str]

    def per_case(self, prediction: Prediction, sample: Sample) -> Mapping[str, float]:
        """The scores of one case; NaN for a score that is not defined for it."""
        ...

    def population(self, predictions: Sequence[Prediction], data: Dataset) -> Mapping[str, float]:
        """Scores that no single case shows: the accuracy of a site probe, a t-SNE."""
        ...

    def summarise(self, rows: DataFrame) -> DataFrame:
        """One row a metric and group, with intervals over subjects (see ``mdx.evaluation.statistics.groups``)."""
        ...

"""Who is trained on, which domains there are, and which cases are unlearnt on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mdx.errors import DataError
from mdx.interfaces.dataset import Batch, Dataset
from mdx_adversarial.domains import Domains
from mdx_adversarial.samplers import present
from mdx_unlearning.config import UnlearningConfig


class TrainingCohort:
    """The labelled source cases of a dataset, and their domains.

    Attributes:
        train, val: source cases with a label that may be read; ``val`` leaves out domains that are not trained on.
        domains: of the training cases.

    Raises DataError if there is no labelled source case to train on.
    """

    def __init__(self, data: Dataset, config: UnlearningConfig) -> None:
        source = data.where(role="source") if any(case.role for case in data.cases) else data
        self.label = data.task.label
        self.train = _labelled(source.where(split="train"))
        if not len(self.train):
            raise DataError(
                "there is no labelled source case to train on", "check roles and splits with 'mdx data check'"
            )
        self.domains = Domains(self.train, config.nuisance, config.nuisance_bins)
        val = _labelled(source.where(split="val"))
        self.val = val.where(id=[c.id for c in val.cases if self.domains.name_of(c) in self.domains.names])
        self._numbers = {**self.domains.by_case(self.train), **self.domains.by_case(self.val)}

    def domains_of(self, batch: Batch) -> Tensor:
        """(B,) int64 domains of a batch of train or val cases."""
        return _numbers_of(batch, self._numbers)

    def labels(self) -> list[float]:
        """The labels of the training cases, in the unit of the table."""
        return [float(case.value(self.label)) for case in self.train.cases]


class OverlapCohort:
    """The cases to unlearn on, whose labels are hidden: their task is no part of it.

    These are the cases of the cohort ``overlap`` where one is given (``--data overlap=URI``), else the training cases
    whose label lies in the range that all domains share. That range comes from the training labels alone. The cases
    remain among the training cases too.

    Raises DataError if the domains share no range, or if one of them has no case in it.
    """

    def __init__(self, data: Dataset, main: TrainingCohort, config: UnlearningConfig) -> None:
        given = data.cohorts.get("overlap")
        if given is not None:
            chosen = given.where(split="train")
            self.range: tuple[float, float] | None = None
        else:
            self.range = config.overlap or shared_range(main)  # type: ignore[assignment]
            chosen = main.train.where(id=_inside(main, self.range, ends=config.overlap is None))
        try:
            present(main.domains, chosen)
        except DataError as error:
            place = (
                "the cohort 'overlap'" if self.range is None else f"the labels {self.range[0]:g} to {self.range[1]:g}"
            )
            raise DataError(
                f"{error.what}: {place} must hold cases of every domain",
                "widen it with --set overlap=lowest,highest, or unlearn on all with --set unlearn_on=all",
            ) from error
        self.train = chosen.without_labels()
        self._numbers = main.domains.by_case(self.train)

    def domains_of(self, batch: Batch) -> Tensor:
        """(B,) int64 domains of a batch of these cases."""
        return _numbers_of(batch, self._numbers)


def shared_range(main: TrainingCohort) -> tuple[float, float]:
    """The labels from the largest of the domains' minima to the smallest of their maxima, of training cases.

    Raises DataError where the domains share no label.
    """
    each: dict[str, list[float]] = {}
    for case in main.train.cases:
        each.setdefault(main.domains.name_of(case), []).append(float(case.value(main.label)))
    low, high = max(min(labels) for labels in each.values()), min(max(labels) for labels in each.values())
    if low > high:
        spans = ", ".join(f"{name} {min(labels):g} to {max(labels):g}" for name, labels in sorted(each.items()))
        raise DataError(
            f"no {main.label} occurs in every {main.domains.column} ({spans})",
            "give cases to unlearn on as --data overlap=URI, which need no label, or use --set unlearn_on=all",
        )
    return low, high


def _inside(main: TrainingCohort, limits: tuple[float, float] | None, ends: bool) -> list[str]:
    """Training cases between the limits; a range from the training labels includes its ends, for they are cases."""
    assert limits is not None
    low, high = limits
    labels = zip(main.train.cases, main.labels(), strict=True)
    return [case.id for case, label in labels if low < label < high or (ends and label in limits)]


def _numbers_of(batch: Batch, numbers: Mapping[str, int]) -> Tensor:
    return torch.tensor([numbers[i] for i in batch.case_ids], device=batch.image.device)


def _labelled(data: Dataset) -> Dataset:
    """The cases whose label exists and may be read."""
    name = data.task.label
    return data.where(id=[c.id for c in data.cases if c.id not in data.hidden and c.value(name) is not None])

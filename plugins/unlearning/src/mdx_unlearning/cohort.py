"""Who is trained on, which domains there are, and which cases are unlearnt on."""

from __future__ import annotations

from collections.abc import Callable

from mdx import Case, Dataset
from mdx.errors import DataError
from mdx_adversarial.domains import Domains
from mdx_adversarial.samplers import present
from mdx_unlearning.config import NormalConfig, UnlearningConfig


class TrainingCohort:
    """The labelled source cases of a dataset, and their domains.

    Attributes:
        train, val: source cases with a label that may be read; ``val`` leaves out domains that are not trained on.
        domains: of the training cases.

    Raises DataError if there is no labelled source case to train on.
    """

    def __init__(self, data: Dataset, config: NormalConfig) -> None:
        source = data.where(role="source") if any(case.role for case in data.cases) else data
        self.label = data.task.label
        self.train = source.train.labelled.require_some(
            "labelled source case to train on", "check roles and splits with 'mdx data check'"
        )
        self.domains = Domains(self.train, config.nuisance, config.nuisance_bins)
        val = source.val.labelled
        self.val = val.where(id=[c.id for c in val.cases if self.domains.name_of(c) in self.domains.names])

    def require_validation(self, config: NormalConfig) -> None:
        """Raise DataError if the best weights are to be chosen and there is no case to choose by."""
        if config.select == "best":
            self.val.require_some(
                "labelled validation case to choose the best weights by",
                "raise data.val_fraction, or keep the last weights with --set select=last",
            )

    @property
    def also(self) -> dict[str, Callable[[Case], int]]:
        """For loaders: ``batch["domain"]`` is then the (B,) int64 domains of its cases."""
        return {"domain": self.domains.index}

    def labels(self) -> list[float]:
        """The labels of the training cases, in the unit of the table."""
        return [float(case.value(self.label)) for case in self.train.cases]


class OverlapCohort:
    """The cases to unlearn on, whose labels are hidden: their task is no part of it.

    These are the training cases of the cohort ``overlap`` where one is given (``--data overlap=URI``), else those
    whose label lies in the range that all domains share. That range comes from the training labels alone. The cases
    remain among the training cases too. A subject that is validated or tested on is never among them.

    Attributes:
        train: the cases, labels hidden; ``where`` says in words which they are.
        range: of labels; None for a given cohort.

    Raises DataError if the domains share no range, or if one of them has no case in it.
    """

    def __init__(self, data: Dataset, main: TrainingCohort, config: UnlearningConfig) -> None:
        given = data.cohorts.get("overlap")
        self.range: tuple[float, float] | None = None
        if given is not None:
            chosen = _usable(given, data)
            self.where = "the training cases of the cohort 'overlap' that are not held out here"
            remedy = "add cases to its table, and fill its column split with train to use all of them"
        else:
            low, high = self.range = config.overlap or shared_range(main)  # type: ignore[assignment]
            chosen = main.train.where(id=_inside(main, low, high, ends=config.overlap is None))
            self.where = f"the training cases with {main.label} in the shared range {low:g} to {high:g}"
            remedy = "widen it with --set overlap=lowest,highest, or unlearn on all with --set unlearn_on=all"
        try:
            present(main.domains, chosen)
        except DataError as error:
            raise DataError(f"{error.what}: {self.where} must be of every domain", remedy) from error
        self.train = chosen.without_labels()


def _usable(given: Dataset, data: Dataset) -> Dataset:
    """The training cases of a given cohort, without subjects that are validated or tested on in ``data``.

    Raises DataError for images of another kind than those of ``data``.
    """
    ours, theirs = ((d.task.dims, len(d.task.channels)) for d in (data, given))
    if ours != theirs:
        raise DataError(
            f"the cohort 'overlap' has {theirs[0]}-D images of {theirs[1]} channel(s), the data have "
            f"{ours[0]}-D images of {ours[1]}",
            "unlearn on the same kind of image",
        )
    held_out = {case.subject for case in data.cases if case.split != "train"}
    train = given.where(split="train")
    return train.where(id=[case.id for case in train.cases if case.subject not in held_out])


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


def _inside(main: TrainingCohort, low: float, high: float, ends: bool) -> list[str]:
    """Training cases between the limits; a range from the training labels includes its ends, for they are cases."""
    labels = zip(main.train.cases, main.labels(), strict=True)
    return [case.id for case, label in labels if low < label < high or (ends and label in (low, high))]

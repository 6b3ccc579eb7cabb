"""Who is trained on, who validates, and which domains there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mdx import Case, Dataset
from mdx.errors import DataError
from mdx_adversarial.domains import Domains
from mdx_l2i.config import L2IConfig

TRAINED = ("source", "target")


class Cohort:
    """The labelled training cases of a dataset, and the target cases that validate.

    Attributes:
        train: labelled cases of both roles, or of the target alone with ``train_on=target``.
        target: those of the target.
        val: validation cases of the target; where no case is of the target (plain supervised training), all of them.

    Raises DataError if there is nothing to train on.
    """

    def __init__(self, data: Dataset, config: L2IConfig) -> None:
        self.config, self.task = config, data.task
        wanted = ("target",) if config.train_on == "target" else TRAINED
        chosen = data.where(split="train", role=wanted).labelled
        if not len(chosen):
            raise DataError(
                f"there is no labelled training case of {' or '.join(wanted)}",
                "name the small study that holds every class with --set target=SITE",
            )
        self.train, self.target = chosen, chosen.where(role="target")
        has_target = any(case.role == "target" for case in data.cases)
        self.val = data.where(split="val", role="target" if has_target else TRAINED).labelled

    @property
    def steps(self) -> int:
        """Steps of an epoch: as many as show every training case once, unless the settings say."""
        return self.config.steps or -(-len(self.train) // self.config.batch_size)

    def domains(self, method: str = "") -> Domains:
        """The domains of the training cases; with ``method`` there must be several for it to work."""
        found = Domains(self.train, self.config.nuisance, self.config.nuisance_bins)
        if method:
            found.require_several(method)
        return found

    def require_every_class(self, data: Dataset, what: str) -> None:
        """Raise DataError that names the classes of the task without a case in ``data``, which are ``what``."""
        found = Counter(str(case.value(self.task.label)) for case in data.cases)
        missing = [name for name in self.task.classes if not found[name]]
        if missing:
            there = ", ".join(f"{n} of {name}" for name, n in sorted(found.items())) or "none at all"
            raise DataError(
                f"no case of {self.task.label} {', '.join(missing)} among the {what} (there are {there})",
                "every class must occur there: "
                + ("name a study with all classes as target" if data is self.target else "add cases of it")
                + ", or leave the class out of the table",
            )

    def require_validation(self) -> None:
        """Raise DataError if the best weights are to be chosen and there is no case to choose by."""
        if self.config.select == "best" and not len(self.val):
            raise DataError(
                "there is no labelled validation case of the target to choose the best weights by",
                "raise data.val_fraction, or keep the last weights with --set select=last",
            )


def cell_weights(cases: Sequence[Case], label: str, domains: Domains) -> dict[str, float]:
    """Case id to 1 / (cases with its class and domain), scaled to a mean of 1 over ``cases``."""
    cells = [(str(case.value(label)), domains.index(case)) for case in cases]
    sizes = Counter(cells)
    mean = len(sizes) / len(cases)  # the cells' sums are 1 each
    return {case.id: 1 / sizes[cell] / mean for case, cell in zip(cases, cells, strict=True)}

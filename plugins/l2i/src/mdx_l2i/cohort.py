"""Who is trained on, who validates, and which domains there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mdx import Case, Dataset
from mdx_adversarial.domains import Domains
from mdx_l2i.config import RowConfig

TRAINED = ("source", "target")


class Cohort:
    """The labelled training cases of a dataset, and the target cases that validate.

    Attributes:
        train: labelled cases of both roles, or of the target alone with ``train_on=target``.
        target: those of the target.
        val: validation cases of the target; where no case is of the target (plain supervised training), all of them.

    Raises DataError if there is nothing to train on.
    """

    def __init__(self, data: Dataset, config: RowConfig) -> None:
        self.config = config
        wanted = ("target",) if config.train_on == "target" else TRAINED
        self.train = data.train.where(role=wanted).labelled.require_some(
            f"labelled training case of {' or '.join(wanted)}",
            "name the small study that holds every class with --set target=SITE",
        )
        self.target = self.train.where(role="target")
        has_target = any(case.role == "target" for case in data.cases)
        self.val = data.val.where(role="target" if has_target else TRAINED).labelled

    @property
    def steps(self) -> int:
        """Steps of an epoch: as many as show every training case once, unless the settings say."""
        return self.config.steps or -(-len(self.train) // self.config.batch_size)

    def require_validation(self) -> None:
        """Raise DataError if the best weights are to be chosen and there is no case to choose by."""
        if self.config.select == "best":
            self.val.require_some(
                "labelled validation case of the target to choose the best weights by",
                "raise data.val_fraction, or keep the last weights with --set select=last",
            )


def cell_weights(cases: Sequence[Case], label: str, domains: Domains) -> dict[str, float]:
    """Case id to 1 / (cases with its class and domain), scaled to a mean of 1 over ``cases``."""
    cells = [(str(case.value(label)), domains.index(case)) for case in cases]
    sizes = Counter(cells)
    mean = len(sizes) / len(cases)  # the cells' sums are 1 each
    return {case.id: 1 / sizes[cell] / mean for case, cell in zip(cases, cells, strict=True)}

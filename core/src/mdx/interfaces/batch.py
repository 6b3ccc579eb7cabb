"""Samples of one size, stacked: what a loader gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mdx.errors import DataError, nearest
from mdx.interfaces.cases import hidden_label


@dataclass
class Batch:
    """Samples of one size, stacked.

    Attributes:
        image: (B, C, *spatial) float32.
        case_ids, sites, subjects: one entry each for the B items.
        labels: the task's label by its name; rows of hidden items hold zeros and may only be read through ``label``.
        labelled: (B,) bool; whether the task's label of the item is visible.
        position: (B, n) int64 where the item was cut out: slice index, or first voxel of the patch; None for wholes.
        more: what else the items carry, read as ``batch["name"]``: tensors (B, ...) that the view made, and columns of
            the cases (``run.loader(also=...)``), numbers as (B,) tensors, other values as lists of B.
        share: of the batch that this is a part of (see ``parts``); 1 for a whole one.
    """

    image: Tensor
    case_ids: list[str]
    sites: list[str]
    subjects: list[str]
    labels: dict[str, Any]
    labelled: Tensor
    position: Tensor | None = None
    more: dict[str, Tensor | list[Any]] = field(default_factory=dict)
    share: float = 1.0

    def __len__(self) -> int:
        return len(self.case_ids)

    def __getitem__(self, name: str) -> Any:
        """What the view or ``also`` brought under ``name``. Raises DataError for a name that nothing brought."""
        if name not in self.more:
            raise DataError(f"the batch has no '{name}'", nearest(name, self.more))
        return self.more[name]

    def label(self, name: str) -> Any:
        """The label ``name`` of all items, (B, ...), of boxes a list of B tensors (n, 5).

        Raises HiddenLabelError if one of them is hidden.
        """
        if not bool(self.labelled.all()):
            raise hidden_label(name, [c for c, seen in zip(self.case_ids, self.labelled, strict=True) if not seen])
        if name not in self.labels:
            raise DataError(f"the batch has no label '{name}'", nearest(name, self.labels))
        return self.labels[name]

    @property
    def target(self) -> Any:
        """The task's label of all items, whatever it is called; see ``label``."""
        if not self.labels:
            raise DataError("the task has no label to learn from", "give a column of labels with --set data.label=...")
        return self.label(next(iter(self.labels)))

    @property
    def mask(self) -> Tensor:
        """(B, K, *spatial) float32 masks of the task's classes."""
        return self.label("mask")

    def parts(self, size: int | None) -> Iterator[Batch]:
        """The batch in parts of at most ``size`` items, in order, for a step that is more than memory holds at once.

        ``size=None``: the batch itself. A loss that is a mean over items counts as the part's ``share``:
        ``run.backward(loss, optimizer, share=part.share)`` for each, then ``run.step(optimizer)``.
        """
        if size is None or size >= len(self):
            yield self
            return
        for first in range(0, len(self), size):
            chosen = slice(first, first + size)
            yield Batch(
                image=self.image[chosen],
                case_ids=self.case_ids[chosen],
                sites=self.sites[chosen],
                subjects=self.subjects[chosen],
                labels={name: values[chosen] for name, values in self.labels.items()},
                labelled=self.labelled[chosen],
                position=None if self.position is None else self.position[chosen],
                more={name: values[chosen] for name, values in self.more.items()},
                share=len(self.case_ids[chosen]) / len(self),
            )

    def to(self, device: torch.device, non_blocking: bool = True) -> Batch:
        """The same batch on ``device``."""

        return self.each(lambda x: x.to(device, non_blocking=non_blocking))

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with ``change`` made to every tensor."""
        return replace(
            self,
            image=change(self.image),
            labels={name: _changed(values, change) for name, values in self.labels.items()},
            labelled=change(self.labelled),
            position=None if self.position is None else change(self.position),
            more={name: change(v) if isinstance(v, Tensor) else v for name, v in self.more.items()},
        )


def _changed(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    return [change(each) for each in values] if isinstance(values, list) else change(values)

"""Cases, samples, batches and the table that holds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mdx.errors import DataError, HiddenLabelError, nearest
from mdx.files import file_state
from mdx.interfaces.geometry import Geometry

TaskKind = Literal[
    "segmentation", "classification", "multilabel", "regression", "detection", "harmonisation", "nothing"
]


@dataclass(frozen=True)
class Task:
    """What is to be predicted, and from what.

    Attributes:
        kind: the kind of prediction.
        classes: names of the foreground classes of a segmentation, of the objects of a detection, or of all classes.
        channels: names of the image channels, in order.
        dims: number of spatial dimensions of an image, 2 or 3.
        sites: every site of the cohort, sorted.
        label: the column that holds the truth: ``mask``, ``class``, ``age``, ``boxes``; empty where none does.
        label_values: values in the mask of each class of ``classes``; empty for other kinds.
    """

    kind: TaskKind
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    dims: int
    sites: tuple[str, ...]
    label: str = "mask"
    label_values: tuple[tuple[int, ...], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of images that the channels come from: ``t1`` of ``t1``, ``image`` of ``image[0], image[1]``."""
        return tuple(dict.fromkeys(name.partition("[")[0] for name in self.channels))


@dataclass(frozen=True)
class Case:
    """One scan or image and what is known of it: one row of the table.

    Attributes:
        id: unique within the table; names the files written for the case.
        subject: the person or animal; splits never separate a subject's cases.
        site: scanner, hospital, laboratory or camera.
        images: absolute path of the file of each channel group, in the order of the table's columns.
        mask: absolute path of the reference segmentation, if there is one.
        split: ``train``, ``val`` or ``test``.
        role: ``source``, ``target``, ``reference`` or ``unlabelled``.
        columns: every other column of the row, as read.
    """

    id: str
    subject: str
    site: str
    images: Mapping[str, Path]
    mask: Path | None = None
    split: str | None = None
    role: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """The field or column ``name``; ``None`` where the row has no such value."""
        return getattr(self, name) if name in _CASE_FIELDS else self.columns.get(name)


_CASE_FIELDS = {"id", "subject", "site", "split", "role", "mask"}


@dataclass(frozen=True)
class Sample:
    """A loaded case.

    Attributes:
        case: the row it was loaded from.
        image: (C, *spatial) float32, in RAS orientation for volumes, preprocessed.
        geometry: how to write a prediction back onto the file that was read.
        labels: the visible labels by column name; a mask is (K, *spatial) float32 with values 0 and 1, one channel
            for each class of the task, on the grid of ``image``.
        hidden: names of labels that exist and must not be read here.
    """

    case: Case
    image: Tensor
    geometry: Geometry
    labels: Mapping[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def label(self, name: str) -> Any:
        """The label ``name``. Raises HiddenLabelError if it is hidden, DataError if the case has none."""
        if name in self.hidden:
            raise hidden_label(name, [self.case.id])
        if name not in self.labels:
            raise DataError(f"has no '{name}'", "add the column to the table, or use only labelled cases", self.case.id)
        return self.labels[name]

    @property
    def mask(self) -> Tensor:
        """(K, *spatial) float32 reference masks of the task's classes."""
        return self.label("mask")


def hidden_label(name: str, case_ids: Sequence[str]) -> HiddenLabelError:
    """The error for a method that reads what it declared it would not."""
    return HiddenLabelError(
        f"'{name}' of {len(case_ids)} case(s) is hidden from this method ({', '.join(case_ids[:3])})",
        "use batch.labelled to select the visible ones, or declare what is read as target_labels in mdx.toml",
    )


@dataclass
class Batch:
    """Samples of one size, stacked.

    Attributes:
        image: (B, C, *spatial) float32.
        case_ids, sites, subjects: one entry each for the B items.
        labels: visible labels by name; rows of hidden items hold zeros and may only be read through ``label``.
        labelled: (B,) bool; whether the task's label of the item is visible.
        position: (B, n) int64 where the item was cut out: slice index, or first voxel of the patch; None for wholes.
        more: what else the items carry, read as ``batch["name"]``: tensors (B, ...) that the view made, and columns of
            the cases (``run.loader(also=...)``), numbers as (B,) tensors, other values as lists of B.
    """

    image: Tensor
    case_ids: list[str]
    sites: list[str]
    subjects: list[str]
    labels: dict[str, Any]
    labelled: Tensor
    position: Tensor | None = None
    more: dict[str, Tensor | list[Any]] = field(default_factory=dict)

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
    def mask(self) -> Tensor:
        """(B, K, *spatial) float32 masks of the task's classes."""
        return self.label("mask")

    def parts(self, size: int) -> Iterator[Batch]:
        """The batch in parts of at most ``size`` items, in order, for a step that is more than memory holds at once."""
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


ReadSample = Callable[[Case, bool], Sample]
"""Loads a case; the flag says whether its labels are visible."""


class Dataset:
    """A table of cases and how to load one.

    Subsets made with ``where`` share the loader and keep hidden what is hidden. A case whose label is hidden is shown
    without it: its row has no value in the label's column and no mask.

    Args:
        task: what is to be predicted.
        cases: the rows.
        loader: reads and preprocesses a case; called with whether its labels may be seen.
        cohorts: named datasets besides this one, each with its own task (``--data pretrain=...``).
        hidden: ids of the cases whose labels may not be read.

    Attributes:
        split_given: whether the table itself says who is trained and tested on.
    """

    split_given: bool = False

    def __init__(
        self,
        task: Task,
        cases: Iterable[Case],
        loader: ReadSample,
        cohorts: Mapping[str, Dataset] | None = None,
        hidden: Iterable[str] = (),
    ) -> None:
        self.task = task
        self.loader = loader
        self.cohorts: dict[str, Dataset] = dict(cohorts or {})
        self.hidden = frozenset(hidden)
        self._whole: dict[str, Case] = {}  # the rows of hidden cases, for the loader
        self.cases: tuple[Case, ...] = tuple(map(self._shown, cases))

    def __len__(self) -> int:
        return len(self.cases)

    def _shown(self, case: Case) -> Case:
        """The row as it may be seen."""
        if case.id not in self.hidden:
            return case
        self._whole.setdefault(case.id, case)  # the first is whole, later ones have been shown before
        return _without_label(case, self.task.label)

    def _with(self, cases: Iterable[Case], hidden: Iterable[str] | None = None) -> Dataset:
        part = Dataset(self.task, (), self.loader, self.cohorts, self.hidden if hidden is None else hidden)
        part._whole = dict(self._whole)
        part.cases = tuple(map(part._shown, cases))
        return part

    def where(self, **equals: Any) -> Dataset:
        """The cases whose fields or columns equal the given values; a list, tuple or set allows any of its values.

        Raises DataError for a column that no case has.
        """
        for name in equals:
            if name not in _CASE_FIELDS and not any(name in case.columns for case in self.cases) and self.cases:
                columns = {*_CASE_FIELDS, *self.cases[0].columns}
                raise DataError(f"the table has no column '{name}'", nearest(name, columns))
        wanted = {k: set(v) if isinstance(v, list | tuple | set | frozenset) else {v} for k, v in equals.items()}
        return self._with(c for c in self.cases if all(c.value(k) in v for k, v in wanted.items()))

    def without_labels(self, **equals: Any) -> Dataset:
        """The same cases, with the labels of those that match hidden (see ``where``)."""
        return self._with(self.cases, self.hidden | {c.id for c in self.where(**equals).cases})

    @property
    def labelled(self) -> Dataset:
        """The cases whose label exists and may be read."""
        return self._with(case for case in self.cases if has_label(case, self.task.label))

    @property
    def withheld(self) -> Dataset:
        """The cases whose label exists and is hidden."""
        name = self.task.label
        return self._with(c for c in self.cases if c.id in self.hidden and has_label(self._whole[c.id], name))

    @cached_property
    def _own(self) -> dict[str, Case]:
        return {case.id: case for case in self.cases}

    def revealed(self) -> Dataset:
        """The same cases with every label shown: for core, which scores what a method may not see."""
        rows = [self._whole.get(case.id, case) for case in self.cases]
        return Dataset(self.task, rows, self.loader, self.cohorts)

    def load(self, case: Case) -> Sample:
        """The sample of ``case``; its labels are left out where they are hidden."""
        whole = self._whole.get(case.id) or self._own.get(case.id, case)  # its own row, not one that another shows
        if case.id not in self.hidden:
            return self.loader(whole, True)
        return replace(self.loader(whole, False), case=_without_label(case, self.task.label))

    def twin(self, case: Case, site: str) -> Case | None:
        """The same subject at another site, where the cohort has travelling subjects."""
        return next((c for c in self.cases if c.subject == case.subject and c.site == site), None)

    def fingerprint(self) -> str:
        """A hash of the table, the content of its files, and what is hidden."""
        task = replace(self.task, sites=())  # every row has its site: a part is the same part of any whole
        return hashlib.sha256(json.dumps([repr(task), *self.row_hashes().values()]).encode()).hexdigest()

    def row_hashes(self) -> dict[str, str]:
        """Case id -> a hash of its row and of the content of its files.

        A loader with ``contents`` says what is in the files; of others the sizes and times of change are taken.
        """
        images = [path for c in self.cases for path in c.images.values()]
        masks = [c.mask for c in self.cases if c.mask is not None]
        contents = getattr(self.loader, "contents", None)
        known = contents(images, masks) if contents else {path: _file_identity(path) for path in (*images, *masks)}
        return {
            c.id: hashlib.sha256(json.dumps([
                c.id, c.subject, c.site, c.split, c.role, sorted((k, str(v)) for k, v in c.columns.items()),
                [p and (p.name, known[p]) for p in (*c.images.values(), c.mask)], c.id in self.hidden,
            ]).encode()).hexdigest()[:16]
            for c in self.cases
        }  # fmt: skip


def _without_label(case: Case, name: str) -> Case:
    columns = {k: None if k == name else v for k, v in case.columns.items()}
    return replace(case, columns=columns, mask=None if name == "mask" else case.mask)


def has_label(case: Case, name: str) -> bool:
    """Whether the row has a label ``name``."""
    return (case.mask if name == "mask" else case.columns.get(name)) is not None


def _file_identity(path: Path) -> tuple[int, int]:
    """Size and time of change; a missing file is the business of the check, not of the fingerprint."""
    try:
        return file_state(path)
    except OSError:
        return -1, -1

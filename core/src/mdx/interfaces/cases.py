"""What is predicted, from what: the task, a case (a row of the table), a sample (a case that is loaded)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mdx.errors import DataError, HiddenLabelError
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
        return getattr(self, name) if name in CASE_FIELDS else self.columns.get(name)


CASE_FIELDS = {"id", "subject", "site", "split", "role", "mask"}


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


ReadSample = Callable[[Case, bool], Sample]
"""Loads a case; the flag says whether its labels are visible."""


def hidden_label(name: str, case_ids: Sequence[str]) -> HiddenLabelError:
    """The error for a method that reads what it declared it would not."""
    return HiddenLabelError(
        f"'{name}' of {len(case_ids)} case(s) is hidden from this method ({', '.join(case_ids[:3])})",
        "use batch.labelled to select the visible ones, or declare what is read as target_labels in mdx.toml",
    )


def has_label(case: Case, name: str) -> bool:
    """Whether the row has a label ``name``."""
    return (case.mask if name == "mask" else case.columns.get(name)) is not None

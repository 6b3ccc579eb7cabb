"""Kinds of truth, one module each. What a task's truth is, nobody asks but ``label_of``."""

from __future__ import annotations

from collections.abc import Sequence

from mdx.data.config import DataConfig
from mdx.data.findings import columns_of
from mdx.data.labels.base import Label
from mdx.data.labels.boxes import Boxes
from mdx.data.labels.classes import Classes
from mdx.data.labels.image import Image, Nothing
from mdx.data.labels.mask import Mask
from mdx.data.labels.several import Several
from mdx.data.labels.value import Value
from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Case, Task

KINDS = (Mask, Boxes, Several, Classes, Value, Image, Nothing)
LABELS: dict[str, Label] = {kind.kind: kind() for kind in KINDS}
"""By kind."""
FOUND = ("segmentation", "detection", "multilabel", "classification", "regression")
"""What a table is asked for, in this order."""
UNLABELLED = ("harmonisation", "nothing")
"""Tasks that any table will do for."""


def label_of(task: Task) -> Label:
    """What the truth of a task is."""
    return LABELS[task.kind]


def find_label(cases: Sequence[Case], config: DataConfig, tasks: Sequence[str] = ()) -> tuple[Label, str]:
    """The label of a table and its column: of those in ``tasks``, if the table has one, else of any kind.

    Raises DataError for a label column that does not exist or is empty.
    """
    for kind in ("multilabel",) if columns_of(config) else (*tasks, *FOUND):
        column = LABELS[kind].find(cases, config) if kind in LABELS else None
        if column is not None:
            return LABELS[kind], column
    columns = {name for case in cases for name in case.columns}
    usual = [name for label in LABELS.values() for name in label.columns if name in columns]
    if config.label == "mask" and not usual:
        return LABELS["harmonisation"], ""
    name = usual[0] if config.label == "mask" else config.label
    if name not in columns:
        raise DataError(f"the table has no column '{name}'", nearest(name, columns))
    raise DataError(f"no case has a value in the column '{name}'", "fill it, or name another with data.label")


__all__ = ["LABELS", "Label", "find_label", "label_of"]

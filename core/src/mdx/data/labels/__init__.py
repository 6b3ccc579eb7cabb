"""Kinds of truth, one module each. What a task's truth is, nobody asks but ``label_of``."""

from __future__ import annotations

from collections.abc import Sequence

from mdx.data.config import DataConfig
from mdx.data.labels.base import Label
from mdx.data.labels.classes import Classes
from mdx.data.labels.image import Image
from mdx.data.labels.mask import Mask
from mdx.data.labels.value import Value
from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Case, Task

LABELS: dict[str, Label] = {label.kind: label for label in (Mask(), Classes(), Value(), Image())}
"""By kind, in the order in which a table is asked for them."""


def label_of(task: Task) -> Label:
    """What the truth of a task is."""
    return LABELS[task.kind]


def find_label(cases: Sequence[Case], config: DataConfig, tasks: Sequence[str] = ()) -> tuple[Label, str]:
    """The label of a table and its column: of those in ``tasks``, if the table has one, else of any kind.

    Raises DataError for a label column that does not exist or is empty.
    """
    for kind in (*tasks, *LABELS):
        column = LABELS[kind].find(cases, config) if kind in LABELS else None
        if column is not None:
            return LABELS[kind], column
    columns = {name for case in cases for name in case.columns}
    label = config.label
    if label == "mask":  # an empty column of those that are looked for was meant to be filled
        label = next((name for name in ("class", "age") if name in columns), "")
    if not label:
        return LABELS["harmonisation"], ""
    if label not in columns:
        raise DataError(f"the table has no column '{label}'", nearest(label, columns))
    raise DataError(f"no case has a value in the column '{label}'", "fill it, or name another with data.label")


__all__ = ["LABELS", "Label", "find_label", "label_of"]

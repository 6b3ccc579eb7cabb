"""The table that holds the cases, with their labels shown or hidden."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mdx.errors import DataError, nearest
from mdx.files import file_state
from mdx.interfaces.batch import Batch
from mdx.interfaces.cases import CASE_FIELDS, Case, ReadSample, Sample, Task, TaskKind, has_label, hidden_label


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
            if name not in CASE_FIELDS and not any(name in case.columns for case in self.cases) and self.cases:
                columns = {*CASE_FIELDS, *self.cases[0].columns}
                raise DataError(f"the table has no column '{name}'", nearest(name, columns))
        wanted = {k: set(v) if isinstance(v, list | tuple | set | frozenset) else {v} for k, v in equals.items()}
        return self._with(c for c in self.cases if all(c.value(k) in v for k, v in wanted.items()))

    def without_labels(self, **equals: Any) -> Dataset:
        """The same cases, with the labels of those that match hidden (see ``where``)."""
        return self._with(self.cases, self.hidden | {c.id for c in self.where(**equals).cases})

    @property
    def train(self) -> Dataset:
        """The training cases."""
        return self.where(split="train")

    @property
    def val(self) -> Dataset:
        """The validation cases."""
        return self.where(split="val")

    @property
    def labelled(self) -> Dataset:
        """The cases whose label exists and may be read."""
        return self._with(case for case in self.cases if has_label(case, self.task.label))

    @property
    def withheld(self) -> Dataset:
        """The cases whose label exists and is hidden."""
        name = self.task.label
        return self._with(c for c in self.cases if c.id in self.hidden and has_label(self._whole[c.id], name))

    def require_some(self, what: str, remedy: str) -> Dataset:
        """These cases, which are ``what``: ``labelled source case``. Raises DataError if there is none."""
        if not self.cases:
            raise DataError(f"there is no {what}", remedy)
        return self

    def require_every_class(self, what: str, remedy: str = "add cases of it") -> Dataset:
        """These cases, which are ``what``. Raises DataError that names the classes of the task without a case."""
        found = Counter(str(case.value(self.task.label)) for case in self.cases)
        missing = [name for name in self.task.classes if not found[name]]
        if missing:
            there = ", ".join(f"{n} of {name}" for name, n in sorted(found.items())) or "none at all"
            raise DataError(
                f"no case of {self.task.label} {', '.join(missing)} among the {what} (there are {there})",
                f"every class must occur there: {remedy}, or leave the class out of the table",
            )
        return self

    def require_several_sites(self, what: str) -> Dataset:
        """These cases, which are ``what``. Raises DataError if they are of one site only."""
        sites = sorted({case.site for case in self.cases})
        if len(sites) < 2:
            raise DataError(
                f"the {what} are of one site ({', '.join(sites) or 'none'}), at least two are needed",
                "give cases of several, or name them with --set source=A,B",
            )
        return self

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


def _file_identity(path: Path) -> tuple[int, int]:
    """Size and time of change; a missing file is the business of the check, not of the fingerprint."""
    try:
        return file_state(path)
    except OSError:
        return -1, -1


__all__ = ["Batch", "Case", "Dataset", "ReadSample", "Sample", "Task", "TaskKind", "has_label", "hidden_label"]

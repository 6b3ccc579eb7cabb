"""Batches that depend on the seed alone.

Random views draw with a generator made from (seed, rank, step), so a batch does not depend on how many workers load.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdx.data.batches.views import Piece, RandomPatches, RandomSlices, SlicePairs, Slices, View, Wholes
from mdx.data.labels import label_of
from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Batch, Case, Dataset, Sample, hidden_label

__all__ = [
    "Batches", "Piece", "RandomPatches", "RandomSlices", "SlicePairs", "Slices", "View", "Wholes", "make_loader",
]  # fmt: skip

Sampler = Callable[[Dataset, np.random.Generator], Iterator[int | tuple[int, int]]]
Column = str | Callable[[Case], Any]
KEPT_BYTES = 1 << 30


class _Recent:
    """The samples used last, up to a number of bytes; only for reading."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self.samples: OrderedDict[tuple[int, str, bool], tuple[Sample, int, Any]] = OrderedDict()

    def get(self, data: Dataset, case: Case) -> Sample:
        key = (id(data.loader), case.id, case.id in data.hidden)
        known = self.samples.get(key)
        if known is not None:
            self.samples.move_to_end(key)
            return known[0]
        sample = data.load(case)
        size = sample.image.nbytes + sum(v.nbytes for v in sample.labels.values() if isinstance(v, Tensor))
        self.samples[key] = (sample, size, data.loader)  # the loader is kept so that its id is not used again
        self.used += size
        while self.used > self.limit and len(self.samples) > 1:
            self.used -= self.samples.popitem(last=False)[1][1]
        return sample


_RECENT = _Recent(KEPT_BYTES)


def _kept(data: Dataset, case: Case) -> Sample:
    return _RECENT.get(data, case) if getattr(data.loader, "keep", True) else data.load(case)


def make_loader(
    data: Dataset,
    batch_size: int,
    *,
    view: View | None = None,
    sampler: Sampler | None = None,
    steps: int | None = None,
    endless: bool = False,
    shuffle: bool = True,
    also: Mapping[str, Column] | None = None,
    seed: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    pin: bool = False,
) -> Batches:
    """Batches of ``data``, equal for equal (seed, rank, world) whatever the number of workers.

    Args:
        view: what is cut out of each sample; None for wholes.
        sampler: yields indices of cases, drawn anew for each pass, instead of all cases in (shuffled) order; all pieces
            of a case follow each other, unless (case, piece) is yielded: one of them.
        steps: exactly so many batches, in as many passes as it takes; ``endless``: never an end.
        shuffle: cases in random order; random views then draw cases independently and uniformly.
        also: what the batch says of its cases as ``batch["name"]``: a column, or a function of the case. Whole numbers
            become (B,) int64, other numbers (B,) float32, anything else a list.
        rank, world: which part of each pass this process takes; parts are of equal length.
        pin: pin the memory of batches, for copies to a GPU.

    Raises DataError while iterating if the images of a batch differ in shape; at once for a column that is empty for
    some cases, and HiddenLabelError for a label that is hidden for some.
    """
    if batch_size < 1 or not len(data):
        raise DataError("there is nothing to load", "give at least one case and a batch size of at least 1")
    columns = {name: _column(data, column) for name, column in (also or {}).items()}
    return Batches(
        data, batch_size, view or Wholes(), sampler, steps, endless, shuffle, seed, workers, rank, world, pin, columns
    )


@dataclass(frozen=True)
class Batches:
    """See ``make_loader``. Iterating it twice gives the same batches twice."""

    data: Dataset
    batch_size: int
    view: View
    sampler: Sampler | None
    steps: int | None
    endless: bool
    shuffle: bool
    seed: int
    workers: int
    rank: int
    world: int
    pin: bool
    columns: Mapping[str, Tensor | list[Any]]

    def __iter__(self) -> Iterator[Batch]:
        batches = map(self.__getitem__, self._plan()) if self.workers == 0 else iter(self._parallel())
        return (_pinned(batch) for batch in batches) if self.pin else batches

    def _parallel(self) -> Any:
        from torch.utils.data import DataLoader

        plan: Any = self._plan()
        return DataLoader(self, batch_size=None, sampler=plan, num_workers=self.workers, collate_fn=_as_it_is)  # type: ignore[arg-type]

    def _plan(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """(step, [(case, piece)...]) of every batch."""
        whole = self.steps is not None or self.endless
        passes = itertools.count() if whole else range(1)
        items = itertools.chain.from_iterable(map(self._pass, passes))
        numbers = itertools.count() if self.steps is None else range(self.steps)
        for step in numbers:
            batch = list(itertools.islice(items, self.batch_size))
            if not batch:
                return
            yield step, batch

    def _pass(self, number: int) -> Iterator[tuple[int, int]]:
        if self.sampler is not None:
            rng = np.random.default_rng([self.seed, self.rank, number, 1])
            drawn = iter(self.sampler(self.data, rng))
            first = next(drawn, None)
            if first is None:
                raise DataError("the sampler yields no case", "check that the cases it looks for exist")
            for item in itertools.chain([first], drawn):
                yield from self._asked(item)
            return
        n = len(self.data)
        if self.view.random and self.shuffle:
            rng = np.random.default_rng([self.seed, self.rank, number, 2])
            yield from ((int(index), 0) for index in rng.integers(n, size=math.ceil(n / self.world)))
            return
        items = [(index, piece) for index in range(n) for piece in range(self._pieces(index))]
        if self.shuffle:
            order = np.random.default_rng([self.seed, number, 3]).permutation(len(items))
            items = [items[i] for i in order]
        share = math.ceil(len(items) / self.world)
        yield from itertools.islice(itertools.cycle(items), self.rank, share * self.world, self.world)

    def _asked(self, item: int | tuple[int, int]) -> Iterator[tuple[int, int]]:
        """What one word of a sampler stands for. Raises DataError for a piece that the case does not have."""
        if not isinstance(item, tuple):
            yield from ((int(item), piece) for piece in range(self._pieces(int(item))))
            return
        index, piece = map(int, item)
        count = self._pieces(index)
        if not 0 <= piece < count:
            raise DataError(
                f"the sampler asks for piece {piece}, and there are {count} (from 0)",
                "draw it with rng.integers(view.pieces(sample))", self.data.cases[index].id,
            )  # fmt: skip
        yield index, piece

    def _pieces(self, index: int) -> int:
        if isinstance(self.view, Wholes):
            return 1  # without loading the case
        return self.view.pieces(_kept(self.data, self.data.cases[index]))

    @torch.autocast("cpu", enabled=False)  # a view is cut in full precision, here as in a process of its own
    def __getitem__(self, planned: tuple[int, list[tuple[int, int]]]) -> Batch:
        step, items = planned
        rng = np.random.default_rng([self.seed, self.rank, step])
        cases = [self.data.cases[index] for index, _ in items]
        samples = [_kept(self.data, case) for case in cases]
        pieces = [self.view.cut(s, piece, rng) for s, (_, piece) in zip(samples, items, strict=True)]
        image = _stacked([p.image for p in pieces], cases)
        name = self.data.task.label
        positions = [p.position for p in pieces if p.position is not None]
        return Batch(
            image=image,
            case_ids=[case.id for case in cases],
            sites=[case.site for case in cases],
            subjects=[case.subject for case in cases],
            labels=self._labels(samples, pieces, image),
            labelled=torch.tensor([name in sample.labels for sample in samples]),
            position=torch.tensor(positions) if positions else None,
            more=self._columns([index for index, _ in items], _more(pieces, cases)),
        )

    def _columns(self, chosen: list[int], more: dict[str, Tensor | list[Any]]) -> dict[str, Tensor | list[Any]]:
        """The columns of the ``chosen`` cases beside ``more``. Raises DataError for a name that both have."""
        for name, values in self.columns.items():
            if name in more:
                raise DataError(f"'{name}' is a tensor of the view and a column too", "name the column otherwise")
            more[name] = values[chosen] if isinstance(values, Tensor) else [values[index] for index in chosen]
        return more

    def _labels(self, samples: list[Sample], pieces: list[Piece], image: Tensor) -> dict[str, Any]:
        """The task's label of each item; zeros where it is hidden or missing."""
        task, label = self.data.task, label_of(self.data.task)
        if task.label not in ("", "mask") and not label.of_the_case and not isinstance(self.view, Wholes):
            raise DataError(f"'{task.label}' cannot be cut into pieces", "load whole images, without a view")
        values = [
            piece.mask if task.label == "mask" else sample.labels.get(task.label)
            for sample, piece in zip(samples, pieces, strict=True)
        ]
        return label.collate(task, values, image)


def _column(data: Dataset, column: Column) -> Tensor | list[Any]:
    """What ``column`` says of every case of ``data``, in their order."""
    values = _values(data, column) if isinstance(column, str) else [column(case) for case in data.cases]
    if all(isinstance(value, int) for value in values):
        return torch.tensor(values, dtype=torch.int64)
    numbers = all(isinstance(value, int | float) for value in values)
    return torch.tensor(values, dtype=torch.float32) if numbers else values


def _values(data: Dataset, name: str) -> list[Any]:
    hidden = [case.id for case in data.cases if case.id in data.hidden] if name == data.task.label else []
    if hidden:
        raise hidden_label(name, hidden)
    values = [case.value(name) for case in data.cases]
    lacking = [case.id for case, value in zip(data.cases, values, strict=True) if value is None]
    if len(lacking) == len(values):
        raise DataError(f"no case has a value in the column '{name}'", nearest(name, data.cases[0].columns))
    if lacking:
        raise DataError(f"{len(lacking)} case(s) have no '{name}' ({', '.join(lacking[:3])})", "leave these cases out")
    return values


def _stacked(images: list[Tensor], cases: list[Case]) -> Tensor:
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        named = ", ".join(f"{c.id} {tuple(i.shape[1:])}" for c, i in list(zip(cases, images, strict=True))[:3])
        raise DataError(
            f"images of different shapes cannot be one batch ({named})",
            "bring them to one size with --set data.size=x,y,z (data.fit=crop or resize), or use a batch size of 1",
        )
    return torch.stack(images)


def _more(pieces: list[Piece], cases: list[Case]) -> dict[str, Tensor | list[Any]]:
    """The named tensors of the pieces, stacked. Raises DataError where pieces differ in names or shapes."""
    made: dict[str, Tensor | list[Any]] = {}
    for name in dict.fromkeys(name for piece in pieces for name in piece.more):
        values = [piece.more.get(name) for piece in pieces]
        shapes = dict.fromkeys(None if value is None else tuple(value.shape) for value in values)
        if len(shapes) > 1:
            raise DataError(
                f"'{name}' must have one shape in all pieces of a batch, and has {' and '.join(map(str, shapes))}",
                "let the view give every piece the same names, with tensors of one shape",
                ", ".join(case.id for case in cases[:3]),
            )
        made[name] = torch.stack(values)  # type: ignore[arg-type]
    return made


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _pinned(batch: Batch) -> Batch:
    return batch.each(Tensor.pin_memory)

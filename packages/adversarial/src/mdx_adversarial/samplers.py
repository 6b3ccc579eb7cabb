"""Which cases make a batch, where every batch must hold every domain, every cell or every class.

A sampler is called with (data, rng) for each pass and yields positions in ``data.cases``; see ``run.loader``. How
long a pass is depends on ``data`` alone, so several processes take the same number of steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from mdx.errors import DataError
from mdx.interfaces.dataset import Dataset, hidden_label
from mdx_adversarial.domains import Domains

Epoch = Literal["largest", "smallest"]


class AllDomains:
    """Batches with at least one case of every domain, in random numbers; small domains are repeated.

    Args:
        domains: which there are; each must have a case in the data that are sampled.
        batch_size: of the loader.
        batches: of a pass; by default as many as show every case of the largest domain.
        epoch: ``largest``: see above. ``smallest``: numbers are drawn one domain after the other, which favours the
            first, and a pass ends with the smallest domain's loader of ``batch_size`` cases, of which a batch uses
            some, as in the authors' code.

    Raises DataError if a batch cannot hold every domain, or if a domain has no case.
    Source: Dinsdale et al. 2020, Sect. 3 (oversampling).
    """

    def __init__(self, domains: Domains, batch_size: int, batches: int | None = None, epoch: Epoch = "largest") -> None:
        if batch_size <= len(domains) - (epoch == "largest"):
            raise DataError(
                f"a batch of {batch_size} cannot hold {len(domains)} domains ({', '.join(domains.names)})",
                f"use a batch size of at least {len(domains) + (epoch == 'smallest')}",
            )
        self.domains, self.batch_size, self.batches, self.epoch = domains, batch_size, batches, epoch

    def __call__(self, data: Dataset, rng: np.random.Generator) -> Iterator[int]:
        """Positions for one pass."""
        return Composed(self.domains, self.compositions(data, rng))(data, rng)

    def compositions(self, data: Dataset, rng: np.random.Generator) -> np.ndarray:
        """(batches, domains) cases of each domain in each batch of a pass."""
        sizes = [len(group) for group in present(self.domains, data)]
        if self.epoch == "smallest":
            batches = self.batches or math.ceil(min(sizes) / self.batch_size)
            return np.stack([_one_after_the_other(rng, self.batch_size, len(sizes)) for _ in range(batches)])
        wanted = max(sizes)
        batches = self.batches or math.ceil(wanted * len(sizes) / self.batch_size)
        while True:
            drawn = np.stack([_uniform(rng, self.batch_size, len(sizes)) for _ in range(batches)])
            # a pass that is long enough on average is drawn again until it does show every case
            if self.batches or drawn[:, int(np.argmax(sizes))].sum() >= wanted:
                return drawn


class Composed:
    """Batches of given composition: two loaders with the same ``counts`` give batches with the same domains.

    Args:
        counts: (batches, domains) cases of each domain in each batch.
    """

    def __init__(self, domains: Domains, counts: np.ndarray) -> None:
        self.domains, self.counts = domains, counts

    def __call__(self, data: Dataset, rng: np.random.Generator) -> Iterator[int]:
        """Positions for one pass, batch by batch."""
        decks = [_cycle(group, rng) for group in present(self.domains, data)]
        for batch in self.counts:
            for deck, count in zip(decks, batch, strict=True):
                yield from itertools.islice(deck, int(count))


class CellBalanced:
    """Batches with every cell of label and domain that exists, in numbers that differ by at most one.

    A pass has ceil(n / batch_size) batches. Raises DataError if a batch cannot hold every cell, HiddenLabelError if a
    label may not be read.
    """

    def __init__(self, domains: Domains, batch_size: int) -> None:
        self.domains, self.batch_size = domains, batch_size

    def __call__(self, data: Dataset, rng: np.random.Generator) -> Iterator[int]:
        """Positions for one pass, batch by batch."""
        cells: dict[tuple[str, int], list[int]] = {}
        for position, (case, label) in enumerate(zip(data.cases, labels_of(data), strict=True)):
            cells.setdefault((label, self.domains.index(case)), []).append(position)
        if self.batch_size < len(cells):
            raise DataError(
                f"a batch of {self.batch_size} cannot hold the {len(cells)} cells of {data.task.label} and "
                f"{self.domains.column}",
                f"use a batch size of at least {len(cells)}",
            )
        decks = [_cycle(np.array(group), rng) for _, group in sorted(cells.items())]
        extra = _cycle(np.arange(len(decks)), rng)
        for _ in range(math.ceil(len(data) / self.batch_size)):
            chosen = list(range(len(decks))) * (self.batch_size // len(decks))
            chosen += itertools.islice(extra, self.batch_size - len(chosen))
            yield from (next(decks[cell]) for cell in chosen)


class OnePerClass:
    """One case of every class after the other: a loader with a batch size of n classes gives each class once.

    A pass shows every case of the largest class. Raises DataError for a class of the task without a case,
    HiddenLabelError if a label may not be read.
    """

    def __call__(self, data: Dataset, rng: np.random.Generator) -> Iterator[int]:
        """Positions for one pass, in the order of ``data.task.classes``."""
        labels = np.array(labels_of(data))
        groups = [np.flatnonzero(labels == name) for name in data.task.classes]
        missing = [name for name, group in zip(data.task.classes, groups, strict=True) if not len(group)]
        if missing:
            raise DataError(
                f"no case of {data.task.label} {', '.join(missing)} among the {len(data)} to choose from",
                "every class must occur here: add cases, or leave the class out of the table",
            )
        decks = [_cycle(group, rng) for group in groups]
        for _ in range(max(len(group) for group in groups)):
            yield from (next(deck) for deck in decks)


def labels_of(data: Dataset) -> list[str]:
    """The task's label of every case as text. Raises HiddenLabelError for hidden, DataError for missing ones."""
    hidden = [case.id for case in data.cases if case.id in data.hidden]
    if hidden:
        raise hidden_label(data.task.label, hidden)
    values = [case.value(data.task.label) for case in data.cases]
    lacking = [case.id for case, value in zip(data.cases, values, strict=True) if value is None]
    if lacking:
        raise DataError(
            f"{len(lacking)} case(s) have no '{data.task.label}' ({', '.join(lacking[:3])})", "use only labelled cases"
        )
    return [str(value) for value in values]


def present(domains: Domains, data: Dataset) -> list[np.ndarray]:
    """Positions of the cases of each domain. Raises DataError that names the domains without a case."""
    groups = domains.groups(data)
    absent = [name for name, group in zip(domains.names, groups, strict=True) if not len(group)]
    if absent:
        raise DataError(
            f"no case of {domains.column} {', '.join(absent)} among the {len(data)} to choose from",
            "every domain must occur here: add cases, or leave the domain out",
        )
    return groups


def _cycle(positions: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    """The positions in random order, again and again, each time in another order."""
    while True:
        yield from (int(p) for p in rng.permutation(positions))


def _uniform(rng: np.random.Generator, total: int, parts: int) -> np.ndarray:
    """``parts`` whole numbers of at least 1 that sum to ``total``, every such list being equally likely."""
    cuts = np.sort(rng.choice(np.arange(1, total), size=parts - 1, replace=False))
    return np.diff([0, *cuts, total])


def _one_after_the_other(rng: np.random.Generator, total: int, parts: int) -> np.ndarray:
    """n1 in [1, B - 3], n2 in [1, B - n1 - 2], n3 the rest; with two parts n1 in [1, B - 2]."""
    numbers: Sequence[int] = []
    left = total
    for after in range(parts - 1, 0, -1):
        numbers = [*numbers, int(rng.integers(1, left - after))]
        left -= numbers[-1]
    return np.array([*numbers, left])

"""Which domain a case belongs to. A domain is a value of the nuisance: the site, or any other column of the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Case, Dataset

MOST_NUMBERS = 10
"""A column with more different numbers than this is a quantity, not a name."""


class Domains:
    """The domains of ``data`` by the values of ``column``, sorted by name.

    Args:
        data: the cases that say which domains there are: the training cases of a method.
        column: ``site``, or any column of the table.
        bins: cut a column of numbers into so many parts with equally many cases.

    Attributes:
        names: the domains; ``len(domains)`` is their number.

    Raises DataError for a column that does not exist, that is empty for some cases, or that holds quantities and is not
    to be cut into bins.
    """

    def __init__(self, data: Dataset, column: str = "site", bins: int | None = None) -> None:
        self.column = column
        self.edges: tuple[float, ...] | None = None
        values = self._values(data.cases)
        numbers = sorted({v for v in values if isinstance(v, int | float) and not isinstance(v, bool)})
        if bins is not None:
            self.edges = _edges(values, column, bins)
        elif len(numbers) > MOST_NUMBERS:
            raise DataError(
                f"the column '{column}' holds {len(numbers)} different numbers: it is a quantity, not a domain",
                "cut it into parts with --set nuisance_bins=4, or name a column of texts",
            )
        self.names: tuple[str, ...] = tuple(sorted({self.name_of(case) for case in data.cases}))

    def __len__(self) -> int:
        return len(self.names)

    def require_several(self, method: str) -> None:
        """Raise DataError where there is one domain only: nothing could then be unlearnt."""
        if len(self) < 2:
            raise DataError(
                f"{method} needs at least two values of '{self.column}' in the training cases; there is "
                f"{', '.join(self.names) or 'none'}",
                "give cases of several, name them with --set source=A,B, or train without unlearning",
            )

    def name_of(self, case: Case) -> str:
        """The domain of a case by name."""
        value = self._values([case])[0]
        if self.edges is None:
            return str(value)
        return f"{self.column} {int(np.searchsorted(self.edges, float(value), side='right'))}"  # type: ignore[arg-type]

    def index(self, case: Case) -> int:
        """The domain of a case by number. Raises DataError for one that is not among ``names``."""
        name = self.name_of(case)
        if name not in self.names:
            raise DataError(f"'{name}' is no {self.column} of the training cases", nearest(name, self.names), case.id)
        return self.names.index(name)

    def groups(self, data: Dataset) -> list[np.ndarray]:
        """For each domain the positions of its cases in ``data.cases``; empty where it has none."""
        found: list[list[int]] = [[] for _ in self.names]
        for position, case in enumerate(data.cases):
            found[self.index(case)].append(position)
        return [np.array(group, dtype=int) for group in found]

    def _values(self, cases: Iterable[Case]) -> list[object]:
        cases = list(cases)
        values = [case.value(self.column) for case in cases]
        lacking = [case.id for case, value in zip(cases, values, strict=True) if value is None or value != value]
        if lacking and len(lacking) == len(cases):
            known = {"site", *(name for case in cases for name in case.columns)}
            raise DataError(f"no case has a value in the column '{self.column}'", nearest(self.column, known))
        if lacking:
            raise DataError(
                f"{len(lacking)} case(s) have no '{self.column}' ({', '.join(lacking[:3])})",
                "fill the column, or leave these cases out",
            )
        return values


def _edges(values: Sequence[object], column: str, bins: int) -> tuple[float, ...]:
    try:
        numbers = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"the column '{column}' holds texts, which have no bins", "leave the bins out") from None
    return tuple(float(e) for e in np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1])))


def sum_of_domain_means(values: Tensor, domains: Tensor, count: int) -> Tensor:
    """The sum over domains of the mean of ``values`` (B,) within each; a domain without a case adds 0.

    Args:
        domains: (B,) int64 numbers of domains.
        count: how many domains there are.

    Source: Dinsdale et al. 2020, Eq. 1. A pooled mean would let the largest domain dominate.
    """
    member = torch.nn.functional.one_hot(domains, count).to(values.dtype)
    cases = member.sum(dim=0)
    # no matrix product: autocast would round it
    return ((values[:, None] * member).sum(dim=0) / cases.clamp(min=1)).sum()

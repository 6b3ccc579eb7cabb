"""Rows of a second table by what they are about; a key that repeats is used with its second key, or refused by name."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mdx.data.problems import Problem
from mdx.errors import DataError
from mdx.interfaces.dataset import Case


def one_of(rows: Sequence[Mapping[str, str]], path: Path, key: str, remedy: str) -> Mapping[str, str]:
    """The row that several equal ones are. Raises DataError that names the key and the lines where they differ."""
    first, *others = rows
    differing = [row for row in others if dict(row) != dict(first)]
    if differing:
        lines = ", ".join(str(getattr(row, "line", "?")) for row in [first, *differing][:4])
        columns = sorted({k for row in differing for k in row if row[k] != first.get(k)})
        raise DataError(
            f"names '{key}' {len(rows)} times, with different {', '.join(columns[:3])} (lines {lines})", remedy, path
        )
    return first


class KeyedRows:
    """The rows of a table by one column, and by a second one where the first repeats.

    Numbers that lost their zeros (``1`` for ``001``) are found where only one row can be meant.
    """

    def __init__(
        self, path: Path, rows: Iterable[Mapping[str, str]], key: str, prefix: str, second: str = "",
        second_prefix: str = "",
    ) -> None:  # fmt: skip
        self.path, self.key, self.prefix = path, key, prefix
        self.second, self.second_prefix = second, second_prefix
        self._rows: dict[str, list[Mapping[str, str]]] = defaultdict(list)
        self._bare: dict[str, list[str]] = defaultdict(list)
        self._reached: dict[str, str] = {}
        for row in rows:
            self._rows[row[key].removeprefix(prefix)].append(row)
        for name in self._rows:
            self._bare[_bare(name)].append(name)

    def __bool__(self) -> bool:
        return bool(self._rows)

    def names(self) -> list[str]:
        """The keys, without prefix, in the order of the table."""
        return list(self._rows)

    def knows(self, name: str) -> bool:
        """Whether there are rows of ``name``, or of the only number that it can be."""
        return self._known(name) is not None

    def reached_as(self, name: str) -> str:
        """The name under which a key was asked for: ``001`` for ``1``."""
        return self._reached.get(name, name)

    def row(self, name: str, second: str, messages: list[str]) -> Mapping[str, str]:
        """The row of ``name``, and of ``second`` where its rows differ by it; empty where there is none.

        What had to be guessed is appended to ``messages``. Raises DataError where rows contradict each other.
        """
        known = self._known(name)
        if known is None:
            return {}
        if known != name:
            self._reached[known] = name
            message = f"{self.path.name} writes {self.key} without leading zeros: '{known}' is taken for '{name}'"
            if not any(self.path.name in text and "leading zeros" in text for text in messages):
                messages.append(message)
        rows = self._rows[known]
        if self.second and any(row.get(self.second) for row in rows):
            own = [row for row in rows if row[self.second].removeprefix(self.second_prefix) == second]
            rows = own or [row for row in rows if not row[self.second]]
            if not rows:
                return {}
            return one_of(rows, self.path, f"{self.prefix}{name} {self.second_prefix}{second}", "keep one of the rows")
        remedy = f"add the column '{self.second}', or keep one row" if self.second else "keep one of the rows"
        return one_of(rows, self.path, f"{self.prefix}{name}", remedy)

    def _known(self, name: str) -> str | None:
        if name in self._rows:
            return name
        alike = self._bare.get(_bare(name), []) if name.isdecimal() else []
        return alike[0] if len(alike) == 1 and alike[0].isdecimal() else None


def names_alike(cases: Iterable[Case]) -> Iterator[Problem]:
    """Sites, and subjects of a site, whose names differ only in zeros, letters' case or the way of writing accents."""
    sites: dict[str, set[str]] = defaultdict(set)
    subjects: dict[tuple[str, str], set[str]] = defaultdict(set)
    for case in cases:
        sites[_folded(case.site)].add(case.site)
        subjects[case.site, _folded(case.subject)].add(case.subject)
    for names in filter(lambda names: len(names) > 1, sites.values()):
        yield Problem("the table", f"the sites {_listed(names)} are written nearly alike", "write one site in one way")
    alike = [names for names in subjects.values() if len(names) > 1]
    if alike:
        yield Problem(
            "the table", f"{len(alike)} pair(s) of subjects of a site are written nearly alike, such as "
            f"{_listed(alike[0])}", "write one person in one way, or the splits may separate their scans",
        )  # fmt: skip


def _folded(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_-]+", " ", plain))


def _listed(names: Iterable[str]) -> str:
    """Names in quotes; those that look the same show their accents as codes."""
    shown = sorted(names)
    composed = {unicodedata.normalize("NFC", name) for name in shown}
    return " and ".join(repr(name) if len(composed) == len(shown) else ascii(name) for name in shown)


def _bare(name: str) -> str:
    return name.lstrip("0") or "0"

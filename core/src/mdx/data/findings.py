"""Findings with a column each, read as one column of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mdx.data.config import DataConfig
from mdx.errors import DataError, nearest

SAID = {"1": "{}", "-1": "?{}", "0": "", "": "", "true": "{}", "false": ""}
NOTHING = "No Finding"
"""The cell of a case that has none of the classes (as in ChestX-ray14); an empty cell is a case without label."""
SHOWN = 20


def columns_of(config: DataConfig) -> tuple[str, ...]:
    """The columns that ``data.label`` names, where it names several."""
    names = tuple(name.strip() for name in config.label.split(","))
    if len(names) < 2:
        return ()
    odd = [name for name in names if not name or name.startswith("?") or "|" in name or names.count(name) > 1]
    if odd:
        raise DataError(f"data.label names '{odd[0]}', which is no finding of its own", "name each column once")
    if NOTHING in names:
        raise DataError(f"'{NOTHING}' is no finding", "leave it out: it is every other one being 0")
    return names


def merged(
    columns: Mapping[str, Sequence[str]], names: Sequence[str], lines: Sequence[int], path: Path
) -> list[str | None]:
    """Columns of 1, 0, -1 or nothing as ``A|?B``; None for a case of which no column says anything.

    Raises DataError that names columns which are not there, and the cells that hold anything else.
    """
    missing = [name for name in names if name not in columns]
    if missing:
        hints = "; ".join(f"no column '{name}': {nearest(name, columns)}" for name in missing)
        raise DataError(f"data.label names columns that are missing: {hints}", "name those of the table", path)
    faults: list[str] = []
    made: list[str | None] = []
    for i, line in enumerate(lines):
        found = []
        for name in names:
            cell = columns[name][i].strip().lower().removesuffix(".0")
            if cell not in SAID:
                faults.append(f"line {line}: {name} '{columns[name][i]}'")
            else:
                found.append(SAID[cell].format(name))
        silent = not any(columns[name][i].strip() for name in names)
        made.append(None if silent else "|".join(filter(None, found)) or NOTHING)
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DataError(
            f"findings are 1, 0, -1 (uncertain) or empty: {'; '.join(faults[:SHOWN])}{more}",
            "correct the cells, or name other columns with data.label", path,
        )  # fmt: skip
    return made

"""The table of a cohort: CSV, TSV or Parquet, one row a case, with every problem reported at once."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mdx.data.config import DataConfig
from mdx.data.formats import SUFFIXES, reading, require_file
from mdx.errors import DataError, nearest
from mdx.files import write_atomically
from mdx.interfaces.dataset import Case
from mdx.spreadsheets import NUMBER, defused, undefused

TABLES = (".csv", ".tsv", ".parquet")
SPLITS = ("train", "val", "test")
ROLES = ("source", "target", "reference", "unlabelled")
CASE_COLUMNS = ("case", "id")
EMPTY = {"", "n/a"}
NOT_KNOWN = {"na", "nan", "none", "null", "<na>"}
"""Among numbers, and where a file, a split or a role is named, these mean that there is none; else they are words."""
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
AGE = re.compile(r"(\d{3})([YMWD])", re.ASCII)
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
MOST_CLASSES_OF_NUMBERS = 10


class Row(dict[str, str]):
    """The cells of a row by column, and the line of the file that it begins on."""

    line: int


SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
SHOWN = 20
MOST_DIGITS = 300
LONGEST_NAME = 200
"""Of a case: it names files, to which endings are added."""


def read_table(path: str | Path, config: DataConfig) -> list[Case]:
    """The cases of a table; relative paths in it are relative to the table. No image is touched.

    Columns: ``subject``, ``site`` and those of ``config.image`` must be there; ``mask`` (or ``config.label``, where it
    names files), ``split``, ``role`` and ``case`` may be. A case without an id is named after its subject, with a
    number where the subject has several cases. Raises DataError with all problems of the table.
    """
    path = Path(path)
    return rows_as_cases(*read_rows(path), path, path.parent, config)


def rows_as_cases(
    header: Sequence[str], rows: Sequence[Mapping[str, str]], path: Path, folder: Path, config: DataConfig
) -> list[Case]:
    """The cases of rows of texts; ``path`` is named in errors, relative paths start at ``folder``."""
    needed = (*config.image, "subject", "site")
    missing = [name for name in needed if name not in header]
    if missing:
        hints = "\n  ".join(f"no column '{name}': {nearest(name, header)}" for name in missing)
        raise DataError(
            f"columns are missing:\n  {hints}",
            "rename or add them; another column of images is named with --set data.image=COLUMN",
            path,
        )
    if not rows:
        raise DataError("the table has no rows", "'mdx data init FOLDER' writes one from a folder of images", path)
    rows = [_without_unknown(row, {*config.image, "mask", "split", "role"}) for row in rows]
    mask_column = _mask_column(header, rows, config.label)
    problems = [
        *_empty_cells(rows, needed),
        *_unknown_words(rows, "split", SPLITS),
        *_unknown_words(rows, "role", ROLES),
    ]
    ids, faults = _case_ids(header, rows)
    problems += faults + _subjects_in_two_splits(rows)
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError(
            f"{len(problems)} problem(s) in the table:\n  " + "\n  ".join(problems[:SHOWN]) + more,
            "correct the rows (numbered as lines of the file)",
            path,
        )
    known = {*needed, *CASE_COLUMNS[:1], "split", "role", mask_column}
    others = {name: _typed([row[name] for row in rows]) for name in header if name not in known}
    for name in {"age", config.label} & set(others):
        others[name] = _as_numbers(name, rows, others[name], path)
    locate = _locator(str(folder.absolute()))
    return [
        Case(
            id=ids[i],
            subject=row["subject"],
            site=row["site"],
            images={name: locate(row[name]) for name in config.image},
            mask=locate(row[mask_column]) if mask_column and row[mask_column] else None,
            split=row.get("split") or None,
            role=row.get("role") or None,
            columns={name: values[i] for name, values in others.items()},
        )
        for i, row in enumerate(rows)
    ]


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Header and rows of a table as texts; cells such as ``n/a`` are empty. Raises DataError if it cannot be read."""
    if path.suffix.lower() not in TABLES:
        raise DataError("is no table", f"give a file that ends in {', '.join(TABLES)}", path)
    if not path.exists():
        raise DataError("there is no such table", "check the path, or write one with 'mdx data init'", path)
    require_file(path)
    if path.suffix.lower() == ".parquet":
        with reading(path):
            return _parquet_rows(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            named = re.fullmatch(r"sep=(.)\s*", first)  # Excel's own word for the separator
            if named is None:
                stream.seek(0)
            separator = "\t" if path.suffix.lower() == ".tsv" else named[1] if named else max(",;\t", key=first.count)
            reader = csv.reader(stream, delimiter=separator)
            lines = [(reader.line_num + (named is not None), line) for line in reader]
    except csv.Error as error:
        raise DataError(
            f"is no table ({error})", "close every quote, and keep cells below 131072 characters", path
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({error})", "save it as CSV in UTF-8", path) from error
    header = [name.strip() for name in lines[0][1]] if lines else []
    twice = [name for name, n in Counter(header).items() if n > 1 and name]
    if twice:
        raise DataError(f"the column '{twice[0]}' is there twice", "rename one of them", path)
    wrong = [n for n, line in lines[1:] if len(line) > len(header)]
    if wrong:
        raise DataError(f"line {wrong[0]} has more cells than the header", "quote cells that hold commas", path)
    rows = []
    for n, line in lines[1:]:
        if any(cell.strip() for cell in line):
            row = Row(zip(header, map(_cell, [*line, *[""] * (len(header) - len(line))]), strict=True))
            row.line = n
            rows.append(row)
    return header, rows


def _parquet_rows(path: Path) -> tuple[list[str], list[Row]]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    rows = []
    for n, values in enumerate(table.to_pylist(), start=2):
        row = Row({k: "" if v is None or v != v else _cell(str(v)) for k, v in values.items()})
        row.line = n
        rows.append(row)
    return list(table.column_names), rows


def _cell(text: str) -> str:
    text = text.strip(" \n\x0b\x0c")
    text = undefused(text) if text.startswith("'") else text.strip()
    return "" if text.lower() in EMPTY else text


def _without_unknown(row: Mapping[str, str], columns: Iterable[str]) -> Row:
    """The row with cells such as ``NA`` emptied in columns that hold no words."""
    found = Row(row)
    found.line = getattr(row, "line", 0)
    for name in columns:
        if found.get(name, "").lower() in NOT_KNOWN:
            found[name] = ""
    return found


def _mask_column(header: Sequence[str], rows: Sequence[Mapping[str, str]], label: str) -> str | None:
    if label in header and any(row[label].lower().endswith(SUFFIXES) for row in rows):
        return label
    return "mask" if "mask" in header else None


def _empty_cells(rows: Sequence[Mapping[str, str]], needed: Iterable[str]) -> list[str]:
    return [f"line {n}: '{name}' is empty" for n, row in _numbered(rows) for name in needed if not row[name]]


def _numbered(rows: Sequence[Mapping[str, str]]) -> list[tuple[int, Mapping[str, str]]]:
    """The rows with their lines in the file; of rows that come from no file, their numbers."""
    return [(getattr(row, "line", 0) or n, row) for n, row in enumerate(rows, start=2)]


def _unknown_words(rows: Sequence[Mapping[str, str]], column: str, words: Sequence[str]) -> list[str]:
    return [
        f"line {n}: {column} '{row[column]}' is not known: {nearest(row[column], words)}"
        for n, row in _numbered(rows)
        if row.get(column) and row[column] not in words
    ]


def _case_ids(header: Sequence[str], rows: Sequence[Mapping[str, str]]) -> tuple[list[str], list[str]]:
    column = next((name for name in CASE_COLUMNS if name in header), None)
    if column is not None:
        ids = [row[column] for row in rows]
        problems = [f"line {n}: '{column}' is empty" for n, row in _numbered(rows) if not row[column]]
        problems += [
            f"line {n}: '{row[column]}' cannot name files" for n, row in _numbered(rows)
            if row[column] and not (SAFE_NAME.fullmatch(row[column]) and len(row[column]) <= LONGEST_NAME)
        ]  # fmt: skip
    else:
        total = Counter(row["subject"] for row in rows)
        seen: Counter[str] = Counter()
        ids, problems = [], []
        for row in rows:
            subject = row["subject"]
            seen[subject] += 1
            name = re.sub(r"[^A-Za-z0-9._+-]+", "-", subject).lstrip("._+-") or "case"
            name = name[:LONGEST_NAME]
            ids.append(name if total[subject] == 1 else f"{name}_{seen[subject]}")
    lines = defaultdict(list)
    for (n, _), name in zip(_numbered(rows), ids, strict=True):
        lines[name].append(n)
    problems += [
        f"lines {', '.join(map(str, where[:4]))}: the case '{name}' is there {len(where)} times"
        for name, where in lines.items()
        if len(where) > 1 and name
    ]
    return ids, problems


def _subjects_in_two_splits(rows: Sequence[Mapping[str, str]]) -> list[str]:
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.get("split") and row["subject"]:
            found[row["subject"]].add(row["split"])
    return [
        f"subject {name} is in {' and '.join(sorted(splits))}: keep all of a subject's cases in one split"
        for name, splits in found.items()
        if len(splits) > 1
    ]


def _typed(cells: Sequence[str]) -> Sequence[Any]:
    """A column as int, float or text, whichever holds all its cells; empty ones are None.

    Only plain numbers are numbers: ``1_1`` and ``007`` are names. Among numbers ``NA`` and its like are empty.
    """
    filled = [cell for cell in cells if cell and cell.lower() not in NOT_KNOWN]
    if filled and not any(re.match(r"[+-]?0\d", cell) for cell in filled):
        for kind, pattern in ((int, WHOLE), (float, NUMBER)):
            if all(pattern.fullmatch(cell) and len(cell) < MOST_DIGITS for cell in filled):
                return [kind(cell) if cell and cell.lower() not in NOT_KNOWN else None for cell in cells]
    return [cell or None for cell in cells]


def _as_numbers(name: str, rows: Sequence[Mapping[str, str]], typed: Sequence[Any], path: Path) -> Sequence[Any]:
    """A column of ages, or of labels that are numbers for the most part, as numbers.

    Ages may be written as DICOM does (``045Y``, ``006M``, in years) and with leading zeros; a comma may be the decimal
    point. Raises DataError that names the cells which are no numbers.
    """
    if not any(isinstance(value, str) for value in typed):
        return typed
    found = [_number(row[name], ages=name == "age") for row in rows]
    plain = {value for value in found if value is not None}
    odd = [(n, row[name]) for (n, row), v in zip(_numbered(rows), found, strict=True) if v is None and row[name]]
    odd = [(n, cell) for n, cell in odd if cell.lower() not in NOT_KNOWN]
    if name != "age" and (len(odd) > 0.2 * len(rows) or len(plain) <= MOST_CLASSES_OF_NUMBERS):
        return typed  # classes, some of which are numbers
    if odd:
        listed = "; ".join(f"line {n}: {name} '{cell}' is no number" for n, cell in odd[:SHOWN])
        more = f"; and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
        raise DataError(f"{listed}{more}", "write a number, or empty the cell if it is not known", path)
    return found


def _number(cell: str, ages: bool) -> float | None:
    age = AGE.fullmatch(cell) if ages else None
    if age is not None:
        return float(age[1]) * YEARS[age[2]]
    text = cell.replace(",", ".", 1) if "." not in cell else cell
    return float(text) if NUMBER.fullmatch(text) and len(text) < MOST_DIGITS else None


def _locator(folder: str) -> Callable[[str], Path]:
    """How a cell becomes an absolute path, without touching the file."""
    return lambda cell: Path(os.path.join(folder, os.path.expanduser(cell)))  # noqa: PTH111, PTH118 (half the time)


def write_table(cases: Sequence[Case], path: Path) -> None:
    """Write cases as CSV or TSV that ``read_table`` reads; paths are relative to the table."""
    import io

    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\n")
    header, rows = cases_as_rows(cases, path.parent)
    writer.writerow(header)
    writer.writerows(map(defused, row.values()) for row in rows)
    write_atomically(path, stream.getvalue())


def cases_as_rows(cases: Sequence[Case], folder: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The reverse of ``rows_as_cases``: header and rows of texts, with paths relative to ``folder``."""
    start = str(folder.absolute())
    images = list(cases[0].images) if cases else []
    others = list(dict.fromkeys(name for case in cases for name in case.columns))
    fixed = [name for name in ("mask", "split", "role") if any(case.value(name) is not None for case in cases)]
    header = ["case", "subject", "site", *images, *fixed, *others]
    rows = []
    for case in cases:
        facts = {"mask": case.mask and os.path.relpath(case.mask, start), "split": case.split, "role": case.role}
        cells = [
            case.id, case.subject, case.site, *(os.path.relpath(case.images[name], start) for name in images),
            *(facts[name] for name in fixed), *(case.columns.get(name) for name in others),
        ]  # fmt: skip
        rows.append({k: "" if v is None else str(v) for k, v in zip(header, cells, strict=True)})
    return header, rows

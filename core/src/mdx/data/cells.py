"""Files of tables as texts, by column or row by row: CSV, TSV or Parquet."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

from mdx.data.files.formats import reading, require_file
from mdx.errors import DataError
from mdx.spreadsheets import undefused

TABLES = (".csv", ".tsv", ".parquet")
EMPTY = {"", "n/a"}


class Row(dict[str, str]):
    """The cells of a row by column, and the line of the file that it begins on."""

    __slots__ = ("line",)
    line: int


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Header and rows of a table as texts; cells such as ``n/a`` are empty. Raises DataError if it cannot be read."""
    header, columns, lines = read_columns(path)
    rows = []
    for n, cells in zip(lines, zip(*columns.values(), strict=True), strict=True):
        row = Row(zip(columns, cells, strict=True))
        row.line = n
        rows.append(row)
    return header, rows


def read_columns(path: Path) -> tuple[list[str], dict[str, list[str]], list[int]]:
    """Header, columns and the line of each row, as ``read_rows`` reads them."""
    if path.suffix.lower() not in TABLES:
        raise DataError("is no table", f"give a file that ends in {', '.join(TABLES)}", path)
    if not path.exists():
        raise DataError("there is no such table", "check the path, or write one with 'mdx data init'", path)
    require_file(path)
    if path.suffix.lower() == ".parquet":
        with reading(path):
            return _parquet_columns(path)
    lines, found = _separated(path)
    header = [name.strip() for name in found[0]] if found else []
    twice = [name for name, n in Counter(header).items() if n > 1 and name]
    if twice:
        raise DataError(f"the column '{twice[0]}' is there twice", "rename one of them", path)
    wrong = [n for n, cells in zip(lines[1:], found[1:], strict=True) if len(cells) > len(header)]
    if wrong:
        raise DataError(f"line {wrong[0]} has more cells than the header", "quote cells that hold commas", path)
    rows = [(n, cells) for n, cells in zip(lines[1:], found[1:], strict=True) if any(map(str.strip, cells))]
    for _, cells in rows:
        cells += [""] * (len(header) - len(cells))
    clean = _Cells().__getitem__
    each = zip(*(cells for _, cells in rows), strict=True) if rows else [()] * len(header)
    columns = {name: list(map(clean, column)) for name, column in zip(header, each, strict=True)}
    return header, columns, [n for n, _ in rows]


def _separated(path: Path) -> tuple[list[int], list[list[str]]]:
    """The cells of each row with the line on which it ends."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            named = re.fullmatch(r"sep=(.)\s*", first)  # Excel's own word for the separator
            if named is None:
                stream.seek(0)
            separator = "\t" if path.suffix.lower() == ".tsv" else named[1] if named else max(",;\t", key=first.count)
            reader = csv.reader(stream, delimiter=separator)
            found = [(reader.line_num + (named is not None), cells) for cells in reader]
    except csv.Error as error:
        raise DataError(
            f"is no table ({error})", "close every quote, and keep cells below 131072 characters", path
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({error})", "save it as CSV in UTF-8", path) from error
    return [n for n, _ in found], [cells for _, cells in found]


def _parquet_columns(path: Path) -> tuple[list[str], dict[str, list[str]], list[int]]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    columns = {
        name: ["" if v is None or v != v else _cell(str(v)) for v in column.to_pylist()]
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return list(table.column_names), columns, list(range(2, table.num_rows + 2))


class _Cells(dict[str, str]):
    """Texts of a file -> cells; most stand in many rows."""

    def __missing__(self, text: str) -> str:
        self[text] = cell = _cell(text)
        return cell


def _cell(text: str) -> str:
    text = text.strip(" \n\x0b\x0c")
    text = undefused(text) if text.startswith("'") else text.strip()
    return "" if text.lower() in EMPTY else text

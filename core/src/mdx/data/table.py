"""The table of a cohort: CSV, TSV or Parquet, one row a case, with every problem reported at once."""

from __future__ import annotations

import csv
import gc
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mdx.data.cells import read_columns
from mdx.data.config import DataConfig
from mdx.data.files.box_files import boxes_of, boxes_text, looks_like_boxes, read_boxes
from mdx.data.files.formats import SUFFIXES
from mdx.data.findings import columns_of, merged
from mdx.errors import DataError, UsageError, nearest
from mdx.files import write_atomically
from mdx.interfaces.dataset import Case
from mdx.spreadsheets import NUMBER, defused

SPLITS = ("train", "val", "test")
ROLES = ("source", "target", "reference", "unlabelled")
CASE_COLUMNS = ("case", "id")
NOT_KNOWN = {"na", "nan", "none", "null", "<na>"}
"""Among numbers, and where a file, a split or a role is named, these mean that there is none; else they are words."""
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
AGE = re.compile(r"(\d{3})([YMWD])", re.ASCII)
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
MOST_CLASSES_OF_NUMBERS = 10
Columns = Mapping[str, Sequence[str]]
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
    with _no_search_for_cycles():
        return _as_cases(*read_columns(path), path, path.parent, config)


def rows_as_cases(
    header: Sequence[str], rows: Sequence[Mapping[str, str]], path: Path, folder: Path, config: DataConfig
) -> list[Case]:
    """The cases of rows of texts; ``path`` is named in errors, relative paths start at ``folder``."""
    columns = {name: [row[name] for row in rows] for name in header}
    return _as_cases(header, columns, range(2, len(rows) + 2), path, folder, config)


def _as_cases(
    header: Sequence[str], columns: Mapping[str, Sequence[str]], lines: Sequence[int], path: Path, folder: Path,
    config: DataConfig,
) -> list[Case]:  # fmt: skip
    needed = (*config.image, "subject", "site")
    missing = [name for name in needed if name not in header]
    if missing:
        hints = "\n  ".join(f"no column '{name}': {nearest(name, header)}" for name in missing)
        raise DataError(
            f"columns are missing:\n  {hints}",
            "rename or add them; another column of images is named with --set data.image=COLUMN",
            path,
        )
    if not lines:
        raise DataError("the table has no rows", "'mdx data init FOLDER' writes one from a folder of images", path)
    unset = {name: [""] * len(lines) for name in ("split", "role")}
    columns = unset | {name: _without_unknown(cells) if name in {*config.image, "mask", *unset} else cells
                       for name, cells in columns.items()}  # fmt: skip
    mask_column = _mask_column(columns, config.label)
    problems = [
        *_empty_cells(columns, needed, lines),
        *_unknown_words(columns, "split", SPLITS, lines),
        *_unknown_words(columns, "role", ROLES, lines),
    ]
    ids, faults = _case_ids(columns, lines)
    problems += faults + _subjects_in_two_splits(columns)
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError(
            f"{len(problems)} problem(s) in the table:\n  " + "\n  ".join(problems[:SHOWN]) + more,
            "correct the rows (numbered as lines of the file)",
            path,
        )
    findings = () if config.label in header else columns_of(config)
    known = {*needed, *CASE_COLUMNS[:1], "split", "role", mask_column, *findings}
    others = {name: _typed(columns[name]) for name in header if name not in known}
    if findings:  # hidden as one: no column of theirs stays beside it
        others[config.label] = merged(columns, findings, lines, path)
    for name in {"boxes", *([] if findings else [config.label])} & set(others):
        others[name] = _as_boxes(name, columns[name], lines, others[name], _locator(folder.absolute()), path)
    for name in {"age", *([] if findings else [config.label])} & set(others):
        others[name] = _as_numbers(name, columns[name], lines, others[name], path)
    locate = _locator(folder.absolute())
    images = [list(map(locate, columns[name])) for name in config.image]
    masks = [locate(cell) if cell else None for cell in columns[mask_column]] if mask_column else [None] * len(lines)
    of_case = zip(*others.values(), strict=True) if others else [()] * len(lines)
    facts = (columns[name] for name in ("subject", "site", "split", "role"))
    return [
        Case(
            id=name,
            subject=subject,
            site=site,
            images=dict(zip(config.image, paths, strict=True)),
            mask=mask,
            split=split or None,
            role=role or None,
            columns=dict(zip(others, values, strict=True)),
        )
        for name, subject, site, split, role, paths, mask, values in zip(
            ids, *facts, zip(*images, strict=True), masks, of_case, strict=True
        )
    ]


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Pause the garbage collector: half the time of a large table, whose rows and paths hold no cycle."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _without_unknown(cells: Sequence[str]) -> Sequence[str]:
    """A column that holds no words, with cells such as ``NA`` emptied."""
    unknown = {cell for cell in set(cells) if cell.lower() in NOT_KNOWN}
    return ["" if cell in unknown else cell for cell in cells] if unknown else cells


def _mask_column(columns: Columns, label: str) -> str | None:
    if label in columns and any(cell.lower().endswith(SUFFIXES) for cell in columns[label]):
        return label
    return "mask" if "mask" in columns else None


def _empty_cells(columns: Columns, needed: Sequence[str], lines: Sequence[int]) -> list[str]:
    holed = [name for name in needed if not all(columns[name])]
    if not holed:
        return []
    return [f"line {n}: '{name}' is empty" for i, n in enumerate(lines) for name in holed if not columns[name][i]]


def _unknown_words(columns: Columns, name: str, words: Sequence[str], lines: Sequence[int]) -> list[str]:
    if set(columns[name]) <= {*words, ""}:
        return []
    return [
        f"line {n}: {name} '{cell}' is not known: {nearest(cell, words)}"
        for n, cell in zip(lines, columns[name], strict=True)
        if cell and cell not in words
    ]


def _case_ids(columns: Columns, lines: Sequence[int]) -> tuple[list[str], list[str]]:
    column = next((name for name in CASE_COLUMNS if name in columns), None)
    if column is not None:
        ids = list(columns[column])
        problems = [f"line {n}: '{column}' is empty" for n, name in zip(lines, ids, strict=True) if not name]
        problems += [
            f"line {n}: '{name}' cannot name files" for n, name in zip(lines, ids, strict=True)
            if name and not (SAFE_NAME.fullmatch(name) and len(name) <= LONGEST_NAME)
        ]  # fmt: skip
    else:
        ids, problems = _named_after_subjects(columns["subject"]), []
    if len(set(ids)) == len(ids):
        return ids, problems
    of_name = defaultdict(list)
    for n, name in zip(lines, ids, strict=True):
        of_name[name].append(n)
    problems += [
        f"lines {', '.join(map(str, where[:4]))}: the case '{name}' is there {len(where)} times"
        for name, where in of_name.items()
        if len(where) > 1 and name
    ]
    return ids, problems


def _named_after_subjects(subjects: Sequence[str]) -> list[str]:
    total, seen = Counter(subjects), Counter[str]()
    ids = []
    for subject in subjects:
        name = subject
        if not SAFE_NAME.fullmatch(subject):
            name = re.sub(r"[^A-Za-z0-9._+-]+", "-", subject).lstrip("._+-") or "case"
        name = name[:LONGEST_NAME]
        if total[subject] > 1:
            seen[subject] += 1
            name = f"{name}_{seen[subject]}"
        ids.append(name)
    return ids


def _subjects_in_two_splits(columns: Columns) -> list[str]:
    found: dict[str, set[str]] = defaultdict(set)
    for split, subject in dict.fromkeys(zip(columns["split"], columns["subject"], strict=True)):
        if split and subject:
            found[subject].add(split)
    return [
        f"subject {name} is in {' and '.join(sorted(splits))}: keep all of a subject's cases in one split"
        for name, splits in found.items()
        if len(splits) > 1
    ]


def _typed(cells: Sequence[str]) -> Sequence[Any]:
    """A column as int, float or text, whichever holds all its cells; empty ones are None.

    Only plain numbers are numbers: ``1_1`` and ``007`` are names. Among numbers ``NA`` and its like are empty.
    """
    distinct = set(cells)
    filled = [cell for cell in distinct if cell and cell.lower() not in NOT_KNOWN]
    if filled and not any(re.match(r"[+-]?0\d", cell) for cell in filled):
        for kind, pattern in ((int, WHOLE), (float, NUMBER)):
            if all(pattern.fullmatch(cell) and len(cell) < MOST_DIGITS for cell in filled):
                return list(map({cell: kind(cell) for cell in filled}.get, cells))
    return [cell or None for cell in cells]


def _as_numbers(
    name: str, cells: Sequence[str], lines: Sequence[int], typed: Sequence[Any], path: Path
) -> Sequence[Any]:
    """A column of ages, or of labels that are numbers for the most part, as numbers.

    Ages may be written as DICOM does (``045Y``, ``006M``, in years) and with leading zeros; a comma may be the decimal
    point. Raises DataError that names the cells which are no numbers.
    """
    if not any(isinstance(value, str) for value in typed):
        return typed
    found = [_number(cell, ages=name == "age") for cell in cells]
    plain = {value for value in found if value is not None}
    odd = [(n, cell) for n, cell, v in zip(lines, cells, found, strict=True) if v is None and cell]
    odd = [(n, cell) for n, cell in odd if cell.lower() not in NOT_KNOWN]
    if name != "age" and (len(odd) > 0.2 * len(cells) or len(plain) <= MOST_CLASSES_OF_NUMBERS):
        return typed  # classes, some of which are numbers
    if odd:
        listed = "; ".join(f"line {n}: {name} '{cell}' is no number" for n, cell in odd[:SHOWN])
        more = f"; and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
        raise DataError(f"{listed}{more}", "write a number, or empty the cell if it is not known", path)
    return found


def _as_boxes(
    name: str, cells: Sequence[str], lines: Sequence[int], typed: Sequence[Any], locate: Callable[[str], Path],
    path: Path,
) -> Sequence[Any]:  # fmt: skip
    """A column of lists of boxes, or of their files, as lists; another column as it is.

    Raises DataError that names the lines which hold no boxes.
    """
    filled = [value for value in typed if value is not None]
    if not filled or not all(isinstance(value, str) and looks_like_boxes(value) for value in filled):
        return typed
    made, faults = [], []
    for n, cell in zip(lines, cells, strict=True):
        try:
            found = boxes_of(cell) if cell.startswith("[") else read_boxes(locate(cell)) if cell else None
            made.append(None if found is None else boxes_text(found))
        except DataError as error:
            faults.append(f"line {n}: {f'{error.where}: ' if error.where else ''}{error.what}")
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DataError(
            f"{len(faults)} cell(s) of '{name}' hold no boxes:\n  " + "\n  ".join(faults[:SHOWN]) + more,
            'write [[x1, y1, x2, y2, "class"], ...], or the path of a PASCAL VOC or CSV file', path,
        )  # fmt: skip
    return made


def _number(cell: str, ages: bool) -> float | None:
    age = AGE.fullmatch(cell) if ages else None
    if age is not None:
        return float(age[1]) * YEARS[age[2]]
    text = cell.replace(",", ".", 1) if "." not in cell else cell
    return float(text) if NUMBER.fullmatch(text) and len(text) < MOST_DIGITS else None


def _locator(folder: Path) -> Callable[[str], Path]:
    """How a cell becomes an absolute path, without touching the file."""
    return lambda cell: folder / (os.path.expanduser(cell) if cell[0] == "~" else cell)  # noqa: PTH111


def write_table(cases: Sequence[Case], path: Path) -> None:
    """Write cases as CSV or TSV that ``read_table`` reads; paths are relative to the table.

    Raises UsageError for a name that ends in neither.
    """
    import io

    if path.suffix.lower() not in (".csv", ".tsv"):
        raise UsageError("is no name of a table that can be written", "end it in .csv or .tsv", path)
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\n")
    header, rows = cases_as_rows(cases, path.parent)
    writer.writerow(header)
    writer.writerows(map(defused, row.values()) for row in rows)
    write_atomically(path, stream.getvalue())


def files_of(cases: Sequence[Case]) -> list[Path]:
    """Every image and mask of the cases."""
    return [path for case in cases for path in (*case.images.values(), case.mask) if path is not None]


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

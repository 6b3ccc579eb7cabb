"""``mdx data init``: write the table from a folder of images."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from mdx.data.layouts.joining import Refinement
from mdx.data.layouts.layout import InitResult, read_layout, recognise, split_address
from mdx.data.table import files_of, write_table
from mdx.errors import DataError, UsageError
from mdx.files import refuse_to_replace
from mdx.interfaces.dataset import Case


def init_table(
    folder: str | Path,
    out: str | Path,
    *,
    layout: str | None = None,
    site_from: str | None = None,
    subject_from: str | None = None,
    class_from: str | None = None,
    join: str | Path | None = None,
    on: str | None = None,
    overwrite: bool = False,
) -> InitResult:
    """Find the cases under ``folder`` and write ``out``, a table that ``open_table`` reads.

    Args:
        folder: a folder, or an address such as ``bids:/study?suffix=T1w,FLAIR``.
        layout: how to read it; recognised by itself if not given, ``none`` for a plain folder.
        site_from, subject_from, class_from: a column of the joined table, ``folder``, or a regular expression whose
            first group is looked for in the path.
        join: a table whose columns are added, such as a manifest with the sites.
        on: its column that names the files or subjects; found by itself if not given.

    Raises UsageError for a folder that is none, a table that exists without ``overwrite`` and one that is read,
    DataError where nothing is found.
    """
    out = Path(out)
    scheme, place, options = _address(str(folder))
    tables = [Path(table) for table in (join, options.get("join"), place / "participants.tsv") if table is not None]
    refuse_to_replace([out], tables, overwrite)
    asked = {"site_from": site_from, "subject_from": subject_from, "class_from": class_from, "join": join, "on": on}
    result = find_cases(layout or scheme, place, options, {k: v for k, v in asked.items() if v is not None})
    refuse_to_replace([out], files_of(result.cases), overwrite)
    write_table(result.cases, out)
    return result


def _address(text: str) -> tuple[str | None, Path, dict[str, str]]:
    """(layout or None, folder, options) of ``bids:/study?suffix=T1w``, of ``/study?suffix=T1w`` or of a path."""
    from mdx.data.layouts.layout import layouts

    scheme, colon, rest = text.partition(":")
    scheme, rest = (scheme, rest) if colon and scheme in layouts() and not Path(text).exists() else (None, text)
    path, options = split_address(rest)
    return scheme, Path(path), options


def find_cases(
    layout: str | None,
    folder: Path,
    options: dict[str, str],
    asked: dict[str, str | Path] | None = None,
) -> InitResult:
    """The cases of a folder, refined and named; raises as ``init_table``.

    ``options`` may hold ``site_from``, ``join``... beside the layout's own.
    """
    if not folder.is_dir():
        raise UsageError("is no folder", "give the folder that holds the images", folder)
    folder = folder.absolute()
    refined = {**{k: options[k] for k in Refinement.OPTIONS if k in options}, **(asked or {})}
    refinement = Refinement(**{k: str(v) for k, v in refined.items()})
    name = layout or recognise(folder)
    result = read_layout(name, folder, {k: v for k, v in options.items() if k not in Refinement.OPTIONS})
    if layout is None and name != "folder":
        result.messages.insert(0, f"read in the layout '{name}'; --layout none reads it as a plain folder")
    if not result.cases:
        raise DataError(f"no case was found: {result.reasons() or 'it holds no images'}", "see --layout", folder)
    refinement.apply(result, folder)
    _keep_one_set_of_contrasts(result)
    _doubt_subjects(result)
    _name_cases(result.cases)
    if any(case.mask for case in result.cases) and any(case.columns.get("class") for case in result.cases):
        result.messages.append("masks and classes: the task is segmentation unless --set data.label=class")
    return result


def _keep_one_set_of_contrasts(result: InitResult) -> None:
    """A table has the same columns in every row: cases with other contrasts than most are left out."""
    sets = Counter(tuple(case.images) for case in result.cases)
    (columns, _), *others = sets.most_common()
    if others:
        result.skipped += [
            (case.id, f"it has the images {', '.join(case.images)}, most have {', '.join(columns)}")
            for case in result.cases
            if tuple(case.images) != columns
        ]
        result.cases = [case for case in result.cases if tuple(case.images) == columns]


def _doubt_subjects(result: InitResult) -> None:
    """Say so where names such as 00002658_001 and 00002658_002 look like two images of one subject."""
    by_start: dict[str, list[str]] = defaultdict(list)
    for case in result.cases:
        if case.subject == case.id and not case.id.isdecimal():
            by_start[re.split(r"[_-](?=[^_-]*$)", case.id)[0]].append(case.id)
    several = [names for names in by_start.values() if len(names) > 1]
    if several and len(by_start) > max(
        2, len(result.cases) / 4
    ):  # otherwise the start is the same for all, as in img_1
        result.messages.append(
            f"each image is a subject of its own, but {', '.join(several[0][:2])} may be one person "
            f"({len(several)} such groups): give --subject-from, or splits may separate them"
        )


def _name_cases(cases: list[Case]) -> None:
    """Ids from file names where these differ, else numbered."""
    count, seen = Counter(case.id for case in cases), Counter[str]()
    for i, case in enumerate(cases):
        name = re.sub(r"[^A-Za-z0-9._+-]+", "-", case.id).lstrip("._+-") or "case"
        seen[case.id] += 1
        cases[i] = replace(case, id=name if count[case.id] == 1 else f"{name}_{seen[case.id]}")

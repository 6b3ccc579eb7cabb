"""A second table whose columns join the cases of a folder, and expressions that find facts in paths."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import regex

from mdx.data.cells import read_rows
from mdx.data.files.formats import stem
from mdx.data.layouts.keyed import one_of
from mdx.data.layouts.layout import ONE_SITE, InitResult
from mdx.errors import DataError, UsageError, nearest
from mdx.interfaces.dataset import Case

IMAGE_FOLDERS = {"images", "image", "imgs", "imagestr", "imagests", "anat"}
CHANNEL = re.compile(r"_(\d{4})$")  # nnU-Net numbers the contrasts of a case
PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "filepath")
NAME_COLUMNS = ("subject", "case", "id", "image_id", "subject_id", "participant_id", "name")
MEANINGS = {
    "site": ("site", "site_id", "scanner", "institution", "center", "centre", "hospital", "dataset"),
    "subject": ("subject", "subject_id", "participant_id", "patient", "patient_id", "lesion_id"),
    "class": ("class", "diagnosis", "dx", "group"),
}
"""Names under which tables keep what mdx calls site, subject and class; the first that is there is taken."""
LONGEST_S = 1.0
OWN_COLUMNS = {"subject", "site", "mask", "case", "id", "split", "role", *PATH_COLUMNS}


def column_of(meaning: str, header: Sequence[str]) -> str | None:
    """The column of ``header`` that holds the site, subject or class, in any case of letters."""
    lower = {name.lower(): name for name in reversed(header)}
    return next((lower[name] for name in MEANINGS[meaning] if name in lower), None)


class Refinement:
    """How the cases of a folder get another site, subject or class than the folder itself gives.

    Each of ``site_from``, ``subject_from`` and ``class_from`` is a column of the joined table, or ``folder`` (the
    innermost folder that is not one of images), or a regular expression whose first group is looked for in the path
    within the folder (for the site: in the joined site before).

    Raises UsageError for an expression that is none, DataError for a table or column that is not there.
    """

    OPTIONS = ("site_from", "subject_from", "class_from", "join", "on")

    def __init__(
        self,
        site_from: str | None = None,
        subject_from: str | None = None,
        class_from: str | None = None,
        join: str | Path | None = None,
        on: str | None = None,
    ) -> None:
        self.joined = JoinedTable(Path(join), on) if join is not None else None
        header = self.joined.header if self.joined else []
        self.columns = {meaning: column_of(meaning, header) for meaning in MEANINGS}
        if self.joined is not None and self.columns["subject"] == self.joined.on:
            self.columns["subject"] = None  # it names the case, which is then its own subject
        self.patterns: dict[str, Pattern] = {}
        self.by_folder: set[str] = set()
        for meaning, text in (("subject", subject_from), ("site", site_from), ("class", class_from)):
            if text is None:
                continue
            if text in header:
                self.columns[meaning] = text
            elif text == "folder":
                self.by_folder.add(meaning)
            else:
                self.patterns[meaning] = Pattern(text, meaning)

    def apply(self, result: InitResult, folder: Path) -> None:
        """Change the cases of ``result`` in place; those that nothing matches are left out with the reason."""
        cases, result.cases = result.cases, []
        for case in cases:
            changed = self._changed(case, folder)
            if isinstance(changed, Case):
                result.cases.append(changed)
            else:
                result.skipped.append((_inside(case, folder).as_posix(), changed))
        if not result.cases:
            raise DataError(
                f"no case is left of {len(cases)}: {result.reasons()}", "see --join, --on and --site-from", folder
            )
        if self.joined is not None:
            taken = [
                f"{meaning} from '{name}'" for meaning, name in self.columns.items() if name not in (None, meaning)
            ]
            if taken:
                result.messages.append(f"of {self.joined.path.name}: {', '.join(taken)}")
        if {case.site for case in result.cases} == {ONE_SITE}:
            if self.joined is None:
                _offer_tables(folder, result)
            result.messages.append(f"no site was found, all are '{ONE_SITE}': use --site-from REGEX or --join TABLE")

    def _changed(self, case: Case, folder: Path) -> Case | str:
        found: dict[str, str | None] = {"site": None, "subject": None, "class": None}
        inside, columns = _inside(case, folder), dict(case.columns)
        if self.joined is not None:
            row = self.joined.row(next(iter(case.images.values())), case.subject)
            if row is None:
                return f"has no row in {self.joined.path.name}"
            taken = {name for name in self.columns.values() if name}
            found = {meaning: row[name] or None if name else None for meaning, name in self.columns.items()}
            columns |= {k: v or None for k, v in row.items() if k not in OWN_COLUMNS | taken | {self.joined.on}}
        for meaning in self.by_folder:
            names = [p for p in inside.parts[:-1] if p.lower() not in IMAGE_FOLDERS]
            if not names:
                return f"--{meaning}-from folder: it lies in no folder of its own"
            found[meaning] = names[-1]
        for meaning, pattern in self.patterns.items():
            match = pattern.find(found["site"] or "") if meaning == "site" else None
            match = pattern.find(inside.as_posix()) if match is None else match
            if match is None:
                place = "neither its site nor its path" if meaning == "site" else None
                return f"--{meaning}-from " + (f"matches {place}" if place else "does not match its path")
            found[meaning] = match
        if found["class"] is not None or self.columns["class"]:
            columns = {"class": found["class"], **{k: v for k, v in columns.items() if k != "class"}}
        if self.columns["site"] and found["site"] is None:
            return f"its row in {self.joined.path.name if self.joined else ''} has no '{self.columns['site']}'"
        site = found["site"] or case.site
        if "class" in self.by_folder and found["site"] is None and case.site == found["class"]:
            site = ONE_SITE  # the folder was taken for a site before it was known to be the class
        return replace(case, subject=found["subject"] or case.subject, site=site, columns=columns)


def _inside(case: Case, folder: Path) -> Path:
    path = next(iter(case.images.values()))
    return path.relative_to(folder) if path.is_relative_to(folder) else path


class Pattern:
    """A regular expression from outside, which is given up after a second: some take longer than anyone lives.

    Raises UsageError for what is none.
    """

    def __init__(self, text: str, meaning: str) -> None:
        self.text, self.meaning = text, meaning
        try:
            self.compiled = regex.compile(text)
        except (regex.error, ValueError, RecursionError) as error:
            raise UsageError(
                f"--{meaning}-from '{text:.80}' is no regular expression ({error}), and no column of a joined table",
                "such as 'acq([ABC])'",
            ) from None

    def find(self, text: str) -> str | None:
        """What its first group, or else the whole of it, matches in ``text``; None where it does not match."""
        try:
            match = self.compiled.search(text, timeout=LONGEST_S)
        except TimeoutError:
            raise UsageError(
                f"--{self.meaning}-from '{self.text:.80}' takes more than {LONGEST_S:g} s on '{text:.80}'",
                "write it without repeats inside repeats, such as (a+)+",
            ) from None
        return None if match is None else match.group(1 if self.compiled.groups else 0)


def _offer_tables(folder: Path, result: InitResult) -> None:
    for path in sorted({*folder.glob("*.[ct]sv"), *folder.parent.glob("*.[ct]sv")}):
        site = column_of("site", _header(path))
        if site and path.name != "participants.tsv":
            result.messages.append(f"{path} has a column '{site}': add it with --join {path}")


def _header(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return next(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


class JoinedTable:
    """A table whose rows are found by a file's path or name, or by its subject.

    Attributes:
        path, header: where it is and its columns.
        on: the column that names files or subjects.
    """

    def __init__(self, path: Path, on: str | None) -> None:
        self.path = path
        self.header, rows = read_rows(path)
        known = [name for name in (*PATH_COLUMNS, *NAME_COLUMNS) if name in self.header]
        if on is not None and on not in self.header:
            raise DataError(f"there is no column '{on}'", nearest(on, self.header), path)
        if on is None and not known:
            raise DataError("no column names files or subjects", f"give one with --on: {', '.join(self.header)}", path)
        self.on = on or known[0]
        self.by_path: dict[str, list[Mapping[str, str]]] = defaultdict(list)
        self.by_name: dict[str, list[Mapping[str, str]]] = defaultdict(list)
        self.by_number: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            cell = row[self.on].replace("\\", "/")
            self.by_path[cell].append(row)
            self.by_name[stem(Path(cell))].append(row)
        for name in self.by_name:
            if name.isdecimal():
                self.by_number[name.lstrip("0")].add(name)

    def row(self, image: Path, subject: str) -> Mapping[str, Any] | None:
        """The row whose path ends the image's, else the row of its file name or subject, also without leading zeros.

        Raises DataError where the rows of a path or name contradict each other.
        """
        remedy = "keep one row for each, or name with --on a column that tells them apart"
        parts = image.absolute().parts
        for start in range(len(parts)):
            cell = "/".join(parts[start:])
            if cell in self.by_path:
                return one_of(self.by_path[cell], self.path, cell, remedy)
        for name in (stem(image), CHANNEL.sub("", stem(image)), subject, f"sub-{subject}"):
            alike = self.by_number.get(name.lstrip("0"), set()) if name.isdecimal() else set[str]()
            found = name if name in self.by_name else next(iter(alike)) if len(alike) == 1 else None
            if found is not None:
                return one_of(self.by_name[found], self.path, found, remedy)
        return None

"""``mdx data init``: write the table from a folder of images."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mdx.data.images import SUFFIXES, suffix_of
from mdx.data.table import read_rows, write_table
from mdx.errors import DataError, UsageError, nearest
from mdx.interfaces.dataset import Case

IMAGE_FOLDERS = {"images", "image", "imgs", "imagestr", "imagests", "anat"}
MASK_FOLDERS = {"labels", "label", "masks", "mask", "labelstr", "labelsts", "segmentations", "seg", "annotations"}
_TWIN = {"labelstr": "imagestr", "labelsts": "imagests", "imagestr": "imagestr", "imagests": "imagests"}
_PLAIN = (IMAGE_FOLDERS | MASK_FOLDERS) - set(_TWIN)
MASK_NAME = re.compile(r"[_-](mask|masks|seg|segmentation|dseg|label|labels|gt)$", re.IGNORECASE)
CHANNEL = re.compile(r"_(\d{4})$")  # nnU-Net numbers the contrasts of a case
SUBJECT = re.compile(r"(?:^|[/_])sub-([A-Za-z0-9]+)")  # BIDS
NO_SITE = re.compile(r"sub-|ses-|derivatives$", re.IGNORECASE)
ONE_SITE = "site1"
PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "filepath")
NAME_COLUMNS = ("subject", "case", "id", "image_id", "subject_id", "participant_id", "name")
OWN_COLUMNS = {"subject", "site", "mask", "case", "id", "split", "role", *PATH_COLUMNS}


@dataclass
class InitResult:
    """What was written, what was left out and why, and what the user may want to know."""

    cases: list[Case]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def init_table(
    folder: str | Path,
    out: str | Path,
    *,
    site_from: str | None = None,
    subject_from: str | None = None,
    join: str | Path | None = None,
    on: str | None = None,
    overwrite: bool = False,
) -> InitResult:
    """Pair the images and masks under ``folder`` and write ``out``, a table that ``open_table`` reads.

    Masks lie in folders such as ``labels`` or ``labelsTr``, or end in ``_mask``, ``_seg``, ``_label``. The subject is
    BIDS' ``sub-``, else the file's name; the site is the folder below ``folder``, else one for all.

    Args:
        site_from: regular expression whose first group, found in the path or in the joined site, is the site.
        subject_from: the same for the subject, found in the path.
        join: a table whose columns are added, such as a manifest with the sites.
        on: its column that names the files or subjects; found by itself if not given.

    Raises UsageError for a folder that is none and a table that exists, DataError where nothing is found.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise UsageError("is no folder", "give the folder that holds the images", folder)
    if out.exists() and not overwrite:
        raise UsageError("is there already", "give another --out, or --force to write over it", out)
    patterns = {name: _pattern(text, name) for name, text in (("site", site_from), ("subject", subject_from)) if text}
    result = InitResult([])
    images, masks = _find(folder, out, result)
    if not images:
        raise DataError("holds no images", f"mdx reads {', '.join(SUFFIXES)}; convert others first", folder)
    joined = _Joined(Path(join), on) if join is not None else None
    grouped = _by_case(images)
    paired = _pair(grouped, masks, folder, result)
    for key, channels in grouped.items():
        _add_case(key, channels, paired.get(key), folder, patterns, joined, result)
    if not result.cases:
        raise DataError(
            f"no case is left of {len(grouped)}: {_reasons(result)}", "see --join, --on and --site-from", folder
        )
    _name_cases(result.cases)
    _advise(folder, joined, result)
    write_table(result.cases, out)
    return result


def _pattern(text: str, name: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--{name}-from '{text}' is no regular expression ({error})", "such as 'acq([ABC])'") from None


def _find(folder: Path, out: Path, result: InitResult) -> tuple[list[Path], list[Path]]:
    images, masks, others = [], [], Counter[str]()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file() or path == out:
            continue
        if not suffix_of(path):
            others["".join(path.suffixes[-1:]) or path.name] += 1
        elif _is_mask(inside):
            masks.append(path)
        else:
            images.append(path)
    result.skipped += [(f"{n} file(s) *{suffix}", "not an image that mdx reads") for suffix, n in others.most_common()]
    return images, masks


def _is_mask(inside: Path) -> bool:
    folders = {part.lower() for part in inside.parts[:-1]}
    return bool(folders & MASK_FOLDERS) or bool(MASK_NAME.search(stem(inside)))


def stem(path: Path) -> str:
    """The name without its suffix: ``scan`` of ``scan.nii.gz``."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def _by_case(images: Iterable[Path]) -> dict[Path, list[Path]]:
    """Folder and name without nnU-Net's channel number -> its files."""
    grouped: dict[Path, list[Path]] = defaultdict(list)
    for path in images:
        grouped[path.parent / CHANNEL.sub("", stem(path))].append(path)
    return dict(grouped)


def _pair(
    grouped: Mapping[Path, Sequence[Path]], masks: Iterable[Path], folder: Path, result: InitResult
) -> dict[Path, Path]:
    """The mask of each case: of equal name, or the longest name that its own begins with, nearest in the tree."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for mask in masks:
        by_name[MASK_NAME.sub("", stem(mask))].append(mask)
    paired: dict[Path, Path] = {}
    for key in grouped:
        parts = re.split(r"(?=[_-])", key.name)
        names = ("".join(parts[:n]) for n in range(len(parts), 0, -1))
        candidates = next((near for name in names if (near := _near(by_name.get(name, ()), key, folder))), [])
        if len(candidates) == 1:
            paired[key] = candidates[0]
        elif candidates:
            listed = ", ".join(str(path.relative_to(folder)) for path in candidates[:3])
            result.messages.append(f"{key.relative_to(folder)} has several masks ({listed}): none was taken")
    used = set(paired.values())
    unused = [mask for of_name in by_name.values() for mask in of_name if mask not in used]
    result.skipped += [(str(mask.relative_to(folder)), "a mask without an image") for mask in sorted(unused)]
    return paired


def _near(masks: Iterable[Path], key: Path, folder: Path) -> list[Path]:
    """The masks whose folders are those of the image, apart from ``images`` against ``labels``."""
    own = _place(key.relative_to(folder))
    return [mask for mask in masks if _place(mask.relative_to(folder)) == own]


def _place(inside: Path) -> tuple[str, ...]:
    return tuple(_TWIN.get(part.lower(), part) for part in inside.parts[:-1] if part.lower() not in _PLAIN)


def _add_case(
    key: Path,
    channels: Sequence[Path],
    mask: Path | None,
    folder: Path,
    patterns: Mapping[str, re.Pattern[str]],
    joined: _Joined | None,
    result: InitResult,
) -> None:
    inside = key.relative_to(folder)
    name = str(channels[0].relative_to(folder))
    bids = SUBJECT.search(inside.as_posix())
    subject = bids.group(1) if bids else key.name
    if "subject" in patterns:
        found = patterns["subject"].search(inside.as_posix())
        if found is None:
            result.skipped.append((name, "--subject-from does not match its path"))
            return
        subject = _group(found)
    columns: dict[str, Any] = {}
    site = _site_folder(inside)
    if joined is not None:
        row = joined.row(channels[0], subject)
        if row is None:
            result.skipped.append((name, f"has no row in {joined.path.name}"))
            return
        subject, site = row.get("subject") or subject, row.get("site") or site
        columns = {k: v or None for k, v in row.items() if k not in OWN_COLUMNS and k != joined.on}
    if "site" in patterns:
        found = patterns["site"].search(site or "") or patterns["site"].search(inside.as_posix())
        if found is None:
            result.skipped.append((name, "--site-from matches neither its site nor its path"))
            return
        site = _group(found)
    numbered = len(channels) > 1
    images = {f"image_{CHANNEL.search(stem(p)).group(1)}" if numbered else "image": p for p in channels}  # type: ignore[union-attr]
    result.cases.append(Case(key.name, subject, site or ONE_SITE, images, mask, columns=columns))


def _group(found: re.Match[str]) -> str:
    return found.group(1) if found.re.groups else found.group(0)


def _site_folder(inside: Path) -> str | None:
    names = [p for p in inside.parts[:-1] if p.lower() not in IMAGE_FOLDERS | MASK_FOLDERS and not NO_SITE.match(p)]
    return names[0] if names else None


def _name_cases(cases: list[Case]) -> None:
    """Ids from file names where these differ, else from the table's own rule (subject and number)."""
    count, seen = Counter(case.id for case in cases), Counter[str]()
    for i, case in enumerate(cases):
        name = re.sub(r"[^A-Za-z0-9._+-]+", "-", case.id).lstrip("._+-") or "case"
        seen[case.id] += 1
        cases[i] = replace(case, id=name if count[case.id] == 1 else f"{name}_{seen[case.id]}")


def _reasons(result: InitResult) -> str:
    return "; ".join(f"{reason} ({n})" for reason, n in Counter(reason for _, reason in result.skipped).most_common(3))


def _advise(folder: Path, joined: _Joined | None, result: InitResult) -> None:
    without = sum(case.mask is None for case in result.cases)
    if 0 < without < len(result.cases):
        result.messages.append(f"{without} of {len(result.cases)} cases have no mask")
    columns = {name for case in result.cases for name in case.images}
    if columns != {"image"}:
        result.messages.append(f"several contrasts: use --set data.image={','.join(sorted(columns))}")
    if {case.site for case in result.cases} == {ONE_SITE}:
        result.messages.append(f"no site was found, all are '{ONE_SITE}': use --site-from REGEX or --join TABLE")
    if joined is None:
        beside = sorted({*folder.glob("*.[ct]sv"), *folder.parent.glob("*.[ct]sv")})
        offers = [path for path in beside if "site" in _header(path)]
        result.messages += [f"{path} has a column 'site': add it with --join {path}" for path in offers]


def _header(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return next(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


class _Joined:
    """A table whose rows are found by a file's path or name, or by its subject."""

    def __init__(self, path: Path, on: str | None) -> None:
        self.path = path
        header, self.rows = read_rows(path)
        known = [name for name in (*PATH_COLUMNS, *NAME_COLUMNS) if name in header]
        if on is not None and on not in header:
            raise DataError(f"there is no column '{on}'", nearest(on, header), path)
        if on is None and not known:
            raise DataError("no column names files or subjects", f"give one with --on: {', '.join(header)}", path)
        self.on = on or known[0]
        self.by_path: dict[str, dict[str, str]] = {}
        self.by_name: dict[str, list[dict[str, str]]] = defaultdict(list)
        for row in self.rows:
            cell = row[self.on].replace("\\", "/")
            self.by_path[cell] = row
            self.by_name[stem(Path(cell))].append(row)

    def row(self, image: Path, subject: str) -> dict[str, str] | None:
        """The row whose path ends the image's, else the only row of its file name or subject."""
        parts = image.absolute().parts
        for start in range(len(parts)):
            row = self.by_path.get("/".join(parts[start:]))
            if row is not None:
                return row
        for name in (stem(image), CHANNEL.sub("", stem(image)), subject, f"sub-{subject}"):
            rows = self.by_name.get(name, [])
            if len(rows) == 1:
                return rows[0]
        return None

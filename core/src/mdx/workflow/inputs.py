"""What ``mdx apply`` is given: files, patterns, folders, tables and addresses, each as the cases that it stands for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from glob import glob, has_magic
from pathlib import Path, PurePath

from mdx.data.cells import TABLES
from mdx.data.config import DataConfig
from mdx.data.files.dicom import is_dicom_file
from mdx.data.files.formats import stem, suffix_of
from mdx.data.layouts.layout import layouts, read_layout
from mdx.data.open import read_folder
from mdx.data.table import read_table
from mdx.errors import DataError, UsageError
from mdx.files import folder_and_part
from mdx.interfaces.dataset import Case

CHANNEL_COLUMN = re.compile(r"image_\d{4}")
"""How the contrasts of a folder are called where files end in _0000, _0001, ..."""


@dataclass(frozen=True)
class Input:
    """One case to predict.

    Attributes:
        shown: what messages call it: the text that was given, or the file that it led to.
        images: a file for each column of the run.
        name: of what is written, below ``place``, a folder within ``--out``: a tree of files makes the same tree.
        site: of a table's row; None for files.
    """

    shown: str
    images: dict[str, Path]
    name: str
    place: PurePath = field(default_factory=PurePath)
    site: str | None = None


def inputs_of(texts: Sequence[str], config: DataConfig, out: Path | None = None) -> list[Input]:
    """The cases of the words of a command line, in their order.

    A file or a folder of DICOM slices is one, and so are the contrasts of a case with commas between them; a pattern
    (``"scans/*.nii.gz"``) is its files; any other folder is the images below it, without those that are masks by their
    names; a table (``cohort.csv``) or an address (``bids:/study``) is its rows.

    Args:
        out: what lies there is no input of a folder that it lies in: it was predicted before.

    Raises DataError for what leads to no image and for two cases of one name, UsageError for other contrasts.
    """
    found = [item for text in texts for item in _of_text(text, config, out)]
    seen: dict[tuple[PurePath, str], Input] = {}
    for item in found:
        for path in item.images.values():
            require_image(path)
        if (item.place, item.name) in seen:
            raise DataError(f"two files are named '{item.name}'", "apply them one by one with different --out",
                            item.shown)  # fmt: skip
        seen[item.place, item.name] = item
    return found


def _of_text(text: str, config: DataConfig, out: Path | None) -> Iterator[Input]:
    scheme, colon, rest = text.partition(":")
    path = _at_home(text)
    parts = [_at_home(part) for part in text.split(",")] if len(config.image) > 1 else []
    if len(parts) > 1 and all(map(_exists, parts)):
        if len(parts) != len(config.image):
            raise UsageError(_too_few(text, len(parts), config))
        yield Input(text, dict(zip(config.image, parts, strict=True)), case_name(parts[0]))
    elif colon and scheme == "csv":
        yield from _of_cases(read_table(_at_home(rest), _as_elsewhere(config)))
    elif colon and scheme in layouts() and not _exists(path):
        yield from _of_cases(read_folder(scheme, rest, _as_elsewhere(config))[0])
    elif text.lower().endswith(TABLES) and path.is_file():
        yield from _of_cases(read_table(path, _as_elsewhere(config)))
    elif has_magic(text) and not _exists(path):
        files = sorted(map(Path, glob(str(path), recursive=True)))  # noqa: PTH207 - of any folder
        if not files:
            raise DataError("no file has such a name", "check the pattern, and put it in quotes", text)
        for file in files:
            yield from _of_path(file, config, out)
    elif len(parts) > 1:
        if len(parts) != len(config.image):
            raise UsageError(_too_few(text, len(parts), config))
        yield Input(text, dict(zip(config.image, parts, strict=True)), case_name(parts[0]))
    else:
        yield from _of_path(path, config, out, text)


def _of_path(path: Path, config: DataConfig, out: Path | None, text: str | None = None) -> Iterator[Input]:
    """A file or a DICOM series, or else the images of a folder."""
    shown = text or str(path)
    if _exists(path) and path.is_dir() and not _is_series(path):
        cases = read_layout("folder", path, {}).cases
        for case in cases:
            files = list(case.images.values())
            if out is not None and out.absolute() in files[0].absolute().parents:
                continue
            images = by_column(case, config)
            place = PurePath(files[0].parent.relative_to(path.absolute()))
            yield Input(str(path / place / files[0].name), images, case_name(files[0]), place)
        return
    if len(config.image) > 1:
        raise UsageError(_too_few(shown, 1, config))
    yield Input(shown, dict.fromkeys(config.image, path), case_name(path))


def by_column(case: Case, config: DataConfig) -> dict[str, Path]:
    """The files of a case of a folder as the columns of the run: by name, or in order where they are numbered on.

    Raises UsageError for other contrasts.
    """
    if set(case.images) == set(config.image):
        return {name: case.images[name] for name in config.image}
    numbered = [name for name in case.images if CHANNEL_COLUMN.fullmatch(name)]
    in_order = numbered == [f"image_{i:04d}" for i in range(len(numbered))]
    of_the_run = any(CHANNEL_COLUMN.fullmatch(name) for name in config.image)
    if len(case.images) != len(config.image) or of_the_run or not in_order:
        there = ", ".join(path.name for path in case.images.values())
        raise UsageError(f"'{case.id}' has {there}, the run needs {', '.join(config.image)}", "name them with commas")
    return dict(zip(config.image, case.images.values(), strict=True))


def _at_home(text: str) -> Path:
    """A path whose ``~`` is the user's folder; of nobody's it stays as it is."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises for a user that is none


def _of_cases(cases: Sequence[Case]) -> Iterator[Input]:
    for case in cases:
        yield Input(case.id, dict(case.images), case.id, site=case.site)


def _as_elsewhere(config: DataConfig) -> DataConfig:
    """As another table is read, which need not have the run's sites or its labels."""
    return config.elsewhere().model_copy(update={"label": "mask"})


def _too_few(shown: str, count: int, config: DataConfig) -> str:
    needed = ", ".join(config.image)
    return f"'{shown}' names {count} file(s), the run needs {len(config.image)}: {needed}"


def _is_series(folder: Path) -> bool:
    """Whether DICOM files lie directly in a folder."""
    try:
        return any(path.is_file() and path.name != "DICOMDIR" and is_dicom_file(path) for path in folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", "check its permissions", folder) from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or with a zero in it
        return False


def require_image(path: Path) -> None:
    """Raise DataError for a path that leads to no image: neither a regular file nor a folder with a DICOM series."""
    try:
        found = path.is_file() or folder_and_part(path) is not None
    except (OSError, ValueError) as error:  # a name too long, or with a zero in it
        raise DataError(f"is no path ({error})", "check the path", repr(str(path))[:80]) from error
    if not found:
        raise DataError("there is no such file", "check the path", path)


def case_name(path: Path) -> str:
    """What predictions for a file are called: ``scan`` of ``scan.nii.gz``; a folder of DICOM files keeps its name."""
    if suffix_of(path):
        return stem(path)
    return path.name if folder_and_part(path) is not None else path.stem


def named(case: Case, item: Input) -> Case:
    """The case of a file with what the table says of it."""
    return case if item.site is None else replace(case, id=item.name, site=item.site)

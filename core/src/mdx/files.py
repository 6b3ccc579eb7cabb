"""Writing files so that a reader never finds half of one."""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mdx.errors import ResourceError, UsageError

LINK_TO_NOTHING = "a link to a file that is not here (git-annex, DataLad: get it first)"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without an error.

    Raises ResourceError for a full disk, a file size limit or a folder that cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path_suffix(path), dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # read once: os.umask can only be read by setting it, which is not safe beside other threads


def path_suffix(path: Path) -> str:
    """``.nii.gz`` of ``scan.nii.gz``, else the last suffix."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix


def cannot_write(path: Path, error: OSError) -> ResourceError:
    """The error for a failed write."""
    return ResourceError(
        f"cannot be written ({error.strerror or error})",
        "free disk space or choose another folder; what was finished before is kept",
        path,
    )


def folder_and_part(path: Path) -> tuple[Path, str] | None:
    """``folder`` or ``folder#part`` of what is a folder on disk, as one series of a folder of DICOM files is named."""
    if path.is_dir():
        return path, ""
    name, mark, part = path.name.rpartition("#")
    folder = path.with_name(name) if mark and name else None
    return (folder, part) if folder is not None and folder.is_dir() else None


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder in the order of names; links to folders are followed.

    A folder is given itself where it cannot be gone into: it cannot be read, or is a link back to one above it.
    """
    yield from _inside(folder, frozenset({_same_file(folder)}))


def _inside(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    for entry in entries:
        path = folder / entry.name
        if not _leads_to_folder(entry) or (state := _same_file(path)) in above:
            yield path
        else:
            yield from _inside(path, above | {state})


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def why_not_walked(folder: Path) -> str:
    """The reason for which ``walk`` gave a folder instead of what is in it."""
    return (
        "a link that leads back to a folder above it" if os.access(folder, os.R_OK) else "a folder that cannot be read"
    )


def file_state(path: Path) -> tuple[int, int]:
    """Size and time of change in nanoseconds; of a folder, the sum of the sizes of the files directly in it and a
    number that changes with the name, size or time of any of them.

    Raises OSError for a path that leads to nothing.
    """
    inside = folder_and_part(path)
    if inside is None:
        state = path.stat()
        return state.st_size, state.st_mtime_ns
    states = sorted((e.name, (s := e.stat()).st_size, s.st_mtime_ns) for e in os.scandir(inside[0]) if e.is_file())
    return sum(size for _, size, _ in states), zlib.crc32(repr(states).encode())


def refuse_to_replace(targets: Iterable[Path], inputs: Iterable[Path], force: bool = False) -> None:
    """Raise UsageError if one of the ``targets`` is there already, unless ``force``; if it is an input, always.

    An input is known under whatever name it is reached: through links, hard links and another spelling of its path.
    """
    read = {_same_file(path): path for path in inputs if path.exists()}
    for target in targets:
        if not target.exists():
            continue
        if _same_file(target) in read:
            raise UsageError("is what is read: it would be lost", "write to another folder with --out", target)
        if not force:
            raise UsageError(
                "is there already", "write to another folder with --out, or replace it with --force", target
            )


def _same_file(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file, or leave the old one as it was."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON; numpy numbers become plain ones, NaN becomes null."""
    write_atomically(path, json.dumps(plain(value), indent=1, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """``value`` with tuples as lists, paths as texts, numpy numbers as plain ones and NaN as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and value != value:
        return None
    return value

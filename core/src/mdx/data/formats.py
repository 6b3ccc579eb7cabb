"""Which files are images, and what every format shares: reading bytes whole and writing them whole."""

from __future__ import annotations

from pathlib import Path

from mdx.errors import DataError
from mdx.files import cannot_write, replacing

VOLUMES = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg")
TIFFS = (".tiff", ".tif")
DICOMS = (".dcm", ".ima")
SUFFIXES = VOLUMES + PICTURES + TIFFS + DICOMS


def suffix_of(path: str | Path) -> str:
    """``.nii.gz``, ``.png``, ``.tif``, ``.dcm`` and so on, in lower case; empty for a file of no known suffix."""
    name = str(path).lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def stem(path: Path) -> str:
    """The name without its suffix: ``scan`` of ``scan.nii.gz``."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def no_such_file(path: Path) -> DataError:
    """The error for a path that leads to nothing."""
    return DataError("there is no such file", "correct the path; relative ones start at the table", path)


def damaged(path: Path, error: object) -> DataError:
    """The error for a file that ends early or does not decode."""
    return DataError(f"is truncated or damaged ({error})", "copy or export it again", path)


def file_content(path: Path) -> bytes:
    """The bytes of a file. Raises DataError where there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise no_such_file(path) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", "check the path and its permissions", path) from error
    if not content:
        raise DataError("the file is empty", "copy or export it again", path)
    return content


def write_content(path: Path, content: bytes) -> None:
    """Write a file and the folders above it. Raises ResourceError if it cannot be written whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    with replacing(path) as temporary:
        temporary.write_bytes(content)

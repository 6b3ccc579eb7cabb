"""Which files are images, and what every format shares: reading bytes whole and writing them whole."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mdx.errors import ConfigError, DataError, MdxError
from mdx.files import cannot_write, replacing

VOLUMES = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg")
TIFFS = (".tiff", ".tif")
DICOMS = (".dcm", ".ima")
SUFFIXES = VOLUMES + PICTURES + TIFFS + DICOMS
MOST_VALUES = 1 << 28
"""Voxels times channels of one file, unless MDX_MAX_VALUES says otherwise: 512 x 512 x 1024, 1 GiB as float32."""


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


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever a reader of foreign bytes stumbles over inside becomes a DataError that names the file and the cause."""
    try:
        yield
    except MdxError as error:
        raise error if error.where else type(error)(error.what, error.remedy, path) from error
    except MemoryError as error:
        raise DataError("does not fit into memory", "free memory, or give a smaller image", path) from error
    except Exception as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def most_values() -> int:
    """The limit of ``require_bearable``. Raises ConfigError where MDX_MAX_VALUES is no whole number above 0."""
    text = os.environ.get("MDX_MAX_VALUES", "")
    if not text:
        return MOST_VALUES
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"MDX_MAX_VALUES is '{text}'", "give a whole number of values, such as 500000000")
    return int(text)


def require_bearable(path: Path, shape: Sequence[int]) -> None:
    """Raise DataError, before memory is taken, for an image that claims more values than the limit."""
    claimed, limit = math.prod(int(n) for n in shape), most_values()
    if claimed > limit or min(shape, default=1) < 0:
        raise DataError(
            f"claims {' x '.join(map(str, shape))} values, the limit is {limit}",
            "if that is right, set MDX_MAX_VALUES higher; else the header is damaged", path,
        )  # fmt: skip


def require_file(path: Path) -> int:
    """The size in bytes of a regular file. Raises DataError for anything else: a pipe would never end."""
    try:
        state = path.stat()
    except FileNotFoundError:
        raise no_such_file(path) from None
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or error
        raise DataError(f"cannot be read ({what})", "check the path and its permissions", path) from error
    if not stat.S_ISREG(state.st_mode):
        raise DataError("is no regular file", "give the path of an image or a table", path)
    return state.st_size


def file_content(path: Path) -> bytes:
    """The bytes of a file. Raises DataError where there is none, and for one beyond all limits."""
    size = require_file(path)
    if size > 8 * most_values():
        raise DataError(f"has {size} bytes", "if that is right, set MDX_MAX_VALUES higher", path)
    try:
        content = path.read_bytes()
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

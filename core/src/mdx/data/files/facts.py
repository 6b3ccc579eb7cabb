"""What is in each file, read once with all cores and remembered by path, size and time of change."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mdx import console, progress
from mdx.cache import cache_dir
from mdx.data.files.formats import no_such_file, reading
from mdx.data.files.images import as_labels, bring_to_ras, count_not_finite, decode
from mdx.errors import DataError, MdxError
from mdx.files import file_state, plain, replacing
from mdx.interfaces.geometry import Geometry

VERSION = 6  # raise it when the same file gives other facts
Kind = Literal["image", "mask"]
FEWEST_OF_A_RIM = 10
PERCENTILES = (1, 50, 99)
MOST_VALUES = 100_000
"""Of this many values, evenly spaced in a file, percentiles are taken."""


@dataclass(frozen=True)
class FileFacts:
    """What was found in a file.

    Attributes:
        shape: spatial shape in RAS; ``affine``: the matrix of that grid, row by row.
        channels: number of channels.
        axcodes: axis codes as stored; empty for plain images.
        dtype: type as stored.
        spacing_mm: voxel edges in RAS order.
        minimum, maximum: of the finite values.
        percentiles: the 1st, 50th and 99th of an image's finite values; empty for a mask.
        not_finite: how many values are NaN or infinite.
        labels: voxels of each value above 0, for masks.
        rims: values of a mask nine tenths of whose voxels lie between a lower and a higher neighbour.
        digest: hash of the values in RAS, so that one scan in two formats is found to be one.
    """

    shape: tuple[int, ...]
    affine: tuple[float, ...]
    channels: int
    axcodes: str
    dtype: str
    spacing_mm: tuple[float, ...]
    minimum: float
    maximum: float
    percentiles: tuple[float, ...]
    not_finite: int
    labels: Mapping[int, int]
    rims: tuple[int, ...]
    digest: str

    @property
    def grid(self) -> Geometry:
        """The RAS grid."""
        return Geometry(np.array(self.affine).reshape(4, 4), self.shape, self.axcodes)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return abs(float(np.linalg.det(self.grid.affine[:3, :3]))) / 1000


def read_facts(paths: Iterable[Path], kind: Kind) -> dict[Path, FileFacts | DataError]:
    """The facts of every file, or why it cannot be used. A mask must hold whole numbers from 0 on."""
    found: dict[Path, FileFacts | DataError] = {}
    unread: dict[Path, str] = {}
    books: dict[Path, dict[str, Any]] = {}
    for path in dict.fromkeys(paths):
        if path.parent not in books:
            books[path.parent] = _open_book(path.parent, kind)
        book = books[path.parent]
        try:
            key = file_key(path, VERSION, kind)
        except DataError as error:
            found[path] = error
            continue
        known = _recall(book.get(key))
        if known is None:
            unread[path] = key
        else:
            found[path] = known
    if unread:
        console.detail(f"{kind}s: {len(found)} known from before, {len(unread)} to be read")
    changed = set[Path]()
    try:
        # threads: reading, unzipping and decoding release the GIL
        with ThreadPoolExecutor(max_workers=cores()) as pool:
            told = progress.each(unread, f"reading {kind}s", aloud=False) if unread else ()
            for path, facts in zip(told, pool.map(lambda path: _facts(path, kind), unread), strict=True):
                found[path] = facts
                if isinstance(facts, FileFacts):
                    books[path.parent][unread[path]] = plain(vars(facts))
                    changed.add(path.parent)
    finally:  # what was read before an interruption is not read again
        for folder in changed:
            _keep_book(folder, kind, books[folder])
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def file_key(path: Path, *more: object) -> str:
    """A name for what is derived from a file as it is now. Raises DataError if there is none."""
    try:
        state = file_state(path)
    except OSError:
        raise no_such_file(path) from None
    identity = json.dumps([str(path.resolve()), *state, *map(str, more)])
    return hashlib.sha256(identity.encode()).hexdigest()[:40]


def _facts(path: Path, kind: Kind) -> FileFacts | DataError:
    try:
        with reading(path):
            return find_facts(path, kind)
    except DataError as error:
        return error
    except MdxError as error:  # a plugin's reader that fails is a fault of that file for the others
        return DataError(error.what, error.remedy, error.where)


def _book(folder: Path, kind: Kind) -> Path:
    """One file for a folder's images and one for its masks: a file for each image takes longer than reading it."""
    name = hashlib.sha256(f"{folder.resolve()} {kind}".encode()).hexdigest()[:40]
    return cache_dir("facts") / f"{name}.json"


def _open_book(folder: Path, kind: Kind) -> dict[str, Any]:
    try:
        raw = json.loads(_book(folder, kind).read_text(encoding="utf-8"))
        return raw if isinstance(raw, dict) else {}
    except (OSError, ValueError):
        return {}  # not there, or damaged: found again


def _keep_book(folder: Path, kind: Kind, book: dict[str, Any]) -> None:
    with replacing(_book(folder, kind)) as temporary:  # another process may have added to it meanwhile
        temporary.write_text(json.dumps({**_open_book(folder, kind), **book}), encoding="utf-8")


def _recall(raw: Any) -> FileFacts | None:
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return FileFacts(**{**values, "labels": {int(k): v for k, v in raw["labels"].items()}})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def find_facts(path: Path, kind: Kind) -> FileFacts:
    """Read a file whole. Raises DataError if it cannot be read, or is no mask where one is asked for."""
    values, layout, dtype = decode(path, mask=kind == "mask")
    stored, geometry = bring_to_ras(values, layout)
    labels: dict[int, int] = {}
    rims: tuple[int, ...] = ()
    not_finite = count_not_finite(values)
    if kind == "mask" and not not_finite:
        drawn = as_labels(path, values)[0]
        counts = np.bincount(drawn.ravel())
        labels = {int(v): int(counts[v]) for v in np.flatnonzero(counts) if v > 0}
        rims = _rims(drawn, labels)
    finite = values[np.isfinite(values)] if not_finite else values
    return FileFacts(
        shape=tuple(int(n) for n in geometry.shape),
        affine=tuple(float(v) for v in geometry.affine.ravel()),
        channels=int(stored.shape[0]),
        axcodes=geometry.axcodes,
        dtype=dtype,
        spacing_mm=geometry.spacing_mm,
        minimum=float(finite.min()) if finite.size else float("nan"),
        maximum=float(finite.max()) if finite.size else float("nan"),
        percentiles=_percentiles(finite) if kind == "image" and finite.size else (),
        not_finite=not_finite,
        labels=labels,
        rims=rims,
        digest=_digest(stored),
    )


def _percentiles(values: np.ndarray) -> tuple[float, ...]:
    some = values.ravel()[:: max(1, values.size // MOST_VALUES)]
    return tuple(float(v) for v in np.percentile(some, PERCENTILES))


def _rims(drawn: np.ndarray, labels: Mapping[int, int]) -> tuple[int, ...]:
    """The values that lie between two others, as interpolation between labels leaves them."""
    if len(labels) < 2:
        return ()
    lower, higher = np.zeros(drawn.shape, bool), np.zeros(drawn.shape, bool)
    for axis in range(drawn.ndim):
        ahead = tuple(slice(1, None) if a == axis else slice(None) for a in range(drawn.ndim))
        behind = tuple(slice(None, -1) if a == axis else slice(None) for a in range(drawn.ndim))
        rises, falls = drawn[ahead] > drawn[behind], drawn[ahead] < drawn[behind]
        lower[ahead] |= rises
        higher[behind] |= rises
        lower[behind] |= falls
        higher[ahead] |= falls
    between = np.bincount(drawn[lower & higher].ravel(), minlength=max(labels) + 1)
    return tuple(v for v, n in sorted(labels.items()) if n >= FEWEST_OF_A_RIM and between[v] >= 0.9 * n)


def _digest(values: np.ndarray) -> str:
    found = hashlib.blake2b(str(values.shape).encode(), digest_size=16)
    found.update(np.ascontiguousarray(values, dtype=np.float32).data)
    return found.hexdigest()

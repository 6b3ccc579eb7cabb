"""What is in each file, read once with all cores and remembered by path, size and time of change."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mdx.cache import cache_dir
from mdx.data.images import as_labels, bring_to_ras, count_not_finite, decode, file_content
from mdx.errors import DataError
from mdx.files import write_json
from mdx.interfaces.geometry import Geometry

VERSION = 1
Kind = Literal["image", "mask"]


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
        not_finite: how many values are NaN or infinite.
        labels: voxels of each value above 0, for masks.
        digest: hash of the file's bytes.
    """

    shape: tuple[int, ...]
    affine: tuple[float, ...]
    channels: int
    axcodes: str
    dtype: str
    spacing_mm: tuple[float, ...]
    minimum: float
    maximum: float
    not_finite: int
    labels: Mapping[int, int]
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
    distinct = list(dict.fromkeys(paths))
    folder = cache_dir("facts")
    with ThreadPoolExecutor(max_workers=cores()) as pool:  # reading and unzipping release the GIL
        return dict(zip(distinct, pool.map(lambda path: _facts(path, kind, folder), distinct), strict=True))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def file_key(path: Path, *more: object) -> str:
    """A name for what is derived from a file as it is now. Raises DataError if there is none."""
    try:
        state = path.stat()
    except OSError:
        raise DataError("there is no such file", "correct the path; relative ones start at the table", path) from None
    identity = json.dumps([str(path.resolve()), state.st_size, state.st_mtime_ns, *map(str, more)])
    return hashlib.sha256(identity.encode()).hexdigest()[:40]


def _facts(path: Path, kind: Kind, folder: Path) -> FileFacts | DataError:
    try:
        entry = folder / f"{file_key(path, VERSION, kind)}.json"
        known = _recall(entry)
        if known is None:
            known = find_facts(path, kind)
            write_json(entry, asdict(known))
        return known
    except DataError as error:
        return error


def _recall(entry: Path) -> FileFacts | None:
    try:
        raw: dict[str, Any] = json.loads(entry.read_text(encoding="utf-8"))
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return FileFacts(**{**values, "labels": {int(k): v for k, v in raw["labels"].items()}})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # not there, or damaged: found again


def find_facts(path: Path, kind: Kind) -> FileFacts:
    """Read a file whole. Raises DataError if it cannot be read, or is no mask where one is asked for."""
    content = file_content(path)
    values, layout, dtype = decode(path, content)
    stored, geometry = bring_to_ras(values, layout)
    labels: dict[int, int] = {}
    not_finite = count_not_finite(values)
    if kind == "mask" and not not_finite:
        counts = np.bincount(as_labels(path, values).ravel())
        labels = {int(v): int(counts[v]) for v in np.flatnonzero(counts) if v > 0}
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
        not_finite=not_finite,
        labels=labels,
        digest=hashlib.blake2b(content, digest_size=16).hexdigest(),
    )

"""Slices of DICOM in space: which of them make a volume, and in what order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mdx.errors import DataError

ENHANCED = {f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2.1", "2.2", "4.1", "4.4", "128.1", "130")}
"""Storage classes whose frames are the slices of a volume: enhanced CT, MR and PET, and those converted from them."""
UNEVEN = 0.02
"""Distances of neighbouring slices may differ by this part of their median."""


@dataclass(frozen=True)
class Slice:
    """A file of a series: its size (columns, rows, frames), channels, and the tags of ``TAGS`` that it has."""

    path: Path
    size: tuple[int, ...]
    channels: int
    tags: Mapping[str, str]

    @cached_property
    def position(self) -> np.ndarray | None:
        """(3,) mm, LPS."""
        return _numbers(self.tags.get("ImagePositionPatient", ""), 3)

    @cached_property
    def orientation(self) -> np.ndarray | None:
        """(6,) directions of a row and of a column, LPS."""
        return _numbers(self.tags.get("ImageOrientationPatient", ""), 6)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.size[2]) if len(self.size) > 2 else 1

    @property
    def is_enhanced(self) -> bool:
        """Whether its frames are the slices of a volume."""
        return self.tags.get("SOPClassUID") in ENHANCED

    @property
    def is_film(self) -> bool:
        """Whether the image has no position in space: an X-ray, a photograph, a screen capture."""
        return self.position is None and self.frames == 1 and not self.is_enhanced


def in_space(path: Path, files: Sequence[Slice]) -> list[Slice]:
    """The slices in the order of their positions along the normal. Raises DataError where they make no volume."""

    def wrong(what: str, remedy: str) -> DataError:
        return DataError(f"the {len(files)} slices are no volume: {what}", remedy, path)

    split = "keep one of them in the folder, or convert the series to NIfTI (dcm2niix)"
    if any(f.frames > 1 or f.position is None or f.orientation is None for f in files):
        raise wrong("some have no position or orientation in space", split)
    for name, kinds in (("sizes", {f.size for f in files}), ("numbers of channels", {f.channels for f in files})):
        if len(kinds) > 1:
            raise wrong(f"they have {len(kinds)} different {name}", split)
    orientations = np.stack([f.orientation for f in files if f.orientation is not None])
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        n = len(np.unique(orientations.round(2), axis=0))
        raise wrong(f"they have {n} orientations, as a localizer has", "leave this series out, or split it")
    normal = np.cross(orientations[0][:3], orientations[0][3:])
    positions = np.stack([f.position for f in files if f.position is not None])
    order = np.argsort(positions @ normal, kind="stable")
    steps = np.diff(positions[order], axis=0)
    gaps = steps @ normal
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    if (gaps <= max(1e-3, 0.1 * usual)).any():
        n = int((gaps <= max(1e-3, 0.1 * usual)).sum())
        raise wrong(f"{n} of them lie where another one does (several echoes, phases or time points)", split)
    if np.abs(gaps - usual).max(initial=0) > max(1e-3, UNEVEN * usual):
        absent = int(np.rint(gaps / usual - 1).clip(0).sum())
        if absent and np.abs(gaps - usual * np.rint(gaps / usual)).max() <= max(1e-3, UNEVEN * usual):
            raise wrong(f"{absent} slice(s) are missing ({usual:.4g} mm apart)", "export the series again")
        raise wrong(
            f"they are unevenly spaced ({gaps.min():.4g} to {gaps.max():.4g} mm)", "resample it to an even grid first"
        )
    if np.linalg.norm(steps - gaps[:, None] * normal, axis=1).max(initial=0) > max(1e-3, UNEVEN * usual):
        raise wrong("they are sheared by a tilted gantry", "correct the tilt first (dcm2niix does)")
    return [files[i] for i in order]


def _numbers(text: str, count: int) -> np.ndarray | None:
    try:
        values = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        return None
    return values if len(values) == count and np.isfinite(values).all() else None

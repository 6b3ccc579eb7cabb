"""What is cut out of a sample: wholes, slices, patches.

Cutting is plain indexing of memory-mapped arrays, so only the pages of a slice are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mdx.errors import DataError
from mdx.interfaces.dataset import Sample


@dataclass(frozen=True)
class Piece:
    """What a view cut out: image (C, ...), mask (K, ...) or None, and the place it came from.

    ``more`` are tensors of one shape in all pieces of a batch (a second slice, a distorted twin, a permutation), which
    arrive stacked as ``batch["name"]``.
    """

    image: Tensor
    mask: Tensor | None
    position: tuple[int, ...] | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)


class View(Protocol):
    """What is cut out of a sample. ``random`` views cut one piece by chance, others have ``pieces``."""

    @property
    def random(self) -> bool:
        """Whether ``cut`` draws; ``index`` is then of no meaning."""
        ...

    def pieces(self, sample: Sample) -> int:
        """How many pieces a case has."""
        ...

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        """The piece ``index`` of a sample, or a random one."""
        ...


@dataclass(frozen=True)
class Wholes:
    """The whole image."""

    random: bool = False

    def pieces(self, sample: Sample) -> int:
        """One."""
        return 1

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        """The sample itself."""
        return Piece(sample.image, _mask(sample))


@dataclass(frozen=True)
class Slices:
    """Every ``every``-th slice along a spatial axis (-1: axial), from the first; a 2-D image is one slice.

    With ``neighbours`` a piece has so many slices before and behind it as further channels, (C (2 n + 1), H, W) in the
    order of the axis, its mask being that of the slice in the middle; beyond the ends the last slice is repeated.
    """

    neighbours: int = 0
    every: int = 1
    axis: int = -1
    random: bool = False

    def __post_init__(self) -> None:
        _check_slices(self.neighbours, self.every)

    def pieces(self, sample: Sample) -> int:
        """Number of slices that are kept of the case."""
        return len(range(0, _depth(sample, self.axis), self.every))

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        """The kept slice ``index``; its position is its number in the volume."""
        return _slice(sample, self.axis, index * self.every, self.neighbours)


@dataclass(frozen=True)
class RandomSlices:
    """A random slice along a spatial axis, and a random crop of it (rows, columns; None: all of the slice).

    A slice smaller than the crop is centred: images are padded with the slice's minimum of each channel, masks with 0.
    ``neighbours`` and ``every`` as in ``Slices``.
    """

    crop: int | tuple[int, int] | None = None
    axis: int = -1
    random: bool = True
    neighbours: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        _check_slices(self.neighbours, self.every)

    def pieces(self, sample: Sample) -> int:
        """One draw."""
        return 1

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        """A slice (C, H, W) drawn uniformly, and a crop of it drawn uniformly."""
        kept = range(0, _depth(sample, self.axis), self.every)
        piece = _slice(sample, self.axis, kept[int(rng.integers(len(kept)))], self.neighbours)
        if self.crop is None:
            return piece
        size = (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        return replace(_crop(piece, size, rng), position=piece.position)


@dataclass(frozen=True)
class SlicePairs:
    """Each slice along a spatial axis with a random one of the same volume, at least ``apart`` slices away.

    The second arrives as ``batch["second"]``, (B, C, H, W); the position holds both numbers, (B, 2). Slices without a
    partner so far away are left out; with ``apart=0`` a slice may be its own partner.
    """

    apart: int = 10
    axis: int = -1
    random: bool = False

    def pieces(self, sample: Sample) -> int:
        """Number of slices that have a partner. Raises DataError where there is none."""
        return len(self._first(sample))

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        """The pair whose first slice is the ``index``-th of those that have a partner."""
        first = self._first(sample)[index]
        far = [n for n in range(_depth(sample, self.axis)) if abs(n - first) >= self.apart]
        other = far[int(rng.integers(len(far)))]
        piece, second = (_slice(sample, self.axis, n) for n in (first, other))
        return replace(piece, position=(first, other), more={"second": second.image})

    def _first(self, sample: Sample) -> list[int]:
        depth = _depth(sample, self.axis)
        found = [n for n in range(depth) if max(n, depth - 1 - n) >= self.apart]
        if not found:
            raise DataError(
                f"has {depth} slice(s), no two of which are {self.apart} apart",
                "ask for a smaller distance, or leave such scans out of the table", sample.case.id,
            )  # fmt: skip
        return found


@dataclass(frozen=True)
class RandomPatches:
    """A random patch of ``size`` voxels (one number: equal edges), padded as ``RandomSlices`` pads."""

    size: int | tuple[int, ...]
    random: bool = True

    def pieces(self, sample: Sample) -> int:
        """One draw."""
        return 1

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        """A patch (C, *size) drawn uniformly; its position is the first voxel, negative inside padding."""
        dims = sample.image.ndim - 1
        size = (self.size,) * dims if isinstance(self.size, int) else self.size
        if len(size) != dims:
            raise DataError(
                f"a patch of size {size} cannot be cut from a {dims}-D image", "give one edge for each axis"
            )
        return _crop(Piece(sample.image, _mask(sample)), size, rng)


def _mask(sample: Sample) -> Tensor | None:
    return sample.labels.get("mask")


def _dim(axis: int) -> int:
    return axis if axis < 0 else axis + 1


def _depth(sample: Sample, axis: int) -> int:
    return 1 if sample.image.ndim == 3 else sample.image.shape[_dim(axis)]


def _check_slices(neighbours: int, every: int) -> None:
    if neighbours < 0 or every < 1:
        raise DataError(f"neighbours={neighbours} and every={every} cut no slice", "use at least 0 and at least 1")


def _slice(sample: Sample, axis: int, index: int, neighbours: int = 0) -> Piece:
    mask = _mask(sample)
    if sample.image.ndim == 3:
        return Piece(sample.image.repeat(2 * neighbours + 1, 1, 1) if neighbours else sample.image, mask, (0,))
    dim, last = _dim(axis), _depth(sample, axis) - 1
    around = [min(max(n, 0), last) for n in range(index - neighbours, index + neighbours + 1)]
    images = [sample.image.select(dim, n) for n in around]
    image = images[0] if len(images) == 1 else torch.cat(images)
    return Piece(image, None if mask is None else mask.select(dim, index), (index,))


def _crop(piece: Piece, size: tuple[int, ...], rng: np.random.Generator) -> Piece:
    image, mask = piece.image, piece.mask
    short = [max(0, want - have) for want, have in zip(size, image.shape[1:], strict=True)]
    before = [n // 2 for n in short]
    if any(short):
        image = _padded(image, short, before, image.flatten(1).amin(1))
        mask = None if mask is None else _padded(mask, short, before, mask.new_zeros(len(mask)))
    first = [int(rng.integers(have - want + 1)) for want, have in zip(size, image.shape[1:], strict=True)]
    window = (slice(None), *(slice(f, f + n) for f, n in zip(first, size, strict=True)))
    position = tuple(f - b for f, b in zip(first, before, strict=True))
    return Piece(image[window], None if mask is None else mask[window], position)


def _padded(values: Tensor, short: list[int], before: list[int], fill: Tensor) -> Tensor:
    amounts = [n for b, s in zip(reversed(before), reversed(short), strict=True) for n in (b, s - b)]
    return torch.stack([F.pad(v, amounts, value=float(f)) for v, f in zip(values, fill, strict=True)])

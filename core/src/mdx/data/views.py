"""What is cut out of a sample: wholes, slices, patches.

Cutting is plain indexing of memory-mapped arrays, so only the pages of a slice are read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mdx.errors import DataError
from mdx.interfaces.dataset import Sample


@dataclass(frozen=True)
class Piece:
    """What a view cut out: image (C, ...), mask (K, ...) or None, and the place it came from."""

    image: Tensor
    mask: Tensor | None
    position: tuple[int, ...] | None = None


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
class AllSlices:
    """Every slice along a spatial axis (-1: axial); a 2-D image is one slice."""

    axis: int = -1
    random: bool = False

    def pieces(self, sample: Sample) -> int:
        """Number of slices of the case."""
        return 1 if sample.image.ndim == 3 else sample.image.shape[_dim(self.axis)]

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        """Slice ``index``, (C, H, W)."""
        return _slice(sample, self.axis, index)


@dataclass(frozen=True)
class RandomSlices:
    """A random slice along a spatial axis, and a random crop of it (rows, columns; None: all of the slice).

    A slice smaller than the crop is centred: images are padded with the slice's minimum of each channel, masks with 0.
    """

    crop: int | tuple[int, int] | None = None
    axis: int = -1
    random: bool = True

    def pieces(self, sample: Sample) -> int:
        """One draw."""
        return 1

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        """A slice (C, H, W) drawn uniformly, and a crop of it drawn uniformly."""
        n = 1 if sample.image.ndim == 3 else sample.image.shape[_dim(self.axis)]
        piece = _slice(sample, self.axis, int(rng.integers(n)))
        if self.crop is None:
            return piece
        size = (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        return replace(_crop(piece, size, rng), position=piece.position)


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


def _slice(sample: Sample, axis: int, index: int) -> Piece:
    mask = _mask(sample)
    if sample.image.ndim == 3:
        return Piece(sample.image, mask, (0,))
    dim = _dim(axis)
    return Piece(sample.image.select(dim, index), None if mask is None else mask.select(dim, index), (index,))


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

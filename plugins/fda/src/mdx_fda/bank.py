"""The donors: images of source scans, cut into slices, with what SR-SIM needs of them made once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mdx import Case, Dataset
from mdx.errors import DataError
from mdx_fda.similarity import SMALLEST, Features, features
from mdx_segment.inference import slices_of

CROP = 120
PADDED = 64
POOLED = 4
"""Edge of the squares, in pixels, whose mean stands for them where a bank is narrowed."""
FEATURE_BYTES = 2**31
"""What features of donors may take in memory; beyond it they are made when they are asked for."""


class Bank:
    """Source scans as lists of slices.

    Attributes:
        ids: the case of each scan.
        scans: (S, C, H, W) float16 slices of each scan, in [0, 1]; depth and in-plane shape may differ between scans.
            Half precision resolves 1/2000 of the range, and a run that holds a bank is half as large.
    """

    def __init__(self, ids: Sequence[str], scans: Sequence[Tensor]) -> None:
        if not scans:
            raise DataError("there is no donor", "the bank is made of the train scans of the source sites")
        self.ids, self.scans = list(ids), [scan.half() for scan in scans]
        self._features: dict[tuple[int, int], Features] = {}
        self._coarse: dict[int, list[Features]] = {}
        self._room = FEATURE_BYTES

    @classmethod
    def of(cls, data: Dataset, cases: Sequence[Case]) -> Bank:
        """The bank of some cases of ``data``; reads images only, one after the other."""
        scans = []
        for case in cases:
            image = data.load(case).image
            require_unit_range(image, case.id)
            scans.append(slices_of(image).half())
        return cls([case.id for case in cases], scans)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def channels(self) -> int:
        """Channels of every scan."""
        return self.scans[0].shape[1]

    @property
    def smallest_edge(self) -> int:
        """The shortest in-plane edge of any scan, in pixels."""
        return min(min(scan.shape[-2:]) for scan in self.scans)

    def pairs(self, depth: int) -> list[Tensor]:
        """For each scan, the (depth,) indices of its slices at the relative positions of a scan of ``depth`` slices.

        Scans of equal depth, as registered ones are, pair slices of equal index.
        """
        return [(2 * torch.arange(depth) + 1) * len(scan) // (2 * depth) for scan in self.scans]

    def features(self, scan: int, edge: int) -> Features:
        """SR-SIM features of the ``edge`` x ``edge`` crop of every slice of a scan; kept while there is room."""
        if (scan, edge) in self._features:
            return self._features[scan, edge]
        made = crop_features(self.scans[scan].float(), edge)
        if made.nbytes <= self._room:
            self._features[scan, edge], self._room = made, self._room - made.nbytes
        return made

    def coarse(self, edge: int) -> list[Features]:
        """The features of every scan, averaged over squares of ``POOLED`` pixels; made on first use."""
        if edge not in self._coarse:
            self._coarse[edge] = [self.features(k, edge).pooled(POOLED) for k in range(len(self))]
        return self._coarse[edge]

    def take(self, scans: Tensor, slices: Tensor, shape: tuple[int, int]) -> Tensor:
        """Slice ``slices[i]`` of scan ``scans[i]`` for each i, (N, C, *shape) float32.

        A slice of another shape is resized: the swap replaces amplitudes by cycles per field of view.
        """
        taken = [self.scans[k][j].float() for k, j in zip(scans.tolist(), slices.tolist(), strict=True)]
        return torch.stack([t if t.shape[-2:] == shape else _resized(t, shape) for t in taken])


def _resized(image: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(image[None], shape, mode="bilinear", antialias=True)[0]


def require_unit_range(image: Tensor, name: object) -> None:
    """Raises DataError unless all intensities lie in [0, 1], which swap and similarity assume."""
    low, high = float(image.min()), float(image.max())
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise DataError(
            f"intensities are {low:.3g} to {high:.3g}, fda needs 0 to 1", "use --set data.intensity=percentiles", name
        )


def crop_edge(shortest_px: int) -> int:
    """The edge of the crop that SR-SIM compares, for slices whose shorter edge is ``shortest_px``.

    120 pixels as the authors use; of slices too small for that the middle two thirds, but never less than 40 pixels.
    """
    shortest = max(shortest_px, PADDED)
    return max(SMALLEST, min(CROP, 2 * math.floor(shortest / 2 * 0.66)))


def crop_features(slices: Tensor, edge: int) -> Features:
    """SR-SIM features of slices (S, C, H, W): the mean over channels, cropped at each slice's own centre of mass."""
    return features(crops_at_mass(slices.mean(dim=1), edge))


def crops_at_mass(slices: Tensor, edge: int) -> Tensor:
    """(S, edge, edge) crops of slices (S, H, W), each around its intensity centre of mass, truncated to pixels.

    Small slices are padded with their minimum to 64 pixels. The crop is moved inside the slice where it would reach
    over the border; a slice without mass is cropped at its middle.
    """
    slices = _padded(slices)
    count, height, width = slices.shape
    mass = slices.sum(dim=(-2, -1), dtype=torch.float64)
    firsts = []
    for size, profile in ((height, slices.sum(dim=-1)), (width, slices.sum(dim=-2))):
        moment = (profile.double() * torch.arange(size, device=slices.device)).sum(dim=-1)
        centre = torch.where(mass > 0, moment / mass, size // 2).long()
        firsts.append((centre - edge // 2).clamp(0, size - edge))
    window = torch.arange(edge, device=slices.device)
    rows, columns = firsts[0][:, None, None] + window[:, None], firsts[1][:, None, None] + window
    return slices[torch.arange(count, device=slices.device)[:, None, None], rows, columns]


def _padded(slices: Tensor) -> Tensor:
    height, width = slices.shape[-2:]
    tall, wide = max(height, PADDED), max(width, PADDED)
    if (tall, wide) == (height, width):
        return slices
    top, left = (tall - height) // 2, (wide - width) // 2
    padded = slices.amin(dim=(-2, -1), keepdim=True).repeat(1, tall, wide)
    padded[:, top : top + height, left : left + width] = slices
    return padded

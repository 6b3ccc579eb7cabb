"""The donor bank: source scans, and what is known of their slices.

Scans that are registered to one template correspond slice by slice. Where depths differ, slices are paired by relative
position, and a donor slice is centred on the target's frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from mdx.errors import DataError
from mdx_fda.similarity import SMALLEST, Features, features
from mdx_segment.inference import slices_of

LARGEST_CROP = 120
SMALLEST_FRAME = 64


class DonorBank:
    """Scans of the source, as float16 images (C, H, W, S) or (C, H, W), and the ids of their cases."""

    def __init__(self, images: Sequence[Tensor], case_ids: Sequence[str]) -> None:
        if not images:
            raise DataError("the donor bank is empty", "the source needs at least one scan in the train split")
        self.images = [image.half() for image in images]
        self.case_ids = list(case_ids)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def corresponds(self) -> bool:
        """Whether all scans have one shape, as registered scans do."""
        return len({tuple(image.shape) for image in self.images}) == 1

    @cached_property
    def slices(self) -> list[Tensor]:
        """(S, C, H, W) float16 of every scan."""
        return [slices_of(image) for image in self.images]

    @cached_property
    def crop(self) -> int:
        """The edge of the crops that are compared: 120, less for small frames, never below 40."""
        edge = min(max(min(s.shape[-2:]), SMALLEST_FRAME) for s in self.slices)
        return max(SMALLEST, min(LARGEST_CROP, 2 * int(edge / 2 * 0.66)))

    @cached_property
    def features(self) -> list[Features]:
        """SR-SIM features of the crops of every scan's slices; made once, at the first search."""
        return [self.features_of(s) for s in self.slices]

    def features_of(self, slices: Tensor) -> Features:
        """SR-SIM features of the central crops of slices (S, C, H, W); channels are averaged."""
        return features(centred_crops(slices.float().mean(dim=1), self.crop))

    def position(self, scan: int, index: int, depth: int) -> int:
        """The slice of ``scan`` that corresponds to slice ``index`` of a volume of ``depth`` slices."""
        own = len(self.slices[scan])
        return index if own == depth or depth == 1 else round(index * (own - 1) / (depth - 1))

    def positions(self, scan: int, depth: int) -> list[int]:
        """``position`` of every slice of a volume of ``depth`` slices."""
        return [self.position(scan, index, depth) for index in range(depth)]

    def gather(self, donors: Tensor, height: int, width: int) -> Tensor:
        """Donor slices (N, C, height, width) float32 for (N, 2) pairs of scan and slice."""
        return torch.stack([on_frame(self.slices[s][z].float(), height, width) for s, z in donors.tolist()])


def centred_crops(slices: Tensor, edge: int) -> Tensor:
    """Crops (S, edge, edge) of slices (S, H, W) around each one's centre of mass, truncated to whole pixels.

    Small slices are first padded with their minimum to 64 pixels, and to the crop. A window that would leave the frame is
    shifted into it. A slice without any intensity is cropped around its middle.
    """
    goal = max(edge, SMALLEST_FRAME)
    slices = torch.stack([on_frame(s, max(s.shape[-2], goal), max(s.shape[-1], goal)) for s in slices])
    height, width = slices.shape[-2:]
    mass = slices.clamp_min(0)
    total = mass.sum(dim=(-2, -1))
    empty = total <= 0
    total = total.masked_fill(empty, 1)
    y = (mass.sum(dim=-1) @ torch.arange(height).to(mass) / total).masked_fill(empty, height // 2).long()
    x = (mass.sum(dim=-2) @ torch.arange(width).to(mass) / total).masked_fill(empty, width // 2).long()
    y, x = (y - edge // 2).clamp(0, height - edge), (x - edge // 2).clamp(0, width - edge)
    window = torch.arange(edge)
    rows, columns = y[:, None, None] + window[:, None], x[:, None, None] + window
    return slices[torch.arange(len(slices))[:, None, None], rows, columns]


def on_frame(image: Tensor, height: int, width: int) -> Tensor:
    """An image (..., H, W) centred on a frame of another size: padded with its minimum, or cropped."""
    own_height, own_width = image.shape[-2:]
    if (own_height, own_width) == (height, width):
        return image
    top, left = (height - own_height) // 2, (width - own_width) // 2
    amounts = (left, width - own_width - left, top, height - own_height - top)
    return F.pad(image, amounts, value=float(image.min()))

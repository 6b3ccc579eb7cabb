"""Random views of training images: rotation, scale, crop, flip and gamma, by MONAI."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import radians
from typing import Any

import numpy as np
import torch

from mdx import Sample
from mdx.views import Piece

TURN = radians(10)
SCALE = 0.1
CROP = 0.05  # of each axis: an image of the same size, cut out that far from the middle
GAMMA = (0.7, 1.5)


@dataclass(frozen=True)
class Augmented:
    """The whole image, turned by up to 10 degrees about each axis, scaled by 0.9 to 1.1, cut out up to 5 % off its
    middle, flipped left-right in half of the cases, and with a gamma of 0.7 to 1.5 between its extremes.

    The paper names these five; the ranges are a choice.
    """

    random: bool = True

    def pieces(self, sample: Sample) -> int:
        """One."""
        return 1

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        """A view drawn with ``rng``, (C, *spatial) float32."""
        transform = _transform(tuple(sample.image.shape[1:]))
        transform.set_random_state(seed=int(rng.integers(2**32)))
        image = transform(sample.image)
        return Piece(torch.as_tensor(np.asarray(image), dtype=torch.float32), None)


@cache
def _transform(shape: tuple[int, ...]) -> Any:
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.array import RandAdjustContrast
    from monai.transforms.spatial.array import RandAffine, RandFlip

    axes = len(shape)
    left_right = 0 if axes == 3 else 1  # volumes are in RAS, plain images are rows and columns
    moved = RandAffine(
        prob=1.0, rotate_range=[TURN] * (3 if axes == 3 else 1), scale_range=[SCALE] * axes,
        translate_range=[CROP * n for n in shape], mode="bilinear", padding_mode="border", cache_grid=True,
        spatial_size=shape,
    )  # fmt: skip
    return Compose([moved, RandFlip(prob=0.5, spatial_axis=left_right), RandAdjustContrast(prob=1.0, gamma=GAMMA)])

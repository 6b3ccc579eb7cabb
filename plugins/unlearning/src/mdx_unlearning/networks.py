"""The authors' VGG-like encoder and their regressor, for volumes and for slices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (32, 64, 64, 96, 96, 96)
CONVOLUTIONS = (2, 2, 2, 3, 3, 3)
LAST_GRID = {2: (2, 2), 3: (2, 2, 1)}
HIDDEN = 32


class VGGEncoder(nn.Module):
    """Images (B, C, *spatial) to features (B, feature_size).

    Stages of convolutions (3 wide, then ReLU, then batch norm) end in poolings that halve every axis still longer than
    one. The last pooling brings the grid to (2, 2, 1), in 2-D to (2, 2), whatever the size of the input: for
    128 x 128 x 32 and 128 x 128 x 64 it is exactly a pooling of (2, 2, 1) and of 2. The published encoder halves z six
    times and cannot take the paper's 128 x 128 x 32.

    Args:
        dims: 2 or 3 spatial dimensions.
        width: factor of the channels; ``stages``: how many of the six.
        stem_stride: stride of the first convolution.

    Source: Dinsdale et al. 2020, age predictor; 2,612,640 parameters for one channel in 3-D.
    """

    def __init__(
        self,
        channels: int,
        dims: int,
        width: float = 1.0,
        stages: int = 6,
        stem_stride: int = 1,
        feature_size: int = 96,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        inside, stride = channels, stem_stride
        for count, convolutions in list(zip(CHANNELS, CONVOLUTIONS, strict=True))[:stages]:
            out = max(1, round(count * width))
            layers: list[nn.Module] = []
            for _ in range(convolutions):
                layers += _block(dims, inside, out, stride)
                inside, stride = out, 1
            self.stages.append(nn.Sequential(*layers))
        grid = LAST_GRID[dims]
        self.last_pool = nn.AdaptiveMaxPool3d(grid) if dims == 3 else nn.AdaptiveMaxPool2d(grid)
        self.feature = nn.Linear(4 * inside, feature_size)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, feature_size), after a ReLU."""
        for i, stage in enumerate(self.stages):
            x = stage(x)
            x = self.last_pool(x) if i + 1 == len(self.stages) else _halve(x)
        return F.relu(self.feature(x.flatten(1)))


def _block(dims: int, inside: int, out: int, stride: int) -> Sequence[nn.Module]:
    if dims == 3:
        return nn.Conv3d(inside, out, 3, stride, padding=1), nn.ReLU(), nn.BatchNorm3d(out)
    return nn.Conv2d(inside, out, 3, stride, padding=1), nn.ReLU(), nn.BatchNorm2d(out)


def _halve(x: Tensor) -> Tensor:
    kernel = [2 if n > 1 else 1 for n in x.shape[2:]]
    return F.max_pool3d(x, kernel) if len(kernel) == 3 else F.max_pool2d(x, kernel)


class Regressor(nn.Module):
    """Features (B, feature_size) to a number each, (B,), in the unit of the label; 3,137 parameters.

    ``mean`` and ``scale`` are buffers, 0 and 1 unless the labels are standardised.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(feature_size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """(B,) predicted labels, in float32 under autocast too: bf16 would round an age to half a year."""
        with torch.autocast("cuda" if features.is_cuda else "cpu", enabled=False):
            return self.mean + self.scale * self.layers(features.float())[:, 0]

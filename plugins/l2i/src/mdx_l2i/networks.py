"""Encoder, classifier and class centres."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdx import Task
from mdx.errors import ConfigError, DataError
from mdx_l2i.config import L2IConfig, RowConfig
from mdx_l2i.inception import InceptionResNetV1, last_grid

DIMS = {"inception_resnet_v1_3d": 3, "resnet18_2d": 2, "small_cnn2d": 2, "small_cnn3d": 3}


class Encoder(nn.Module):
    """Images (B, C, *spatial) to latent vectors (B, m) of unit length, float32.

    Args:
        backbone: images to (B, m).
        grid: positions along an axis of n that its last stage has.

    Raises DataError for images that leave one position in all: instance norm is not defined there.
    """

    def __init__(self, backbone: nn.Module, grid: Callable[[int], int]) -> None:
        super().__init__()
        self.backbone, self.grid = backbone, grid

    def forward(self, images: Tensor) -> Tensor:
        """f / |f|."""
        left = [self.grid(n) for n in images.shape[2:]]
        if min(left) < 1 or max(left) < 2:
            every, one = (next(n for n in range(1, 10_000) if self.grid(n) >= positions) for positions in (1, 2))
            raise DataError(
                f"images of {' x '.join(map(str, images.shape[2:]))} are too small for this backbone, which needs at "
                f"least {every} along each axis and {one} along one",
                "give larger images; --set backbone=small_cnn trains one that takes smaller ones than the others",
            )
        return F.normalize(self.backbone(images).float(), dim=1)


class SmallCNN(nn.Module):
    """Four strided stages, global average pooling and a linear layer: an encoder for a CPU.

    Each stage is a 3^dims convolution of stride 2, instance norm and ReLU. Instance norm and pooling make what is
    pooled nearly the same number for every image, so an untrained network sends all images to one point. ``freeze``
    standardises the pooled features with statistics of training cases that are then part of the weights; without it
    they are passed on as they are.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int, dims: int, latent: int, width: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        convolution = nn.Conv3d if dims == 3 else nn.Conv2d
        norm = nn.InstanceNorm3d if dims == 3 else nn.InstanceNorm2d
        widths = [width * 2**stage for stage in range(4)]
        stages = []
        for before, after in zip([channels, *widths], widths, strict=False):
            stages += [convolution(before, after, 3, stride=2, padding=1, bias=False), norm(after), nn.ReLU()]
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(widths[-1], latent)
        self.register_buffer("mean", torch.zeros(widths[-1]))
        self.register_buffer("scale", torch.ones(widths[-1]))

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 8 * width) means over space, float32."""
        return self.stages(images).float().flatten(2).mean(dim=2)

    def freeze(self, pooled: Tensor) -> None:
        """Standardise with the mean and SD of ``pooled`` (n, 8 * width) from now on; a constant one keeps its scale."""
        spread = pooled.std(dim=0)
        self.mean.copy_(pooled.mean(dim=0))
        self.scale.copy_(torch.where(spread > 1e-6, spread, 1.0))

    def forward(self, images: Tensor) -> Tensor:
        """(B, latent)."""
        return self.last(self.dropout((self.pooled(images) - self.mean) / self.scale))


class Centers(nn.Module):
    """n learnt class centres, (n, m).

    Args:
        normalise: in each forward, so that gradients pass through the normalisation; else they are of unit length
            after ``project``.
    """

    def __init__(self, classes: int, latent: int, normalise: bool = True) -> None:
        super().__init__()
        self.raw = nn.Parameter(F.normalize(torch.randn(classes, latent), dim=1))
        self.normalise = normalise

    def forward(self) -> Tensor:
        """(n, m)."""
        return F.normalize(self.raw, dim=1) if self.normalise else self.raw

    @torch.no_grad()
    def project(self) -> None:
        """Bring the parameter itself to unit length."""
        self.raw.copy_(F.normalize(self.raw, dim=1))


class FixedCenters(nn.Module):
    """Two centres as far apart as can be, (1, ..., 1) / sqrt(m) and its opposite: nothing is learnt."""

    points: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        one = torch.full((latent,), 1 / math.sqrt(latent))
        self.register_buffer("points", torch.stack([one, -one]))

    def forward(self) -> Tensor:
        """(2, m)."""
        return self.points


def make_encoder(channels: int, dims: int, config: RowConfig) -> Encoder:
    """The encoder that the settings name. Raises ConfigError where it is for other dimensions than the images'."""
    name = config.backbone
    if DIMS.get(name, dims) != dims:
        fitting = [b for b in ("small_cnn", *DIMS) if DIMS.get(b, dims) == dims]
        raise ConfigError(
            f"the backbone '{name}' is for {DIMS[name]}-D images, these are {dims}-D",
            f"use --set backbone={' or '.join(fitting)}",
        )
    if config.standardise_pooled and not name.startswith("small_cnn"):
        raise ConfigError(f"standardise_pooled is for the small CNN, the backbone is '{name}'", "leave it out")
    match name:
        case "inception_resnet_v1_3d":
            return Encoder(InceptionResNetV1(channels, config.latent, config.dropout), last_grid)
        case "resnet18_2d":
            return Encoder(_resnet18(channels, config), partial(_halved, times=5))
        case _:
            small = SmallCNN(channels, dims, config.latent, config.width, config.dropout)
            return Encoder(small, partial(_halved, times=4))


def _halved(n: int, times: int) -> int:
    """``n`` halved so often, rounded up."""
    return -(-n // 2**times)


def _resnet18(channels: int, config: RowConfig) -> nn.Module:
    """The 2-D ResNet-18 with instance norm, untrained. Source: He et al. 2016."""
    from torchvision.models import resnet18

    network = resnet18(weights=None, num_classes=config.latent, norm_layer=partial(nn.InstanceNorm2d, affine=True))
    if channels != network.conv1.in_channels:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    network.fc = nn.Sequential(nn.Dropout(config.dropout), network.fc)  # type: ignore[assignment]
    return network


def make_centers(task: Task, config: L2IConfig) -> nn.Module:
    """The class centres. Raises ConfigError for fixed ones of other than two classes."""
    classes = task.classes
    if config.centers == "learned":
        return Centers(len(classes), config.latent, normalise=config.center_norm == "forward")
    if len(classes) != 2:
        raise ConfigError(
            f"fixed centres are for two classes, the data have {len(classes)} ({', '.join(classes)})",
            "use --set centers=learned",
        )
    return FixedCenters(config.latent)

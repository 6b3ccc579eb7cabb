"""SR-SIM, the spectral-residual similarity of two images (Zhang and Li, ICIP 2012), with features made once per image.

A bank of donors is scored against a slice from stored features: only the last, cheap step knows both images. The
saliency is normalised image by image. The library that the authors used takes its minimum and maximum over the whole
batch, so that a score there depends on its neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mdx.errors import DataError

SCALE = 0.25
GAUSSIAN_SIZE, GAUSSIAN_SIGMA = 10, 3.8
C_SALIENCY, C_GRADIENT = 0.40, 225.0
SMALLEST = math.ceil(GAUSSIAN_SIZE / SCALE)


@dataclass(frozen=True)
class Features:
    """Saliency and gradient of N images of one size.

    Attributes:
        saliency: (N, H, W) in [0, 1].
        gradient: (N, H, W), for intensities in [0, 255].
    """

    saliency: Tensor
    gradient: Tensor

    def __getitem__(self, index: Tensor | slice | list[int]) -> Features:
        return Features(self.saliency[index], self.gradient[index])

    @property
    def nbytes(self) -> int:
        """What they take in memory."""
        return self.saliency.nbytes + self.gradient.nbytes

    def pooled(self, edge: int) -> Features:
        """Their means over squares of ``edge`` pixels."""
        return Features(*(F.avg_pool2d(x[:, None], edge)[:, 0] for x in (self.saliency, self.gradient)))


def sr_sim(x: np.ndarray | Tensor, y: np.ndarray | Tensor) -> float:
    """SR-SIM of two images (H, W) with values in [0, 1]; 1 for equal images, symmetric.

    Raises DataError for images of different shapes or smaller than 40 pixels.
    """
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    if x.shape != y.shape or x.ndim != 2:
        raise DataError(f"images of {tuple(x.shape)} and {tuple(y.shape)} cannot be compared", "give (H, W) twice")
    return float(score(features(x[None]), features(y[None]))[0])


def features(images: Tensor) -> Features:
    """What SR-SIM needs of images (N, H, W) with values in [0, 1]. Raises DataError below 40 pixels."""
    if min(images.shape[-2:]) < SMALLEST:
        raise DataError(f"SR-SIM needs {SMALLEST} pixels, the image has {min(images.shape[-2:])}", "pad it first")
    with torch.autocast(images.device.type, enabled=False):
        x = (images if images.dtype == torch.float64 else images.float())[:, None] * 255
        factor = max(1, round(min(x.shape[-2:]) / 256))
        if factor > 1:
            before, after = (factor - 1) // 2, factor // 2
            x = F.avg_pool2d(F.pad(x, (before, after, before, after)), factor)
        scharr = torch.tensor([[-3.0, 0, 3], [-10, 0, 10], [-3, 0, 3]], dtype=x.dtype, device=x.device) / 16
        slopes = F.conv2d(x, torch.stack([scharr, scharr.T])[:, None], padding=1)
        gradient = slopes.square().sum(dim=1).sqrt()
        return Features(_saliency(x)[:, 0], gradient)


def score(a: Features, b: Features) -> Tensor:
    """SR-SIM of each pair of two lists of images, (N,); a list of one is compared with all of the other."""
    saliency = _alike(a.saliency, b.saliency, C_SALIENCY)
    gradient = _alike(a.gradient, b.gradient, C_GRADIENT)
    weight = torch.maximum(a.saliency, b.saliency)
    tiny = torch.finfo(weight.dtype).eps
    return (saliency * gradient.sqrt() * weight).sum(dim=(-2, -1)) / (weight.sum(dim=(-2, -1)) + tiny)


def _alike(x: Tensor, y: Tensor, constant: float) -> Tensor:
    return (2 * x * y + constant) / (x.square() + y.square() + constant)


def _saliency(x: Tensor) -> Tensor:
    """The spectral-residual saliency (Hou and Zhang, CVPR 2007) of (N, 1, H, W), smoothed, each image in [0, 1]."""
    height, width = x.shape[-2:]
    small = _resize(x, math.ceil(height * SCALE), math.ceil(width * SCALE), SCALE, SCALE)
    tiny = torch.finfo(x.dtype).eps
    spectrum = torch.fft.fft2(small)
    log_amplitude = (spectrum.abs() + tiny).log()
    residual = log_amplitude - F.avg_pool2d(F.pad(log_amplitude, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    saliency = torch.fft.ifft2(torch.polar(residual.exp(), spectrum.angle())).abs().square()
    saliency = F.conv2d(saliency, _gaussian().to(saliency)[None, None], padding=GAUSSIAN_SIZE // 2)
    low, high = saliency.amin(dim=(-2, -1), keepdim=True), saliency.amax(dim=(-2, -1), keepdim=True)
    saliency = (saliency - low) / (high - low + tiny)
    return _resize(saliency, height, width, height / small.shape[-2], width / small.shape[-1])


@cache
def _gaussian() -> Tensor:
    """The 10 x 10 Gaussian, with a row and a column of zeros before it, as the original code pads an even kernel."""
    x = torch.arange(GAUSSIAN_SIZE, dtype=torch.float64) - (GAUSSIAN_SIZE - 1) / 2
    kernel = torch.exp(-(x[:, None].square() + x.square()) / (2 * GAUSSIAN_SIGMA**2))
    return F.pad(kernel / kernel.sum(), (1, 0, 1, 0))


def _resize(x: Tensor, height: int, width: int, scale_y: float, scale_x: float) -> Tensor:
    """Bicubic resizing with antialiasing and mirrored edges, as two matrix products."""
    rows = _resize_matrix(x.shape[-2], height, scale_y).to(x)
    columns = _resize_matrix(x.shape[-1], width, scale_x).to(x)
    return rows @ x @ columns.T


@cache
def _resize_matrix(n: int, size: int, scale: float) -> Tensor:
    """(size, n) weights of Keys' cubic kernel (a = -0.5), widened where the image shrinks."""
    reach = 2 / min(scale, 1)
    positions = (torch.arange(size, dtype=torch.float64) + 0.5) / scale - 0.5
    offsets = torch.arange(-math.ceil(reach) - 1, math.ceil(reach) + 2)
    taps = positions.floor().long()[:, None] + offsets
    d = (positions[:, None] - taps).abs() * min(scale, 1)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = torch.where(d <= 1, near, torch.where(d <= 2, far, 0.0))
    weights = weights / weights.sum(dim=1, keepdim=True)
    mirrored = torch.remainder(taps, 2 * n)
    mirrored = torch.minimum(mirrored, 2 * n - 1 - mirrored)
    return torch.zeros(size, n, dtype=torch.float64).scatter_add_(1, mirrored, weights)

"""Made-up scans."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor


def phantom(seed: int, depth: int = 8, height: int = 66, width: int = 72, channels: int = 1) -> Tensor:
    """(S, C, H, W) smooth random texture in [0, 1] inside an ellipse, different in every slice."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(channels, depth, height, width))
    texture = np.stack([gaussian_filter(c, (0.5, 2, 2)) for c in noise])
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside = (y**2 + x**2 < 0.8) * (0.4 + 0.6 * np.linspace(0.5, 1, depth)[:, None, None])
    return torch.from_numpy((texture * inside).astype(np.float32).transpose(1, 0, 2, 3).copy())

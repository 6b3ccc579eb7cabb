"""Intensities of a volume, scaled per channel by MONAI transforms."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdx.data.config import DataConfig


def scale_intensity(values: np.ndarray, config: DataConfig) -> np.ndarray:
    """(C, *spatial) float32 scaled as ``config.intensity`` says, each channel by itself.

    ``percentiles``: clip to the lower and upper percentile, then to 0..1; a channel whose two percentiles are equal,
    such as a mostly empty one, is scaled by its minimum and maximum instead. ``zscore``: mean 0 and standard deviation
    1. ``minmax``: 0..1. A constant channel becomes zeros, whichever is chosen (``none`` changes nothing).
    """
    if config.intensity == "none":
        return np.asarray(values, dtype=np.float32)
    return np.stack([_scale_channel(channel, config) for channel in np.asarray(values, dtype=np.float32)])


def _scale_channel(channel: np.ndarray, config: DataConfig) -> np.ndarray:
    low, high = float(channel.min()), float(channel.max())
    if low == high:
        return np.zeros_like(channel)
    return np.asarray(_transform(channel, config)(channel[None]), dtype=np.float32)[0]


def _transform(channel: np.ndarray, config: DataConfig) -> Any:
    from monai.transforms.intensity.array import NormalizeIntensity, ScaleIntensity, ScaleIntensityRangePercentiles

    if config.intensity == "zscore":
        return NormalizeIntensity(channel_wise=True)
    if config.intensity == "percentiles":
        low, high = np.percentile(channel, [config.lower, config.upper])
        if low < high:
            return ScaleIntensityRangePercentiles(config.lower, config.upper, 0.0, 1.0, clip=True)
    return ScaleIntensity(0.0, 1.0)

"""Intensities of an image, scaled by MONAI transforms: per channel, and all channels of a colour image together."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdx.data.config import DataConfig


def scale_intensity(values: np.ndarray, config: DataConfig, colour: bool = False) -> np.ndarray:
    """(C, *spatial) float32 scaled as ``config.intensity`` says, each channel by itself.

    Of a ``colour`` image the channels get one scaling, because one for each would change the colours.

    ``percentiles``: clip to the lower and upper percentile, then to 0..1; a channel whose two percentiles are equal,
    such as a mostly empty one, is scaled by its minimum and maximum instead. ``zscore``: mean 0 and standard deviation
    1. ``minmax``: 0..1. A constant channel becomes zeros with each of these. ``window``: clip to ``config.lower`` and
    ``config.upper``, in the file's unit, then to 0..1, the same for all files. ``none`` changes nothing.
    """
    values = np.asarray(values, dtype=np.float32)
    if config.intensity == "none":
        return values
    if config.intensity == "window":
        return _window(values, config.lower, config.upper)
    if colour:
        return _scale(values, config)
    return np.stack([_scale(channel, config) for channel in values])


def _window(values: np.ndarray, lower: float, upper: float) -> np.ndarray:
    from monai.transforms.intensity.array import ScaleIntensityRange

    return np.asarray(ScaleIntensityRange(lower, upper, 0.0, 1.0, clip=True)(values), dtype=np.float32)


def _scale(values: np.ndarray, config: DataConfig) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros_like(values)
    return np.asarray(_transform(values, config)(values[None]), dtype=np.float32)[0]


def _transform(values: np.ndarray, config: DataConfig) -> Any:
    from monai.transforms.intensity.array import NormalizeIntensity, ScaleIntensity, ScaleIntensityRangePercentiles

    if config.intensity == "zscore":
        return NormalizeIntensity(channel_wise=True)
    if config.intensity == "percentiles":
        low, high = np.percentile(values, [config.lower, config.upper])
        if low < high:
            return ScaleIntensityRangePercentiles(config.lower, config.upper, 0.0, 1.0, clip=True)
    return ScaleIntensity(0.0, 1.0)

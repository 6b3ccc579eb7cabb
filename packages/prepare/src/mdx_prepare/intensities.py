"""Bringing the brightness of scans to one scale."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mdx.errors import DataError

BINS = 400
SMOOTHING_BINS = 6.0
FEWEST_VOXELS = 100


def scale_percentiles(
    values: np.ndarray, inside: np.ndarray, lower: float, upper: float
) -> tuple[np.ndarray, tuple[float, float]]:
    """Values clipped at two percentiles of those ``inside`` and brought to 0..1; and the two percentiles."""
    low, high = (float(v) for v in np.percentile(values[inside], [lower, upper]))
    if high <= low:
        raise DataError("has one brightness throughout the brain", "export the image again")
    return (np.clip((values - low) / (high - low), 0, 1)).astype(np.float32), (low, high)


def scale_white_matter(values: np.ndarray, white_matter: np.ndarray) -> tuple[np.ndarray, float]:
    """Values divided by the peak of those in white matter, so that it becomes 1; and that peak.

    After Reinhold et al., SPIE Medical Imaging 10949 (2019), there by tissue mode. The peak is the mode of the smoothed
    histogram between the 1st and 99th percentile of the region. Raises DataError where there is too little of it.
    """
    found = values[white_matter]
    if found.size < FEWEST_VOXELS:
        raise DataError(
            f"shows {found.size} voxels of white matter", "use --intensity percentiles for a part of a head"
        )
    low, high = np.percentile(found, [1, 99])
    counts, edges = np.histogram(found, BINS, (low, high) if high > low else None)
    mode = int(gaussian_filter1d(counts.astype(float), SMOOTHING_BINS, mode="constant").argmax())
    peak = float(edges[mode : mode + 2].mean())
    if peak <= 0:
        raise DataError(f"its white matter peaks at {peak:.3g}", "give images whose brain is brighter than 0")
    return (values / peak).astype(np.float32), peak

"""The bias field: a slow, multiplicative change of brightness that the coil adds.

N4 of Tustison et al., IEEE Transactions on Medical Imaging 29 (2010) 1310, as SimpleITK has it.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that its own pages use)

from mdx.errors import DataError
from mdx_prepare.volumes import array_of, isotropic_grid, like, resample

WORKING_MM = 4.0
ITERATIONS = (50, 50, 50)
CONVERGENCE = 1e-3
DARK = 0.5
KNOT_SPACING_MM = 200.0
FIELD_RANGE = (1.0, 99.0)


def head_mask(image: sitk.Image) -> sitk.Image:
    """1 in the head, by Otsu's threshold, the largest piece, closed and filled; a stripped brain is its own head."""
    small = resample(image, isotropic_grid(image, WORKING_MM), interpolation="linear")
    values = array_of(small)
    # in the logarithm, bright fat is no class of its own; the offset keeps the noise of the air together
    brightness = np.log(values - values.min() + 0.1 * values.std())
    foreground = sitk.OtsuThreshold(like(brightness.astype(np.float32), small), 0, 1)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(foreground), sortByObjectSize=True)
    closed = sitk.BinaryMorphologicalClosing(sitk.Equal(pieces, 1), [3, 3, 3])
    return sitk.BinaryFillhole(closed)


def correct_bias(image: sitk.Image, mask: sitk.Image) -> tuple[sitk.Image, float]:
    """The image divided by its field, and the field's range: its 99th over its 1st percentile within the mask.

    The field is fitted on voxels of 4 mm (a field that changes faster is no bias field), on three levels of B-splines
    with knots 200, 100 and 50 mm apart, and is evaluated on the image's own grid. A fourth level, of 25 mm, invents a
    field where there is none. Its mean (of the logarithm) within the mask is 0, so brightness stays as it was.
    """
    grid = isotropic_grid(image, WORKING_MM)
    small = sitk.Clamp(resample(image, grid, interpolation="linear"), sitk.sitkFloat32, 0.0)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(ITERATIONS)
    n4.SetConvergenceThreshold(CONVERGENCE)
    extent = np.array(small.GetSize()) * WORKING_MM
    n4.SetNumberOfControlPoints([int(np.ceil(mm / KNOT_SPACING_MM)) + 3 for mm in extent])
    n4.Execute(small, _fitted(small, mask))
    log_field = array_of(n4.GetLogBiasFieldAsImage(image))
    inside = array_of(resample(mask, image, interpolation="nearest")) > 0
    log_field = log_field - log_field[inside].mean()
    low, high = np.percentile(log_field[inside], FIELD_RANGE)
    return like((array_of(image) / np.exp(log_field)).astype(np.float32), image), float(np.exp(high - low))


def _fitted(small: sitk.Image, mask: sitk.Image) -> sitk.Image:
    """Where the field is fitted: in the mask, a voxel away from its edge, brighter than half of its median.

    Voxels that tissue shares with bone or fluid are dark for another reason than the field.
    """
    inside = resample(sitk.Cast(mask, sitk.sitkUInt8), small, interpolation="nearest")
    eroded = sitk.BinaryErode(inside, [1, 1, 1])
    within = array_of(eroded if array_of(eroded).any() else inside) > 0
    values = array_of(small)
    if not (within & (values > 0)).any():
        raise DataError("holds nothing above 0 where its brain should be", "look at the scan and its header")
    return like((within & (values > DARK * np.median(values[within]))).astype(np.uint8), small)

"""Scans as SimpleITK images and back; grids and resampling.

SimpleITK counts millimetres to the left and the back (LPS), NIfTI to the right and the front (RAS); arrays here are
(X, Y, Z) in RAS, and the two meet nowhere else.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that its own pages use)

from mdx.data.files.images import read_image, read_mask
from mdx.errors import DataError
from mdx.files import replacing

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
FEWEST_VOXELS = 8
SMALLEST_EXTENT_MM = 20.0
ALIKE, MOST_SCATTERED = 0.5, 32
"""Labels are alike in at least half of all neighbours, unless they are few and small, as lesions are."""
FWHM_TO_SIGMA = 1 / 2.3548


def read_scan(path: Path) -> tuple[sitk.Image, dict[str, Any]]:
    """A volume in RAS as float32, and what its file said of it.

    Raises DataError for a picture, several channels, NaN, a constant image and one too small to hold a brain.
    """
    values, geometry = read_image(path)
    if len(geometry.shape) != 3:
        raise DataError("is a 2-D picture", "give 3-D volumes of the head; pictures need no preparation", path)
    if len(values) != 1:
        raise DataError(
            f"holds {len(values)} volumes",
            "give one 3-D volume a file; name contrasts as columns (--set data.image=t1,t2)",
            path,
        )
    if min(geometry.shape) < FEWEST_VOXELS or _extent(geometry) < SMALLEST_EXTENT_MM:
        size = " x ".join(map(str, geometry.shape))
        raise DataError(
            f"is too small ({size} voxels, {_extent(geometry):.3g} mm at its narrowest)", "give scans of the head", path
        )
    if values.min() == values.max():
        raise DataError(f"holds only the value {values.min():g}", "export the image again", path)
    facts = {
        "shape": list(geometry.shape), "spacing_mm": [round(v, 4) for v in geometry.spacing_mm],
        "orientation": geometry.axcodes,
    }  # fmt: skip
    return to_itk(values[0], geometry.affine), facts


def _extent(geometry: Any) -> float:
    return min(n * mm for n, mm in zip(geometry.shape, geometry.spacing_mm, strict=True))


def read_labels(path: Path, column: str) -> sitk.Image:
    """A mask in RAS as int32, which a column of the table names.

    Raises DataError as ``read_mask`` does, for a picture, and for a scan: it has many values, and neighbours differ.
    """
    as_contrast = f"a scan is named as a contrast (--set data.image=...,{column}), or taken out of the table"
    try:
        labels, geometry = read_mask(path)
    except DataError as error:
        raise DataError(f"column '{column}': {error.what}", f"{error.remedy}; {as_contrast}", error.where) from error
    if labels.ndim != 3:
        raise DataError(f"column '{column}': is a 2-D picture", "give a mask of the volume", path)
    shown = labels[:-1] != 0
    alike = (labels[1:] == labels[:-1])[shown].mean() if shown.any() else 1.0
    if alike < ALIKE and (count := len(np.unique(labels))) > MOST_SCATTERED:
        raise DataError(
            f"column '{column}': holds no labels, but {count} values that change from voxel to voxel", as_contrast, path
        )
    return to_itk(labels, geometry.affine)


def to_itk(values: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """(X, Y, Z) with a RAS matrix as an image."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    matrix = LPS @ affine
    spacing = np.sqrt((matrix[:3, :3] ** 2).sum(axis=0))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    return image


def array_of(image: sitk.Image) -> np.ndarray:
    """(X, Y, Z) values."""
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def affine_of(image: sitk.Image) -> np.ndarray:
    """(4, 4) voxel to millimetre matrix, RAS."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return LPS @ matrix


def like(values: np.ndarray, grid: sitk.Image) -> sitk.Image:
    """(X, Y, Z) values on the grid of an image."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    image.CopyInformation(grid)
    return image


def isotropic_grid(image: sitk.Image, spacing_mm: float | None) -> sitk.Image:
    """An empty image over the same space with cubic voxels; None keeps the voxels as they are."""
    if spacing_mm is None:
        return _empty(image, image.GetSize(), image.GetSpacing())
    size = [max(1, round(n * mm / spacing_mm)) for n, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    return _empty(image, size, [spacing_mm] * 3)


def _empty(image: sitk.Image, size: Any, spacing: Any) -> sitk.Image:
    """The grid whose field of view has the same centre as the image's."""
    grid = sitk.Image(list(size), sitk.sitkUInt8)
    grid.SetDirection(image.GetDirection())
    grid.SetSpacing(list(spacing))
    middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    own = grid.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in grid.GetSize()])
    grid.SetOrigin([o + m - p for o, m, p in zip(grid.GetOrigin(), middle, own, strict=True)])
    return grid


def resample(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None, interpolation: str = "cubic"
) -> sitk.Image:
    """The image on another grid; outside its field of view 0.

    Args:
        transform: takes points of the grid to points of the image; None for no movement.
        interpolation: ``cubic`` (B-spline of order 3, clipped to the image's range), ``linear`` or ``nearest``. Where
            voxels become larger, ``cubic`` and ``linear`` smooth first, so that detail does not fold into the result.
    """
    move = transform or sitk.Transform(3, sitk.sitkIdentity)
    if interpolation == "nearest":
        return sitk.Resample(image, grid, move, sitk.sitkNearestNeighbor, 0.0, image.GetPixelID())
    smooth = _smoothed(sitk.Cast(image, sitk.sitkFloat32), grid)
    if interpolation == "linear":
        return sitk.Resample(smooth, grid, move, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    low, high = _range(smooth)
    moved = sitk.Resample(smooth, grid, move, sitk.sitkBSpline, 0.0, sitk.sitkFloat32)
    return sitk.Clamp(moved, sitk.sitkFloat32, min(low, 0.0), high)


def _smoothed(image: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """The image with the resolution of larger voxels: a Gaussian whose width makes up the difference of the two."""
    wanted = np.abs(np.array(grid.GetDirection()).reshape(3, 3).T @ np.array(image.GetDirection()).reshape(3, 3))
    target = np.array(grid.GetSpacing())[wanted.argmax(axis=0)]
    own = np.array(image.GetSpacing())
    sigma = np.sqrt(np.clip(target**2 - own**2, 0, None)) * FWHM_TO_SIGMA
    for axis in np.flatnonzero(target > 1.05 * own):
        image = sitk.RecursiveGaussian(image, float(sigma[axis]), direction=int(axis))
    return sitk.Cast(image, sitk.sitkFloat32)


def _range(image: sitk.Image) -> tuple[float, float]:
    statistics = sitk.MinimumMaximumImageFilter()
    statistics.Execute(image)
    return statistics.GetMinimum(), statistics.GetMaximum()


def write_volume(path: Path, values: np.ndarray, affine: np.ndarray, form_code: int) -> None:
    """Write (X, Y, Z) as NIfTI whose qform and sform are both ``affine`` with ``form_code``.

    1: the scanner's own millimetres, 2: aligned to something, 4: the MNI152 space. Raises ResourceError if it cannot.
    """
    import nibabel as nib

    image = nib.Nifti1Image(values, affine)
    image.set_sform(affine, code=form_code)
    image.set_qform(affine, code=form_code)
    image.header.set_xyzt_units("mm")
    content = gzip.compress(image.to_bytes(), compresslevel=4, mtime=0)  # equal images are equal files
    with replacing(path) as temporary:
        temporary.write_bytes(content)

"""Grids of voxels: bringing them to RAS and back, comparing them, resampling them.

Arrays here are channels first, ``(C, *spatial)``, and a plain image has two spatial axes.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from mdx.errors import DataError
from mdx.interfaces.geometry import FileLayout, Geometry

TOLERANCE = 0.01
"""Two grids are the same if no corner is displaced by more than this part of the smallest voxel edge."""

Relation = Literal["same", "other grid", "other place"]


def to_ras(values: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Flip and permute (C, X, Y, Z) to the axis order nearest to right-anterior-superior; nothing is interpolated.

    Returns:
        the values, their affine, and the axis codes they had before.
    """
    from nibabel.orientations import apply_orientation, inv_ornt_aff, ornt2axcodes

    orientation = _orientation(affine)
    turned = apply_orientation(np.moveaxis(values, 0, -1), orientation)
    affine = affine @ inv_ornt_aff(orientation, values.shape[1:])
    return np.moveaxis(turned, -1, 0), affine, "".join(str(c) for c in ornt2axcodes(orientation))


def from_ras(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The reverse of ``to_ras``: (C, *RAS) to the axis order of a file with ``affine``."""
    from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

    back = ornt_transform(axcodes2ornt("RAS"), _orientation(affine))
    return np.moveaxis(apply_orientation(np.moveaxis(values, 0, -1), back), -1, 0)


def _orientation(affine: np.ndarray) -> np.ndarray:
    from nibabel.orientations import io_orientation

    orientation = io_orientation(affine)
    if np.isnan(orientation).any():
        raise DataError("the header's affine has an axis of length 0", "export the image again with a valid affine")
    return orientation


def ras_grid(layout: FileLayout) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine of a file's own grid in RAS; a plain image's as it is."""
    from nibabel.orientations import inv_ornt_aff

    if layout.kind == "image":
        return layout.shape[:2], layout.affine
    shape = (*layout.shape[:3], 1)[:3]
    orientation = _orientation(layout.affine)
    turned = [0, 0, 0]
    for axis, new in enumerate(orientation[:, 0].astype(int)):
        turned[new] = shape[axis]
    return tuple(turned), layout.affine @ inv_ornt_aff(orientation, shape)


def compare_grids(a: Geometry, b: Geometry) -> Relation:
    """Whether two RAS grids are the same, cover the same space differently, or lie at different places.

    ``other grid``: the shapes differ and at least half of the smaller box overlaps, so resampling one onto the other
    makes sense. ``other place``: everything else, such as equal shapes with different affines: a header is wrong.
    """
    if a.shape == b.shape:
        return "same" if displacement_mm(a, b) <= TOLERANCE * min(*a.spacing_mm, *b.spacing_mm) else "other place"
    low, high = zip(_box(a), _box(b), strict=True)
    overlap = np.prod(np.clip(np.minimum(*high) - np.maximum(*low), 0, None))
    smaller = min(np.prod(end - start) for start, end in zip(low, high, strict=True))
    return "other grid" if overlap >= 0.5 * smaller else "other place"


def displacement_mm(a: Geometry, b: Geometry) -> float:
    """The largest distance between equal corners of two grids of one shape."""
    return float(np.linalg.norm(_corners(a) - _corners(b), axis=1).max())


def _corners(grid: Geometry, margin: float = 0.0) -> np.ndarray:
    size = (*grid.shape, 1, 1)[:3]
    ends = [(-margin, n - 1 + margin) for n in size]
    voxels = np.array([(*corner, 1.0) for corner in itertools.product(*ends)])
    return (voxels @ np.asarray(grid.affine, dtype=float).T)[:, :3]


def _box(grid: Geometry) -> tuple[np.ndarray, np.ndarray]:
    corners = _corners(grid, margin=0.5)
    return corners.min(axis=0), corners.max(axis=0)


def mismatch(image: Geometry, mask: Geometry) -> tuple[str, str] | None:
    """What is wrong with a mask for an image, and the remedy; None if it lies on the image's grid."""
    relation = compare_grids(image, mask)
    if relation == "same":
        return None
    if relation == "other grid":
        return (
            f"the mask covers the same space on another grid ({_text(mask.shape)} against the image's "
            f"{_text(image.shape)}, in RAS)",
            "resample the mask onto the image with nearest-neighbour interpolation",
        )
    if image.shape == mask.shape:
        return (
            f"the mask has the image's shape but lies {displacement_mm(image, mask):.3g} mm away by its affine",
            "one of the two headers is wrong: look at both in a viewer before copying a header",
        )
    return (
        f"the mask lies at another place ({_text(mask.shape)} against the image's {_text(image.shape)}, in RAS)",
        "check that it belongs to this image and that both headers are right",
    )


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def resample_to_spacing(
    values: np.ndarray, geometry: Geometry, spacing_mm: tuple[float, ...]
) -> tuple[np.ndarray, Geometry]:
    """Resample (C, *spatial) linearly to voxels of ``spacing_mm``; a single length is isotropic."""
    from monai.transforms.spatial.array import Spacing

    if geometry.layout is not None and geometry.layout.kind == "image":
        raise DataError("a plain image has no spacing to resample", "unset data.spacing_mm")
    wanted = spacing_mm * 3 if len(spacing_mm) == 1 else (*spacing_mm, float("nan"))[:3]  # nan keeps an axis as it is
    result: Any = Spacing(pixdim=wanted, mode="bilinear", padding_mode="border")(_meta(values, geometry.affine))
    shape = tuple(int(n) for n in result.shape[1:])
    return result.numpy(), replace(geometry, affine=result.affine.numpy().astype(float), shape=shape)


def bring_to_size(
    values: np.ndarray, geometry: Geometry, size: tuple[int, ...], how: Literal["crop", "resize"]
) -> tuple[np.ndarray, Geometry]:
    """(C, *spatial) with ``size`` voxels along each axis; the affine says where they lie.

    ``crop`` cuts or pads around the centre, with the lowest value; ``resize`` smooths and resamples linearly, so edges
    of voxels change. Raises DataError for a size with another number of axes.
    """
    from monai.transforms.croppad.array import ResizeWithPadOrCrop
    from monai.transforms.spatial.array import Resize

    if len(size) != values.ndim - 1:
        raise DataError(
            f"data.size names {len(size)} axes, the image has {values.ndim - 1}",
            "give data.size one number for each axis",
        )
    if values.shape[1:] == size:
        return values, geometry
    move: Any = (
        ResizeWithPadOrCrop(size, mode="minimum")
        if how == "crop"
        else Resize(size, mode="trilinear" if len(size) == 3 else "bilinear", anti_aliasing=True)
    )
    result: Any = move(_meta(values, geometry.affine))
    return result.numpy(), replace(geometry, affine=result.affine.numpy().astype(float), shape=size)


def keep_every_slice(values: np.ndarray, geometry: Geometry, step: int) -> tuple[np.ndarray, Geometry]:
    """Slices 0, ``step``, 2 ``step`` ... of (C, X, Y, Z) along the last axis; the affine says where they lie.

    Raises DataError for a plain image.
    """
    if values.ndim != 4:
        raise DataError("a plain image has no slices to keep some of", "unset data.every_slice")
    kept = np.ascontiguousarray(values[..., ::step])
    affine = geometry.affine.copy()
    affine[:3, 2] *= step
    return kept, replace(geometry, affine=affine, shape=kept.shape[1:])


def resample_onto(
    values: np.ndarray,
    affine: np.ndarray,
    shape: tuple[int, ...],
    onto: np.ndarray,
    mode: Literal["nearest", "bilinear"],
) -> np.ndarray:
    """Resample (C, *spatial) with ``affine`` onto the grid of ``shape`` with the affine ``onto``."""
    import torch
    from monai.transforms.spatial.array import SpatialResample

    if len(shape) == 2:  # a plain image: MONAI wants the plane's own matrix
        affine, onto = (np.delete(np.delete(matrix, 2, axis=0), 2, axis=1) for matrix in (affine, onto))
    move = SpatialResample(mode=mode, padding_mode="border" if mode == "bilinear" else "zeros")
    result: Any = move(_meta(values, affine), dst_affine=torch.as_tensor(onto), spatial_size=shape)
    return result.numpy()


def _meta(values: np.ndarray, affine: np.ndarray) -> Any:
    import torch
    from monai.data.meta_tensor import MetaTensor

    return MetaTensor(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)), affine=torch.as_tensor(affine))


def undo_resampling(values: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, Geometry]:
    """(C, *spatial) on the sample's grid, on the RAS grid of its file: linear where the two differ, else untouched."""
    layout = geometry.layout
    if layout is None:
        return values, geometry
    shape, affine = ras_grid(layout)
    if values.shape[1:] != shape or not np.array_equal(affine, geometry.affine):
        values = resample_onto(values, geometry.affine, shape, affine, "bilinear")
    return values, replace(geometry, affine=affine, shape=shape)

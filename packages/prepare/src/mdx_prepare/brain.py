"""A simple brain mask: the template's brain, corrected by what is bright enough to be tissue.

The registered template says roughly where the brain is; an affine leaves errors of some millimetres at its surface.
Within 4 mm of it, tissue is what is brighter than 40 % of the way from the darkest to the median of the brain's core
and no brighter, as fat is, than 1.2 times the core's 99th percentile. Thin bridges to dura and scalp are opened (2 mm),
the largest piece is kept, sulci and ventricles are closed (8 mm) and filled. Limits: fluid outside the closed surface
is lost, so a shrunken brain's mask hugs the tissue; dura that touches the cortex over more than 4 mm stays; tumours
and resections at the surface may be cut. For volumes of the brain as a result, give masks of a dedicated tool instead.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that its own pages use)

from mdx.errors import DataError
from mdx_prepare.template import Template
from mdx_prepare.volumes import array_of, isotropic_grid, like, resample

WORKING_MM = 2.0
MARGIN_MM = 4.0
CORE_MM = 10.0
BRIDGE_MM = 2.0
SULCUS_MM = 8.0
TISSUE = 0.4
FAT = 1.2


def simple_brain_mask(scan: sitk.Image, template: Template, move: sitk.AffineTransform) -> sitk.Image:
    """1 in the brain, in the template's space on voxels of 2 mm.

    Args:
        scan: corrected for its bias field, in its own space.
        move: takes points of the template to points of the scan.

    Raises DataError where nothing in the scan looks like a brain.
    """
    grid = isotropic_grid(template.brain, WORKING_MM)
    prior = resample(template.brain, grid, interpolation="nearest")
    values = array_of(resample(scan, grid, move, "linear"))
    allowed = array_of(_ball(sitk.BinaryDilate, prior, MARGIN_MM)) > 0
    core = values[array_of(_ball(sitk.BinaryErode, prior, CORE_MM)) > 0]
    dark, middle, bright = np.percentile(values[allowed], 2), np.median(core), np.percentile(core, 99)
    tissue = allowed & (values > dark + TISSUE * (middle - dark)) & (values < FAT * bright)
    opened = _ball(sitk.BinaryErode, like(tissue.astype(np.uint8), grid), BRIDGE_MM)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(opened), sortByObjectSize=True)
    largest = sitk.Cast(sitk.Equal(pieces, 1), sitk.sitkUInt8)
    if not array_of(largest).any():
        raise DataError("no brain is found in it", "look at the scan; give a mask with --mask COLUMN if it is right")
    closed = _ball(sitk.BinaryMorphologicalClosing, _ball(sitk.BinaryDilate, largest, BRIDGE_MM), SULCUS_MM)
    return sitk.And(sitk.BinaryFillhole(closed), like(allowed.astype(np.uint8), grid))


def _ball(operation: object, mask: sitk.Image, radius_mm: float) -> sitk.Image:
    radius = max(1, round(radius_mm / WORKING_MM))
    return operation(mask, [radius] * 3, sitk.sitkBall)  # type: ignore[operator]


def smooth_edge(mask: sitk.Image, grid: sitk.Image, move: sitk.Transform) -> sitk.Image:
    """A mask on another, usually finer grid, its surface without steps; ``move`` takes the grid's points to its own."""
    soft = sitk.SmoothingRecursiveGaussian(sitk.Cast(mask, sitk.sitkFloat32), 0.5 * min(mask.GetSpacing()))
    return sitk.Cast(sitk.Greater(sitk.Resample(soft, grid, move, sitk.sitkLinear, 0.0), 0.5), sitk.sitkUInt8)

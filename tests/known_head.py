"""Heads whose truth is known: ICBM152 with skull and scalp, moved by a known affine, under a known bias field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from mdx_prepare.template import Template, packaged_maps
from mdx_prepare.volumes import array_of, isotropic_grid, like, resample, to_itk

SKULL_MM, SCALP_MM = 7.0, 14.0
VOXEL_MM = 3.0
WHITE_MATTER, GREY_MATTER, FLUID, BONE, SCALP, AIR = 500.0, 350.0, 120.0, 20.0, 650.0, 0.0


@dataclass(frozen=True)
class Head:
    """A scan, the truth of it, and where it lies: ``move`` takes points of the template to points of the scan."""

    scan: sitk.Image
    clean: sitk.Image
    field: np.ndarray
    brain: sitk.Image
    move: sitk.AffineTransform
    path: Path
    brain_path: Path


def affine_movement(template: Template) -> sitk.AffineTransform:
    """Turned by 8, -5 and 6 degrees, 8 to 14 % smaller, shifted by up to 12 mm."""
    turned = sitk.Euler3DTransform()
    turned.SetRotation(*np.deg2rad([8.0, -5.0, 6.0]))
    move = sitk.AffineTransform(3)
    move.SetCenter(centre_of(template))
    move.SetMatrix((np.array(turned.GetMatrix()).reshape(3, 3) @ np.diag([0.88, 0.92, 0.86])).ravel().tolist())
    move.SetTranslation([7.0, -12.0, 9.0])
    return move


def centre_of(template: Template) -> list[float]:
    middle = np.argwhere(array_of(template.brain) > 0).mean(axis=0)
    return list(template.brain.TransformContinuousIndexToPhysicalPoint(middle.tolist()))


def with_skull() -> sitk.Image:
    """Crisp tissues of ICBM152 on voxels of 3 mm, dark bone and bright scalp around the brain.

    The packaged T1 is an average whose folds are blurred, and so darker towards the surface as under a bias field.
    """
    (t1, wm, gm), affine = packaged_maps("t1", "wm", "gm")
    brain = ndimage.binary_fill_holes(t1 > 0)
    values = np.select([wm > 0.5, gm > 0.4, brain], [WHITE_MATTER, GREY_MATTER, FLUID], AIR)
    wide = sitk.ConstantPad(to_itk(values.astype(np.float32), affine), [18, 18, 24], [18, 18, 18], AIR)
    small = resample(wide, isotropic_grid(wide, VOXEL_MM), interpolation="linear")
    outside = ndimage.distance_transform_edt(array_of(small) < FLUID / 2) * VOXEL_MM
    values = np.select([outside == 0, outside <= SKULL_MM, outside <= SCALP_MM], [array_of(small), BONE, SCALP], AIR)
    return like(values.astype(np.float32), small)


def smooth_field(shape: tuple[int, ...], strength: float) -> np.ndarray:
    """A quadratic field in the logarithm, as of a coil that lies to the left, the front and above."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return np.exp(strength * (0.5 * x + 0.3 * y - 0.4 * z**2 + 0.3 * x * y))

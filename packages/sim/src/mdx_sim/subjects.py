"""Subjects: smooth random deformations of the anatomy, and how a head lies in the scanner."""

from __future__ import annotations

import zlib

import numpy as np
from scipy import ndimage

from mdx_sim.anatomy import HEAD_CENTRE_MM, Anatomy
from mdx_sim.scanners import Scanner

LEAST_JACOBIAN = 0.1
PEAK_MM = (5.0, 8.0)
DISTORTION_SIGMA_MM = 40.0


def named_rng(seed: int, *names: object) -> np.random.Generator:
    """A generator of its own for every (seed, names): adding a site or a subject changes no other one."""
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, names)).encode())])


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma_voxels: float) -> np.ndarray:
    """Gaussian-smoothed white noise, (*shape) float32, scaled to a largest magnitude of 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma_voxels, mode="wrap")
    return noise / np.abs(noise).max()


def subject_displacement(
    rng: np.random.Generator, anatomy: Anatomy, peak_mm: tuple[float, float] = PEAK_MM
) -> np.ndarray:
    """Where each voxel of a subject takes its tissue from, as an offset in mm, (3, X, Y, Z) float32.

    Random smooth warp (sigma 12-16 mm, its peak drawn from ``peak_mm``) plus the left-right asymmetry of real brains:
    the right half lies further forward than the left one (Yakovlevian torque, about 1.5 mm). Shrunk until the Jacobian
    is positive.
    """
    shape = anatomy.fractions.shape[1:]
    sigma = rng.uniform(12, 16) / anatomy.size_mm
    peak = rng.uniform(*peak_mm)
    displacement = np.stack([smooth_noise(rng, shape, sigma) for _ in range(3)])
    displacement *= peak / np.sqrt((displacement**2).sum(axis=0)).max()
    x_mm = anatomy.affine[0, 3] + anatomy.size_mm * np.arange(shape[0]) - HEAD_CENTRE_MM[0]
    torque_mm = rng.normal(1.5, 0.75)
    displacement[1] -= np.asarray(torque_mm * np.clip(x_mm / 70, -1, 1), dtype=np.float32)[:, None, None]
    while jacobian(displacement, anatomy.size_mm).min() < LEAST_JACOBIAN:
        displacement *= 0.8
    return displacement


def jacobian(displacement_mm: np.ndarray, size_mm: float) -> np.ndarray:
    """Determinant of the Jacobian of x -> x + displacement, (X, Y, Z); positive where the map does not fold."""
    gradient = np.stack([np.stack(np.gradient(component, size_mm)) for component in displacement_mm])
    gradient += np.eye(3, dtype=gradient.dtype)[:, :, None, None, None]
    return np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)))


def repositioning(rng: np.random.Generator, shift_mm: float = 4.0, turn_deg: float = 3.0) -> np.ndarray:
    """A rigid motion of the head between two visits, (4, 4) in mm, about the centre of the brain."""
    from scipy.spatial.transform import Rotation

    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", rng.normal(0, turn_deg, 3), degrees=True).as_matrix()
    centre = np.array(HEAD_CENTRE_MM)
    motion[:3, 3] = centre - motion[:3, :3] @ centre + rng.normal(0, shift_mm, 3)
    return motion


def sample_head(anatomy: Anatomy, offset_mm: np.ndarray, to_anatomy: np.ndarray) -> np.ndarray:
    """Fractions of tissue (and further maps of the anatomy) on another grid, (n, X, Y, Z) float32.

    Args:
        anatomy: the head at rest.
        offset_mm: (3, X, Y, Z) displacement of each voxel of the grid, added in the anatomy's millimetres.
        to_anatomy: (4, 4) from voxels of the grid to the anatomy's millimetres.
    """
    shape = offset_mm.shape[1:]
    from_mm = np.linalg.inv(anatomy.affine)
    matrix = from_mm @ to_anatomy
    index = np.indices(shape, dtype=np.float32).reshape(3, -1)
    where = matrix[:3, :3] @ index + matrix[:3, 3:] + from_mm[:3, :3] @ offset_mm.reshape(3, -1)
    where = where.reshape(3, *shape)
    fractions = np.stack([ndimage.map_coordinates(part, where, order=1) for part in anatomy.fractions])
    return fractions.astype(np.float32)


def lie_in_scanner(
    displacement: np.ndarray, anatomy: Anatomy, scanner: Scanner, registered: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Tissue fractions (and further maps of the anatomy), (n, X, Y, Z) on the grid of the visit, and its affine.

    Registered visits lie on the template's grid; else the head has moved and the grid may be oblique. The gradient's
    non-linearity bends image and truth alike.
    """
    affine, motion = anatomy.affine, np.eye(4)
    if not registered:
        motion = repositioning(rng)
        affine = turned(affine, scanner.oblique_deg)
    shape = displacement.shape[1:]
    bend = np.stack([smooth_noise(rng, shape, DISTORTION_SIGMA_MM / anatomy.size_mm) for _ in range(3)])
    offset = displacement + scanner.distortion_mm * bend
    return sample_head(anatomy, offset, motion @ affine), affine


def turned(affine: np.ndarray, angle_deg: float) -> np.ndarray:
    """``affine`` turned about the left-right axis through the centre of the brain."""
    cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    turn = np.eye(4)
    turn[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
    turn[:3, 3] = np.array(HEAD_CENTRE_MM) - turn[:3, :3] @ np.array(HEAD_CENTRE_MM)
    return turn @ affine

"""From tissue to the image that a scanner stores."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from mdx_sim.anatomy import COMPARTMENTS, HEAD_CENTRE_MM
from mdx_sim.physics import Tissue, spin_echo
from mdx_sim.scanners import Scanner
from mdx_sim.shifts import Shift
from mdx_sim.subjects import smooth_noise

IN_A_VOXEL = (*COMPARTMENTS, "lesion")
DENSITY_TR_MS, DENSITY_TE_MS = 2500.0, 15.0
BIAS_SIGMA_MM = 40.0
SCALP_TEXTURE_MM = 8.0
HEAD_RADII_MM = (86.0, 105.0, 92.0)
FWHM_PER_SIGMA = 2.3548


def tissue_signals(scanner: Scanner, tissues: dict[str, Tissue]) -> dict[str, float]:
    """The signal of every tissue relative to white matter, after the contrast part of the scanner's shift."""
    own = {name: scanner.signal(tissue) for name, tissue in tissues.items()}
    density = {name: spin_echo(tissue, DENSITY_TR_MS, DENSITY_TE_MS) for name, tissue in tissues.items()}
    weight = scanner.shift.density_weight
    return {
        name: (own[name] / own["wm"]) ** (1 - weight) * (density[name] / density["wm"]) ** weight for name in tissues
    }


def acquire(
    fractions: np.ndarray, affine: np.ndarray, scanner: Scanner, tissues: dict[str, Tissue], rng: np.random.Generator
) -> np.ndarray:
    """The magnitude image of a head, (X, Y, Z) float32, white matter near 1 before the field and the gain.

    Args:
        fractions: (n, X, Y, Z) of the tissues ``IN_A_VOXEL``, the last ones absent where n is less.
        affine: (4, 4) of the grid, for where the coil is.
        scanner: protocol, faults and shift.
        tissues: the constants as the site sees them (``mdx_sim.physics.site_tissues``).
        rng: the visit's own generator.
    """
    signal = tissue_signals(scanner, tissues)
    size_mm = float(np.linalg.norm(affine[:3, 0]))
    shape = fractions.shape[1:]
    fat = (1 + smooth_noise(rng, shape, SCALP_TEXTURE_MM / size_mm)) / 2
    scalp = fat * signal["fat"] + (1 - fat) * signal["muscle"]
    image = np.zeros(shape, dtype=np.float32)
    for name, part in zip(IN_A_VOXEL, fractions, strict=False):
        image = image + (scalp if name == "scalp" else signal[name]) * part
    image = ndimage.gaussian_filter(image, np.array(scanner.blur_mm) / FWHM_PER_SIGMA / size_mm)
    image = image * gain_field(affine, shape, scanner, rng)
    real, imaginary = scanner.noise * rng.standard_normal((2, *shape), dtype=np.float32)
    image = np.hypot(image + real, imaginary)
    return intensity_curve(image, scanner.shift).astype(np.float32)


def without_skull(image: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """``image`` (X, Y, Z) with zeros where less than half of a voxel is brain, as after a perfect brain extraction."""
    return np.where(brain_of(fractions), image, 0).astype(np.float32)


def brain_of(fractions: np.ndarray) -> np.ndarray:
    """Where at least half of a voxel is brain, (X, Y, Z) bool, from fractions of the tissues ``IN_A_VOXEL``."""
    inside = [part for name, part in zip(IN_A_VOXEL, fractions, strict=False) if name not in ("bone", "scalp")]
    return np.sum(inside, axis=0) >= 0.5


def gain_field(affine: np.ndarray, shape: tuple[int, ...], scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """The multiplicative gain exp(smooth), (X, Y, Z): random field of the visit, and rise towards the receive coil."""
    amplitude = scanner.bias + scanner.shift.bias
    field = amplitude * smooth_noise(rng, shape, BIAS_SIGMA_MM / float(np.linalg.norm(affine[:3, 0])))
    index = np.indices(shape, dtype=np.float32).reshape(3, -1)
    from_centre = affine[:3, :3] @ index + (affine[:3, 3] - np.array(HEAD_CENTRE_MM))[:, None]
    radius_squared = ((from_centre / np.array(HEAD_RADII_MM)[:, None]) ** 2).sum(axis=0).reshape(shape)
    return np.exp(field + scanner.shift.coil * np.clip(radius_squared, 0, 1.5)).astype(np.float32)


def intensity_curve(image: np.ndarray, shift: Shift) -> np.ndarray:
    """``image`` to the power of gamma, with its 99.9th percentile in place."""
    top = np.percentile(image, 99.9)
    return top * (image / top) ** shift.gamma


def store(path: Path, image: np.ndarray, affine: np.ndarray, scanner: Scanner, registered: bool) -> None:
    """Write ``image`` (RAS array) as the scanner's files are: orientation, header codes, type of number, slope.

    White matter is stored near ``scanner.gain``; what does not fit into the type is cut off, as on a scanner.
    """
    values, slope = image * scanner.gain, 1.0
    if scanner.storage != "float32":
        slope = scanner.slope if scanner.storage == "int16" else 1.0
        values = np.clip(np.rint(values / slope), 0, np.iinfo(scanner.storage).max)
    _save(path, nibabel.Nifti1Image(values.astype(scanner.storage), affine), scanner, registered, slope)


def store_mask(path: Path, mask: np.ndarray, affine: np.ndarray, scanner: Scanner, registered: bool) -> None:
    """Write a mask (RAS array of whole numbers) on the grid and in the orientation of the scanner's images."""
    _save(path, nibabel.Nifti1Image(mask.astype(np.uint8), affine), scanner, registered)


def label_map(fractions: np.ndarray, labels: str) -> np.ndarray:
    """The truth, (X, Y, Z) uint8: brain where at least half of a voxel is brain, tissue by the largest fraction."""
    white, grey, fluid = fractions[:3]
    brain = brain_of(fractions)
    if labels == "brain":
        return brain.astype(np.uint8)
    return (brain * (1 + np.argmax(np.stack([grey, white, fluid]), axis=0))).astype(np.uint8)


def _save(path: Path, image: nibabel.Nifti1Image, scanner: Scanner, registered: bool, slope: float = 1.0) -> None:
    code = "mni" if registered else "scanner"
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code)
    image.set_qform(image.affine, code)
    to_codes = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(scanner.axcodes)
    )
    stored = image.as_reoriented(to_codes.tolist())
    stored.header.set_slope_inter(slope, 0)  # last, because reorienting forgets it
    nibabel.save(stored, path)

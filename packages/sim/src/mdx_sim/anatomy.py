"""The anatomy that every simulated head is a deformation of: ICBM152 tissue maps with a synthetic skull and scalp."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import ndimage

from mdx.cache import cache_dir
from mdx.errors import ResourceError
from mdx.files import replacing

VERSION = 1
COMPARTMENTS = ("wm", "gm", "csf", "bone", "scalp")
HEAD_CENTRE_MM = (0.0, -16.5, 5.5)
FIELD_OF_VIEW_MM = (192.0, 224.0, 168.0)
FIELD_CENTRE_MM = (0.0, -16.5, 8.0)
"""The field ends below the brain and at the vertex: no axial slice of a registered scan holds nothing but air."""
BONE_MM, SCALP_MM = 6.0, 14.0
SHARPENING = 1.5


@dataclass(frozen=True)
class Anatomy:
    """A head as fractions of tissue.

    Attributes:
        fractions: (5, X, Y, Z) float32 volume fractions in the order of ``COMPARTMENTS``; the rest of a voxel is air.
            Further maps that move with the tissues may follow (see ``with_maps``).
        affine: (4, 4) voxel to millimetre matrix, RAS, ICBM152 space.
    """

    fractions: np.ndarray
    affine: np.ndarray

    @property
    def size_mm(self) -> float:
        """Edge of a voxel in millimetres."""
        return float(self.affine[0, 0])

    def with_maps(self, *maps: np.ndarray) -> Anatomy:
        """The same head, with further maps (X, Y, Z) that are deformed and sampled as its tissues are."""
        return Anatomy(np.concatenate([self.fractions, np.stack(maps)]).astype(np.float32), self.affine)


def grid(size_mm: float) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape (even numbers) and RAS affine of the grid of the given voxel size that holds the whole head."""
    shape = tuple(2 * int(np.ceil(length / size_mm / 2)) for length in FIELD_OF_VIEW_MM)
    affine = np.diag([size_mm, size_mm, size_mm, 1.0])
    affine[:3, 3] = np.array(FIELD_CENTRE_MM) - size_mm * (np.array(shape) - 1) / 2
    return (shape[0], shape[1], shape[2]), affine


def load_anatomy(size_mm: float) -> Anatomy:
    """The prepared head at ``size_mm``, from the user's cache or made now (some seconds, once for each size)."""
    path = cache_dir("sim", "anatomy") / f"icbm152_{size_mm:g}mm_v{VERSION}.npz"
    try:
        with np.load(path) as stored:
            return Anatomy(stored["fractions"], stored["affine"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # absent, or damaged from outside: made anew
    anatomy = prepare_anatomy(size_mm)
    with replacing(path) as temporary:
        np.savez(temporary, fractions=anatomy.fractions, affine=anatomy.affine)
    return anatomy


def prepare_anatomy(size_mm: float) -> Anatomy:
    """Sharpen the ICBM152 maps, add skull and scalp at 1 mm, then average into voxels of ``size_mm``.

    Cerebrospinal fluid is the filled brain mask minus grey and white matter. Fractions are raised to the power 1.5 and
    normalised, because an average brain has blurred folds.
    """
    tissues, brain, affine = icbm152_tissues()
    outside_mm = np.asarray(ndimage.distance_transform_edt(~brain), dtype=np.float32)
    bone = (outside_mm > 0) & (outside_mm <= BONE_MM)
    scalp = (outside_mm > BONE_MM) & (outside_mm <= SCALP_MM)
    maps = [*tissues, bone.astype(np.float32), scalp.astype(np.float32)]
    return Anatomy(to_grid(maps, affine, size_mm), grid(size_mm)[1])


def icbm152_tissues() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """White matter, grey matter and fluid at 1 mm as fractions (3, X, Y, Z), the brain as bool, and the affine."""
    t1, gm, wm, affine = _icbm152()
    below = int(SCALP_MM) + 2  # the template ends where the brain does
    t1, gm, wm = (np.pad(volume, ((0, 0), (0, 0), (below, 0))) for volume in (t1, gm, wm))
    affine = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -below], [0, 0, 0, 1]])
    brain = np.asarray(ndimage.binary_fill_holes(t1 > 0), dtype=bool)
    tissues = np.stack([wm, gm, np.clip(1 - wm - gm, 0, None)]) ** SHARPENING
    tissues *= brain / np.maximum(tissues.sum(axis=0), 1e-6)
    return tissues, brain, affine


def to_grid(maps: Sequence[np.ndarray], affine: np.ndarray, size_mm: float) -> np.ndarray:
    """Maps (X, Y, Z) at 1 mm with ``affine``, averaged into the voxels of ``grid(size_mm)``: (n, *shape) float32."""
    shape, target = grid(size_mm)
    to_source = np.linalg.inv(affine) @ target
    width = max(1, round(size_mm))
    averages = np.empty((len(maps), *shape), dtype=np.float32)
    for index, volume in enumerate(maps):
        averaged = ndimage.uniform_filter(volume.astype(np.float32), width)
        ndimage.affine_transform(averaged, to_source, output_shape=shape, output=averages[index], order=1)
    return averages


def _icbm152() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """T1, grey and white matter in 0..1 with the affine, as packaged in nilearn's wheel; nilearn is not imported."""
    import nibabel

    spec = find_spec("nilearn")
    folders = list(spec.submodule_search_locations or []) if spec else []
    volumes, affine = [], np.eye(4)
    for kind in ("t1", "gm", "wm"):
        name = f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
        path = next((p for f in folders if (p := Path(f, "datasets", "data", name)).is_file()), None)
        if path is None:
            raise ResourceError(f"nilearn does not carry {name}", "reinstall nilearn (>= 0.11)")
        image = nibabel.load(path)
        volumes.append(np.asarray(image.dataobj, dtype=np.float32) / 255)  # type: ignore[attr-defined]
        affine = np.asarray(image.affine)  # type: ignore[attr-defined]
    return volumes[0], volumes[1], volumes[2], affine

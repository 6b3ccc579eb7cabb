"""What age does to a brain: ventricles grow and cortical grey matter shrinks, each with its own scatter."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy import ndimage

from mdx.cache import cache_dir
from mdx.files import replacing
from mdx_sim.anatomy import Anatomy, icbm152_tissues, to_grid
from mdx_sim.subjects import sample_head

VERSION = 1
YOUNG = 30.0
"""Age in years at which a head is the anatomy's: the template is an average of young adults."""
KNEE = 60.0
GROWTH_MM_PER_YEAR = (0.1, 0.2)
"""How fast the walls of the ventricles move outwards before and after 60: from 19 ml at 40 to 45 ml at 80."""
THINNING_PER_YEAR = 0.005
"""The part of the cortical grey matter lost in a year."""
SCATTER_YEARS = 3.0
"""Standard deviation of the age that ventricles, and independently cortex, look like, about the subject's own."""
DEEP_MM = 25.0
REACH_MM = 20.0
WALL_SIGMA_MM = 3.0
STEP_MM = 1.5


@dataclass(frozen=True)
class Landmarks:
    """Where in the anatomy age acts, on its grid.

    Attributes:
        ventricles: (X, Y, Z) float32 part of each voxel that is lateral ventricle.
        wall_mm: (X, Y, Z) float32 distance to the ventricles' wall, negative inside.
        outward: (3, X, Y, Z) float32 how far each voxel moves when the walls move outwards by 1: along the gradient of
            the distance, fading over 20 mm outside and towards the middle of the ventricles.
        cortex: (X, Y, Z) float32 between 0 (deeper than 25 mm below the surface of the brain) and 1.
    """

    ventricles: np.ndarray
    wall_mm: np.ndarray
    outward: np.ndarray
    cortex: np.ndarray


@cache
def load_landmarks(size_mm: float) -> Landmarks:
    """The landmarks on the grid of ``size_mm``, from the user's cache or made now (10 s, once for each size)."""
    path = cache_dir("sim", "anatomy") / f"landmarks_{size_mm:g}mm_v{VERSION}.npz"
    names = tuple(Landmarks.__dataclass_fields__)
    try:
        with np.load(path) as stored:
            return Landmarks(*(stored[name] for name in names))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # absent, or damaged from outside: made anew
    landmarks = find_landmarks(size_mm)
    with replacing(path) as temporary:
        np.savez(temporary, **{name: getattr(landmarks, name) for name in names})
    return landmarks


def find_landmarks(size_mm: float) -> Landmarks:
    """Find the lateral ventricles in the ICBM152 maps: the largest body of fluid deep in the brain (17 ml)."""
    tissues, brain, affine = icbm152_tissues()
    depth_mm = np.asarray(ndimage.distance_transform_edt(brain), dtype=np.float32)
    bodies, _ = ndimage.label((tissues[2] > 0.5) & (depth_mm > DEEP_MM))  # type: ignore[misc]
    inside = bodies == 1 + np.argmax(np.bincount(bodies.ravel())[1:])
    wall_mm = np.asarray(ndimage.distance_transform_edt(~inside), dtype=np.float32)
    wall_mm -= np.asarray(ndimage.distance_transform_edt(inside), dtype=np.float32)
    smooth = ndimage.gaussian_filter(wall_mm, WALL_SIGMA_MM)
    outward = np.stack(list(np.gradient(smooth))) * np.exp(-np.clip(smooth, 0, None) / REACH_MM)
    maps = [inside, wall_mm, *outward, brain & (depth_mm < DEEP_MM)]
    on_grid = to_grid([np.asarray(volume, dtype=np.float32) for volume in maps], affine, size_mm)
    return Landmarks(on_grid[0], on_grid[1], on_grid[2:5], on_grid[5])


@dataclass(frozen=True)
class Ageing:
    """What age has done to a subject: walls moved outwards in mm, and the part of the cortical grey matter lost."""

    growth_mm: float
    thinning: float


def ageing(age: float, rng: np.random.Generator) -> Ageing:
    """The state of a subject of ``age`` years. Ventricles and cortex look older or younger, each by its own scatter."""
    ventricular, cortical = age + rng.normal(0, SCATTER_YEARS, 2)
    slow, fast = GROWTH_MM_PER_YEAR
    growth = slow * (min(ventricular, KNEE) - YOUNG) + fast * max(ventricular - KNEE, 0)
    return Ageing(float(growth), float(THINNING_PER_YEAR * (cortical - YOUNG)))


def widen_ventricles(displacement: np.ndarray, anatomy: Anatomy, landmarks: Landmarks, growth_mm: float) -> np.ndarray:
    """``displacement`` (3, X, Y, Z) in mm of where tissue is taken from, with the ventricles' walls moved outwards.

    The anatomy changes first and is then deformed. Walls move by ``growth_mm`` in steps along ``landmarks.outward``, so
    that nothing folds however far they go.
    """
    outward = replace(anatomy, fractions=landmarks.outward)
    steps = int(np.ceil(abs(growth_mm) / STEP_MM))
    for _ in range(steps):
        displacement = displacement - growth_mm / steps * sample_head(outward, displacement, anatomy.affine)
    return displacement


def thin_cortex(fractions: np.ndarray, cortex: np.ndarray, state: Ageing) -> np.ndarray:
    """``fractions`` (5, X, Y, Z) with grey matter near the surface replaced by fluid.

    Args:
        fractions: wm, gm, csf, bone, scalp.
        cortex: (X, Y, Z) as in ``Landmarks``, on the grid of the fractions.
        state: its ``thinning`` is the part that is lost.
    """
    lost = state.thinning * cortex * fractions[1]
    thinned = fractions.copy()
    thinned[1] -= lost
    thinned[2] += lost
    return thinned

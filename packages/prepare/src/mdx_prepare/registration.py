"""Finding the head in the template, and the other contrasts of a case in its first one.

Mattes' mutual information (Mattes et al., IEEE Transactions on Medical Imaging 22 (2003) 120) within the template's
brain and a rim around it: skull and scalp, which the template does not have, take no part, whether the scan has them
or not. A similarity from several starts at 8 mm, the best goes on as an affine at 4 mm and, with a rim of 2 mm, at
2 mm: the average brain fades towards its edge, and a wide rim there makes the affine too small by 2 %.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that its own pages use)
from scipy import ndimage

from mdx.errors import DataError
from mdx_prepare.template import Template
from mdx_prepare.volumes import affine_of, array_of, isotropic_grid, like, resample

SEED = 7
BINS = 32
RIM_MM = 8.0
SKULL_MM, SCALP_MM, AIR_MM = 8.0, 16.0, 32.0
LOWER_BRAIN = 0.4
SAMPLES = 20_000
HEAD_HEIGHT_MM = 165.0
"""From the vertex to below the brain: what is lower, neck and shoulders, says nothing of where the brain is."""
VERTEX_PERCENT = 99.5
CORE_MM = 45.0
HEADROOM, FAT = 1.2, 1.8
JUDGED_MM = 4.0
"""Folds differ between people: at 4 mm the template explains what an affine can explain."""
PITCHES_DEG = (-20.0, 0.0, 20.0)
SHIFTS_MM = (-15.0, 0.0, 15.0)
SCALE = 0.93
"""Of the first starts: the average brain is a large one."""
RESCALES = (0.87, 0.93, 1.0)
"""At 8 mm the edge of the scalp can pass for that of the brain; at 4 mm the folds decide."""


def register_to_template(scan: sitk.Image, head: sitk.Image, template: Template) -> sitk.AffineTransform:
    """The affine that takes millimetres (LPS) of the template to millimetres of a scan; ``head`` is 1 in the head.

    Raises DataError where the two never overlap.
    """
    point = _head_centre(head)
    scan = _without_glare(scan, point)
    centre = _centre_of(template.brain)
    best, lowest = None, np.inf
    fixed, moving = _ringed(template), _at(scan, 8.0)
    for pitch, shift in product(PITCHES_DEG, SHIFTS_MM):
        start = sitk.Similarity3DTransform()
        start.SetCenter(centre.tolist())
        start.SetRotation([1.0, 0.0, 0.0], float(np.deg2rad(pitch)))
        start.SetScale(SCALE)
        start.SetTranslation((point + np.array([0.0, 0.0, shift]) - centre).tolist())
        found, value = _optimise(fixed, moving, start, iterations=30)
        if value < lowest:
            best, lowest = found, value
    if best is None:
        raise DataError("the template's brain overlaps the scan nowhere", "check the header's affine in a viewer")
    fixed, moving = _template_at(template, 4.0, RIM_MM), _at(scan, 4.0)
    starts = [_as_affine(_scaled(best, best.GetScale() * factor)) for factor in RESCALES]
    affine, _ = min((_optimise(fixed, moving, start, iterations=60) for start in starts), key=lambda found: found[1])
    affine, _ = _optimise(_template_at(template, 2.0, 2.0), _at(scan, 2.0), affine, iterations=50)
    return affine


def _scaled(similarity: sitk.Similarity3DTransform, scale: float) -> sitk.Similarity3DTransform:
    other = sitk.Similarity3DTransform(similarity)
    other.SetScale(scale)
    return other


def register_contrast(contrast: sitk.Image, first: sitk.Image, brain: sitk.Image) -> sitk.AffineTransform:
    """The rigid movement that takes millimetres of the first contrast to those of another scan of the same session.

    Starts where the headers put it, and where the centres of the two fields of view meet; ``brain`` is 1 in the brain
    of ``first``. Raises DataError where the two never overlap.
    """
    centre = _centre_of(brain)
    contrast, first = (_without_glare(image, centre) for image in (contrast, first))
    apart = np.subtract(*(_box_centre(image) for image in (contrast, first)))
    best, lowest = None, np.inf
    fixed, moving = _rimmed(first, brain, 4.0, RIM_MM), _at(contrast, 4.0)
    for shift in (np.zeros(3), apart):
        start = sitk.Euler3DTransform(centre.tolist())
        start.SetTranslation(shift.tolist())
        found, value = _optimise(fixed, moving, start, iterations=40)
        if value < lowest:
            best, lowest = found, value
    if best is None:
        raise DataError("overlaps the first contrast nowhere", "check that both are of one session, and their headers")
    best, _ = _optimise(_rimmed(first, brain, 2.0, RIM_MM), _at(contrast, 2.0), best, iterations=40)
    return _as_affine(best)


def explained(scan: sitk.Image, reference: sitk.Image, brain: sitk.Image, move: sitk.Transform) -> tuple[float, float]:
    """How well a scan lies on a reference: what could betray a registration that failed.

    Args:
        brain: 1 in the brain of the reference, on its grid.
        move: takes points of the reference to points of the scan.

    Returns:
        the correlation ratio: the share of the scan's variance in the brain that the reference's intensity explains, 0
        to 1, for any contrast (Roche et al., MICCAI 1998); and the share of the brain within the scan's field of view.
    """
    grid = isotropic_grid(reference, JUDGED_MM)
    inside = array_of(resample(brain, grid, interpolation="nearest")) > 0
    field = like(np.ones(scan.GetSize(), np.uint8), scan)
    used = inside & (array_of(resample(field, grid, move, "nearest")) > 0)
    if not used.any():
        return 0.0, 0.0
    y = array_of(resample(scan, grid, move, "linear"))[used].astype(float)
    ratio = correlation_ratio(array_of(resample(reference, grid, interpolation="linear"))[used], y)
    return ratio, float(used.sum() / inside.sum())


def correlation_ratio(x: np.ndarray, y: np.ndarray) -> float:
    """1 - E[var(y | x)] / var(y), with x in bins of equal width between its 1st and 99th percentile."""
    y = np.clip(y, *np.percentile(y, [1, 99]))
    if y.std() == 0 or x.std() == 0:
        return 0.0
    low, high = np.percentile(x, [1, 99])
    group = np.digitize(x, np.linspace(low, high, BINS + 1)[1:-1])
    n = np.bincount(group, minlength=BINS)
    filled = n > 0
    means = np.bincount(group, y, minlength=BINS)[filled] / n[filled]
    return float((n[filled] * (means - y.mean()) ** 2).sum() / (len(y) * y.var()))


def rigid_part(affine: sitk.AffineTransform) -> sitk.AffineTransform:
    """The rigid movement nearest to an affine (polar decomposition), the centre of which it leaves where it is."""
    u, _, v = np.linalg.svd(np.array(affine.GetMatrix()).reshape(3, 3))
    rigid = sitk.AffineTransform(affine)
    rigid.SetMatrix((u @ v).ravel().tolist())
    return rigid


def _without_glare(scan: sitk.Image, centre: np.ndarray) -> sitk.Image:
    """The scan with what outshines the middle of the brain, such as fat, at the brain's own brightest.

    Without this, the histogram of a T1 is spent on the scalp.
    """
    values = array_of(scan)
    voxels = np.indices(values.shape).reshape(3, -1)[:, ::7]
    points = affine_of(scan)[:3, :3] @ voxels + affine_of(scan)[:3, 3:]
    near = np.linalg.norm(points - (centre * (-1, -1, 1))[:, None], axis=0) < CORE_MM
    core = values.reshape(-1)[::7][near]
    if not core.size:
        return scan
    dark, bright = values.min(), np.percentile(core, 99)
    muted = np.where(values > FAT * bright, dark, np.minimum(values, HEADROOM * bright))
    return like(muted.astype(np.float32), scan)


def _at(image: sitk.Image, mm: float) -> sitk.Image:
    return resample(image, isotropic_grid(image, mm), interpolation="linear")


def _rimmed(image: sitk.Image, brain: sitk.Image, mm: float, rim_mm: float) -> tuple[sitk.Image, sitk.Image]:
    """The image on voxels of ``mm``, and the brain with a rim around it on the same grid."""
    small = _at(image, mm)
    rim = sitk.BinaryDilate(resample(brain, small, interpolation="nearest"), [max(1, round(rim_mm / mm))] * 3)
    return small, rim


@lru_cache(maxsize=4)  # it is the same for every case of a table
def _template_at(template: Template, mm: float, rim_mm: float) -> tuple[sitk.Image, sitk.Image]:
    """``_rimmed`` of the template's brain."""
    return _rimmed(template.t1, template.brain, mm, rim_mm)


@lru_cache(maxsize=1)
def _ringed(template: Template) -> tuple[sitk.Image, sitk.Image]:
    """The template at 8 mm with rings for skull, scalp and air, and where they count: around the upper brain alone.

    Without them, the outer edge of the scalp is as good an edge of the brain as the brain's own. Mutual information
    only needs the rings to differ from each other: a scan that is stripped already is dark in all of them.
    """
    t1 = _at(template.t1, 8.0)
    wide = sitk.ConstantPad(t1, [4, 4, 4], [4, 4, 4], 0.0)
    brain = array_of(resample(template.brain, wide, interpolation="nearest")) > 0
    outside = np.asarray(ndimage.distance_transform_edt(~brain, sampling=8.0))
    brightest = float(array_of(t1).max())
    rings = np.select(
        [outside == 0, outside <= SKULL_MM, outside <= SCALP_MM],
        [array_of(wide), -0.1 * brightest, 1.2 * brightest],
        -0.2 * brightest,
    )
    height = np.flatnonzero(brain.any(axis=(0, 1)))
    upper = np.arange(brain.shape[2]) > height[0] + LOWER_BRAIN * len(height)
    counted = (outside <= RIM_MM) | ((outside <= AIR_MM) & upper)
    return like(rings.astype(np.float32), wide), like(counted.astype(np.uint8), wide)


def _as_affine(transform: Any) -> sitk.AffineTransform:
    affine = sitk.AffineTransform(3)
    affine.SetCenter(transform.GetCenter())
    affine.SetMatrix(transform.GetMatrix())
    affine.SetTranslation(transform.GetTranslation())
    return affine


def _box_centre(image: sitk.Image) -> np.ndarray:
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _centre_of(mask: sitk.Image) -> np.ndarray:
    """Centre of mass in LPS millimetres."""
    voxel = np.argwhere(array_of(mask) > 0).mean(axis=0)
    return np.array(mask.TransformContinuousIndexToPhysicalPoint(voxel.tolist()))


def _head_centre(head: sitk.Image) -> np.ndarray:
    """Centre of mass of the head's upper part, in LPS millimetres."""
    voxels = np.argwhere(array_of(head) > 0)
    points = (np.c_[voxels, np.ones(len(voxels))] @ affine_of(head).T)[:, :3]
    upper = points[points[:, 2] > np.percentile(points[:, 2], VERTEX_PERCENT) - HEAD_HEIGHT_MM]
    return upper.mean(axis=0) * (-1, -1, 1)


def _optimise(
    fixed: tuple[sitk.Image, sitk.Image], moving: sitk.Image, start: Any, iterations: int
) -> tuple[Any, float]:
    """The transform that maximises the mutual information from ``start`` on, and its negative value."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(fixed[1])
    inside = int(array_of(fixed[1]).sum())
    if inside > SAMPLES:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(SAMPLES / inside, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescentLineSearch(
        learningRate=1.0, numberOfIterations=iterations, convergenceMinimumValue=1e-5, convergenceWindowSize=6,
        lineSearchUpperLimit=3.0, lineSearchEpsilon=0.05, lineSearchMaximumIterations=6,
        estimateLearningRate=method.Once, maximumStepSizeInPhysicalUnits=fixed[0].GetSpacing()[0] / 4,
    )  # fmt: skip
    method.SetOptimizerScalesFromPhysicalShift()
    moved = type(start)(start)
    method.SetInitialTransform(moved, inPlace=True)
    try:
        method.Execute(fixed[0], moving)
    except RuntimeError:  # the start lies beside the scan
        return start, np.inf
    return moved, method.GetMetricValue()

"""Every step against a head whose affine, bias field, brain and white matter are known (3 mm voxels, seed 0)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from known_head import WHITE_MATTER, Head

from mdx_prepare.bias import correct_bias
from mdx_prepare.brain import simple_brain_mask, smooth_edge
from mdx_prepare.intensities import scale_percentiles, scale_white_matter
from mdx_prepare.registration import correlation_ratio, explained, register_contrast, rigid_part
from mdx_prepare.template import Template
from mdx_prepare.volumes import array_of, like, resample


@pytest.fixture(scope="session")
def found(prepared: Path) -> sitk.AffineTransform:
    """The affine that ``mdx data prepare`` found for the head; its result lies in the template's space."""
    (moves,) = [sitk.CompositeTransform(sitk.ReadTransform(str(prepared / "transforms" / "s1.tfm")))]
    return sitk.AffineTransform(moves.GetNthTransform(1))


def distances_mm(a: sitk.Transform, b: sitk.Transform, brain: sitk.Image) -> np.ndarray:
    voxels = np.argwhere(array_of(brain) > 0)[::503]
    points = [brain.TransformContinuousIndexToPhysicalPoint(v.tolist()) for v in voxels]
    return np.array([np.linalg.norm(np.subtract(a.TransformPoint(p), b.TransformPoint(p))) for p in points])


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_a_known_affine_is_recovered_within_a_voxel(
    head: Head, template: Template, found: sitk.AffineTransform
) -> None:
    distances = distances_mm(found, head.move, template.brain)
    assert distances.mean() < 1.5
    assert distances.max() < 3.0


def test_the_rigid_part_keeps_distances_and_the_centre(head: Head) -> None:
    rigid = rigid_part(head.move)
    matrix = np.array(rigid.GetMatrix()).reshape(3, 3)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1)
    centre = head.move.GetCenter()
    assert np.allclose(rigid.TransformPoint(centre), head.move.TransformPoint(centre))


def test_the_bias_field_is_recovered(head: Head) -> None:
    corrected, reach = correct_bias(head.scan, head.brain)
    inside = array_of(head.brain) > 0
    estimated = np.log(array_of(head.scan)[inside] / array_of(corrected)[inside])
    truth = np.log(head.field[inside])
    assert np.corrcoef(estimated, truth)[0, 1] > 0.92
    left = truth - estimated
    assert left.std() < 0.45 * truth.std()
    low, high = np.percentile(truth, [1, 99])
    assert reach == pytest.approx(np.exp(high - low), rel=0.15)


def test_a_scan_without_a_field_is_left_alone(head: Head) -> None:
    _, reach = correct_bias(head.clean, head.brain)
    assert reach < 1.2


def test_the_simple_mask_meets_the_brain(head: Head, template: Template, found: sitk.AffineTransform) -> None:
    corrected, _ = correct_bias(head.scan, head.brain)
    mask = simple_brain_mask(corrected, template, found)
    inside = array_of(smooth_edge(mask, head.scan, found.GetInverse())) > 0
    assert dice(inside, array_of(head.brain) > 0) > 0.95


def test_the_peak_of_white_matter_becomes_one(head: Head, template: Template) -> None:
    white = array_of(resample(template.white_matter, head.clean, head.move.GetInverse(), "nearest")) > 0
    scaled, peak = scale_white_matter(array_of(head.clean), white)
    assert peak == pytest.approx(WHITE_MATTER, rel=0.03)
    assert np.median(scaled[white]) == pytest.approx(1, abs=0.03)


def test_percentiles_become_zero_and_one() -> None:
    values = np.arange(1001, dtype=np.float32).reshape(7, 11, 13)
    scaled, (low, high) = scale_percentiles(values, values > 0, 10, 90)
    assert (low, high) == pytest.approx((100.9, 900.1))
    assert (scaled.min(), scaled.max()) == (0, 1)
    assert scaled.flat[500] == pytest.approx((500 - low) / (high - low))


def test_a_failed_registration_explains_less(head: Head, template: Template) -> None:
    good, coverage = explained(head.scan, template.t1, template.brain, head.move)
    wrong = sitk.AffineTransform(head.move)
    wrong.Translate([0.0, 25.0, 0.0])
    bad, _ = explained(head.scan, template.t1, template.brain, wrong)
    assert coverage > 0.99
    assert bad < 0.2 < good


def test_the_correlation_ratio_is_the_share_of_variance_between_bins() -> None:
    x = np.repeat([0.0, 1.0], 50)
    y = np.tile([0.0, 1.0], 50) + 3 * x
    assert correlation_ratio(x, y) == pytest.approx(2.25 / 2.5)


def test_another_contrast_is_brought_onto_the_first(head: Head) -> None:
    turned = sitk.Euler3DTransform(list(head.move.GetCenter()), *np.deg2rad([4.0, -3.0, 5.0]), [5.0, -4.0, 6.0])
    dark_fluid = like((700 - array_of(head.clean)).clip(0) * (array_of(head.clean) > 30), head.clean)
    moved = resample(dark_fluid, head.scan, turned.GetInverse(), "linear")
    found = register_contrast(moved, head.scan, head.brain)
    assert distances_mm(found, turned, head.brain).mean() < 1.0

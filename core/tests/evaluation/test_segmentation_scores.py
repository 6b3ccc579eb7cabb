from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from mdx.errors import DataError
from mdx.evaluation.segmentation import (
    SegmentationEvaluator,
    dice,
    hard_masks,
    hd95_mm,
    surface_dice,
    volume_error_percent,
)
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Sample, Task
from mdx.interfaces.geometry import Geometry


def box(shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(low, high) for _ in shape)] = True
    return mask


def test_dice_of_half_overlapping_boxes_worked_out_by_hand() -> None:
    a, b = np.zeros((1, 8), bool), np.zeros((1, 8), bool)
    a[0, :4], b[0, 2:6] = True, True
    assert dice(a, b) == 2 * 2 / 8


def test_dice_of_empty_masks() -> None:
    full, empty = box((4, 4, 4), 1, 3), np.zeros((4, 4, 4), bool)
    assert (dice(empty, empty), dice(full, empty), dice(empty, full)) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("pair", ["ab", "ac", "aa"])
def test_surface_dice_equals_the_reference_implementation(shared: Path, pair: str) -> None:
    golden = np.load(shared / "golden" / "mmtl_sdice.npz")
    found = surface_dice(golden[pair[0]] > 0, golden[pair[1]] > 0, tuple(golden["spacing"]), float(golden["tol"]))
    assert found == pytest.approx(float(golden[pair]), abs=1e-6)


def test_surface_dice_of_empty_masks() -> None:
    full, empty = box((6, 6, 6), 2, 4), np.zeros((6, 6, 6), bool)
    assert surface_dice(empty, full, (1, 1, 1), 1) == 0
    assert surface_dice(full, empty, (1, 1, 1), 1) == 0
    assert surface_dice(empty, empty, (1, 1, 1), 1) == 1


def test_surface_dice_is_taken_in_three_dimensions_not_slice_by_slice() -> None:
    a, b = box((12, 12, 12), 3, 9), box((12, 12, 12), 3, 9)
    b[:, :, 3] = False  # the whole lowest slice: far in-plane, near along the third axis
    slice_by_slice = np.mean([surface_dice(a[..., k], b[..., k], (1, 1), 1.0) for k in range(12)])
    assert surface_dice(a, b, (1, 1, 1), 1.01) == pytest.approx(1.0)
    assert slice_by_slice < 0.95


def test_surface_dice_uses_the_spacing() -> None:
    a, b = box((16, 16, 16), 4, 10), box((16, 16, 16), 4, 10)
    b = np.roll(b, 1, axis=0)
    assert surface_dice(a, b, (1, 1, 1), 1.01) == pytest.approx(1.0)
    assert surface_dice(a, b, (3, 1, 1), 1.01) < 0.9


def test_surface_dice_does_not_depend_on_the_empty_space_around() -> None:
    rng = np.random.default_rng(1)
    a = box((14, 14, 14), 4, 10) & (rng.random((14, 14, 14)) > 0.1)
    b = box((14, 14, 14), 5, 11)
    around = [np.pad(m, 7) for m in (a, b)]
    assert surface_dice(a, b, (1, 2, 1.5), 1) == surface_dice(*around, (1, 2, 1.5), 1)


def test_masks_of_other_shapes_or_types_are_refused() -> None:
    with pytest.raises(DataError, match="shapes"):
        dice(np.zeros((2, 2), bool), np.zeros((2, 3), bool))
    with pytest.raises(DataError, match="bool"):
        surface_dice(np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), (1, 1, 1), 1)


def test_a_spacing_of_another_number_of_axes_is_refused() -> None:
    full = box((4, 4, 4), 1, 3)
    with pytest.raises(DataError, match="2 voxel edges for 3 dimensions"):
        surface_dice(full, full, (1, 1), 1)


def test_surface_dice_of_a_shape_at_the_edge_of_the_volume_counts_that_surface() -> None:
    whole, half = np.ones((6, 6, 6), bool), box((6, 6, 6), 0, 6)
    half[3:] = False
    assert surface_dice(whole, whole, (1, 1, 1), 1) == pytest.approx(1.0)
    assert surface_dice(whole, half, (1, 1, 1), 0.5) < 0.8


def test_the_volume_error_has_a_sign_and_needs_a_reference() -> None:
    full, empty = box((6, 6, 6), 1, 5), np.zeros((6, 6, 6), bool)
    assert volume_error_percent(box((6, 6, 6), 1, 3), full) == pytest.approx(-87.5)
    assert volume_error_percent(full, box((6, 6, 6), 1, 3)) == pytest.approx(700)
    assert np.isnan(volume_error_percent(full, empty))


def test_hd95_is_the_larger_95th_percentile_of_the_distances_between_surfaces() -> None:
    spacing, random = (1.0, 2.0, 0.5), np.random.default_rng(0)
    reference = box((14, 14, 14), 3, 10)
    prediction = box((14, 14, 14), 4, 12) | (random.random((14, 14, 14)) > 0.998)
    edges = [
        np.argwhere(mask & ~binary_erosion(mask)) * spacing for mask in (prediction, reference)
    ]  # the voxels of a shape that touch what is outside
    between = cdist(*edges)
    by_hand = max(np.percentile(between.min(axis=1), 95), np.percentile(between.min(axis=0), 95))
    assert hd95_mm(prediction, reference, spacing) == pytest.approx(by_hand)
    assert hd95_mm(reference, reference, spacing) == 0


def test_hd95_is_undefined_where_one_shape_is_empty() -> None:
    full, empty = box((6, 6, 6), 1, 5), np.zeros((6, 6, 6), bool)
    assert np.isnan([hd95_mm(full, empty, (1, 1, 1)), hd95_mm(empty, full, (1, 1, 1))]).all()


def test_a_voxel_belongs_to_its_most_probable_class_if_above_one_half() -> None:
    p = np.array([[0.9, 0.6, 0.4, 0.5], [0.2, 0.7, 0.45, 0.5]])
    assert hard_masks(p).tolist() == [[True, False, False, False], [False, True, False, False]]


def test_several_classes_are_scored_alone_and_on_average() -> None:
    task = Task("segmentation", ("left", "right"), ("image",), 3, ("A",))
    truth = np.stack([box((8, 8, 8), 1, 4), box((8, 8, 8), 5, 7)])
    predicted = truth.copy()
    predicted[1] = False
    case = Case("c", "s", "A", {})
    sample = Sample(
        case, torch.zeros(1, 8, 8, 8), Geometry(np.eye(4), (8, 8, 8)), {"mask": torch.from_numpy(truth).float()}
    )
    scores = SegmentationEvaluator(task).per_case(Prediction(sample.geometry, predicted.astype(np.float32)), sample)
    assert (scores["dice_left"], scores["dice_right"], scores["dice"]) == (1.0, 0.0, 0.5)
    assert scores["surface_dice"] == 0.5
    assert scores["volume_error_percent"] == -50
    assert scores["hd95_mm"] == 0, "of the one class that has both"
    assert set(scores) == set(SegmentationEvaluator(task).metrics)


def test_a_method_that_predicts_no_segmentation_is_told_so() -> None:
    task = Task("segmentation", ("left",), ("image",), 3, ("A",))
    geometry = Geometry(np.eye(4), (4, 4, 4))
    sample = Sample(Case("c", "s", "A", {}), torch.zeros(1, 4, 4, 4), geometry, {"mask": torch.zeros(1, 4, 4, 4)})
    with pytest.raises(DataError, match="no segmentation"):
        SegmentationEvaluator(task).per_case(Prediction(geometry), sample)

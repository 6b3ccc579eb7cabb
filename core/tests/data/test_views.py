"""What is cut out of a case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numbered_cases import cohort

from mdx.data.batches.sampling import Piece, RandomPatches, RandomSlices, SlicePairs, Slices, make_loader
from mdx.errors import DataError
from mdx.interfaces.dataset import Sample


def test_a_random_slice_is_where_its_position_says() -> None:
    for batch in make_loader(cohort(), 3, view=RandomSlices(), steps=5, seed=0):
        assert batch.image.shape == (3, 1, 6, 8)
        assert batch.position is not None
        for image, case, (z,) in zip(batch.image, batch.case_ids, batch.position.tolist(), strict=True):
            assert image[0, 0, 0] == 1000 * (1 + int(case)) + z


def test_a_view_is_cut_in_full_precision_whatever_the_networks_are_trained_in() -> None:
    class Turned(Slices):
        def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
            piece = super().cut(sample, index, rng)
            return replace(piece, image=piece.image @ torch.full((8, 8), 0.1))

    plain = list(make_loader(cohort(), 3, view=Turned(), shuffle=False, seed=0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = list(make_loader(cohort(), 3, view=Turned(), shuffle=False, seed=0))
    assert all(torch.equal(a.image, b.image) for a, b in zip(plain, mixed, strict=True))


def test_cases_and_slices_are_drawn_uniformly() -> None:
    """Seed 1; 4000 draws of 4 cases and 5 slices: each within 4 standard deviations of its share."""
    seen_cases, seen_slices = np.zeros(4), np.zeros(5)
    for batch in make_loader(cohort(), 40, view=RandomSlices(crop=2), steps=100, seed=1):
        assert batch.position is not None
        np.add.at(seen_cases, [int(c) for c in batch.case_ids], 1)
        np.add.at(seen_slices, batch.position[:, 0].numpy(), 1)
    for seen in (seen_cases, seen_slices):
        share = 1 / len(seen)
        assert np.abs(seen - 4000 * share).max() < 4 * np.sqrt(4000 * share * (1 - share))


def test_image_and_mask_are_cut_at_the_same_place() -> None:
    for view in (RandomSlices(crop=(3, 4)), RandomSlices(crop=20), RandomPatches(4), Slices(axis=0)):
        for batch in make_loader(cohort(), 2, view=view, steps=4, seed=2):
            inside = batch.mask == (batch.image % 2 == 0)
            padding = batch.image == batch.image.amin(dim=tuple(range(2, batch.image.ndim)), keepdim=True)
            assert bool((inside | padding).all())


def test_a_slice_smaller_than_the_crop_is_padded_with_its_minimum_and_the_mask_with_zero() -> None:
    batch = next(iter(make_loader(cohort(1), 1, view=RandomSlices(crop=12), seed=3)))
    assert batch.image.shape == (1, 1, 12, 12)
    assert batch.position is not None
    lowest = 1000 + int(batch.position[0, 0])
    assert bool((batch.image[0, 0, :3] == lowest).all())
    assert bool((batch.image[0, 0, 3:9, 2:10] > lowest - 1).all())
    assert batch.mask[0, 0, :3].sum() == 0
    assert batch.mask[0, 0, :, :2].sum() == 0


def test_a_patch_is_where_its_position_says() -> None:
    for batch in make_loader(cohort(), 2, view=RandomPatches((2, 3, 4)), steps=5, seed=4):
        assert batch.position is not None
        for image, case, (x, y, z) in zip(batch.image, batch.case_ids, batch.position.tolist(), strict=True):
            assert image[0, 0, 0, 0] == 1000 * (1 + int(case)) + 100 * x + 10 * y + z


def test_all_slices_are_each_seen_once() -> None:
    seen = []
    for batch in make_loader(cohort(), 3, view=Slices(), seed=5):
        assert batch.position is not None
        seen += list(zip(batch.case_ids, batch.position[:, 0].tolist(), strict=True))
    assert sorted(seen) == [(str(i), z) for i in range(4) for z in range(5)]
    assert seen != sorted(seen)


def test_a_two_dimensional_image_is_one_slice() -> None:
    data = cohort(3, (6, 8))
    assert [b.image.shape for b in make_loader(data, 3, view=Slices(), seed=0)] == [(3, 1, 6, 8)]
    assert next(iter(make_loader(data, 2, view=RandomSlices(crop=4), seed=0))).image.shape == (2, 1, 4, 4)


def test_neighbours_are_channels_in_order_and_the_last_slice_is_repeated_beyond_the_ends() -> None:
    (batch,) = make_loader(cohort(1), 5, view=Slices(neighbours=1), shuffle=False, seed=0)
    assert batch.image.shape == (5, 3, 6, 8)
    assert (batch.image[:, :, 0, 0] - 1000).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 4]]
    assert torch.equal(batch.mask[:, 0], (batch.image[:, 1] % 2 == 0).float())


def test_a_picture_is_its_own_neighbour() -> None:
    (batch,) = make_loader(cohort(1, (6, 8)), 1, view=Slices(neighbours=1), seed=0)
    assert torch.equal(batch.image[:, :1].expand(-1, 3, -1, -1), batch.image)


def test_every_third_slice_is_kept_with_its_number_in_the_volume() -> None:
    (batch,) = make_loader(cohort(1), 9, view=Slices(every=3), shuffle=False, seed=0)
    assert batch.position is not None
    assert batch.position.tolist() == [[0], [3]]
    (drawn,) = make_loader(cohort(1), 50, view=RandomSlices(every=3, neighbours=2), steps=1, seed=0)
    assert drawn.position is not None
    assert set(drawn.position.flatten().tolist()) == {0, 3}
    assert drawn.image.shape[1] == 5


@pytest.mark.parametrize("view", [Slices, RandomSlices])
def test_slices_that_cannot_be_cut_are_refused(view) -> None:
    with pytest.raises(DataError, match="every=0"):
        view(every=0)
    with pytest.raises(DataError, match="neighbours=-1"):
        view(neighbours=-1)


def test_a_slice_comes_with_another_of_its_volume_far_enough_away() -> None:
    """Seed 0; 60 passes over 2 volumes of 5 slices: every pair 2 or more apart is seen, and no other."""
    seen = set()
    for batch in make_loader(cohort(2), 10, view=SlicePairs(apart=2), steps=60, seed=0):
        assert batch.position is not None
        for case, image, second, (z, other) in zip(
            batch.case_ids, batch.image, batch["second"], batch.position.tolist(), strict=True
        ):
            assert (image[0, 0, 0], second[0, 0, 0]) == (1000 * (1 + int(case)) + z, 1000 * (1 + int(case)) + other)
            seen.add((z, other))
    assert seen == {(a, b) for a in range(5) for b in range(5) if abs(a - b) >= 2}


def test_slices_without_a_partner_are_left_out_and_a_volume_without_pairs_is_refused() -> None:
    (batch,) = make_loader(cohort(1), 9, view=SlicePairs(apart=4), shuffle=False, seed=0)
    assert batch.position is not None
    assert batch.position.tolist() == [[0, 4], [4, 0]]
    with pytest.raises(DataError, match=r"5 slice\(s\), no two of which are 5 apart"):
        list(make_loader(cohort(1), 1, view=SlicePairs(apart=5), seed=0))

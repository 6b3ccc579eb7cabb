from __future__ import annotations

import pytest
import torch
from fda_phantoms import phantom

from mdx.errors import DataError
from mdx_fda.bank import Bank, crop_edge, crops_at_mass, require_unit_range


@pytest.mark.parametrize(("shortest", "edge"), [(300, 120), (182, 120), (100, 66), (64, 42), (30, 42)])
def test_edge_of_the_compared_crop(shortest: int, edge: int) -> None:
    assert crop_edge(shortest) == edge


def test_crops_are_centred_at_each_slices_own_mass() -> None:
    slices = torch.zeros(2, 100, 90)
    slices[0, 40, 50], slices[1, 60, 30] = 1, 1
    crops = crops_at_mass(slices, 40)
    assert crops[0, 20, 20] == 1
    assert crops[1, 20, 20] == 1


def test_the_centre_is_truncated_to_a_pixel() -> None:
    slices = torch.zeros(1, 100, 90)
    slices[0, 40:42, 50:52] = 1  # centre 40.5, 50.5
    assert torch.equal(crops_at_mass(slices, 40)[0, 20:22, 20:22], torch.ones(2, 2))


def test_a_crop_is_moved_inside_the_slice() -> None:
    slices = torch.zeros(1, 100, 90)
    slices[0, 3, 88] = 1
    crops = crops_at_mass(slices, 40)
    assert crops.shape == (1, 40, 40)
    assert crops[0, 3, 38] == 1


def test_a_slice_without_mass_is_cropped_at_its_middle() -> None:
    assert torch.equal(crops_at_mass(torch.zeros(1, 70, 80), 42), torch.zeros(1, 42, 42))


def test_small_slices_are_padded_with_their_minimum() -> None:
    crops = crops_at_mass(torch.rand(2, 20, 30) + 0.25, 42)
    assert crops.shape == (2, 42, 42)
    assert float(crops[0].min()) == float(crops[0, 0, 0]) >= 0.25


def test_scans_of_equal_depth_are_paired_by_index() -> None:
    (pairs,) = Bank(["a"], [phantom(0)]).pairs(8)
    assert pairs.tolist() == list(range(8))


def test_scans_of_other_depth_are_paired_by_relative_position() -> None:
    bank = Bank(["a", "b"], [phantom(0, depth=4), phantom(1, depth=16)])
    assert [p.tolist() for p in bank.pairs(8)] == [[0, 0, 1, 1, 2, 2, 3, 3], [1, 3, 5, 7, 9, 11, 13, 15]]


def test_donor_slices_of_another_shape_are_resized_and_keep_their_mean() -> None:
    bank = Bank(["a"], [phantom(0, height=60, width=50)])
    zeros = torch.zeros(2, dtype=torch.long)
    taken = bank.take(zeros, torch.tensor([1, 3]), (90, 80))
    assert taken.shape == (2, 1, 90, 80)
    torch.testing.assert_close(taken.mean(dim=(1, 2, 3)), phantom(0, height=60, width=50)[[1, 3], 0].mean(dim=(1, 2)),
                               atol=5e-3, rtol=0)  # fmt: skip


def test_an_empty_bank_is_refused() -> None:
    with pytest.raises(DataError, match="no donor"):
        Bank([], [])


def test_intensities_beyond_one_are_refused_with_the_remedy() -> None:
    with pytest.raises(DataError, match=r"data\.intensity=percentiles"):
        require_unit_range(torch.tensor([0.0, 400.0]), "scan7")

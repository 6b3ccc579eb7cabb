from __future__ import annotations

import pytest
import torch
from fda_phantoms import phantom
from torch import Tensor

from mdx_fda.bank import Bank
from mdx_fda.ranking import draw, narrowed, rank_2_5d, rank_2d, rank_3d, similarities

MIDDLE = slice(2, 6)  # slices of eight that 2.5d may compare with neighbours


def _bank(scans: list[Tensor]) -> Bank:
    return Bank([f"donor{i}" for i in range(len(scans))], scans)


@pytest.mark.parametrize("rank", [rank_2d, rank_2_5d, rank_3d])
def test_an_exact_copy_of_the_target_is_the_first_donor(scans: list[Tensor], rank: object) -> None:
    target = phantom(9)
    donors = rank(target, _bank([*scans[:3], target, *scans[3:]]), 4)  # type: ignore[operator]
    assert donors.scans.shape == (8, 4)
    assert donors.scans[:, 0].tolist() == [3] * 8
    assert donors.slices[:, 0].tolist() == list(range(8))
    assert donors.similarity is not None
    torch.testing.assert_close(donors.similarity[:, 0], torch.ones(8), atol=1e-4, rtol=0)


def test_a_copy_two_slices_away_is_first_in_2_5d_but_not_in_2d(scans: list[Tensor]) -> None:
    target = phantom(9)
    moved = torch.roll(target, 2, dims=0)
    # the other donors resemble the target more than its own neighbours do
    alike = [(0.9 * target + 0.1 * scan) for scan in scans]
    bank = _bank([*alike, moved])
    near = rank_2_5d(target, bank, 3)
    assert near.scans[MIDDLE, 0].tolist() == [5] * 4
    assert near.slices[MIDDLE, 0].tolist() == [4, 5, 6, 7]
    assert 5 not in rank_2d(target, bank, 3).scans[:, 0].tolist()


def test_2_5d_compares_the_first_and_last_slices_at_their_own_position_only(scans: list[Tensor]) -> None:
    target = phantom(9)
    bank = _bank([*scans, torch.roll(target, 2, dims=0), torch.roll(target, -2, dims=0)])
    donors = rank_2_5d(target, bank, 5)
    for i in (0, 1, 6, 7):
        assert donors.slices[i].tolist() == [i] * 5
    assert donors.similarity is not None
    assert bool(torch.isfinite(donors.similarity).all())


def test_one_scan_may_serve_several_times_in_2_5d(scans: list[Tensor]) -> None:
    still = phantom(9)[3:4].repeat(8, 1, 1, 1)
    donors = rank_2_5d(still, _bank([*scans, still]), 5)
    assert donors.scans[4].tolist() == [5] * 5
    assert sorted(donors.slices[4].tolist()) == [2, 3, 4, 5, 6]


def test_3d_gives_every_slice_the_same_donors_and_2d_need_not(scans: list[Tensor]) -> None:
    target = phantom(9)
    assert len({tuple(row) for row in rank_3d(target, _bank(scans), 3).scans.tolist()}) == 1
    assert len({tuple(row) for row in rank_2d(target, _bank(scans), 3).scans.tolist()}) > 1


def test_flat_slices_do_not_count_in_3d(scans: list[Tensor]) -> None:
    target = phantom(9)
    bank = _bank(scans)
    with_background = torch.cat([torch.zeros(4, 1, 66, 72), target[4:]])
    alone = rank_3d(with_background, bank, 3)
    expected = rank_2d(target, bank, 5)
    assert expected.similarity is not None
    means = torch.zeros(8, 5).scatter(1, expected.scans, expected.similarity)[4:].mean(dim=0)
    assert alone.scans[0].tolist() == means.argsort(descending=True)[:3].tolist()


def test_a_small_bank_gives_what_it_has(scans: list[Tensor]) -> None:
    for donors in (rank_3d(phantom(9), _bank(scans), 7), draw(phantom(9), _bank(scans), 7, 42)):
        assert donors.scans.shape == (8, 5)


def test_random_donors_differ_within_a_slice_and_between_slices(scans: list[Tensor]) -> None:
    donors = draw(phantom(9), _bank(scans), 3, 42)
    assert all(len(set(row)) == 3 for row in donors.scans.tolist())
    assert len({tuple(row) for row in donors.scans.tolist()}) > 1
    assert donors.slices.tolist() == [[i] * 3 for i in range(8)]


def test_random_donors_of_a_scan_do_not_depend_on_the_scans_before_it(scans: list[Tensor]) -> None:
    bank = _bank(scans)
    first = draw(phantom(9), bank, 3, 42)
    draw(phantom(8), bank, 3, 42)
    assert torch.equal(draw(phantom(9), bank, 3, 42).scans, first.scans)
    assert not torch.equal(draw(phantom(9), bank, 3, 43).scans, first.scans)


def test_scans_of_other_shapes_are_ranked_too() -> None:
    target = phantom(9, depth=7, height=35, width=50)
    bank = _bank([phantom(1, depth=9, height=40, width=44), phantom(9, depth=7, height=35, width=50)])
    assert rank_3d(target, bank, 1).scans[:, 0].tolist() == [1] * 7
    assert rank_2_5d(target, bank, 2).scans.shape == (7, 2)


def test_the_record_names_the_donors_once_where_they_serve_all_slices(scans: list[Tensor]) -> None:
    bank = _bank(scans)
    shared = rank_3d(phantom(9), bank, 2).described(bank)
    assert len(shared["donors"]) == len(shared["similarity"]) == 2
    each = rank_2d(phantom(9), bank, 2).described(bank)
    assert len(each["donors"]) == len(each["donor_slices"]) == 8


@pytest.mark.parametrize(("rank", "n"), [(rank_2d, 3), (rank_2_5d, 1), (rank_3d, 3)])
def test_a_narrowed_bank_gives_the_donors_of_the_whole_one(rank: object, n: int) -> None:
    # 24 donors, seeds 0 to 23, of which every slice is blended with the target more or less: three are much alike
    target = phantom(99)
    shares = [0.9, 0.8, 0.7, *[0.02 * i / 21 for i in range(21)]]
    bank = _bank([(1 - s) * phantom(i) + s * target for i, s in enumerate(shares)])
    exact, narrow = (rank(target, bank, n, candidates=c) for c in (24, 6))  # type: ignore[operator]
    assert torch.equal(narrow.scans, exact.scans)
    assert torch.equal(narrow.slices, exact.slices)
    torch.testing.assert_close(narrow.similarity, exact.similarity)


def test_no_more_scans_are_compared_exactly_than_are_asked_for(scans: list[Tensor]) -> None:
    bank, target = _bank(scans), phantom(9)
    assert narrowed(target, bank, len(scans)) is None
    each, whole = narrowed(target, bank, 2), narrowed(target, bank, 2, whole=True)
    assert each is not None
    assert whole is not None
    assert each.sum(dim=1).tolist() == whole.sum(dim=1).tolist() == [2] * 8
    assert whole.any(dim=0).sum() == 2
    compared = torch.isfinite(similarities(target, bank, among=each))
    assert torch.equal(compared, each)


def test_features_that_are_not_kept_are_made_again(scans: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    target = phantom(9)
    wanted = rank_3d(target, _bank(scans), 3)
    monkeypatch.setattr("mdx_fda.bank.FEATURE_BYTES", 0)
    bank = _bank(scans)
    found = rank_3d(target, bank, 3)
    assert not bank._features
    assert torch.equal(found.scans, wanted.scans)
    torch.testing.assert_close(found.similarity, wanted.similarity)

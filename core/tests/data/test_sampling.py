from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from numbered_cases import TASK, Numbered, cohort, same

from mdx.data.batches.sampling import Piece, RandomPatches, RandomSlices, SlicePairs, Slices, make_loader
from mdx.errors import DataError, HiddenLabelError
from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry


def test_without_shuffling_slices_come_in_order() -> None:
    batches = list(make_loader(cohort(2), 10, view=Slices(), shuffle=False, seed=0))
    assert batches[0].case_ids == ["0"] * 5 + ["1"] * 5


def test_wholes_are_all_cases_once() -> None:
    batches = list(make_loader(cohort(5), 2, seed=6))
    assert sorted(c for b in batches for c in b.case_ids) == list("01234")
    assert batches[0].image.shape == (2, 1, 6, 8, 5)
    assert batches[0].position is None


@pytest.mark.parametrize("view", [None, RandomSlices(crop=4), Slices()])
def test_batches_depend_on_the_seed_and_not_on_the_workers(view) -> None:
    alone = list(make_loader(cohort(), 2, view=view, steps=6, seed=7))
    assert same(alone, list(make_loader(cohort(), 2, view=view, steps=6, seed=7, workers=2)))
    assert not same(alone, list(make_loader(cohort(), 2, view=view, steps=6, seed=8)))


def test_steps_give_so_many_full_batches() -> None:
    batches = list(make_loader(cohort(3), 2, steps=7, seed=0))
    assert [len(b) for b in batches] == [2] * 7


def test_an_endless_loader_goes_on_and_shuffles_anew() -> None:
    batches = list(islice(make_loader(cohort(8), 8, endless=True, seed=0), 5))
    assert len({tuple(b.case_ids) for b in batches}) > 1
    assert all(sorted(b.case_ids) == list("01234567") for b in batches)


def test_processes_share_a_pass_in_equal_parts() -> None:
    parts = [[c for b in make_loader(cohort(7), 2, seed=9, rank=r, world=2) for c in b.case_ids] for r in (0, 1)]
    assert [len(p) for p in parts] == [4, 4]
    assert set(parts[0] + parts[1]) == set("0123456")


def test_processes_draw_different_slices() -> None:
    a, b = (list(make_loader(cohort(), 4, view=RandomSlices(), steps=4, seed=1, rank=r, world=2)) for r in (0, 1))
    assert not same(a, b)


def test_a_sampler_chooses_the_cases() -> None:
    def last_twice(data: Dataset, rng: np.random.Generator) -> Iterator[int]:
        yield from (len(data) - 1, len(data) - 1)

    assert [b.case_ids for b in make_loader(cohort(), 2, sampler=last_twice, seed=0)] == [["3", "3"]]
    assert len(list(make_loader(cohort(), 2, sampler=last_twice, steps=3, seed=0))) == 3


def test_a_sampler_that_yields_nothing_does_not_hang() -> None:
    with pytest.raises(DataError, match="yields no case"):
        list(make_loader(cohort(), 2, sampler=lambda data, rng: iter(()), endless=True, seed=0))


def test_hidden_items_hold_zeros_and_are_not_given_away() -> None:
    data = cohort().without_labels(role="target")
    batch = next(iter(make_loader(data, 4, view=RandomSlices(), shuffle=False, seed=0)))
    assert batch.labelled.tolist() == [True, False, False, False]
    assert batch.labels["mask"][1:].sum() == 0
    assert batch.labels["mask"][0].sum() > 0
    with pytest.raises(HiddenLabelError):
        _ = batch.mask


def test_labels_hidden_later_are_not_taken_from_memory() -> None:
    data = cohort(1)
    assert next(iter(make_loader(data, 1, seed=0))).labelled.all()
    assert not next(iter(make_loader(data.without_labels(split="train"), 1, seed=0))).labelled.any()


def test_classes_and_numbers_are_labels_too() -> None:
    def load(case: Case, visible: bool) -> Sample:
        return Sample(case, torch.zeros(1, 4, 4), Geometry(np.eye(4), (4, 4)), {"class": 1} if visible else {})

    data = Dataset(Task("classification", ("a", "b"), ("image",), 2, ("A",), "class"), cohort(2).cases, load)
    batch = next(iter(make_loader(data.without_labels(role="target"), 2, shuffle=False, seed=0)))
    assert (batch.labels["class"].tolist(), batch.labels["class"].dtype) == ([1, 0], torch.int64)


def test_images_of_different_shapes_are_not_one_batch() -> None:
    loaders = {"0": Numbered((6, 8, 5)), "1": Numbered((7, 8, 5))}
    data = Dataset(TASK, cohort(2).cases, lambda case, visible: loaders[case.id](case, visible))
    with pytest.raises(DataError, match="different shapes cannot be one batch"):
        list(make_loader(data, 2, seed=0))


def test_samples_are_kept_in_memory_and_read_again_if_the_loader_says_so() -> None:
    kept, fresh = cohort(2), cohort(2)
    fresh.loader.keep = False  # type: ignore[attr-defined]
    for data in (kept, fresh):
        list(make_loader(data, 2, view=RandomSlices(), steps=10, seed=0))
    assert kept.loader.loads == 2  # type: ignore[attr-defined]
    assert fresh.loader.loads == 20  # type: ignore[attr-defined]


def test_the_parts_of_a_batch_hold_its_items_in_order_with_labels_and_positions() -> None:
    batch = next(iter(make_loader(cohort(), 3, view=RandomPatches((4, 4, 2)), seed=0)))
    parts = list(batch.parts(2))
    assert [len(part) for part in parts] == [2, 1]
    assert [i for part in parts for i in part.case_ids] == batch.case_ids
    assert batch.position is not None
    assert torch.equal(torch.cat([part.position for part in parts if part.position is not None]), batch.position)
    assert torch.equal(torch.cat([part.image for part in parts]), batch.image)
    assert torch.equal(torch.cat([part.mask for part in parts]), batch.mask)
    assert [part.share for part in parts] == [2 / 3, 1 / 3]


def test_a_batch_that_memory_holds_is_one_part() -> None:
    batch = next(iter(make_loader(cohort(), 3, view=RandomPatches((4, 4, 2)), seed=0)))
    assert [list(batch.parts(size)) for size in (None, 3, 9)] == [[batch]] * 3
    assert batch.share == 1


def test_the_target_of_a_batch_is_the_label_of_the_task_whatever_it_is_called() -> None:
    batch = next(iter(make_loader(cohort(), 3, view=RandomPatches((4, 4, 2)), seed=0)))
    assert torch.equal(batch.target, batch.mask)
    batch.labelled[1] = False
    with pytest.raises(HiddenLabelError):
        _ = batch.target


def test_a_sampler_chooses_pieces_of_cases() -> None:
    def two_slices(data: Dataset, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
        yield from ((1, 4), (0, 2))

    (batch,) = make_loader(cohort(2), 4, view=Slices(), sampler=two_slices, seed=0)
    assert batch.position is not None
    assert (batch.case_ids, batch.position.tolist()) == (["1", "0"], [[4], [2]])


def test_a_piece_that_a_case_does_not_have_is_refused() -> None:
    with pytest.raises(DataError, match="piece 5, and there are 5"):
        list(make_loader(cohort(1), 1, view=Slices(), sampler=lambda data, rng: iter([(0, 5)]), seed=0))


def test_columns_of_the_cases_arrive_in_the_batch() -> None:
    rows = [replace(c, columns={"tone": i, "weight": i / 2, "lab": f"L{i}"}) for i, c in enumerate(cohort(3).cases)]
    data = Dataset(TASK, rows, Numbered())
    also = {"tone": "tone", "lab": "lab", "weight": "weight", "site": lambda case: "AB".index(case.site)}
    (batch,) = make_loader(data, 9, view=Slices(every=3), shuffle=False, also=also, seed=0)
    assert (batch["tone"].tolist(), batch["tone"].dtype) == ([0, 0, 1, 1, 2, 2], torch.int64)
    assert (batch["weight"].tolist(), batch["weight"].dtype) == ([0, 0, 0.5, 0.5, 1, 1], torch.float32)
    assert batch["lab"] == ["L0", "L0", "L1", "L1", "L2", "L2"]
    assert batch["site"].tolist() == [0] * 6
    assert [part["lab"] for part in batch.parts(4)] == [["L0", "L0", "L1", "L1"], ["L2", "L2"]]


def test_a_column_that_is_empty_for_a_case_or_hidden_is_refused() -> None:
    task = Task("regression", (), ("image",), 3, ("A",), "age")
    rows = [replace(c, columns={"age": 50.0, "tone": None if i else 1}) for i, c in enumerate(cohort(2).cases)]
    data = Dataset(task, rows, Numbered())
    with pytest.raises(DataError, match=r"1 case\(s\) have no 'tone' \(1\)"):
        make_loader(data, 2, also={"tone": "tone"}, seed=0)
    with pytest.raises(DataError, match="no case has a value in the column 'tine'"):
        make_loader(data, 2, also={"tone": "tine"}, seed=0)
    with pytest.raises(HiddenLabelError, match="'age' of 1 case"):
        make_loader(data.without_labels(role="target"), 2, also={"years": "age"}, seed=0)
    hidden = data.without_labels(role="target")
    (batch,) = make_loader(hidden, 2, also={"years": lambda case: case.value("age")}, shuffle=False, seed=0)
    assert batch["years"] == [50.0, None]


def test_a_column_and_a_tensor_of_a_view_cannot_have_one_name() -> None:
    with pytest.raises(DataError, match="'second' is a tensor of the view"):
        list(make_loader(cohort(1), 1, view=SlicePairs(apart=1), also={"second": "site"}, seed=0))


class Shuffled(Slices):
    """Rows of a slice in another order, which arrives with it; named for the first case only where it is to fail."""

    odd = False

    def cut(self, sample: Sample, index: int, rng: np.random.Generator) -> Piece:
        piece, order = super().cut(sample, index, rng), torch.from_numpy(rng.permutation(6))
        more = {} if self.odd and sample.case.id != "0" else {"order": order, "whole": piece.image}
        return Piece(piece.image[:, order], piece.mask, piece.position, more)


class OddlyShuffled(Shuffled):
    odd = True


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_view_names_arrives_in_the_batch_and_stays_with_its_parts(workers: int) -> None:
    for batch in make_loader(cohort(), 3, view=Shuffled(), steps=4, seed=0, workers=workers):
        for part in (*batch.parts(2), batch.to(torch.device("cpu"))):
            assert part["order"].shape == (len(part), 6)
            for image, order, whole in zip(part.image, part["order"], part["whole"], strict=True):
                assert torch.equal(image, whole[:, order])


def test_what_only_some_pieces_have_is_refused_and_what_none_has_is_named() -> None:
    with pytest.raises(DataError, match="'order' must have one shape in all pieces"):
        list(make_loader(cohort(2), 10, view=OddlyShuffled(), seed=0))
    batch = next(iter(make_loader(cohort(1), 1, view=Shuffled(), seed=0)))
    with pytest.raises(DataError, match="has no 'ordre'"):
        _ = batch["ordre"]

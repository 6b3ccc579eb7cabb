"""What ``run.outputs`` gathers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mdx.data.batches.sampling import Piece, RandomSlices, Wholes
from mdx.errors import DataError, HiddenLabelError, PluginError
from mdx.interfaces.dataset import Batch, Sample, Task
from mdx.interfaces.model import Model
from mdx.training.run import Run


class Normed(made_up.MadeUp):
    """A network that behaves otherwise in training."""

    def build(self, task: Task) -> Model:
        torch.manual_seed(0)
        return Model(encoder=nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)), other=nn.Dropout(0.5))


@pytest.fixture
def normed(tmp_path: Path) -> Run:
    method = Normed(made_up.MadeUpConfig())
    return Run(tmp_path, method, method.build(None))


def _encode(run: Run) -> Callable[[Batch], Tensor]:
    return lambda batch: run.model.encoder(batch.image.mean(dim=(2, 3)))


def test_outputs_are_of_every_case_in_order_in_eval_mode_and_without_gradients(normed: Run) -> None:
    data = made_up.dataset(5)
    normed.model.other.eval()
    before = [b.clone() for b in normed.model.buffers()]
    found = normed.outputs(_encode(normed), data, 2)
    normed.model.encoder.eval()
    each = [normed.model.encoder(data.load(case).image.mean(dim=(1, 2))[None])[0] for case in data.cases]
    torch.testing.assert_close(found.values, torch.stack(each))
    assert not found.values.requires_grad
    assert found.items.case_ids == [case.id for case in data.cases]
    assert found.label("age").tolist() == [0, 1, 2, 3, 4]
    assert all(torch.equal(a, b) for a, b in zip(normed.model.buffers(), before, strict=True))


def test_outputs_leave_modes_and_random_numbers_of_training_alone(normed: Run) -> None:
    normed.model.other.eval()
    before = torch.get_rng_state()
    noisy = [normed.outputs(lambda batch: torch.rand(len(batch)), made_up.dataset(3), 2).values for _ in range(2)]
    assert torch.equal(*noisy)
    assert torch.equal(torch.get_rng_state(), before)
    assert normed.model.encoder.training
    assert not normed.model.other.training


def test_outputs_of_several_tensors_keep_their_form_and_of_pieces_their_place(run: Run) -> None:
    def both(batch: Batch) -> dict[str, object]:
        return {"mean": batch.image.mean(dim=(1, 2, 3)), "pair": (batch.image[:, 0, 0], batch.image[:, 1])}

    found = run.outputs(both, made_up.dataset(3), 2, view=RandomSlices(crop=4), also={"number": "age"})
    assert found.items["number"].tolist() == [0, 1, 2]
    assert found.values["mean"].shape == (3,)
    assert found.values["pair"][1].shape == (3, 4, 4)
    assert found.items.position is not None
    assert len(found.items.position) == 3


class Twice(Wholes):
    """Wholes that carry a second image and a number."""

    def cut(self, sample: Sample, piece: int, rng: np.random.Generator) -> Piece:
        return replace(super().cut(sample, piece, rng), more={"second": sample.image, "shift": torch.tensor(2.0)})


def test_outputs_keep_what_is_known_of_items_but_no_image(run: Run) -> None:
    found = run.outputs(lambda batch: batch["second"].mean(dim=(1, 2, 3)), made_up.dataset(3), 2, view=Twice())
    assert found.items["shift"].tolist() == [2.0, 2.0, 2.0]
    assert found.items.image.numel() == 0
    with pytest.raises(DataError, match="no 'second'"):
        found.items["second"]


def test_a_hidden_label_of_outputs_cannot_be_read(run: Run) -> None:
    found = run.outputs(lambda batch: batch.image[:, 0], made_up.dataset(3).without_labels(), 2)
    assert not found.items.labelled.any()
    with pytest.raises(HiddenLabelError, match="3 case"):
        found.label("age")


def test_outputs_without_a_row_for_each_item_are_refused(run: Run) -> None:
    with pytest.raises(PluginError, match=r"shape \(\) was given for a batch of 2"):
        run.outputs(lambda batch: batch.image.mean(), made_up.dataset(3), 2)
    with pytest.raises(DataError, match="no case"):
        run.outputs(lambda batch: batch.image, made_up.dataset(0), 2)

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mdx.errors import DataError, HiddenLabelError
from mdx.interfaces.adapter import Adapter, MethodConfig, Prediction, networks_of
from mdx.interfaces.dataset import Dataset, Task
from mdx.interfaces.model import Model
from mdx.training.run import Run
from mdx_segment.networks import ResidualUNet2d
from mdx_segment.settings import SourceTraining
from mdx_segment.training import mean_dice, train_slices


class _Nothing(Adapter[MethodConfig]):
    def build(self, task: Task) -> Model:
        return Model(network=ResidualUNet2d(1, 1, 2))

    def fit(self, data: Dataset, model: Model, run: Run) -> None: ...

    def apply(self, sample: object, model: Model, reference: object = None) -> Prediction:
        raise NotImplementedError


def _config(**values: float) -> SourceTraining:
    tiny = {"epochs": 5, "steps": 4, "batch_size": 4, "crop": 16, "lr": 0.05, "validate_every": 2}
    return SourceTraining.model_validate({**tiny, **values})


def _trained(folder: Path, data: Dataset, config: SourceTraining, **options: str) -> Run:
    method = _Nothing(MethodConfig.model_validate({}))
    torch.manual_seed(1)
    run = Run(folder, method, networks_of(method, data.task), seed=1, **options)
    train_slices(run.model.network, data, run, config, "source")
    return run


def _epochs(run: Run) -> list[dict[str, float]]:
    import json

    return [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]


def test_the_defaults_are_the_papers() -> None:
    config = SourceTraining.model_validate({})
    assert (config.epochs, config.steps, config.batch_size, config.lr) == (100, 100, 16, 1e-3)
    assert round(config.decay_at * config.epochs) == 80


def test_training_learns_a_bright_disc(discs: Dataset, tmp_path: Path) -> None:
    # seed 1; an untrained network scores about 0.3
    run = _trained(tmp_path, discs, _config(epochs=8, steps=8))
    assert mean_dice(run.model.network, discs.where(split="val"), run) > 0.9


def test_the_learning_rate_falls_tenfold_after_four_fifths(discs: Dataset, tmp_path: Path) -> None:
    from mdx.runs.checkpoint import load_tree

    run = _trained(tmp_path, discs, _config())
    (group,) = load_tree(run.directory / "checkpoints" / "source.safetensors")["optimizers"]["source"]["state"][
        "param_groups"
    ]
    assert group["lr"] == pytest.approx(0.005)
    assert group["nesterov"] and group["momentum"] == 0.9


def test_validation_is_looked_at_every_so_often_and_at_the_end(discs: Dataset, tmp_path: Path) -> None:
    run = _trained(tmp_path, discs, _config())
    assert [e["epoch"] for e in _epochs(run) if "val/dice" in e] == [1, 3, 4]


def test_equal_stages_are_trained_once(discs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))
    first = _trained(tmp_path / "a", discs, _config(epochs=2), identity="x")
    second = _trained(tmp_path / "b", discs, _config(epochs=2), identity="x")
    assert not (second.directory / "metrics.jsonl").exists()
    for name, value in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value), name


def test_other_settings_are_another_stage(discs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))
    _trained(tmp_path / "a", discs, _config(epochs=1), identity="x")
    second = _trained(tmp_path / "b", discs, _config(epochs=1, lr=0.01), identity="x")
    assert len(_epochs(second)) == 1


def test_no_labelled_case_is_one_message(discs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no labelled case"):
        _trained(tmp_path, discs.where(split="val"), _config())


def test_hidden_masks_are_not_trained_on(discs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(HiddenLabelError):
        _trained(tmp_path, discs.without_labels(split="train"), _config())


def test_fit_crop_keeps_small_slices_from_being_padded(discs: Dataset, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = ResidualUNet2d(1, 1, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape[2:]))
            return self.inner(x)

    method = _Nothing(MethodConfig.model_validate({}))
    run = Run(tmp_path, method, Model(network=Spy()), seed=1)
    config = _config(epochs=1, steps=1, crop=160, fit_crop=True)
    train_slices(run.model.network, discs.where(split="train"), run, config, "source")
    assert seen == [(24, 24)]

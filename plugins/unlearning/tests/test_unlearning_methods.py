"""What tells the methods apart: the loss each trains with, whose cases stand in it, and which weights it keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from made_ages import SMALL, Fit
from torch import Tensor, nn

from mdx.interfaces.dataset import Batch, Dataset, Task
from mdx.interfaces.model import Model
from mdx.runs.checkpoint import load_tree
from mdx.training.run import Run
from mdx.training.stages import Epoch
from mdx_adversarial.layers import reversal_scale
from mdx_unlearning.adapter import Unlearning
from mdx_unlearning.baselines import DANN, Normal, NormalConditioned
from mdx_unlearning.cohort import TrainingCohort
from mdx_unlearning.config import UnlearningConfig
from mdx_unlearning.networks import Regressor
from mdx_unlearning.training import encode_cases, validate

CONFIG = UnlearningConfig.model_validate({**SMALL, "probe_every": 1})


def run_of(model: Model, folder: Path) -> Run:
    return Run(folder, Unlearning(CONFIG), model)


def predicts_zero(encoder: nn.Module) -> Model:
    """A model whose prediction is 0 for every feature of length 4."""
    model = Model(encoder=encoder, regressor=Regressor(4))
    for parameter in model.regressor.parameters():
        parameter.data.zero_()
    return model


def batch_of(labels: list[float], domains: list[int]) -> Batch:
    """A batch of features."""
    ids = [str(i) for i in range(len(labels))]
    ages, seen = {"age": torch.tensor(labels)}, torch.ones(len(labels), dtype=torch.bool)
    return Batch(torch.rand(len(labels), 4), ids, ids, ids, ages, seen, more={"domain": torch.tensor(domains)})


def cohort_of(count: int) -> Any:
    return SimpleNamespace(label="age", domains=range(count))


@pytest.mark.parametrize(("kind", "expected"), [(Normal, 13 / 5), (NormalConditioned, 1 + 9)])
def test_normal_pools_squared_errors_and_normal_conditioned_sums_each_domains_mean(kind: Any, expected: float) -> None:
    batch = batch_of([1, -1, 1, -1, 3], [0, 0, 0, 0, 1])
    loss = kind(CONFIG)._loss(predicts_zero(nn.Identity()), batch, cohort_of(2))
    assert float(loss.detach()) == pytest.approx(expected)


def test_validation_logs_the_pooled_error_and_the_sum_of_each_domains_mean(
    three_sites: Dataset, tmp_path: Path
) -> None:
    cohort = TrainingCohort(three_sites, CONFIG)
    model = predicts_zero(Unlearning(CONFIG.model_copy(update={"feature_size": 4})).build(three_sites.task).encoder)
    epoch = Epoch("train", 0)
    validate(epoch, model, cohort, run_of(model, tmp_path), CONFIG.model_copy(update={"probe_every": 0}))
    ages = {site: [c.columns["age"] ** 2 for c in cohort.val.cases if c.site == site] for site in "ABC"}
    assert epoch.metrics["val/pooled"] == pytest.approx(sum(map(sum, ages.values())) / len(cohort.val))
    assert epoch.metrics["val/main"] == pytest.approx(sum(sum(v) / len(v) for v in ages.values()))


@pytest.mark.parametrize(("kind", "kept"), [(Normal, 2), (NormalConditioned, 1)])
def test_each_baseline_keeps_the_weights_of_the_lowest_loss_of_its_own(
    kind: Any, kept: int, three_sites: Dataset, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [(3.0, 3.0), (1.0, 2.0), (2.0, 1.0), (3.0, 3.0)]

    def scripted(epoch: Epoch, *_: Any) -> None:
        main, pooled = losses[epoch.index]
        epoch.log(val={"main": main, "pooled": pooled})

    monkeypatch.setattr("mdx_unlearning.baselines.validate", scripted)
    run = fit(kind, three_sites, epochs=4, pretrain_epochs=0, steps=1)
    assert load_tree(run.directory / "checkpoints" / "best.safetensors")["epoch"] == kept


@pytest.mark.parametrize(
    ("kind", "stage", "monitor"),
    [
        (Unlearning, "unlearn", "val/main"), (DANN, "dann", "val/main"), (Normal, "train", "val/pooled"),
        (NormalConditioned, "train", "val/main"),
    ],
)  # fmt: skip
def test_stage_one_runs_to_its_end_and_stage_two_has_the_patience(
    kind: Any, stage: str, monitor: str, three_sites: Dataset, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, Any, Any]] = []
    plain = Run.epochs

    def watched(run: Run, name: str, count: int, **options: Any) -> Any:
        asked.append((name, count, options.get("monitor"), options.get("patience")))
        return plain(run, name, count, **options)

    monkeypatch.setattr(Run, "epochs", watched)
    fit(kind, three_sites, epochs=3, pretrain_epochs=1, steps=1, patience=7)
    assert asked == [("pretrain", 1, None, None), (stage, 2, monitor, 7)]


def test_the_main_loss_is_of_the_main_batch_and_the_domains_are_those_of_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    def recorded(*_: Any, **options: Any) -> Any:
        given.update(options)
        return SimpleNamespace(_asdict=dict)

    monkeypatch.setattr("mdx_unlearning.adapter.unlearning_step", recorded)
    batch, unlearnt = batch_of([1, 1, 3], [0, 0, 1]), batch_of([50, 60, 70], [1, 0, 1])
    model = predicts_zero(nn.Identity())
    model["head"] = nn.Linear(4, 2)
    run: Any = SimpleNamespace(log=lambda **_: None)
    Unlearning(CONFIG)._step(run, model, cohort_of(2), None, batch, unlearnt)  # type: ignore[arg-type]
    assert given["main"] is batch.image
    assert given["other"] is unlearnt.image
    assert float(given["task_loss"](batch.image).detach()) == 1 + 9
    assert given["domains"].tolist() == [1, 0, 1]


def test_the_encoder_of_dann_is_given_the_heads_gradient_reversed_and_scaled(
    three_sites: Dataset, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    features: list[Tensor] = []
    seen_by_head: list[Tensor] = []
    ratios: list[float] = []

    class Watched(DANN):
        def build(self, task: Task) -> Model:
            model = super().build(task)
            model.encoder.register_forward_hook(lambda _, __, out: features.append(out))
            return model

    plain = Run.step

    def step(run: Run, optimizer: Any, loss: Tensor, **options: Any) -> None:
        ours, heads = (torch.autograd.grad(loss, x[-1], retain_graph=True)[0] for x in (features, seen_by_head))
        main = torch.autograd.grad(options["log"]["main"], features[-1], retain_graph=True)[0]
        ratios.append(float(((ours - main) * heads).sum() / heads.square().sum()))
        plain(run, optimizer, loss, **options)

    def add(run: Run, head: nn.Module) -> None:
        head.register_forward_pre_hook(lambda _, inputs: seen_by_head.append(inputs[0]))
        with_head(run, head=head)

    with_head = Run.add
    monkeypatch.setattr(Run, "add", add)
    monkeypatch.setattr(Run, "step", step)
    fit(Watched, three_sites, epochs=2, pretrain_epochs=0, steps=1, probe_every=0, alpha=1.0)
    assert ratios == pytest.approx([0.0, -reversal_scale(0.5)], abs=1e-3)


def test_the_probe_in_validation_learns_from_training_features_and_is_scored_on_those_of_validation(
    three_sites: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def recorded(*arguments: Any, seed: int) -> tuple[float, float]:
        given.extend(arguments)
        return 0.5, 1 / 3

    monkeypatch.setattr("mdx_unlearning.training.probe_accuracy", recorded)
    cohort = TrainingCohort(three_sites, CONFIG)
    model = Unlearning(CONFIG).build(three_sites.task)
    run = run_of(model, tmp_path)
    validate(Epoch("unlearn", 0), model, cohort, run, CONFIG)
    for data, (features, sites) in zip((cohort.train, cohort.val), (given[:2], given[2:]), strict=True):
        assert torch.equal(torch.from_numpy(features), encode_cases(model, cohort, data, run, CONFIG)[0])
        assert sites == [case.site for case in data.cases]

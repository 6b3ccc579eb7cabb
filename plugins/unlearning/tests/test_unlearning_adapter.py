"""Training: what moves what, stopping and going on, and what comes out."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_ages import Fit, make_ages
from torch import Tensor, nn

from mdx.errors import DataError, StoppedError
from mdx.evaluation.cases import predict
from mdx.interfaces.dataset import Case, Dataset, Sample
from mdx.interfaces.model import Model
from mdx.runs.checkpoint import load_tree
from mdx.training.run import Run
from mdx_unlearning.adapter import Unlearning
from mdx_unlearning.baselines import DANN, Normal, NormalConditioned, reversal_scale
from mdx_unlearning.cohort import TrainingCohort
from mdx_unlearning.networks import Regressor
from mdx_unlearning.training import encode_cases, main_loss, validate

ALL = [Unlearning, Normal, NormalConditioned, DANN]


def weights(run: Run) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in run.model.state_dict().items()}


def metrics(run: Run, stage: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["stage"] == stage]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ALL)
def test_every_method_predicts_a_number_and_an_embedding(kind: Any, dims: int, fit: Fit) -> None:
    data = make_ages({"A": 24, "B": 12}, dims=dims)
    run = fit(kind, data)
    made = predict(run.adapter, run.model, data.load(data.where(split="test").cases[0]))
    assert made.value is not None
    assert math.isfinite(made.value)
    assert made.embedding is not None
    assert made.embedding.shape == (12,)
    assert made.embedding.dtype == np.float32


def test_the_label_is_learnt(three_sites: Dataset, fit: Fit) -> None:
    run = fit(Unlearning, three_sites, epochs=12, pretrain_epochs=8, steps=20, beta=1.0)
    tests = three_sites.where(split="test")
    errors = [abs((predict(run.adapter, run.model, tests.load(c)).value or 0) - c.columns["age"]) for c in tests.cases]
    spread = np.abs(np.array([c.columns["age"] for c in tests.cases]) - 60).mean()
    assert np.mean(errors) < 0.6 * spread


def test_a_method_without_its_head_still_predicts(three_sites: Dataset, fit: Fit) -> None:
    run = fit(Unlearning, three_sites)
    fresh = Unlearning(run.adapter.config).build(three_sites.task)
    assert "head" not in fresh
    fresh.load_saved(load_tree(run.directory / "checkpoints" / "final.safetensors")["model"])
    sample = three_sites.load(three_sites.cases[0])
    assert predict(run.adapter, fresh, sample).value == predict(run.adapter, run.model, sample).value


def test_stage_one_leaves_the_encoder_to_the_label_unless_told_otherwise(three_sites: Dataset, fit: Fit) -> None:
    def encoder(grad: str, alpha: float) -> Tensor:
        run = fit(Unlearning, three_sites, epochs=1, alpha=alpha, stage1_domain_grad=grad, select="last")
        return weights(run)["encoder.feature.weight"]

    assert torch.equal(encoder("detached", 0.0), encoder("detached", 5.0))
    assert not torch.equal(encoder("joint", 0.0), encoder("joint", 5.0))


class LabelsLost:
    """Loads the images of ``data`` as ever; every label is NaN."""

    def __init__(self, data: Dataset) -> None:
        self.inner, self.cases = data.loader, {case.id: case for case in data.cases}

    def __call__(self, case: Case, visible: bool) -> Sample:
        sample = self.inner(self.cases[case.id], True)
        return dataclasses.replace(sample, labels={"age": math.nan}, hidden=frozenset())


def test_labels_of_the_overlap_set_change_nothing(confounded: Dataset, fit: Fit) -> None:
    def trained(other: Dataset) -> dict[str, Tensor]:
        data = Dataset(confounded.task, confounded.cases, confounded.loader, {"overlap": other})
        return weights(fit(Unlearning, data, unlearn_on="overlap"))

    overlap = make_ages({"A": 16, "B": 16}, {"A": (55, 65), "B": (55, 65)})
    without = Dataset(overlap.task, [dataclasses.replace(c, columns={"age": math.nan}) for c in overlap.cases],
                      LabelsLost(overlap))  # fmt: skip
    kept, lost = trained(overlap), trained(without)
    assert all(torch.equal(kept[k], lost[k]) for k in kept)


def test_unlearning_on_the_overlap_takes_the_domain_from_overlap_cases_only(confounded: Dataset, fit: Fit) -> None:
    seen: list[set[str]] = []

    class Watched(Unlearning):
        def _step(self, *arguments: Any) -> Any:
            seen.append(set(arguments[-1].case_ids))
            return super()._step(*arguments)

    fit(Watched, confounded, unlearn_on="overlap")
    shared = [c for c in confounded.where(split="train").cases if 55 <= c.columns["age"] <= 65]
    assert set().union(*seen) <= {c.id for c in shared}


def test_both_batches_of_a_step_hold_the_same_numbers_of_each_domain(confounded: Dataset, fit: Fit) -> None:
    class Watched(Unlearning):
        def _step(self, *arguments: Any) -> Any:
            *_, batch, unlearnt = arguments
            assert batch.sites == unlearnt.sites
            return super()._step(*arguments)

    fit(Watched, confounded, unlearn_on="overlap", epochs=4, pretrain_epochs=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"reset_each_epoch": True},
        {"features": "stale", "reduction": "sum", "domain_loss": "double_softmax", "oversampling": "smallest"},
        {"domain_loss": "binary", "stage1_domain_grad": "joint", "steps": "null"},
        {"nuisance": "coil"},
        {"nuisance": "age", "nuisance_bins": 2},
    ],
)
def test_the_options_run_and_differ_from_the_default(three_sites: Dataset, fit: Fit, settings: dict[str, Any]) -> None:
    plain, other = (weights(fit(Unlearning, three_sites, epochs=4, **s)) for s in ({}, settings))
    assert not torch.equal(plain["encoder.feature.weight"], other["encoder.feature.weight"])


def test_one_site_only_is_refused_before_training(three_sites: Dataset, fit: Fit) -> None:
    with pytest.raises(DataError, match="unlearning needs at least two values of 'site'"):
        fit(Unlearning, three_sites.where(site="A"))


def test_ordinary_training_needs_one_site_only(three_sites: Dataset, fit: Fit) -> None:
    run = fit(Normal, three_sites.where(site="A"))
    assert "val/site_probe" not in metrics(run, "train")[-1]


def test_choosing_the_best_without_validation_cases_is_refused(three_sites: Dataset, fit: Fit) -> None:
    with pytest.raises(DataError, match="select=last"):
        fit(Unlearning, three_sites.where(split=["train", "test"]))


def test_a_fresh_probe_is_logged_beside_the_main_loss(three_sites: Dataset, fit: Fit) -> None:
    rows = metrics(fit(Unlearning, three_sites, epochs=5), "unlearn")
    assert [("val/site_probe" in row) for row in rows] == [False, True, False, True]
    assert rows[1]["val/site_probe_chance"] == pytest.approx(1 / 3)
    assert all({"val/main", "val/absolute_error", "train/confusion"} <= set(row) for row in rows)


def test_the_weights_of_the_lowest_main_loss_are_kept_unless_the_last_are_wanted(
    three_sites: Dataset, fit: Fit
) -> None:
    # a learning rate that ruins the network after the first epochs
    options = {"epochs": 6, "lr_unlearn": 0.05, "probe_every": 0}
    best, last = (fit(Unlearning, three_sites, select=select, **options) for select in ("best", "last"))
    losses = [row["val/main"] for row in metrics(best, "unlearn")]
    assert losses == [row["val/main"] for row in metrics(last, "unlearn")]
    kept = load_tree(best.directory / "checkpoints" / "best.safetensors")
    assert kept["epoch"] == int(np.argmin(losses))
    same = torch.equal(weights(best)["encoder.feature.weight"], weights(last)["encoder.feature.weight"])
    assert same == (int(np.argmin(losses)) == len(losses) - 1)


def test_stage_two_stops_early_and_stage_one_does_not(three_sites: Dataset, fit: Fit) -> None:
    run = fit(Unlearning, three_sites, epochs=30, pretrain_epochs=4, lr_unlearn=0.1, patience=2, probe_every=0, steps=1)
    losses = [row["val/main"] for row in metrics(run, "unlearn")]
    assert len(metrics(run, "pretrain")) == 4
    assert len(losses) == int(np.argmin(losses)) + 3 < 26


@pytest.mark.parametrize("settings", [{}, {"reset_each_epoch": True}, {"unlearn_on": "overlap"}])
def test_a_run_stopped_inside_stage_two_goes_on_bit_identical(
    confounded: Dataset, fit: Fit, tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**settings, "epochs": 5}
    whole = fit(Unlearning, confounded, tmp_path / "whole", **settings)
    steps = 3 + 3 * 3 * 2 + 4  # stage 1, two epochs of stage 2, and part of the third
    plain = Run.step

    def stopping(self: Run, *args: Any, **options: Any) -> None:
        self.stop_requested = self.steps >= steps
        plain(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "step", stopping)
        with pytest.raises(StoppedError):
            fit(Unlearning, confounded, tmp_path / "halves", **settings)
    halves = fit(Unlearning, confounded, tmp_path / "halves", **settings)
    assert weights(whole).keys() == weights(halves).keys()
    assert all(torch.equal(v, weights(halves)[k]) for k, v in weights(whole).items())
    first, second = (r.directory / "metrics.jsonl" for r in (whole, halves))
    assert first.read_text() == second.read_text()


def test_validation_leaves_the_running_statistics_alone(three_sites: Dataset, fit: Fit, tmp_path: Path) -> None:
    run = fit(Unlearning, three_sites)
    before = {k: v.clone() for k, v in run.model.named_buffers()}
    run.model.train()
    cohort = TrainingCohort(three_sites, run.adapter.config)
    encode_cases(run.model, cohort, cohort.val, run, run.adapter.config)
    assert all(torch.equal(v, before[k]) for k, v in run.model.named_buffers())


def test_the_main_loss_is_the_sum_of_each_domains_mean() -> None:
    model = Model(encoder=nn.Identity(), regressor=Regressor(4))
    for parameter in model.parameters():
        parameter.data.zero_()
    labels, domains = torch.tensor([1.0, -1.0, 1.0, -1.0, 3.0]), torch.tensor([0, 0, 0, 0, 1])
    loss = main_loss(model, torch.zeros(5, 4), labels, domains, 2)
    assert float(loss.detach()) == pytest.approx(10.0)  # pooled over all cases it would be 2.6


def test_each_update_owns_what_the_paper_says(three_sites: Dataset, fit: Fit) -> None:
    run = fit(Unlearning, three_sites, epochs=1)
    model, owners = run.model, Unlearning(run.adapter.config)._optimizers(run.model, run, scratch=True)
    names = {id(p): network for network, module in model.items() for p in module.parameters()}
    owned = [{names[id(p)] for group in o.param_groups for p in group["params"]} for o in owners]
    assert owned == [{"encoder", "regressor"}, {"head"}, {"encoder"}]


def test_every_batch_of_stage_two_holds_every_domain(three_sites: Dataset, fit: Fit) -> None:
    class Watched(Unlearning):
        def _step(self, *arguments: Any) -> Any:
            assert set(arguments[-1].sites) == {"A", "B", "C"}
            return super()._step(*arguments)

    fit(Watched, three_sites, epochs=4, pretrain_epochs=0, steps=20, batch_size=4)


def test_the_probe_does_not_listen_to_the_head_that_is_trained_along(
    three_sites: Dataset, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probed(spoilt: bool) -> float:
        def validate_with(epoch: Any, model: Model, *more: Any) -> None:
            if spoilt:
                kept = model.head.state_dict()
                model.head.load_state_dict({k: torch.zeros_like(v) for k, v in kept.items()})
            validate(epoch, model, *more)

        with monkeypatch.context() as patch:
            patch.setattr("mdx_unlearning.adapter.validate", validate_with)
            rows = metrics(fit(Unlearning, three_sites, epochs=3, probe_every=1), "unlearn")
        return rows[0]["val/site_probe"]

    assert probed(spoilt=True) == probed(spoilt=False)


def test_a_domain_without_validation_cases_is_left_out_of_the_probe_and_of_its_chance(
    three_sites: Dataset, fit: Fit
) -> None:
    kept = [c for c in three_sites.cases if c.site != "C" or c.split != "val"]
    run = fit(Unlearning, Dataset(three_sites.task, kept, three_sites.loader), epochs=3, probe_every=1)
    assert metrics(run, "unlearn")[0]["val/site_probe_chance"] == 1 / 2
    alone = [c for c in three_sites.cases if c.site == "A" or c.split != "val"]
    run = fit(Unlearning, Dataset(three_sites.task, alone, three_sites.loader), epochs=3, probe_every=1)
    assert "val/site_probe" not in metrics(run, "unlearn")[0]


def test_the_probe_is_called_by_what_is_unlearnt(three_sites: Dataset, fit: Fit) -> None:
    row = metrics(fit(Unlearning, three_sites, epochs=3, probe_every=1, nuisance="age", nuisance_bins=2), "unlearn")[0]
    assert "val/age_probe" in row
    assert "val/site_probe" not in row


def test_ordinary_training_fills_its_last_batch(three_sites: Dataset, fit: Fit) -> None:
    train = three_sites.where(split="train")
    thirteen = Dataset(train.task, [*train.cases[:13], *three_sites.where(split="val").cases], train.loader)
    sizes: list[int] = []

    class Watched(Normal):
        def _loss(self, model: Model, batch: Any, cohort: TrainingCohort) -> Tensor:
            sizes.append(len(batch.case_ids))
            return super()._loss(model, batch, cohort)

    fit(Watched, thirteen, epochs=1, steps=None)
    assert sizes == [6, 6, 6]


def test_bf16_does_not_round_the_predicted_number() -> None:
    regressor = Regressor(4)
    regressor.mean.fill_(70.0)
    features = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = regressor(features.bfloat16())
    assert len(rounded.unique()) > 300


def test_a_method_that_predicts_one_value_for_all_is_scored_and_probed(three_sites: Dataset, fit: Fit) -> None:
    run = fit(Normal, three_sites, epochs=1, steps=1)
    model: Model = run.model
    for parameter in model.parameters():
        parameter.data.zero_()
    assert {predict(run.adapter, model, three_sites.load(c)).value for c in three_sites.cases[:5]} == {
        float(model.regressor.mean)
    }


def test_the_reversal_grows_from_nothing_to_all() -> None:
    assert reversal_scale(0.0) == 0.0
    assert reversal_scale(0.5) == pytest.approx(0.98661, abs=1e-5)
    assert reversal_scale(1.0) == pytest.approx(0.99991, abs=1e-5)

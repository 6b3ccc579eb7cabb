"""Which loss moves which network, and what a step draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from made_classes import CONFOUNDED, Fit, make_classes
from torch import Tensor, nn

from mdx.data.batches.sampling import make_loader
from mdx.interfaces.dataset import Batch, Case, Dataset, Sample
from mdx.training.run import Run
from mdx.workflow.method import hide
from mdx_adversarial.samplers import OnePerClass
from mdx_l2i.adapter import L2I
from mdx_l2i.config import L2IConfig
from mdx_l2i.networks import Centers


@dataclasses.dataclass
class Loss:
    """What one ``run.backward`` was given: the loss, its named terms, and the gradients of each on each network."""

    total: float
    terms: dict[str, float]
    moved: dict[str, dict[str, bool]]
    on_centers: Tensor | None


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[Loss]:
    """The losses of the runs that follow, in their order: of the mixed batch, then of the target pair, at each step."""
    seen: list[Loss] = []
    plain = Run.backward

    def gradients(run: Run, loss: Tensor, name: str) -> list[Tensor | None]:
        parameters = list(run.model[name].parameters())
        if not parameters:
            return []
        return list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))

    def backward(run: Run, loss: Tensor, *optimizers: Any, log: Any = None, **options: Any) -> None:
        moved = {
            term: {net: any(g is not None and bool(g.abs().sum() > 0) for g in gradients(run, value, net))
                   for net in run.model}
            for term, value in log.items()
        }  # fmt: skip
        on_centers = next(iter(gradients(run, loss, "centers")), None)
        seen.append(Loss(float(loss.detach()), {k: float(v.detach()) for k, v in log.items()}, moved, on_centers))
        plain(run, loss, *optimizers, log=log, **options)

    monkeypatch.setattr(Run, "backward", backward)
    return seen


ONE_STEP: dict[str, Any] = {"epochs": 1, "steps": 1, "select": "last", "standardise_pooled": False}


def test_each_loss_moves_its_own_networks(losses: list[Loss], fit: Fit) -> None:
    fit(L2I, make_classes(), **ONE_STEP)
    mixed, pair = losses
    assert mixed.moved["cls"] == {"encoder": False, "classifier": True, "centers": False}
    assert mixed.moved["latent"] == {"encoder": True, "classifier": False, "centers": False}
    assert pair.moved["cen"] == {"encoder": True, "classifier": False, "centers": True}


def test_fixed_centres_leave_the_centre_loss_its_first_term_for_the_encoder(losses: list[Loss], fit: Fit) -> None:
    run = fit(L2I, make_classes(), **ONE_STEP, centers="fixed")
    assert not list(run.model.centers.parameters())
    assert losses[1].moved["cen"] == {"encoder": True, "classifier": False, "centers": False}


def test_source_images_never_move_the_centres_and_the_target_pair_does(losses: list[Loss], fit: Fit) -> None:
    """The gradient on the centres is the same bits whatever the sources hold, and another with another target."""
    data = make_classes()
    for changed in ("nothing", "source", "target"):

        def load(case: Case, visible: bool, changed: str = changed) -> Sample:
            sample = data.loader(case, visible)
            return dataclasses.replace(sample, image=sample.image.flip(1)) if case.role == changed else sample

        fit(L2I, Dataset(data.task, data.cases, load), **ONE_STEP)
    gradients = [pair.on_centers for pair in losses[1::2]]
    assert all(mixed.on_centers is None for mixed in losses[::2])
    assert all(gradient is not None for gradient in gradients)
    as_drawn, other_source, other_target = gradients
    assert torch.equal(as_drawn, other_source)
    assert not torch.equal(as_drawn, other_target)


def test_the_terms_are_weighted_by_their_lambdas(losses: list[Loss], fit: Fit) -> None:
    fit(L2I, make_classes(), **ONE_STEP, lambda_cen=7.0, lambda_latent=3.0)
    mixed, pair = losses
    assert mixed.total == pytest.approx(mixed.terms["cls"] + 3 * mixed.terms["latent"])
    assert pair.total == pytest.approx(7 * pair.terms["cen"])


def test_the_sum_over_centres_is_as_many_times_their_mean(losses: list[Loss], fit: Fit) -> None:
    for reduction in ("mean", "sum"):
        fit(L2I, make_classes(), **ONE_STEP, cen_reduction=reduction)
    assert losses[3].terms["cen"] == pytest.approx(2 * losses[1].terms["cen"])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The batches that the runs that follow train on: a mixed one and a pair at each step."""
    seen: list[Batch] = []
    plain = Batch.parts

    def parts(batch: Batch, size: int | None) -> Iterator[Batch]:
        seen.append(batch)
        return plain(batch, size)

    monkeypatch.setattr(Batch, "parts", parts)
    return seen


def groups_of(run: Run) -> list[dict[str, Any]]:
    return run._checkpoints.registry.things["optimizers"]["main"].param_groups


def test_the_optimiser_has_the_centres_alone_in_its_first_group_and_all_else_in_its_second(fit: Fit) -> None:
    run = fit(L2I, make_classes(), epochs=1, steps=1, lr=5e-5, lr_centers=1e-4)
    first, second = groups_of(run)
    assert (first["lr"], second["lr"]) == (1e-4, 5e-5)
    assert [id(p) for p in first["params"]] == [id(p) for p in run.model.centers.parameters()]
    others = {id(p) for name in ("encoder", "classifier") for p in run.model[name].parameters()}
    assert {id(p) for p in second["params"]} == others
    assert {g["weight_decay"] for g in (first, second)} == {5e-5}
    assert {g["betas"] for g in (first, second)} == {(0.9, 0.999)}


def test_the_papers_rates_are_the_defaults() -> None:
    config = L2IConfig.model_validate({})
    assert (config.lr_centers, config.lr, config.lr_classifier) == (1e-4, 5e-5, None)


def test_a_rate_for_the_classifier_gives_it_a_group(fit: Fit) -> None:
    run = fit(L2I, make_classes(), epochs=1, steps=1, lr_classifier=0.5)
    assert [g["lr"] for g in groups_of(run)] == [1e-3, 1e-3, 0.5]
    assert {id(p) for p in groups_of(run)[2]["params"]} == {id(p) for p in run.model.classifier.parameters()}


def test_every_step_takes_ten_mixed_images_and_one_target_image_of_each_class(drawn: list[Batch], fit: Fit) -> None:
    fit(L2I, make_classes(), epochs=2, steps=4)
    assert [len(batch) for batch in drawn[::2]] == [10] * 8
    assert [batch.target.tolist() for batch in drawn[1::2]] == [[0, 1]] * 8


def test_centres_are_learnt_from_one_target_training_image_of_each_class(drawn: list[Batch], fit: Fit) -> None:
    fit(L2I, make_classes(), epochs=3)
    assert len(drawn) == 18
    for mixed, pair in zip(drawn[::2], drawn[1::2], strict=True):
        assert sorted(case.split("-")[1] for case in pair.case_ids) == ["across", "down"]
        assert all(case.startswith("blue-") and "-train-" in case for case in pair.case_ids)
        assert all("-train-" in case for case in mixed.case_ids)
    assert {site for mixed in drawn[::2] for site in mixed.sites} == {"blue", "green", "red"}


@pytest.mark.parametrize("augmented", [False, True])
def test_the_target_has_its_share_of_the_mixed_draws(augmented: bool) -> None:
    """71 of 843 training cases, as published: 2,000 draws, within 3 standard errors; seed 0."""
    from mdx_l2i.augmentation import Augmented

    counts = {"blue": {"across": (16, 0, 0), "down": (55, 0, 0)}, "green": {"across": (342, 0, 0)},
              "red": {"down": (430, 0, 0)}}  # fmt: skip
    data = make_classes(counts)
    view = Augmented() if augmented else None
    loader = make_loader(data, 10, view=view, steps=200, seed=0)
    drawn = [data.cases[case].site for _, items in loader._plan() for case, _ in items]
    share, p = np.mean([site == "blue" for site in drawn]), 71 / 843
    assert len(drawn) == 2000
    assert abs(share - p) < 3 * np.sqrt(p * (1 - p) / 2000)


def test_the_pair_comes_from_target_training_images(fit: Fit) -> None:
    data = hide(make_classes(), "train").where(split="train", role="target")
    batches: list[Batch] = list(make_loader(data, 2, sampler=OnePerClass(), steps=20, seed=0))
    assert {site for batch in batches for site in batch.sites} == {"blue"}
    assert all(batch.label("class").tolist() == [0, 1] for batch in batches)
    n = CONFOUNDED["blue"]["across"][0]
    assert len({i for batch in batches for i in batch.case_ids}) == 2 * n


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradients_of_parts_add_up_to_those_of_the_whole_batch(
    size: int, reduction: str, fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step of SGD at 0.01; float32 sums in another order differ by 1e-4 at most."""
    plain = Run.optimizer

    def descent(run: Run, name: str, groups: Any, *_: Any, **__: Any) -> Any:
        return plain(run, name, groups, "sgd", lr=0.01)

    monkeypatch.setattr(Run, "optimizer", descent)
    same = {**ONE_STEP, "lr": 0.01, "lr_centers": 0.01, "cen_reduction": reduction}
    whole, parts = (fit(L2I, make_classes(), **same, micro_batch=micro).model.state_dict() for micro in (None, size))
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], rtol=1e-4, atol=1e-4), name


def test_projected_centres_are_of_unit_length_after_training(fit: Fit) -> None:
    run = fit(L2I, make_classes(), center_norm="project_after_step", lr_centers=0.1)
    centers: nn.Module = run.model.centers
    assert isinstance(centers, Centers)
    assert torch.allclose(centers.raw.norm(dim=1), torch.ones(2), atol=1e-6)


def test_features_and_centres_are_of_unit_length_after_fifty_steps(fit: Fit) -> None:
    run = fit(L2I, make_classes(), epochs=1, steps=50, lr=1e-2, lr_centers=1e-2)
    run.model.eval()
    assert torch.allclose(run.model.centers().norm(dim=1), torch.ones(2), atol=1e-6)
    features = run.model.encoder(100 * torch.randn(8, 3, 24, 20))
    assert torch.allclose(features.norm(dim=1), torch.ones(8), atol=1e-6)

"""Which loss moves which network, and what a step draws."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from made_classes import CONFOUNDED, SMALL, Fit, make_classes
from torch import Tensor, nn

from mdx.data.batches.sampling import make_loader
from mdx.interfaces.adapter import networks_of
from mdx.interfaces.dataset import Batch
from mdx.interfaces.model import Model
from mdx.training.run import Run
from mdx.workflow.execution import hide
from mdx_adversarial.samplers import OnePerClass
from mdx_l2i.adapter import L2I
from mdx_l2i.config import L2IConfig
from mdx_l2i.networks import Centers


def method(**settings: Any) -> tuple[L2I, Model]:
    adapter = L2I(L2IConfig.model_validate({**SMALL, "standardise_pooled": False, **settings}))
    torch.manual_seed(0)
    return adapter, networks_of(adapter, make_classes().task)


def some_batch(seed: int = 0, n: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 24, 20, generator=generator), torch.arange(n) % 2


def moved(model: Model) -> dict[str, bool]:
    """Which networks have a gradient that is not zero."""
    return {
        name: any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())
        for name, network in model.items()
    }


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda a, m, x, y: a.mixed_losses(m, x, y)["cls"], {"encoder": False, "classifier": True, "centers": False}),
        (
            lambda a, m, x, y: a.mixed_losses(m, x, y)["latent"],
            {"encoder": True, "classifier": False, "centers": False},
        ),
        (lambda a, m, x, y: a.target_losses(m, x, y)["cen"], {"encoder": True, "classifier": False, "centers": True}),
    ],
    ids=["cls", "latent", "cen"],
)
def test_each_loss_moves_its_own_networks(
    loss: Callable[[L2I, Model, Tensor, Tensor], Tensor], expected: dict[str, bool]
) -> None:
    adapter, model = method()
    loss(adapter, model, *some_batch()).backward()
    assert moved(model) == expected


def test_fixed_centres_leave_the_centre_loss_its_first_term_for_the_encoder() -> None:
    adapter, model = method(centers="fixed")
    assert not list(model.centers.parameters())
    adapter.target_losses(model, *some_batch(n=2))["cen"].backward()
    assert moved(model) == {"encoder": True, "classifier": False, "centers": False}


def center_gradient(source: Sequence[int], pair_seed: int) -> Tensor:
    """The gradient on the centres of one step whose mixed batch holds these source images."""
    adapter, model = method()
    images, labels = some_batch(1)
    order = torch.tensor(source)
    pair = some_batch(pair_seed, n=2)
    mixed = adapter.mixed_losses(model, images[order], labels[order])["total"]
    (mixed + adapter.target_losses(model, *pair)["total"]).backward()
    assert model.centers.raw.grad is not None
    return model.centers.raw.grad


def test_source_images_never_move_the_centres_and_the_target_pair_does() -> None:
    as_drawn = center_gradient([0, 1, 2, 3, 4, 5], 7)
    assert torch.equal(as_drawn, center_gradient([5, 3, 1, 0, 2, 4], 7))
    assert torch.equal(as_drawn, center_gradient([0, 0, 0, 1, 1, 1], 7))
    assert not torch.equal(as_drawn, center_gradient([0, 1, 2, 3, 4, 5], 8))


class Watched(L2I):
    """Notes the optimiser's groups and the batches of each step."""

    def __init__(self, config: L2IConfig) -> None:
        super().__init__(config)
        self.mixed: list[int] = []
        self.pairs: list[list[int]] = []

    def mixed_losses(self, model: Model, images: Tensor, labels: Tensor) -> Any:
        self.mixed.append(len(images))
        return super().mixed_losses(model, images, labels)

    def target_losses(self, model: Model, images: Tensor, labels: Tensor) -> Any:
        self.pairs.append(labels.tolist())
        return super().target_losses(model, images, labels)


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


def test_every_step_takes_ten_mixed_images_and_one_target_image_of_each_class(fit: Fit) -> None:
    run = fit(Watched, make_classes(), epochs=2, steps=4)
    assert run.adapter.mixed == [10] * 8
    assert run.adapter.pairs == [[0, 1]] * 8


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
def test_gradients_of_parts_add_up_to_those_of_the_whole_batch(size: int, reduction: str, fit: Fit) -> None:
    """One step of SGD at 0.01; float32 sums in another order differ by 1e-4 at most."""
    from mdx_l2i.training import step_in_parts

    def after(micro: int | None) -> dict[str, Tensor]:
        adapter, model = method(micro_batch=micro, cen_reduction=reduction, backbone="small_cnn2d")
        run = fit(L2I, make_classes(), epochs=1, steps=1)  # any run: it only carries the step out
        optimizer = run.optimizer("probe", model.parameters(), "sgd", lr=0.01)
        images, labels = some_batch(3, n=10)
        pair = some_batch(4, n=2)
        name = "class"
        step_in_parts(
            run, optimizer, adapter.config,
            (as_batch(images, labels), lambda b: adapter.mixed_losses(model, b.image, b.label(name))),
            (as_batch(*pair), lambda b: adapter.target_losses(model, b.image, b.label(name))),
        )  # fmt: skip
        return copy.deepcopy(model.state_dict())

    whole, parts = after(None), after(size)
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], rtol=1e-4, atol=1e-4), name


def as_batch(images: Tensor, labels: Tensor) -> Batch:
    names = [str(i) for i in range(len(images))]
    return Batch(images, names, names, names, {"class": labels}, torch.ones(len(images), dtype=torch.bool))


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

"""Each row is what its name says: what is drawn, what moves what, and that no row is another one."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from made_classes import Fit, make_classes
from torch import Tensor

import mdx_l2i.adapter
import mdx_l2i.baselines
import mdx_l2i.training
from mdx.interfaces.model import Model
from mdx.training.run import Run
from mdx_adversarial.layers import reversal_scale
from mdx_l2i.adapter import L2I
from mdx_l2i.baselines import DANN, Contrastive, Unlearning, Vanilla
from mdx_l2i.losses import center_loss


def encoder_of(run: Run) -> Tensor:
    return run.model.encoder.backbone.last.weight.detach().clone()


def test_no_row_is_another_one(fit: Fit) -> None:
    rows: dict[str, tuple[Any, dict[str, Any]]] = {
        "vanilla": (Vanilla, {}), "class_aware": (Vanilla, {"sampling": "cells"}),
        "weighted": (Vanilla, {"weighting": "cells"}), "target_only": (Vanilla, {"train_on": "target"}),
        "dann": (DANN, {}), "unlearning": (Unlearning, {}), "contrastive": (Contrastive, {}), "l2i": (L2I, {}),
        "l2i_fixed": (L2I, {"centers": "fixed"}), "l2i_no_margin": (L2I, {"margin": 2.0, "radius": 0.0}),
    }  # fmt: skip
    trained = {
        name: encoder_of(fit(kind, make_classes(), **settings, select="last"))
        for name, (kind, settings) in rows.items()
    }
    same = [(a, b) for a, b in itertools.combinations(trained, 2) if torch.equal(trained[a], trained[b])]
    assert same == []


def test_the_unlearning_row_unlearns_as_strongly_as_it_is_told(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[float, float]] = []
    plain = mdx_l2i.baselines.unlearning_step

    def watched(*arguments: Any, alpha: float, beta: float, **options: Any) -> Any:
        given.append((alpha, beta))
        return plain(*arguments, alpha=alpha, beta=beta, **options)

    monkeypatch.setattr(mdx_l2i.baselines, "unlearning_step", watched)
    fit(Unlearning, make_classes(), alpha=0.5, beta=7.0)
    assert given
    assert set(given) == {(0.5, 7.0)}


def test_training_is_in_training_mode(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: set[bool] = set()
    plain = Run.backward

    def watched(run: Run, *arguments: Any, **options: Any) -> None:
        modes.add(run.model.encoder.training)
        plain(run, *arguments, **options)

    monkeypatch.setattr(Run, "backward", watched)
    fit(L2I, make_classes(), epochs=3)
    assert modes == {True}, "dropout would be off"


def test_the_epoch_is_chosen_on_validation_cases_of_the_target(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[str, str]] = set()
    plain = mdx_l2i.adapter.validate

    def watched(run: Any, epoch: Any, model: Model, data: Any, *more: Any) -> None:
        seen.update((str(case.role), str(case.split)) for case in data.cases)
        plain(run, epoch, model, data, *more)

    for module, kind in ((mdx_l2i.adapter, L2I), (mdx_l2i.training, Vanilla)):
        monkeypatch.setattr(module, "validate", watched)
        fit(kind, make_classes())
    assert seen == {("target", "val")}


def test_the_last_weights_are_kept_where_they_are_asked_for(fit: Fit) -> None:
    runs = {select: fit(Vanilla, make_classes(), select=select) for select in ("best", "last")}
    kept = {select: (run.directory / "checkpoints" / "best.safetensors").exists() for select, run in runs.items()}
    assert kept == {"best": True, "last": False}


def test_without_margin_centres_are_still_driven_apart() -> None:
    """Centres at a right angle are sqrt(2) apart, 2 are wanted: half of (2 - sqrt(2))^2 between the two."""
    centers = torch.eye(2)
    separation = center_loss(centers, torch.tensor([0, 1]), centers, 0.0, 2.0)
    assert float(separation) == pytest.approx(0.5 * (2 - np.sqrt(2)) ** 2, abs=1e-6)


def test_the_reversal_of_dann_is_in_its_way(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    reversed_ = encoder_of(fit(DANN, make_classes(), epochs=3))
    monkeypatch.setattr(mdx_l2i.baselines, "gradient_reversal", lambda features, scale: features)
    assert not torch.equal(reversed_, encoder_of(fit(DANN, make_classes(), epochs=3)))


def test_the_reversal_grows_from_nothing_to_all() -> None:
    assert reversal_scale(0.0) == 0.0
    assert reversal_scale(0.5) == pytest.approx(0.98661, abs=1e-5)
    assert reversal_scale(1.0) == pytest.approx(0.99991, abs=1e-5)


def test_the_classifier_of_contrastive_does_not_reach_its_encoder(fit: Fit) -> None:
    slow, fast = (encoder_of(fit(Contrastive, make_classes(), lr_classifier=lr)) for lr in (1e-4, 1e-1))
    assert torch.equal(slow, fast)


def test_contrastive_draws_the_classes_in_equal_numbers(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[Counter[str]] = []
    plain = mdx_l2i.baselines.supervised_contrastive_loss

    def watched(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
        counts.append(Counter(labels.tolist()))
        return plain(features, labels, temperature)

    monkeypatch.setattr(mdx_l2i.baselines, "supervised_contrastive_loss", watched)
    fit(Contrastive, make_classes({"blue": {"across": (20, 4, 4), "down": (4, 4, 4)}}))
    assert counts
    assert all(found[0] == found[1] for found in counts)


def test_the_head_of_the_warm_up_does_not_reach_the_encoder(fit: Fit) -> None:
    settings = {"epochs": 2, "warmup": 0.9, "select": "last"}  # both epochs warm up
    light, heavy = (encoder_of(fit(Unlearning, make_classes(), alpha=alpha, **settings)) for alpha in (0.0, 9.0))
    assert torch.equal(light, heavy)

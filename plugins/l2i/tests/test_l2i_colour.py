"""Colour that goes with the class at the sources: what l2i ignores and ordinary training learns."""

from __future__ import annotations

from typing import Any

import numpy as np
from made_classes import Fit, make_classes
from torch import nn

from mdx.evaluation.cases import predict
from mdx.interfaces.dataset import Dataset, Task
from mdx.interfaces.model import Model
from mdx.training.run import Run
from mdx_adversarial.probe import probe_accuracy
from mdx_l2i.adapter import L2I
from mdx_l2i.baselines import Vanilla
from mdx_l2i.networks import Encoder


def plain_encoder() -> Encoder:
    """Without instance norm, which would take the tint away: colour is the easiest thing that it can learn."""
    layers = [nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
              nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 16)]  # fmt: skip
    return Encoder(nn.Sequential(*layers), lambda n: n)


class PlainL2I(L2I):
    def build(self, task: Task) -> Model:
        model = super().build(task)
        model["encoder"] = plain_encoder()
        return model


class PlainVanilla(Vanilla):
    def build(self, task: Task) -> Model:
        model = super().build(task)
        model["encoder"] = plain_encoder()
        return model


def judged(run: Run, data: Dataset) -> tuple[float, float]:
    """Accuracy on the target's test cases, and that of a fresh probe for the site on the latent vectors."""
    features: dict[str, list[Any]] = {"train": [], "test": []}
    sites: dict[str, list[str]] = {"train": [], "test": []}
    right: list[bool] = []
    for case in data.where(split=["train", "test"]).cases:
        sample = data.load(case)
        made = predict(run.adapter, run.model, sample)
        assert made.classes is not None
        assert made.embedding is not None
        features[str(case.split)].append(made.embedding.astype(float))
        sites[str(case.split)].append(case.site)
        if case.split == "test" and case.role == "target":
            right.append(int(made.classes.argmax()) == sample.labels["class"])
    train, test = (np.stack(features[split]) for split in ("train", "test"))
    return float(np.mean(right)), probe_accuracy(train, sites["train"], test, sites["test"], seed=0)[0]


def test_colour_that_goes_with_the_class_at_the_sources_is_ignored_by_l2i_and_learnt_by_vanilla(fit: Fit) -> None:
    """Green is always across, red always down, blue (the target, 40 of 840 cases) is both; weak waves at the sources.

    240 steps, seeds 0 to 2. Accuracy on 100 blue test cases, and a probe for the colour on the latent vectors; both
    hold in each seed, with .12 and .1 to spare in the mean.
    """
    counts = {"blue": {"across": (20, 4, 50), "down": (20, 4, 50)}, "green": {"across": (400, 1, 20)},
              "red": {"down": (400, 1, 20)}}  # fmt: skip
    data = make_classes(counts, noise=3.0, source_waves=0.3)
    settings = {"standardise_pooled": False, "latent": 16, "epochs": 12, "steps": 20, "select": "last", "lr": 3e-3,
                "lr_classifier": 5e-2}  # fmt: skip
    gained, hidden = [], []
    for seed in range(3):
        accuracy, probe = {}, {}
        for kind in (PlainL2I, PlainVanilla):
            run = fit(kind, data, seed=seed, **settings, **({"lr_centers": 3e-3} if kind is PlainL2I else {}))
            accuracy[kind], probe[kind] = judged(run, data)
        gained.append(accuracy[PlainL2I] - accuracy[PlainVanilla])
        hidden.append(probe[PlainVanilla] - probe[PlainL2I])
    assert min(gained) > 0
    assert min(hidden) > 0
    assert np.mean(gained) > 0.12
    assert np.mean(hidden) > 0.1

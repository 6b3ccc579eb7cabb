"""What a fresh classifier reads from features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mdx.errors import DataError
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset
from mdx.interfaces.geometry import Geometry
from mdx_adversarial import probe
from mdx_adversarial.hooks import mdx_evaluators
from mdx_adversarial.layers import DomainHead
from mdx_adversarial.probe import SiteProbe, probe_accuracy, site_probe

UNEQUAL = ["A"] * 300 + ["B"] * 60 + ["C"] * 40


def test_features_that_name_the_site_give_everything_away() -> None:
    one_hot = np.eye(3)[[0] * 300 + [1] * 60 + [2] * 40]
    assert site_probe(one_hot, UNEQUAL, seed=0) == (1.0, pytest.approx(1 / 3))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pure_noise_is_at_chance_although_one_site_dominates(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(400, 16))
    accuracy, chance = site_probe(noise, UNEQUAL, seed)
    # standard error of the mean of three recalls at 1/3, of 300, 60 and 40 cases
    error = np.sqrt(sum(chance * (1 - chance) / n for n in (300, 60, 40))) / 3
    assert abs(accuracy - chance) < 3 * error


@pytest.mark.parametrize("seed", [1, 5])
def test_a_small_site_is_told_whatever_the_seed(seed: int) -> None:
    """Of 12 cases two or three are held out: a single head stops by them, at .55 and .53 with these seeds."""
    sites, unseen = ["A"] * 160 + ["B"] * 12, ["A"] * 200 + ["B"] * 200
    train, test = (np.random.default_rng(i).normal(size=(len(s), 80)) for i, s in enumerate((sites, unseen)))
    train[160:, :6] += 0.5
    test[200:, :6] += 0.5
    assert probe_accuracy(train, sites, test, unseen, seed)[0] > 0.57


@pytest.mark.parametrize("held_out", [[0, 5, 11], []])
def test_a_head_is_the_one_that_autograd_and_torchs_adam_would_have_made(
    held_out: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "MOST_EPOCHS", 60)
    x = torch.randn(24, 7, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2] * 6 + [0] * 6)
    out = torch.isin(torch.arange(24), torch.tensor(held_out, dtype=torch.long))
    weights = 1 / torch.bincount(y).float()
    torch.manual_seed(3)
    made = probe._trained(x, y, out, weights).state_dict()

    torch.manual_seed(3)
    head = DomainHead(7, 3)
    optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
    watched, best = (out if held_out else ~out), float("inf")
    kept: dict[str, torch.Tensor] = {}
    for _ in range(probe.MOST_EPOCHS):
        optimizer.zero_grad()
        F.cross_entropy(head.train()(x[~out]), y[~out], weight=weights).backward()
        optimizer.step()
        with torch.no_grad():
            now = float(F.cross_entropy(head.eval()(x[watched]), y[watched], weight=weights))
        if now < best:
            best, kept = now, {k: v.clone() for k, v in head.state_dict().items()}
    for name, value in kept.items():
        torch.testing.assert_close(made[name], value, rtol=1e-4, atol=1e-5)


def test_recalls_are_averaged_over_sites_not_over_cases() -> None:
    rng = np.random.default_rng(0)
    sites = ["A"] * 200 + ["B"] * 20
    features = rng.normal(size=(220, 3))
    features[:200, 0] += 20  # every A and, in training, every B is told; a B of the test looks like an A
    test = features.copy()
    test[200:] = features[:20]
    assert probe_accuracy(features, sites, test, sites, 0)[0] == pytest.approx(0.5)


def test_the_scale_of_a_feature_hides_nothing() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 5)) * 1e3
    features[:100, 0] = 1e-3
    features[100:, 0] = 2e-3
    assert site_probe(features, ["A"] * 100 + ["B"] * 100, 0)[0] > 0.95


def test_sites_that_only_a_nonlinear_classifier_tells_apart_are_told_apart() -> None:
    corners = np.array([[0, 0], [1, 1], [0, 1], [1, 0]] * 60, dtype=float)
    noisy = corners + np.random.default_rng(0).normal(0, 0.1, corners.shape)
    assert site_probe(noisy, ["A", "A", "B", "B"] * 60, 0)[0] > 0.95


def test_constant_features_are_at_chance() -> None:
    assert site_probe(np.ones((60, 4)), ["A"] * 40 + ["B"] * 20, 0) == (0.5, 0.5)


def test_the_same_seed_gives_the_same_accuracy_and_leaves_the_global_generator_alone() -> None:
    noise = np.random.default_rng(0).normal(size=(60, 4))
    before = torch.get_rng_state()
    first = site_probe(noise, ["A", "B"] * 30, 3)
    assert torch.equal(before, torch.get_rng_state())
    assert site_probe(noise, ["A", "B"] * 30, 3) == first


@pytest.mark.parametrize(
    ("sites", "message"), [(["A"] * 10, "at least two sites"), (["A"] * 9 + ["B"], "one case only of B")]
)
def test_too_few_sites_or_cases_are_refused(sites: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        site_probe(np.zeros((10, 2)), sites, 0)


def test_a_test_site_without_training_cases_is_refused() -> None:
    features = np.zeros((4, 2))
    with pytest.raises(DataError, match="no training case of C"):
        probe_accuracy(features, ["A", "A", "B", "B"], features, ["A", "B", "C", "C"], 0)


def split_and_predicted(data: Dataset, blind: bool) -> tuple[Dataset, list[Prediction]]:
    """Half of the cases as test cases; embeddings that hold the site, or nothing but noise."""
    rng = np.random.default_rng(0)
    cases = [replace(c, split="test" if i % 2 else "train") for i, c in enumerate(data.cases)]
    embeddings = [np.zeros(3) if blind else np.eye(3)["ABC".index(c.site)] for c in cases]
    made = [
        Prediction(Geometry(np.eye(4), (4, 4)), embedding=(e + rng.normal(0, 0.05, 3)).astype(np.float32))
        for e in embeddings
    ]
    return Dataset(data.task, cases, data.loader), made


def test_the_evaluator_scores_test_cases_with_chance_beside(three_sites: Dataset) -> None:
    data, predictions = split_and_predicted(three_sites, blind=False)
    scores = {"site_probe_accuracy": 1.0, "site_probe_chance": 1 / 3}
    assert SiteProbe().population(predictions, data) == scores | {
        k.replace("site", "source"): v for k, v in scores.items()
    }


def test_the_evaluator_scores_no_case_that_its_probe_was_trained_on(three_sites: Dataset) -> None:
    data, predictions = split_and_predicted(three_sites, blind=False)
    told_in_training = [
        replace(p, embedding=np.zeros(3, np.float32)) if c.split == "test" else p
        for p, c in zip(predictions, data.cases, strict=True)
    ]
    assert SiteProbe().population(told_in_training, data)["site_probe_accuracy"] == pytest.approx(1 / 3)


def test_sources_are_probed_alone_too_because_other_sites_were_not_to_be_unlearnt(three_sites: Dataset) -> None:
    data, predictions = split_and_predicted(three_sites, blind=False)
    cases = [replace(c, role="target" if c.site == "C" else "source") for c in data.cases]
    found = SiteProbe().population(predictions, Dataset(data.task, cases, data.loader))
    assert (found["site_probe_chance"], found["source_probe_chance"]) == (1 / 3, 1 / 2)


def test_the_evaluator_gives_nothing_for_one_site_and_without_embeddings(three_sites: Dataset) -> None:
    data, predictions = split_and_predicted(three_sites.where(site="A"), blind=True)
    assert SiteProbe().population(predictions, data) == {}
    without = [replace(p, embedding=None) for p in predictions]
    assert SiteProbe().population(without, data) == {}


def test_every_classification_at_several_sites_gets_the_probe(three_sites: Dataset) -> None:
    assert [type(e) for e in mdx_evaluators(three_sites.task)] == [SiteProbe]
    assert not mdx_evaluators(replace(three_sites.task, sites=("A",)))
    assert not mdx_evaluators(replace(three_sites.task, kind="harmonisation"))

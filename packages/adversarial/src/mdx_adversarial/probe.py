"""How much of the site is left in features: a fresh classifier on frozen features, with chance beside it.

The head that a method trained against says nothing: it is at chance because the encoder has adapted to that very head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mdx.errors import DataError
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Dataset, Sample
from mdx_adversarial.layers import DomainHead

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDS = 5
HEADS = 5
"""Heads whose votes are averaged: one alone may stop at chance where a site has few cases to stop by."""
MOST_EPOCHS, PATIENCE, DROPOUT = 500, 50, 0.2


def site_probe(features: np.ndarray, sites: Sequence[str], seed: int) -> tuple[float, float]:
    """Balanced accuracy of the site told from features, and chance, 1 / number of sites.

    Args:
        features: (n, d) frozen features, each case once.
        sites: the site of each.
        seed: of the folds and the classifier.

    Every case is predicted by a classifier that did not see it: five folds, fewer where a site has fewer cases. Raises
    DataError with fewer than two sites, or with a site of one case only.
    """
    names, truth = _numbered(features, sites)
    fewest = int(np.bincount(truth).min())
    if fewest < 2:
        lonely = [n for i, n in enumerate(names) if (truth == i).sum() < 2]
        raise DataError(f"one case only of {', '.join(lonely)}", "a site probe needs at least two cases of each site")
    folds = _folds(truth, min(FOLDS, fewest), seed)
    predicted = np.empty_like(truth)
    for fold in range(folds.max() + 1):
        inside = folds == fold
        predicted[inside] = _classify(features[~inside], truth[~inside], features[inside], len(names), seed + fold)
    return _balanced_accuracy(truth, predicted), 1 / len(names)


def probe_accuracy(
    train: np.ndarray, train_sites: Sequence[str], test: np.ndarray, test_sites: Sequence[str], seed: int
) -> tuple[float, float]:
    """As ``site_probe``, trained on features (n, d) and scored on others (m, d) of the same sites.

    Raises DataError for a test site that the training cases do not have.
    """
    names, truth = _numbered(train, train_sites)
    unknown = sorted(set(test_sites) - set(names))
    if unknown:
        raise DataError(f"no training case of {', '.join(unknown)}", "score the probe on the sites it was trained on")
    predicted = _classify(train, truth, test, len(names), seed)
    return _balanced_accuracy(np.array([names.index(s) for s in test_sites]), predicted), 1 / len(names)


def _numbered(features: np.ndarray, sites: Sequence[str]) -> tuple[list[str], np.ndarray]:
    names = sorted(set(sites))
    if len(features) != len(sites):
        raise DataError(f"{len(features)} rows of features for {len(sites)} sites", "give one site for each row")
    if len(names) < 2:
        raise DataError(f"a site probe needs at least two sites, not {names}", "give cases of several sites")
    if not np.isfinite(features).all():
        raise DataError("the features are not finite", "look at the training losses: the run has diverged")
    return names, np.array([names.index(s) for s in sites])


def _folds(truth: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each case; every site is divided evenly."""
    rng = np.random.default_rng([seed, count])
    folds = np.empty_like(truth)
    for site in np.unique(truth):
        where = rng.permutation(np.flatnonzero(truth == site))
        folds[where] = np.arange(len(where)) % count
    return folds


def _balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean([(predicted[truth == site] == site).mean() for site in np.unique(truth)]))


def _classify(train: np.ndarray, truth: np.ndarray, test: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(m,) predicted sites of five heads of the training head's shape together.

    Each is trained on four fifths of the cases, each site with equal weight, until the loss on its own last fifth stops
    falling; their probabilities are averaged. Features are standardised, so that their scale hides nothing.
    """
    mean, spread = train.mean(axis=0), train.std(axis=0)
    scale = np.where(spread > 1e-6 * (np.abs(mean) + 1), spread, 1)  # a dead feature stays dead
    x, y = torch.from_numpy(((train - mean) / scale).astype(np.float32)), torch.from_numpy(truth)
    folds = torch.from_numpy(_folds(truth, HEADS, seed))
    weights = 1 / torch.bincount(y, minlength=count).clamp(min=1).float()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with (
        torch.random.fork_rng(devices=devices), torch.inference_mode(False), torch.no_grad(),
        torch.autocast("cpu", enabled=False),
    ):  # fmt: skip
        torch.manual_seed(seed)
        inputs = torch.from_numpy(((test - mean) / scale).astype(np.float32))
        votes = torch.zeros(len(inputs), count)
        for fold in range(HEADS):
            held_out = folds == fold
            if len(torch.unique(y[~held_out])) < count:
                held_out = torch.zeros_like(held_out)  # a site with one case: nothing can be held out of it
            votes += _trained(x, y, held_out, weights)(inputs).softmax(dim=1)
        return votes.argmax(dim=1).numpy()


def _trained(x: Tensor, y: Tensor, held_out: Tensor, weights: Tensor) -> DomainHead:
    """A head trained with Adam on the cases that are not held out, as it was where it was best on the held-out ones.

    Its gradients are written out: thousands of steps on so small a network are else spent in calls, not in sums.
    """
    head = DomainHead(x.shape[1], len(weights), dropout=DROPOUT)
    seen = ~held_out
    watched = held_out if bool(held_out.any()) else seen
    inputs, x_watched, y_watched = x[seen], x[watched], y[watched]
    truth = F.one_hot(y[seen], len(weights)).float()
    share = (weights[y[seen]] / weights[y[seen]].sum())[:, None]  # of a case in the weighted mean
    flat = parameters_to_vector(head.parameters()).detach()
    w1, b1, w2, b2 = _parts(flat, head)
    gradient, first, second = torch.zeros_like(flat), torch.zeros_like(flat), torch.zeros_like(flat)
    g_w1, g_b1, g_w2, g_b2 = _parts(gradient, head)
    keep = 1 - DROPOUT
    best, since, kept = float("inf"), 0, flat.clone()
    for step in range(1, MOST_EPOCHS + 1):
        hidden = torch.addmm(b1, inputs, w1.T).relu_()
        dropout = torch.empty_like(hidden).bernoulli_(keep).div_(keep)
        left = hidden * dropout
        error = (torch.addmm(b2, left, w2.T).softmax(dim=1) - truth) * share
        torch.mm(error.T, left, out=g_w2)
        torch.sum(error, dim=0, out=g_b2)
        behind = (error @ w2).mul_(dropout).mul_(hidden > 0)
        torch.mm(behind.T, inputs, out=g_w1)
        torch.sum(behind, dim=0, out=g_b1)
        _adam(flat, gradient, first, second, step)
        logits = torch.addmm(b2, torch.addmm(b1, x_watched, w1.T).relu_(), w2.T)
        now = float(F.cross_entropy(logits, y_watched, weight=weights))
        if now < best:
            best, since, kept = now, 0, flat.clone()
        else:
            since += 1
        if since >= PATIENCE:
            break
    vector_to_parameters(kept, head.parameters())
    return head.eval()


def _parts(flat: Tensor, head: DomainHead) -> list[Tensor]:
    """Views of a vector in the shapes of the head's parameters."""
    parameters = list(head.parameters())
    pieces = flat.split([p.numel() for p in parameters])
    return [piece.view_as(p) for piece, p in zip(pieces, parameters, strict=True)]


def _adam(flat: Tensor, gradient: Tensor, first: Tensor, second: Tensor, step: int, lr: float = 5e-3) -> None:
    """Step ``step`` (from 1) of Kingma and Ba 2015, Algorithm 1, in place."""
    beta1, beta2 = 0.9, 0.999
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    spread = second.sqrt().div_(math.sqrt(1 - beta2**step)).add_(1e-8)
    flat.addcdiv_(first, spread, value=-lr / (1 - beta1**step))


class SiteProbe:
    """The evaluator: a probe trained on the embeddings of training cases and scored on those of test cases.

    ``site_probe_accuracy`` is over all sites with training cases, ``source_probe_accuracy`` over the source sites among
    them: a site that a method never trained on was never to be unlearnt.
    """

    metrics: Mapping[str, str] = {
        "site_probe_accuracy": "min", "site_probe_chance": "zero", "source_probe_accuracy": "min",
        "source_probe_chance": "zero",
    }  # fmt: skip

    def per_case(self, prediction: Prediction, sample: Sample) -> dict[str, float]:
        """Nothing: no single case shows how well sites are told apart."""
        return {}

    def population(self, predictions: Sequence[Prediction], data: Dataset) -> dict[str, float]:
        """Both accuracies with their chance; nothing without embeddings, and for fewer than two sites.

        Args:
            predictions: of the cases of ``data``, in their order.
            data: training and test cases.
        """
        if len(predictions) != len(data):
            raise DataError(f"{len(predictions)} predictions of {len(data)} cases", "give one for each case")
        if any(prediction.embedding is None for prediction in predictions):
            return {}
        features = np.stack([np.asarray(p.embedding, dtype=np.float64) for p in predictions])
        splits = np.array([case.split for case in data.cases])
        sites = np.array([case.site for case in data.cases])
        known = set(sites[splits == "train"]) & set(sites[splits == "test"])
        sources = known & {case.site for case in data.cases if case.role == "source"}
        found: dict[str, float] = {}
        for name, chosen in (("site", known), ("source", sources)):
            if len(chosen) < 2:
                continue
            inside = np.isin(sites, sorted(chosen))
            train, test = inside & (splits == "train"), inside & (splits == "test")
            scores = probe_accuracy(features[train], list(sites[train]), features[test], list(sites[test]), seed=0)
            found[f"{name}_probe_accuracy"], found[f"{name}_probe_chance"] = scores
        return found

    def summarise(self, rows: DataFrame) -> DataFrame:
        """Nothing: no row of a case is this evaluator's."""
        return rows.iloc[:0]

"""Contrastive adaptation: source classes and clusters of the unlabelled target are brought together.

Source: Kang et al. 2019 (CAN). It reads no label of the target.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from mdx import Batch, Dataset, Model, Run
from mdx.errors import ConfigError
from mdx_adversarial.losses import contrastive_domain_discrepancy
from mdx_l2i.cohort import Cohort
from mdx_l2i.config import CANConfig
from mdx_l2i.training import Classifier, adam, batches_of, encode_cases, epochs, freeze_pooled, rates, validate

MOST_ROUNDS = 100
"""Rounds of k-means; it has long settled by then."""


class CAN(Classifier[CANConfig]):
    """Cross-entropy on the source, and the contrastive discrepancy between source classes and target clusters."""

    def cohort(self, data: Dataset) -> SourceCohort:
        """Every class must occur among the source's training cases, and validation cases of it where they choose."""
        if self.config.train_on == "target":
            raise ConfigError(
                "can reads no label of the target, so it cannot be trained on it alone", "leave train_on out"
            )
        cohort = SourceCohort(data, self.config)
        cohort.require_validation()
        return cohort

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Cluster the target at the start of each epoch; the best epoch is that of the source's validation loss."""
        c, n = self.config, len(self.task.classes)
        cohort = self.cohort(data)
        freeze_pooled(run, model, cohort.train, c)
        optimizer = adam(run, rates(model, c), c)
        batches = batches_of(run, cohort, cohort.train, c.batch_size)
        for epoch in epochs(run, c):
            encoded = encode_cases(run, model, cohort.train, c)
            source, truth = encoded.values.cpu().numpy(), encoded.label(self.task.label).cpu().numpy()
            target = encode_cases(run, model, cohort.unlabelled, c).values.cpu().numpy()
            clusters = cluster(target, class_means(source, truth, n), c.cluster_radius, c.cluster_least)
            drawn = SameClasses(truth, clusters, c.batch_size)
            model.train()
            for batch, pair in zip(batches, paired(run, cohort, drawn), strict=False):
                cls = F.cross_entropy(model.classifier(model.encoder(batch.image)).float(), batch.target)
                cdd = torch.zeros_like(cls)
                if pair is not None:
                    of_source, of_target = (model.encoder(part.image) for part in pair)
                    cdd = contrastive_domain_discrepancy(of_source, of_target, drawn.counts, drawn.counts)[0]
                run.step(optimizer, cls + c.cdd_weight * cdd, log={"cls": cls, "cdd": cdd})
            epoch.log(**{"train/classes_kept": float(len(clusters.kept))})
            validate(run, epoch, model, cohort.val, c)


class SourceCohort(Cohort):
    """As ``Cohort``, of labelled source cases alone, with the target's training cases without labels.

    Attributes:
        unlabelled: training cases of the target; their labels are hidden here whatever the run allows.

    Raises DataError if the source lacks a class, or if there is no target.
    """

    def __init__(self, data: Dataset, config: CANConfig) -> None:
        super().__init__(data, config)
        self.train = data.train.where(role="source").labelled.require_every_class("source training cases")
        self.val = data.val.where(role="source").labelled
        self.unlabelled = (
            data.train.where(role="target")
            .without_labels()
            .require_some("target training case to cluster", "name the target with --set target=SITE")
        )


class Clusters(NamedTuple):
    """What a clustering of the target found.

    Attributes:
        members: class -> positions of the target cases that are surely of it; classes with too few are absent.
        assigned: (T,) class of every target case, sure or not.
    """

    members: dict[int, np.ndarray]
    assigned: np.ndarray

    @property
    def kept(self) -> list[int]:
        """The classes with enough members, sorted."""
        return sorted(self.members)


def class_means(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(n, m) means of unit features (B, m) of each class, of unit length; 0 for a class without a case."""
    sums = np.eye(classes)[labels].T @ features
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def cluster(target: np.ndarray, start: np.ndarray, radius: float, least: int) -> Clusters:
    """Spherical k-means of unit features (T, m) from the centres ``start`` (n, m), one cluster a class.

    Clusters are named after the start centres that they are nearest to as a whole (Hungarian method). Cases farther
    than ``radius`` from their cluster, as (1 - cos) / 2, are no members, nor are those of classes with fewer than
    ``least``. Source: Kang et al. 2019, Sect. 3.4.
    """
    from scipy.optimize import linear_sum_assignment

    centers, before = start, None
    for _ in range(MOST_ROUNDS):
        nearest = (target @ centers.T).argmax(axis=1)
        if before is not None and np.array_equal(nearest, before):
            break
        before = nearest
        found = class_means(target, nearest, len(start))
        centers = np.where(found.any(axis=1, keepdims=True), found, centers)  # an empty cluster keeps its place
    similarity = target @ centers.T
    names = np.zeros(len(start), dtype=int)
    clusters, classes = linear_sum_assignment(-(centers @ start.T))
    names[clusters] = classes
    assigned = names[similarity.argmax(axis=1)]
    near = (1 - similarity.max(axis=1)) / 2 <= radius
    members = {k: np.flatnonzero(near & (assigned == k)) for k in range(len(start))}
    return Clusters({k: at for k, at in members.items() if len(at) >= least}, assigned)


class SameClasses:
    """Draws batches of equal numbers of each kept class, sorted by class, from source and target.

    Attributes:
        counts: cases of each kept class in a batch; size: their sum, 0 if no class is kept.
    """

    def __init__(self, truth: np.ndarray, clusters: Clusters, batch_size: int) -> None:
        self.clusters, self.truth = clusters, truth
        each = max(batch_size // max(len(clusters.kept), 1), 1)
        self.counts = [each] * len(clusters.kept)
        self.size = sum(self.counts)

    def of_source(self, data: Dataset, rng: np.random.Generator) -> Iterator[int]:
        """Positions of source cases by their true class, one batch."""
        return self._draw([np.flatnonzero(self.truth == k) for k in self.clusters.kept], rng)

    def of_target(self, data: Dataset, rng: np.random.Generator) -> Iterator[int]:
        """Positions of target cases by their cluster, one batch."""
        return self._draw([self.clusters.members[k] for k in self.clusters.kept], rng)

    def _draw(self, groups: list[np.ndarray], rng: np.random.Generator) -> Iterator[int]:
        for group, count in zip(groups, self.counts, strict=True):
            yield from (int(i) for i in rng.choice(group, count, replace=len(group) < count))


def paired(run: Run, cohort: SourceCohort, drawn: SameClasses) -> Iterator[tuple[Batch, Batch] | None]:
    """A source and a target batch of the same classes for each step; None where no class is kept."""
    if not drawn.size:
        return itertools.repeat(None)
    source = batches_of(run, cohort, cohort.train, drawn.size, sampler=drawn.of_source)
    return zip(source, batches_of(run, cohort, cohort.unlabelled, drawn.size, sampler=drawn.of_target), strict=True)

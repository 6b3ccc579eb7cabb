"""The methods that l2i is compared with, on the same encoder, classifier and budget of steps."""

from __future__ import annotations

from typing import Any

from torch.nn import functional as F

from mdx import Batch, Dataset, Epoch, Model, Run
from mdx.errors import ConfigError
from mdx_adversarial.domains import Domains
from mdx_adversarial.layers import DomainHead, gradient_reversal, reversal_scale
from mdx_adversarial.losses import supervised_contrastive_loss
from mdx_adversarial.samplers import AllDomains, CellBalanced
from mdx_adversarial.updates import UnlearningOptimizers, unlearning_step
from mdx_l2i.cohort import Cohort, cell_weights
from mdx_l2i.config import ContrastiveConfig, DANNConfig, DomainsConfig, UnlearningConfig, VanillaConfig
from mdx_l2i.training import Losses, Supervised, adam, batches_of, epochs, freeze_pooled, rates, validate


def domains_of(cohort: Cohort, config: DomainsConfig) -> Domains:
    """The domains of the training cases."""
    return Domains(cohort.train, config.nuisance, config.nuisance_bins)


class Vanilla(Supervised[VanillaConfig]):
    """Cross-entropy moves encoder and classifier (row ``vanilla``).

    ``sampling=cells`` draws every cell of class and domain into each batch (row ``class_aware``); ``weighting=cells``
    weighs each case by 1 / cases in its cell (row ``weighted``).
    """

    def drawn(self, cohort: Cohort, run: Run) -> dict[str, Any]:
        """From cells, and with their weights, if that is asked for."""
        c, how = self.config, {}
        if c.sampling == "cells":
            how["sampler"] = CellBalanced(domains_of(cohort, c), c.batch_size)
        if c.weighting == "cells":
            weights = cell_weights(cohort.train.cases, self.task.label, domains_of(cohort, c))
            how["also"] = {"weight": lambda case: weights[case.id]}
        return how

    def loss(self, model: Model, batch: Batch, epoch: Epoch) -> Losses:
        """The mean of (weighted) cross-entropies."""
        logits = model.classifier(model.encoder(batch.image)).float()
        each = F.cross_entropy(logits, batch.target, reduction="none")
        if self.config.weighting == "cells":
            each = each * batch["weight"]
        return {"cls": each.mean(), "total": each.mean()}


class DANN(Supervised[DANNConfig]):
    """A head names the domain of f behind a gradient reversal whose scale grows from 0 to 1.

    Source: Ganin et al. 2016; a head of several classes, one a domain.
    """

    def cohort(self, data: Dataset) -> Cohort:
        """There must be several domains."""
        cohort = super().cohort(data)
        domains_of(cohort, self.config).require_several("dann")
        return cohort

    def drawn(self, cohort: Cohort, run: Run) -> dict[str, Any]:
        """With the domain of each case, for a head."""
        domains = domains_of(cohort, self.config)
        run.add(head=DomainHead(self.config.latent, len(domains)))
        return {"also": {"domain": domains.index}}

    def loss(self, model: Model, batch: Batch, epoch: Epoch) -> Losses:
        """L_cls + alpha L_domain."""
        c = self.config
        scale = reversal_scale(min(1.0, epoch.index / min(c.reversal_epochs, c.epochs)))
        features = model.encoder(batch.image)
        cls = F.cross_entropy(model.classifier(features).float(), batch.target)
        domain = F.cross_entropy(model.head(gradient_reversal(features, scale)).float(), batch["domain"])
        return {"cls": cls, "domain": domain, "total": cls + c.alpha * domain}


class Unlearning(Supervised[UnlearningConfig]):
    """Three alternating updates: class, domain head, confusion of the head.

    The first ``warmup`` epochs train class and head, the head on detached features. The class loss is pooled over the
    studies, as that of the other rows, not a sum over domains as in Eq. 1 of that paper. Source: Dinsdale et al. 2020.
    """

    def cohort(self, data: Dataset) -> Cohort:
        """There must be several domains."""
        cohort = super().cohort(data)
        domains_of(cohort, self.config).require_several("unlearning")
        return cohort

    def loss(self, model: Model, batch: Batch, epoch: Epoch) -> Losses:
        """Of the warm-up: L_cls + alpha L_domain, which moves the head only."""
        features = model.encoder(batch.image)
        cls = F.cross_entropy(model.classifier(features).float(), batch.target)
        domain = F.cross_entropy(model.head(features.detach()).float(), batch["domain"])
        return {"cls": cls, "domain": domain, "total": cls + self.config.alpha * domain}

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Both stages together have at most the epochs of the other rows, and each chooses its weights as they do."""
        c = self.config
        cohort = self.cohort(data)
        freeze_pooled(run, model, cohort.train, c)
        domains = domains_of(cohort, c)
        run.add(head=DomainHead(c.latent, len(domains)))
        sampler = AllDomains(domains, c.batch_size, cohort.steps)
        batches = batches_of(run, cohort, cohort.train, c.batch_size, sampler=sampler, also={"domain": domains.index})
        before = round(c.warmup * c.epochs)
        optimizer = adam(run, rates(model, c), c, "warmup")
        self.train(run, model, cohort, batches, optimizer, epochs(run, c, "warmup", before))
        predictor = Model(encoder=model.encoder, classifier=model.classifier)
        optimizers = UnlearningOptimizers(
            task=adam(run, rates(predictor, c), c, "task"),
            domain=run.optimizer("domain", model.head.parameters(), "adam", lr=c.lr, weight_decay=c.weight_decay),
            confusion=run.optimizer("confusion", model.encoder.parameters(), "adam", lr=c.confusion_rate * c.lr,
                                    weight_decay=c.weight_decay),
        )  # fmt: skip
        for epoch in epochs(run, c, "unlearn", c.epochs - before):
            model.train()
            for batch in batches:
                found = unlearning_step(
                    run, optimizers, encode=model.encoder, head=model.head, main=batch.image, other=batch.image,
                    task_loss=lambda f, y=batch.target: F.cross_entropy(model.classifier(f).float(), y),
                    domains=batch["domain"], alpha=c.alpha, beta=c.beta,
                )  # fmt: skip
                run.log(**{f"train/{name}": value for name, value in found._asdict().items()})
            validate(run, epoch, model, cohort.val, c)


class Contrastive(Supervised[ContrastiveConfig]):
    """Supervised contrast of the classes moves the encoder, cross-entropy on detached features the classifier.

    Batches hold the classes in equal numbers, so every case has positives. Source: Khosla et al. 2020; trained jointly
    here: neither loss has parameters of the other.
    """

    def drawn(self, cohort: Cohort, run: Run) -> dict[str, Any]:
        """One cell a class: its cases are drawn from all sites."""
        size, classes = self.config.batch_size, len(self.task.classes)
        if size < 2 * classes:
            raise ConfigError(
                f"a batch of {size} cannot hold two cases of each of {classes} classes",
                f"use --set batch_size={2 * classes} or more",
            )
        return {"sampler": CellBalanced(Domains(cohort.train, self.task.label), size)}

    def loss(self, model: Model, batch: Batch, epoch: Epoch) -> Losses:
        """L_contrast + L_cls."""
        features = model.encoder(batch.image)
        contrast = supervised_contrastive_loss(features, batch.target, self.config.temperature)
        cls = F.cross_entropy(model.classifier(features.detach()).float(), batch.target)
        return {"contrast": contrast, "cls": cls, "total": contrast + cls}

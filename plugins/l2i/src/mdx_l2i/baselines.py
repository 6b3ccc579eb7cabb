"""The methods that l2i is compared with, on the same encoder, classifier and budget of steps."""

from __future__ import annotations

from torch.nn import functional as F

from mdx import Adapter, Batch, Dataset, Model, Prediction, Reference, Run, Sample, Task
from mdx.errors import ConfigError
from mdx_adversarial.domains import Domains
from mdx_adversarial.layers import DomainHead, gradient_reversal, reversal_scale
from mdx_adversarial.losses import supervised_contrastive_loss
from mdx_adversarial.samplers import AllDomains, CellBalanced
from mdx_adversarial.updates import UnlearningOptimizers, unlearning_step
from mdx_l2i.cohort import Cohort, cell_weights
from mdx_l2i.config import L2IConfig
from mdx_l2i.networks import make_classifier_model
from mdx_l2i.training import (
    Losses,
    begin,
    epochs,
    make_adam,
    mixed_batches,
    predict,
    step_in_parts,
    validate,
)


class OnTheCohort(Adapter[L2IConfig]):
    """A method that is trained on the labelled cases of both roles, every class among them."""

    def require(self, data: Dataset) -> None:
        """Every class must occur in training, and validation cases where they choose the weights."""
        cohort = Cohort(data, self.config)
        cohort.require_every_class(cohort.train, "training cases")
        cohort.require_validation()


class Vanilla(OnTheCohort):
    """Cross-entropy moves encoder and classifier (row ``vanilla``).

    ``sampling=cells`` draws every cell of class and domain into each batch (row ``class_aware``); ``weighting=cells``
    weighs each case by 1 / cases in its cell (row ``weighted``).
    """

    def build(self, task: Task) -> Model:
        """Encoder and classifier."""
        return make_classifier_model(task, self.config)

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train until the target's validation cross-entropy stops falling."""
        c = self.config
        cohort = Cohort(data, c)
        cohort.require_every_class(cohort.train, "training cases")
        begin(run, model, cohort, c)
        optimizer = make_adam(run, model, c)
        sampler = CellBalanced(cohort.domains(), c.batch_size) if c.sampling == "cells" else None
        weights = cell_weights(cohort.train.cases, data.task.label, cohort.domains()) if c.weighting == "cells" else {}
        also = {"weight": lambda case: weights[case.id]} if weights else None

        def losses(batch: Batch) -> Losses:
            logits = model.classifier(model.encoder(batch.image)).float()
            each = F.cross_entropy(logits, batch.label(data.task.label), reduction="none")
            if weights:
                each = each * batch["weight"]
            return {"cls": each.mean(), "total": each.mean()}

        batches = mixed_batches(run, cohort, sampler, also)
        for epoch in epochs(run, c):
            model.train()
            for batch in batches:
                step_in_parts(run, optimizer, c, (batch, losses))
            validate(run, epoch, model, cohort.val, c)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Class probabilities and the latent vector."""
        return predict(sample, model)


class DANN(OnTheCohort):
    """A head names the domain of f behind a gradient reversal whose scale grows from 0 to 1.

    Source: Ganin et al. 2016; a head of several classes, one a domain.
    """

    def build(self, task: Task) -> Model:
        """Encoder and classifier."""
        return make_classifier_model(task, self.config)

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """L_cls + alpha L_domain, in one update."""
        c = self.config
        cohort = Cohort(data, c)
        cohort.require_every_class(cohort.train, "training cases")
        begin(run, model, cohort, c)
        domains = cohort.domains("dann")
        run.add(head=DomainHead(c.latent, len(domains)))
        optimizer = make_adam(run, model, c, [model.head])

        def losses(batch: Batch) -> Losses:
            features = model.encoder(batch.image)
            cls = F.cross_entropy(model.classifier(features).float(), batch.label(data.task.label))
            domain = F.cross_entropy(model.head(gradient_reversal(features, scale)).float(), batch["domain"])
            return {"cls": cls, "domain": domain, "total": cls + c.alpha * domain}

        batches = mixed_batches(run, cohort, also={"domain": domains.index})
        for epoch in epochs(run, c):
            model.train()
            scale = reversal_scale(min(1.0, epoch.index / min(c.reversal_epochs, c.epochs)))
            for batch in batches:
                step_in_parts(run, optimizer, c, (batch, losses))
            validate(run, epoch, model, cohort.val, c)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Class probabilities and the latent vector."""
        return predict(sample, model)


class Unlearning(OnTheCohort):
    """Three alternating updates: class, domain head, confusion of the head.

    The first ``warmup`` epochs train class and head, the head on detached features. The class loss is pooled over the
    studies, as that of the other rows, not a sum over domains as in Eq. 1 of that paper. Source: Dinsdale et al. 2020.
    """

    def build(self, task: Task) -> Model:
        """Encoder and classifier."""
        return make_classifier_model(task, self.config)

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Both stages together have at most the epochs of the other rows, and each chooses its weights as they do."""
        c = self.config
        refuse_parts(c, "unlearning")
        cohort = Cohort(data, c)
        cohort.require_every_class(cohort.train, "training cases")
        begin(run, model, cohort, c)
        domains = cohort.domains("unlearning")
        run.add(head=DomainHead(c.latent, len(domains)))
        sampler = AllDomains(domains, c.batch_size, cohort.steps)
        batches = mixed_batches(run, cohort, sampler, {"domain": domains.index})
        before = round(c.warmup * c.epochs)
        optimizer = make_adam(run, model, c, [model.head], "warmup")
        for epoch in epochs(run, c, "warmup", before):
            model.train()
            for batch in batches:
                features = model.encoder(batch.image)
                cls = F.cross_entropy(model.classifier(features).float(), batch.label(data.task.label))
                domain = F.cross_entropy(model.head(features.detach()).float(), batch["domain"])
                run.step(optimizer, cls + c.alpha * domain, log={"cls": cls, "domain": domain})
            validate(run, epoch, model, cohort.val, c)
        optimizers = UnlearningOptimizers(
            task=make_adam(run, model, c, name="task"),
            domain=run.optimizer("domain", model.head.parameters(), "adam", lr=c.lr, weight_decay=c.weight_decay),
            confusion=run.optimizer("confusion", model.encoder.parameters(), "adam", lr=c.confusion_rate * c.lr,
                                    weight_decay=c.weight_decay),
        )  # fmt: skip
        for epoch in epochs(run, c, "unlearn", c.epochs - before):
            model.train()
            for batch in batches:
                labels = batch.label(data.task.label)
                found = unlearning_step(
                    run, optimizers, encode=model.encoder, head=model.head, main=batch.image, other=batch.image,
                    task_loss=lambda f, y=labels: F.cross_entropy(model.classifier(f).float(), y),
                    domains=batch["domain"], alpha=c.alpha, beta=c.beta,
                )  # fmt: skip
                run.log(**{f"train/{name}": value for name, value in found._asdict().items()})
            validate(run, epoch, model, cohort.val, c)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Class probabilities and the latent vector."""
        return predict(sample, model)


class Contrastive(OnTheCohort):
    """Supervised contrast of the classes moves the encoder, cross-entropy on detached features the classifier.

    Batches hold the classes in equal numbers, so every case has positives. Source: Khosla et al. 2020; trained jointly
    here.
    """

    def build(self, task: Task) -> Model:
        """Encoder and classifier."""
        return make_classifier_model(task, self.config)

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Both losses in one update; neither has parameters of the other."""
        c = self.config
        refuse_parts(c, "contrastive")
        cohort = Cohort(data, c)
        cohort.require_every_class(cohort.train, "training cases")
        if c.batch_size < 2 * len(data.task.classes):
            raise ConfigError(
                f"a batch of {c.batch_size} cannot hold two cases of each of {len(data.task.classes)} classes",
                f"use --set batch_size={2 * len(data.task.classes)} or more",
            )
        begin(run, model, cohort, c)
        optimizer = make_adam(run, model, c)
        classes = Domains(cohort.train, data.task.label)  # one cell a class: its cases are drawn from all sites
        batches = mixed_batches(run, cohort, CellBalanced(classes, c.batch_size))
        for epoch in epochs(run, c):
            model.train()
            for batch in batches:
                labels = batch.label(data.task.label)
                features = model.encoder(batch.image)
                contrast = supervised_contrastive_loss(features, labels, c.temperature)
                cls = F.cross_entropy(model.classifier(features.detach()).float(), labels)
                run.step(optimizer, contrast + cls, log={"contrast": contrast, "cls": cls})
            validate(run, epoch, model, cohort.val, c)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Class probabilities and the latent vector."""
        return predict(sample, model)


def refuse_parts(config: L2IConfig, method: str) -> None:
    """Raise ConfigError where a batch is to be cut into parts whose losses do not add up to the whole's."""
    if config.micro_batch is not None and config.micro_batch < config.batch_size:
        raise ConfigError(
            f"{method} needs all {config.batch_size} cases of a batch in memory at once",
            "leave micro_batch out, or lower batch_size",
        )

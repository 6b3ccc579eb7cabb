"""What every row of the table shares: networks, optimiser, batches, epochs, validation, prediction, a plain loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from mdx import Adapter, Batch, Dataset, Epoch, Loader, Model, Outputs, Prediction, Reference, Run, Sample, Task
from mdx_l2i.augmentation import Augmented
from mdx_l2i.cohort import Cohort
from mdx_l2i.config import RowConfig
from mdx_l2i.networks import SmallCNN, make_encoder

ConfigT = TypeVar("ConfigT", bound=RowConfig)
Losses = Mapping[str, Tensor]
"""Named terms of a loss; ``total`` is what is minimised."""


class Classifier(Adapter[ConfigT]):
    """A row of the table: an encoder and a classifier, trained on the labelled cases of both roles."""

    def build(self, task: Task) -> Model:
        """Encoder and classifier."""
        encoder = make_encoder(len(task.channels), task.dims, self.config)
        return Model(encoder=encoder, classifier=nn.Linear(self.config.latent, len(task.classes)))

    def cohort(self, data: Dataset) -> Cohort:
        """Who is trained on and who validates. Raises DataError if a class is missing, or who the best is chosen by."""
        cohort = Cohort(data, self.config)
        cohort.train.require_every_class("training cases")
        cohort.require_validation()
        return cohort

    def require(self, data: Dataset) -> None:
        """Raises what ``cohort`` raises."""
        self.cohort(data)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """Class probabilities and the latent vector."""
        features = model.encoder(sample.image[None].to(next(model.parameters()).device))
        probabilities = model.classifier(features).float().softmax(dim=1)[0]
        return Prediction(sample.geometry, classes=probabilities.cpu().numpy(), embedding=features[0].cpu().numpy())


class Supervised(Classifier[ConfigT]):
    """A row that differs from ordinary training in its loss, and in how the cases of a batch are drawn."""

    @abstractmethod
    def loss(self, model: Model, batch: Batch, epoch: Epoch) -> Losses:
        """The terms of the loss of a batch, and their ``total``."""

    def drawn(self, cohort: Cohort, run: Run) -> dict[str, Any]:
        """What ``run.loader`` is told of the cases that are drawn; networks that only the loss needs are added here."""
        return {}

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Train until the validation cross-entropy stops falling."""
        c = self.config
        cohort = self.cohort(data)
        freeze_pooled(run, model, cohort.train, c)
        how = self.drawn(cohort, run)
        optimizer = adam(run, rates(model, c), c)
        batches = batches_of(run, cohort, cohort.train, c.batch_size, **how)
        self.train(run, model, cohort, batches, optimizer, epochs(run, c))

    def train(
        self, run: Run, model: Model, cohort: Cohort, batches: Loader, optimizer: Optimizer, stage: Iterator[Epoch]
    ) -> None:
        """The epochs of a stage, with one update a batch."""
        for epoch in stage:
            model.train()
            for batch in batches:
                for part in batch.parts(self.config.at_once):
                    terms = self.loss(model, part, epoch)
                    run.backward(terms["total"], optimizer, share=part.share, log=terms)
                run.step(optimizer)
            validate(run, epoch, model, cohort.val, self.config)


def freeze_pooled(run: Run, model: Model, train: Dataset, config: RowConfig) -> None:
    """Freeze the small CNN's statistics if that is asked for: of the untrained network on the training cases."""
    backbone = model.encoder.backbone
    if config.standardise_pooled and isinstance(backbone, SmallCNN):
        backbone.freeze(run.outputs(lambda batch: backbone.pooled(batch.image), train, config.batch_size).values)


def rates(model: Model, config: RowConfig) -> list[dict[str, Any]]:
    """Groups of parameters: the encoder and heads beside it, and the classifier, which may have a rate of its own."""
    beside = [p for name, part in model.items() if name not in ("classifier", "centers") for p in part.parameters()]
    classifier = list(model.classifier.parameters())
    if config.lr_classifier is None:
        return [{"params": [*beside, *classifier], "lr": config.lr}]
    return [{"params": beside, "lr": config.lr}, {"params": classifier, "lr": config.lr_classifier}]


def adam(run: Run, groups: list[dict[str, Any]], config: RowConfig, name: str = "main") -> Optimizer:
    """Adam as in the paper."""
    return run.optimizer(name, groups, "adam", betas=(0.9, 0.999), weight_decay=config.weight_decay)


def batches_of(run: Run, cohort: Cohort, data: Dataset, batch_size: int, **how: Any) -> Loader:
    """Batches of ``data``, as many as an epoch has steps, augmented if that is asked for."""
    view = Augmented() if cohort.config.augmentation else None
    return run.loader(data, batch_size, view=view, steps=cohort.steps, **how)


def epochs(run: Run, config: RowConfig, stage: str = "train", count: int | None = None) -> Iterator[Epoch]:
    """The epochs of a stage; the weights of the lowest validation loss are kept, or the last ones."""
    count = config.epochs if count is None else count
    return run.epochs(stage, count, keep=config.select, monitor="val/monitored", patience=config.patience)


def encode_cases(run: Run, model: Model, data: Dataset, config: RowConfig) -> Outputs:
    """Features (n, m) of cases."""
    return run.outputs(lambda batch: model.encoder(batch.image), data, config.at_once)


def validate(
    run: Run, epoch: Epoch, model: Model, data: Dataset, config: RowConfig,
    more: Callable[[Model, Tensor, Tensor], Losses] | None = None, monitor: str = "cls",
) -> None:  # fmt: skip
    """Log ``val/cls`` (cross-entropy), ``val/accuracy``, ``more`` losses, and as ``val/monitored`` the one watched."""
    if not len(data):
        return
    encoded = encode_cases(run, model, data, config)
    features, labels = encoded.values, encoded.label(data.task.label)
    with torch.no_grad():
        logits = model.classifier(features)
        found = {"cls": F.cross_entropy(logits, labels), "accuracy": (logits.argmax(1) == labels).float().mean()}
        if more is not None:
            found |= more(model, features, labels)
    epoch.log(val={**found, "monitored": found[monitor]})

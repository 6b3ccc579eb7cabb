"""What every row of the table shares: the start, the optimiser, gradients in parts, validation, prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from mdx import Batch, Dataset, Model, Prediction, Sample
from mdx.views import Column, Sampler
from mdx_l2i.augmentation import Augmented
from mdx_l2i.cohort import Cohort
from mdx_l2i.config import L2IConfig
from mdx_l2i.networks import SmallCNN

if TYPE_CHECKING:
    from mdx import Epoch, Loader, Outputs, Run

Losses = Mapping[str, Tensor]
"""Named terms of a loss; ``total`` is what is minimised."""


def begin(run: Run, model: Model, cohort: Cohort, config: L2IConfig) -> None:
    """Check that the best epoch can be chosen, and freeze the small CNN's statistics if that is asked for.

    Statistics are of the untrained network on the training cases as they are, no labels needed.
    """
    cohort.require_validation()
    backbone = model.encoder.backbone
    if config.standardise_pooled and isinstance(backbone, SmallCNN):
        backbone.freeze(run.outputs(lambda batch: backbone.pooled(batch.image), cohort.train, config.batch_size).values)


def make_adam(
    run: Run, model: Model, config: L2IConfig, more: Sequence[nn.Module] = (), name: str = "main"
) -> Optimizer:
    """Adam as in the paper: centres, where they are learnt, first and at their own rate; then encoder and classifier.

    ``lr_classifier`` gives the classifier a third group. ``more`` networks join the encoder.
    """
    centers = list(model.centers.parameters()) if "centers" in model else []
    encoder = [p for network in (model.encoder, *more) for p in network.parameters()]
    classifier = list(model.classifier.parameters())
    groups: list[dict[str, object]] = [{"params": centers, "lr": config.lr_centers}] if centers else []
    if config.lr_classifier is None:
        groups.append({"params": [*encoder, *classifier], "lr": config.lr})
    else:
        groups += [{"params": encoder, "lr": config.lr}, {"params": classifier, "lr": config.lr_classifier}]
    return run.optimizer(name, groups, "adam", betas=(0.9, 0.999), weight_decay=config.weight_decay)


def mixed_batches(
    run: Run, cohort: Cohort, sampler: Sampler | None = None, also: Mapping[str, Column] | None = None
) -> Loader:
    """The batches of an epoch, drawn uniformly from all training cases unless a sampler says how."""
    return loader_of(run, cohort, cohort.train, cohort.config.batch_size, sampler, also)


def loader_of(
    run: Run,
    cohort: Cohort,
    data: Dataset,
    batch_size: int,
    sampler: Sampler | None = None,
    also: Mapping[str, Column] | None = None,
) -> Loader:
    """Batches of ``data``, as many as an epoch has steps, augmented if that is asked for."""
    view = Augmented() if cohort.config.augmentation else None
    return run.loader(data, batch_size, view=view, sampler=sampler, steps=cohort.steps, also=also)


def epochs(run: Run, config: L2IConfig, stage: str = "train", count: int | None = None) -> Iterator[Epoch]:
    """The epochs of a stage; the weights of the lowest validation loss are kept, or the last ones."""
    count = config.epochs if count is None else count
    return run.epochs(stage, count, keep=config.select, monitor="val/monitored", patience=config.patience)


def step_in_parts(
    run: Run, optimizer: Optimizer, config: L2IConfig, *batches: tuple[Batch, Callable[[Batch], Losses]]
) -> None:
    """One step on the sum of losses that are means over their batches, ``micro_batch`` cases in memory at once.

    A part counts as its share of the batch, so gradients add up to those of the whole: nothing in these networks looks
    across cases.
    """
    sums: dict[str, Tensor] = {}
    for whole, losses_of in batches:
        for part in whole.parts(config.micro_batch or len(whole)):
            share = len(part) / len(whole)
            terms = losses_of(part)
            run.backward(terms["total"] * share, optimizer)
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach() * share
    run.step(optimizer, log=sums)


def encode_cases(run: Run, model: Model, data: Dataset, config: L2IConfig) -> Outputs:
    """Features (n, m) of cases."""
    size = min(config.batch_size, config.micro_batch or config.batch_size)
    return run.outputs(lambda batch: model.encoder(batch.image), data, size)


def validate(
    run: Run, epoch: Epoch, model: Model, data: Dataset, config: L2IConfig,
    more: Callable[[Tensor, Tensor], Mapping[str, Tensor]] | None = None,
) -> None:  # fmt: skip
    """Log ``val/cls`` (cross-entropy), ``val/accuracy``, ``more`` losses, and ``val/monitored``, by which is chosen.

    With ``more``, ``val/total`` and ``val/cen+latent`` are among them and ``monitor`` says which is watched.
    """
    if not len(data):
        return
    encoded = encode_cases(run, model, data, config)
    features, labels = encoded.values, encoded.label(data.task.label)
    with torch.no_grad():
        logits = model.classifier(features)
        found = {"cls": F.cross_entropy(logits, labels), "accuracy": (logits.argmax(1) == labels).float().mean()}
        if more is not None:
            found |= more(features, labels)
    watched = found[config.monitor if more is not None else "cls"]
    epoch.log(val={**found, "monitored": watched})


def predict(sample: Sample, model: Model) -> Prediction:
    """Class probabilities and the latent vector."""
    features = model.encoder(sample.image[None].to(next(model.parameters()).device))
    probabilities = model.classifier(features).float().softmax(dim=1)[0]
    return Prediction(sample.geometry, classes=probabilities.cpu().numpy(), embedding=features[0].cpu().numpy())

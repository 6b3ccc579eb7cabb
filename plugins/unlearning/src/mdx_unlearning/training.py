"""What every method of the paper shares: the networks, the main loss, validation, and stage 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdx import Adapter, Batch, Dataset, Model, Prediction, Reference, Sample, Task
from mdx_adversarial.domains import sum_of_domain_means
from mdx_adversarial.layers import DomainHead
from mdx_adversarial.probe import probe_accuracy
from mdx_adversarial.samplers import AllDomains
from mdx_adversarial.updates import binary_domain_loss, double_softmax
from mdx_unlearning.cohort import TrainingCohort
from mdx_unlearning.config import HeadConfig, NormalConfig
from mdx_unlearning.networks import HIDDEN, Regressor, VGGEncoder

if TYPE_CHECKING:
    from mdx import Epoch, Run

DOMAIN_LOSSES = {"cross_entropy": F.cross_entropy, "double_softmax": double_softmax, "binary": binary_domain_loss}


ConfigT = TypeVar("ConfigT", bound=NormalConfig)


class Predictor(Adapter[ConfigT]):
    """A row of the paper's tables: an encoder and a regressor, trained on the labelled source cases."""

    def build(self, task: Task) -> Model:
        """Encoder and regressor."""
        c = self.config
        encoder = VGGEncoder(len(task.channels), task.dims, c.width, c.stages, c.stem_stride, c.feature_size)
        return Model(encoder=encoder, regressor=Regressor(c.feature_size))

    def cohort(self, data: Dataset) -> TrainingCohort:
        """Who is trained on and who validates. Raises DataError if there are no such cases."""
        cohort = TrainingCohort(data, self.config)
        cohort.require_validation(self.config)
        return cohort

    def require(self, data: Dataset) -> None:
        """Raises what ``cohort`` raises."""
        self.cohort(data)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        """The label in its unit, and the feature."""
        features = model.encoder(sample.image[None].to(next(model.parameters()).device))
        value = float(model.regressor(features)[0])
        return Prediction(sample.geometry, value=value, embedding=features[0].float().cpu().numpy())


def make_head(cohort: TrainingCohort, config: HeadConfig) -> DomainHead:
    """A head for the domains of the training cases."""
    head = DomainHead(config.feature_size, len(cohort.domains), HIDDEN, config.head_dropout)
    if config.dropout_of == "cases":
        head[2] = nn.Dropout1d(config.head_dropout)  # takes (B, features) for one case of B channels
    return head


def set_label_scale(model: Model, cohort: TrainingCohort, config: NormalConfig) -> None:
    """Let the regressor start at the mean of the training labels and measure in their SD, if that is asked for."""
    if config.label_scale == "standardise":
        labels = np.array(cohort.labels())
        model.regressor.mean.fill_(float(labels.mean()))
        model.regressor.scale.fill_(float(labels.std()) or 1.0)


def squared_errors(model: Model, features: Tensor, labels: Tensor) -> Tensor:
    """(B,) squared errors, in units of the regressor's scale."""
    return ((model.regressor(features) - labels) / model.regressor.scale).square()


def main_loss(model: Model, features: Tensor, labels: Tensor, domains: Tensor, count: int) -> Tensor:
    """L_p, Eq. 1: the sum over domains of the mean squared error within each."""
    return sum_of_domain_means(squared_errors(model, features, labels), domains, count)


def pretrain(model: Model, cohort: TrainingCohort, run: Run, config: HeadConfig) -> None:
    """Stage 1: L_p + alpha L_d with one optimiser; L_d reaches the encoder only with ``stage1_domain_grad=joint``.

    An equal stage of another run (naive unlearning and unlearning on the overlap, say) is taken from the cache.
    """
    networks = [model.encoder, model.regressor, model.head]
    optimizer = run.optimizer("pretrain", [p for n in networks for p in n.parameters()], lr=config.lr)
    sampler = AllDomains(cohort.domains, config.batch_size, config.steps, config.oversampling)
    batches = run.loader(cohort.train, config.batch_size, sampler=sampler, also=cohort.also)
    shared = (cohort.train, cohort.val, *stage1_settings(config))
    for epoch in run.epochs("pretrain", config.pretrain_epochs, shared=shared):
        model.train()
        for batch in batches:
            domains = batch["domain"]
            features = model.encoder(batch.image)
            main = main_loss(model, features, batch.target, domains, len(cohort.domains))
            seen = features if config.stage1_domain_grad == "joint" else features.detach()
            domain = DOMAIN_LOSSES[config.domain_loss](model.head(seen), domains)
            run.step(optimizer, main + config.alpha * domain, log={"main": main, "domain": domain})
        validate(epoch, model, cohort, run, config)


def stage1_settings(config: HeadConfig) -> tuple[object, ...]:
    """The settings, besides data and networks, that stage 1 depends on."""
    c = config
    return (
        c.nuisance, c.nuisance_bins, c.alpha, c.domain_loss, c.stage1_domain_grad, c.oversampling, c.batch_size,
        c.steps, c.lr, c.label_scale, c.probe_every,
    )  # fmt: skip


def second_stage(run: Run, stage: str, config: NormalConfig, monitor: str = "val/main") -> Iterator[Epoch]:
    """The epochs after stage 1; the weights of the lowest ``monitor`` are kept, or the last ones."""
    count = config.epochs - config.pretrain_epochs
    return run.epochs(stage, count, keep=config.select, monitor=monitor, patience=config.stage2_patience)


def validate(epoch: Epoch, model: Model, cohort: TrainingCohort, run: Run, config: NormalConfig) -> None:
    """Log ``val/main`` (L_p), ``val/pooled`` (one mean squared error over all cases), ``val/absolute_error`` and, every
    ``probe_every`` epochs, a fresh probe's accuracy.

    L_p alone cannot show whether anything is unlearnt, and neither can the head that is trained along. The probe is
    trained on training features and scored on validation features, both of the domains that have validation cases; it
    is called by the nuisance, ``val/site_probe``.
    """
    if not len(cohort.val):
        return
    features, labels, domains = encode_cases(model, cohort, cohort.val, run, config)
    with torch.no_grad():
        errors = squared_errors(model, features, labels)
    loss = sum_of_domain_means(errors, domains, len(cohort.domains))
    absolute = errors.sqrt().mean() * model.regressor.scale
    epoch.log(val={"main": loss, "pooled": errors.mean(), "absolute_error": absolute})
    if config.probe_every and (epoch.index + 1) % config.probe_every == 0 and len(domains.unique()) > 1:
        seen, _, known = encode_cases(model, cohort, cohort.train, run, config)
        both, names = torch.isin(known, domains), cohort.domains.names
        accuracy, chance = probe_accuracy(
            seen[both].cpu().numpy(), [names[i] for i in known[both]],
            features.cpu().numpy(), [names[i] for i in domains], seed=epoch.index,
        )  # fmt: skip
        probe = f"{cohort.domains.column}_probe"
        epoch.log(val={probe: accuracy, f"{probe}_chance": chance})


def encode_cases(
    model: Model, cohort: TrainingCohort, data: Dataset, run: Run, config: NormalConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Features (n, d), labels (n,) and domains (n,) of cases."""

    def encode(batch: Batch) -> tuple[Tensor, Tensor]:
        return model.encoder(batch.image).float(), batch["domain"]

    found = run.outputs(encode, data, config.batch_size, also=cohort.also)
    features, domains = found.values
    return features, found.label(cohort.label), domains

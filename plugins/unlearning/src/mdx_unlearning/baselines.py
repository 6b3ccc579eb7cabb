"""What unlearning is compared with: ordinary training, and gradient reversal."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor
from torch.nn import functional as F

from mdx import Batch, Dataset, Model, Run
from mdx_adversarial.layers import gradient_reversal, reversal_scale
from mdx_adversarial.samplers import AllDomains
from mdx_unlearning.cohort import TrainingCohort
from mdx_unlearning.config import ConditionedConfig, HeadConfig
from mdx_unlearning.training import (
    ConfigT,
    Predictor,
    main_loss,
    make_head,
    pretrain,
    second_stage,
    set_label_scale,
    squared_errors,
    validate,
)


class Normal(Predictor[ConfigT]):
    """One mean squared error over all cases, whatever their domain (rows ``normal`` and ``standard``).

    Its weights are chosen by that loss too: Eq. 1 would choose them by the domains that it does not know of.
    """

    monitor = "val/pooled"

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """As many epochs as unlearning has in both stages, at the learning rate of stage 1."""
        c = self.config
        cohort = self.cohort(data)
        set_label_scale(model, cohort, c)
        parameters = [*model.encoder.parameters(), *model.regressor.parameters()]
        optimizer = run.optimizer("main", parameters, lr=c.lr)
        batches = self._batches(cohort, run)
        for epochs in (run.epochs("pretrain", c.pretrain_epochs), second_stage(run, "train", c, self.monitor)):
            for epoch in epochs:
                model.train()
                for batch in batches:
                    loss = self._loss(model, batch, cohort)
                    run.step(optimizer, loss, log={"main": loss})
                validate(epoch, model, cohort, run, c)

    def _batches(self, cohort: TrainingCohort, run: Run) -> Iterable[Batch]:
        # whole batches: the batch norm of a last batch of one case could be undefined
        steps = math.ceil(len(cohort.train) / (self.config.batch_size * run.world))
        return run.loader(cohort.train, self.config.batch_size, steps=self.config.steps or steps)

    def _loss(self, model: Model, batch: Batch, cohort: TrainingCohort) -> Tensor:
        return squared_errors(model, model.encoder(batch.image), batch.target).mean()


class NormalConditioned(Normal[ConditionedConfig]):
    """The main loss of unlearning, a mean over each domain (Eq. 1), and nothing unlearnt.

    As ``Normal``, with batches that hold every domain.
    """

    monitor = "val/main"

    def _batches(self, cohort: TrainingCohort, run: Run) -> Iterable[Batch]:
        c = self.config
        sampler = AllDomains(cohort.domains, c.batch_size, c.steps, c.oversampling)
        return run.loader(cohort.train, c.batch_size, sampler=sampler, also=cohort.also)

    def _loss(self, model: Model, batch: Batch, cohort: TrainingCohort) -> Tensor:
        features, domains = model.encoder(batch.image), batch["domain"]
        return main_loss(model, features, batch.target, domains, len(cohort.domains))


class DANN(Predictor[HeadConfig]):
    """Gradient reversal: head and encoder are moved at once, in opposite senses. Source: Ganin et al. 2016."""

    def cohort(self, data: Dataset) -> TrainingCohort:
        """There must be several domains."""
        cohort = super().cohort(data)
        cohort.domains.require_several("dann")
        return cohort

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Stage 1 as unlearning's, then L_p + alpha L_d behind the reversal, whose scale grows from 0 to 1."""
        c = self.config
        cohort = self.cohort(data)
        run.add(head=make_head(cohort, c))
        set_label_scale(model, cohort, c)
        pretrain(model, cohort, run, c)
        optimizer = run.optimizer("dann", model.parameters(), lr=c.stage2_lr)
        sampler = AllDomains(cohort.domains, c.batch_size, c.steps, c.oversampling)
        batches = run.loader(cohort.train, c.batch_size, sampler=sampler, also=cohort.also)
        for epoch in second_stage(run, "dann", c):
            model.train()
            scale = reversal_scale(epoch.index / (c.epochs - c.pretrain_epochs))
            for batch in batches:
                features, domains = model.encoder(batch.image), batch["domain"]
                main = main_loss(model, features, batch.target, domains, len(cohort.domains))
                domain = F.cross_entropy(model.head(gradient_reversal(features, scale)), domains)
                run.step(optimizer, main + c.alpha * domain, log={"main": main, "domain": domain})
            validate(epoch, model, cohort, run, c)

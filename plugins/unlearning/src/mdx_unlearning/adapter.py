"""Unlearning: features that predict the label and no longer tell the scanner."""

from __future__ import annotations

from mdx import Batch, Dataset, Model, Run
from mdx_adversarial.samplers import AllDomains, Composed
from mdx_adversarial.updates import (
    UnlearningOptimizers,
    unlearning_step,
)
from mdx_unlearning.cohort import OverlapCohort, TrainingCohort
from mdx_unlearning.config import UnlearningConfig
from mdx_unlearning.training import (
    DOMAIN_LOSSES,
    Predictor,
    main_loss,
    make_head,
    pretrain,
    second_stage,
    set_label_scale,
    validate,
)


class Unlearning(Predictor[UnlearningConfig]):
    """Learn the label, then take the domain out of the features with three alternating updates.

    Regime A (``unlearn_on=all``) unlearns on the training batch itself. Regime B (``overlap``), for cohorts in which
    label and domain correlate, unlearns on the cases in the range of labels that all domains share; their labels play
    no part in it. Source: Dinsdale, Jenkinson and Namburete, MICCAI 2020.
    """

    def cohort(self, data: Dataset) -> TrainingCohort:
        """There must be several domains."""
        cohort = super().cohort(data)
        cohort.domains.require_several("unlearning")
        return cohort

    def overlap(self, data: Dataset, cohort: TrainingCohort) -> OverlapCohort | None:
        """Who is unlearnt on in regime B."""
        return OverlapCohort(data, cohort, self.config) if self.config.unlearn_on == "overlap" else None

    def require(self, data: Dataset) -> None:
        """There must be labelled source cases, validation cases of them, and in regime B cases that overlap."""
        self.overlap(data, self.cohort(data))

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        """Stage 1: label and head. Stage 2: for each batch L_p, then alpha L_d, then beta L_conf."""
        c = self.config
        cohort = self.cohort(data)
        run.add(head=make_head(cohort, c))
        other = self.overlap(data, cohort)
        if other is not None:
            run.note(f"Unlearnt on {len(other.train)} cases: {other.where}.")
        elif c.overlap is not None or "overlap" in data.cohorts:
            run.note("Unlearnt on all training cases: an overlap is used with unlearn_on=overlap alone.")
        set_label_scale(model, cohort, c)
        pretrain(model, cohort, run, c)
        sampler = AllDomains(cohort.domains, c.batch_size, c.steps, c.oversampling)
        optimizers = self._optimizers(model, run)
        for epoch in second_stage(run, "unlearn", c):
            model.train()
            if c.reset_each_epoch:
                optimizers = self._optimizers(model, run, scratch=True)
            # both batches of a step have the same numbers of cases of each domain
            counts = sampler.compositions(cohort.train, run.rng("composition"))
            mixed = Composed(cohort.domains, counts)
            batches = run.loader(cohort.train, c.batch_size, sampler=mixed, also=cohort.also)
            if other is None:
                pairs = ((batch, batch) for batch in batches)
            else:
                others = run.loader(other.train, c.batch_size, sampler=mixed, also=cohort.also)
                pairs = zip(batches, others, strict=True)
            for batch, unlearnt in pairs:
                self._step(run, model, cohort, optimizers, batch, unlearnt)
            validate(epoch, model, cohort, run, c)

    def _optimizers(self, model: Model, run: Run, scratch: bool = False) -> UnlearningOptimizers:
        c, lr = self.config, self.config.stage2_lr
        predictor = [*model.encoder.parameters(), *model.regressor.parameters()]
        return UnlearningOptimizers(
            task=run.optimizer("task", predictor, lr=lr, scratch=scratch),
            domain=run.optimizer("domain", model.head.parameters(), lr=c.lr_domain or lr, scratch=scratch),
            confusion=run.optimizer("confusion", model.encoder.parameters(), lr=c.lr_confusion or lr, scratch=scratch),
        )  # fmt: skip

    def _step(
        self, run: Run, model: Model, cohort: TrainingCohort, optimizers: UnlearningOptimizers,
        batch: Batch, unlearnt: Batch,
    ) -> None:  # fmt: skip
        """L_p on ``batch`` of the cohort, then the two updates on ``unlearnt`` of the other; both may be one."""
        c = self.config
        losses = unlearning_step(
            run, optimizers, encode=model.encoder, head=model.head, main=batch.image,
            task_loss=lambda features: main_loss(
                model, features, batch.target, batch["domain"], len(cohort.domains)
            ),
            other=None if c.features == "stale" else unlearnt.image, domains=unlearnt["domain"],
            alpha=c.alpha, beta=c.beta, reduction=c.reduction, domain_loss=DOMAIN_LOSSES[c.domain_loss],
        )  # fmt: skip
        run.log(**{f"train/{name}": loss for name, loss in losses._asdict().items()})

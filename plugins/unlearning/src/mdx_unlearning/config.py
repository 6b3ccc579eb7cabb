"""The settings of unlearning; where paper and released code part, the default is the paper's or the sound one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mdx import MethodConfig

SCRIPTS = {"three_sets": (1e-6, 50), "biased": (1e-5, 150)}
"""Learning rate of stage 2 and patience in the authors' two scripts."""


class NormalConfig(MethodConfig):
    """Settings of the networks and of training, which all rows share."""

    nuisance: str = Field("site", description="column whose influence is to be removed")
    nuisance_bins: int | None = Field(None, ge=2, description="cut a nuisance of numbers into so many equal parts")
    script: Literal["three_sets", "biased"] = Field(
        "three_sets", description="whose patience, and learning rate of stage 2, are the defaults"
    )

    batch_size: int = Field(16, ge=2, description="cases in a batch, at least one of each domain")
    steps: int | None = Field(None, ge=1, description="batches in an epoch; null: see oversampling")
    epochs: int = Field(300, ge=1, description="epochs of both stages together")
    pretrain_epochs: int = Field(100, ge=0, description="epochs of stage 1, before anything is unlearnt")
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam in stage 1")
    patience: int | None = Field(None, ge=1, description="epochs without a lower loss; null: 50, 150 for script=biased")
    select: Literal["best", "last"] = Field(
        "best", description="weights kept after stage 2: of the lowest validation loss, or the last"
    )
    probe_every: int = Field(10, ge=0, description="epochs between site probes in validation; 0: none")

    width: float = Field(1.0, gt=0, description="factor of the encoder's channels")
    stages: int = Field(6, ge=1, le=6, description="stages of the encoder, each ended by a pooling")
    stem_stride: int = Field(1, ge=1, description="stride of the first convolution; 2 makes a CPU's work bearable")
    feature_size: int = Field(96, ge=1, description="length of the feature that the domain is unlearnt from")
    label_scale: Literal["none", "standardise"] = Field(
        "none",
        description="standardise: main loss in SDs of the training labels, so that beta does not depend on the unit",
    )

    @model_validator(mode="after")
    def _stages_fit(self) -> NormalConfig:
        if self.pretrain_epochs > self.epochs:
            raise ValueError("epochs counts both stages: it must be at least pretrain_epochs")
        return self

    @property
    def stage2_patience(self) -> int:
        """Epochs of stage 2 without a lower validation loss before it ends."""
        return self.patience or SCRIPTS[self.script][1]


class ConditionedConfig(NormalConfig):
    """Of rows whose batches hold every domain, for Eq. 1."""

    oversampling: Literal["largest", "smallest"] = Field(
        "largest", description="what an epoch shows whole: the largest domain, or the smallest as in the code"
    )


class HeadConfig(ConditionedConfig):
    """Of rows with a domain head, and of their stage 1: settings of ``dann``."""

    alpha: float = Field(1.0, ge=0, description="weight of the domain loss, which moves the head only")
    domain_loss: Literal["cross_entropy", "double_softmax", "binary"] = Field(
        "cross_entropy", description="double_softmax, binary: as in the authors' two scripts"
    )
    stage1_domain_grad: Literal["detached", "joint"] = Field(
        "detached", description="joint: the domain head's gradient reaches the encoder in stage 1"
    )
    lr_unlearn: float | None = Field(None, gt=0, description="that of stage 2; null: 1e-6, 1e-5 for script=biased")
    head_dropout: float = Field(0.2, ge=0, lt=1, description="dropout of the domain head")
    dropout_of: Literal["features", "cases"] = Field(
        "features", description="cases: whole cases are dropped, which is what the code's Dropout3d does to a vector"
    )

    @property
    def stage2_lr(self) -> float:
        """The learning rate of stage 2."""
        return self.lr_unlearn or SCRIPTS[self.script][0]


class UnlearningConfig(HeadConfig):
    """Settings of ``unlearning``, ``naive_unlearning`` and ``unlearning_on_overlap``."""

    unlearn_on: Literal["all", "overlap"] = Field(
        "all", description="overlap: unlearn on training cases in the range of labels that all domains share"
    )
    overlap: tuple[float, ...] | None = Field(
        None, description="that range, as lowest,highest, ends excluded; null: from the training labels"
    )
    beta: float = Field(10.0, ge=0, description="weight of the confusion loss; the paper: 1 to 20")
    reduction: Literal["mean", "sum"] = Field(
        "mean", description="confusion over the batch; sum, as in the code: beta 10 is then 160 with a mean of 16"
    )
    features: Literal["recomputed", "stale"] = Field(
        "recomputed", description="stale: those of the first update serve all three, as in the script for three sets"
    )
    reset_each_epoch: bool = Field(False, description="new Adam moments in every epoch of stage 2, as in the code")
    lr_domain: float | None = Field(None, gt=0, description="that of the domain head in stage 2; null: lr_unlearn")
    lr_confusion: float | None = Field(
        None,
        gt=0,
        description="that of the confusion update; null: lr_unlearn. Adam divides beta out: this is its strength",
    )

    @model_validator(mode="after")
    def _one_batch_or_two(self) -> UnlearningConfig:
        if self.features == "stale" and self.unlearn_on == "overlap":
            raise ValueError("features=stale uses the training batch in all updates, so unlearn_on must be all")
        return self

    @field_validator("overlap")
    @classmethod
    def _two_ordered(cls, given: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if given is not None and (len(given) != 2 or given[0] >= given[1]):
            raise ValueError("must be two numbers, the lower one first")
        return given

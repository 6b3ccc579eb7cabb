"""The settings of l2i and of the methods it is compared with; defaults are the paper's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mdx import MethodConfig

BACKBONES = ("inception_resnet_v1_3d", "resnet18_2d", "small_cnn", "small_cnn2d", "small_cnn3d")


class RowConfig(MethodConfig):
    """Settings of the networks and of training, which all rows share."""

    backbone: Literal["inception_resnet_v1_3d", "resnet18_2d", "small_cnn", "small_cnn2d", "small_cnn3d"] = Field(
        "inception_resnet_v1_3d", description="the encoder; small_cnn: a strided one, as many-dimensional as the images"
    )
    latent: int = Field(128, ge=2, description="length m of the latent vector")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the last layer of the backbone")
    width: int = Field(8, ge=1, description="channels of the first of four stages of the small CNN, doubled by each")
    standardise_pooled: bool = Field(
        False,
        description="small CNN: standardise its pooled features with mean and SD over the training cases, taken before"
        " training and then frozen; without it they hardly differ between cases",
    )

    train_on: Literal["all", "target"] = Field("all", description="target: leave the sources out of training")
    batch_size: int = Field(10, ge=2, description="cases of the mixed batch")
    steps: int | None = Field(None, ge=1, description="steps of an epoch; null: as many as show every case once")
    epochs: int = Field(1000, ge=1, description="most epochs; the paper names none")
    patience: int | None = Field(
        20, ge=1, description="epochs without a lower target validation loss; null: all epochs"
    )
    select: Literal["best", "last"] = Field("best", description="weights kept: of the best validation, or the last")
    augmentation: bool = Field(True, description="rotation, gamma, flip, scale and crop of training images")
    lr: float = Field(5e-5, gt=0, description="learning rate of encoder and classifier")
    lr_classifier: float | None = Field(None, gt=0, description="that of the classifier; null: lr, as in the paper")
    weight_decay: float = Field(5e-5, ge=0, description="L2 penalty of Adam on all parameters")

    @property
    def at_once(self) -> int:
        """Cases in memory at once."""
        return self.batch_size


class PartsConfig(RowConfig):
    """Of rows whose loss is a mean over the cases of a batch, so that the batch may be taken in parts."""

    micro_batch: int | None = Field(
        None, ge=1, description="cases in memory at once: gradients of a batch are then summed up; null: all"
    )

    @property
    def at_once(self) -> int:
        """Cases in memory at once."""
        return min(self.batch_size, self.micro_batch or self.batch_size)


class DomainsConfig(RowConfig):
    """Of rows that need to know the domain of a case."""

    nuisance: str = Field("site", description="column of the domains")
    nuisance_bins: int | None = Field(None, ge=2, description="cut a nuisance of numbers into so many equal parts")


class L2IConfig(PartsConfig):
    """Settings of ``l2i``, ``l2i_fixed`` and ``l2i_no_margin``."""

    lr_centers: float = Field(1e-4, gt=0, description="learning rate of the class centres")
    monitor: Literal["total", "cls", "cen+latent"] = Field("total", description="validation loss that is watched")
    lambda_latent: float = Field(1.0, ge=0, description="weight of the latent loss")
    lambda_cen: float = Field(100.0, ge=0, description="weight of the centre loss")
    margin: float = Field(1.9, gt=0, le=2, description="d: distance from which on centres no longer repel each other")
    radius: float = Field(0.1, ge=0, description="r: distance to its centre below which a case is not drawn to it")
    centers: Literal["learned", "fixed"] = Field("learned", description="fixed: two opposite centres, none is trained")
    center_norm: Literal["forward", "project_after_step"] = Field(
        "forward", description="where centres are brought to unit length: in each forward, or after each step"
    )
    cen_reduction: Literal["mean", "sum"] = Field("mean", description="centre loss over the target images of a step")

    @model_validator(mode="after")
    def _margins_fit(self) -> L2IConfig:
        if self.margin <= 2 * self.radius:
            raise ValueError(
                f"margin must be above twice the radius, but {self.margin:g} is not above {2 * self.radius:g}"
            )
        return self


class VanillaConfig(PartsConfig, DomainsConfig):
    """Settings of ``vanilla``, ``class_aware`` and ``weighted``."""

    sampling: Literal["uniform", "cells"] = Field(
        "uniform", description="cells draws every cell of class and domain into each batch (row class_aware)"
    )
    weighting: Literal["none", "cells"] = Field(
        "none", description="cells weighs by 1 / cases in the cell of class and domain (row weighted)"
    )


class DANNConfig(PartsConfig, DomainsConfig):
    """Settings of ``dann``."""

    alpha: float = Field(1.0, ge=0, description="weight of the domain loss")
    reversal_epochs: int = Field(
        100, ge=1, description="epochs over which the reversal grows; never more than there are epochs"
    )


class UnlearningConfig(DomainsConfig):
    """Settings of ``unlearning``."""

    alpha: float = Field(1.0, ge=0, description="weight of the domain loss")
    beta: float = Field(10.0, ge=0, description="weight of the confusion loss")
    confusion_rate: float = Field(1.0, gt=0, description="learning rate of the confusion, as a part of lr")
    warmup: float = Field(1 / 3, ge=0, lt=1, description="share of the epochs before anything is unlearnt")


class ContrastiveConfig(RowConfig):
    """Settings of ``contrastive``."""

    temperature: float = Field(0.07, gt=0, description="temperature of the similarities")


class CANConfig(RowConfig):
    """Settings of ``can``."""

    cdd_weight: float = Field(0.3, ge=0, description="weight of the contrastive domain discrepancy")
    cluster_radius: float = Field(
        0.05, gt=0, le=1, description="target cases farther from their cluster, as (1 - cos) / 2, are left out"
    )
    cluster_least: int = Field(3, ge=1, description="classes with fewer target cases are left out of an epoch")

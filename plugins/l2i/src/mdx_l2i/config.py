"""The settings of l2i and of the methods it is compared with; defaults are the paper's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mdx import MethodConfig

BACKBONES = ("inception_resnet_v1_3d", "resnet18_2d", "small_cnn", "small_cnn2d", "small_cnn3d")


class L2IConfig(MethodConfig):
    """Settings of the networks, of training, which all rows share, and of each row's own losses."""

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
    nuisance: str = Field("site", description="column of the domains that class_aware, weighted, dann, unlearning use")
    nuisance_bins: int | None = Field(None, ge=2, description="cut a nuisance of numbers into so many equal parts")
    batch_size: int = Field(10, ge=2, description="cases of the mixed batch")
    micro_batch: int | None = Field(
        None, ge=1, description="cases in memory at once: gradients of a batch are then summed up; null: all"
    )
    steps: int | None = Field(None, ge=1, description="steps of an epoch; null: as many as show every case once")
    epochs: int = Field(1000, ge=1, description="most epochs; the paper names none")
    patience: int | None = Field(
        20, ge=1, description="epochs without a lower target validation loss; null: all epochs"
    )
    select: Literal["best", "last"] = Field("best", description="weights kept: of the best validation, or the last")
    monitor: Literal["total", "cls", "cen+latent"] = Field(
        "total", description="validation loss of l2i that is watched; the other rows have their cls alone"
    )
    augmentation: bool = Field(True, description="rotation, gamma, flip, scale and crop of training images")
    lr: float = Field(5e-5, gt=0, description="learning rate of encoder and classifier")
    lr_classifier: float | None = Field(None, gt=0, description="that of the classifier; null: lr, as in the paper")
    lr_centers: float = Field(1e-4, gt=0, description="learning rate of the class centres")
    weight_decay: float = Field(5e-5, ge=0, description="L2 penalty of Adam on all parameters")

    lambda_latent: float = Field(1.0, ge=0, description="weight of the latent loss")
    lambda_cen: float = Field(100.0, ge=0, description="weight of the centre loss")
    margin: float = Field(1.9, gt=0, le=2, description="d: distance from which on centres no longer repel each other")
    radius: float = Field(0.1, ge=0, description="r: distance to its centre below which a case is not drawn to it")
    centers: Literal["learned", "fixed"] = Field("learned", description="fixed: two opposite centres, none is trained")
    center_norm: Literal["forward", "project_after_step"] = Field(
        "forward", description="where centres are brought to unit length: in each forward, or after each step"
    )
    cen_reduction: Literal["mean", "sum"] = Field("mean", description="centre loss over the target images of a step")

    sampling: Literal["uniform", "cells"] = Field(
        "uniform", description="vanilla: cells draws every cell of class and domain into each batch (row class_aware)"
    )
    weighting: Literal["none", "cells"] = Field(
        "none", description="vanilla: cells weighs by 1 / cases in the cell of class and domain (row weighted)"
    )
    alpha: float = Field(1.0, ge=0, description="dann, unlearning: weight of the domain loss")
    beta: float = Field(10.0, ge=0, description="unlearning: weight of the confusion loss")
    confusion_rate: float = Field(1.0, gt=0, description="unlearning: learning rate of the confusion, as a part of lr")
    reversal_epochs: int = Field(
        100, ge=1, description="dann: epochs over which the reversal grows; never more than there are epochs"
    )
    warmup: float = Field(1 / 3, ge=0, lt=1, description="unlearning: share of the epochs before anything is unlearnt")
    temperature: float = Field(0.07, gt=0, description="contrastive: temperature of the similarities")
    cdd_weight: float = Field(0.3, ge=0, description="can: weight of the contrastive domain discrepancy")
    cluster_radius: float = Field(
        0.05, gt=0, le=1, description="can: target cases farther from their cluster, as (1 - cos) / 2, are left out"
    )
    cluster_least: int = Field(3, ge=1, description="can: classes with fewer target cases are left out of an epoch")

    @model_validator(mode="after")
    def _margins_fit(self) -> L2IConfig:
        if self.margin <= 2 * self.radius:
            raise ValueError(
                f"margin must be above twice the radius, but {self.margin:g} is not above {2 * self.radius:g}"
            )
        return self

"""Supervised training of a slice network on some sites: the source model that adaptation starts from."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR

from mdx.config import Settings
from mdx.data.sampling import RandomSlices
from mdx.errors import DataError
from mdx.evaluation.segmentation import dice, hard_masks
from mdx.interfaces.dataset import Dataset
from mdx.runs.run import Run
from mdx_segment.inference import predict_volume
from mdx_segment.losses import bce_dice_loss


class SourceTraining(Settings):
    """The training of Zakazov et al. 2022: SGD on random crops of random axial slices, no augmentation."""

    epochs: int = Field(100, ge=1, description="epochs of training")
    steps: int = Field(100, ge=1, description="batches in an epoch")
    batch_size: int = Field(16, ge=1, description="slices in a batch")
    lr: float = Field(1e-3, gt=0, description="learning rate of SGD with Nesterov momentum 0.9")
    decay_at: float = Field(0.8, gt=0, le=1, description="share of the epochs after which lr is divided by 10")
    crop: int = Field(160, ge=16, description="edge of the random crop in pixels; the paper's text says 256")
    fit_crop: bool = Field(False, description="let the crop be no larger than the largest slice needs")
    validate_every: int = Field(10, ge=1, description="epochs between looks at the validation cases")


def train_slices(network: nn.Module, data: Dataset, run: Run, config: SourceTraining, stage: str) -> None:
    """Train ``network`` on the train cases of ``data``, in place; the last weights are kept, as in the paper.

    An equal stage of another run is taken from the cache. Raises DataError if there is no labelled train case.
    """
    train, val = data.where(split="train"), data.where(split="val")
    if not any(case.mask is not None for case in train.cases):
        raise DataError("there is no labelled case to train on", "check roles and splits: 'mdx data check'", stage)
    crop = config.crop if not config.fit_crop else min(config.crop, _needed(train))
    optimizer = run.optimizer(stage, network.parameters(), "sgd", lr=config.lr, momentum=0.9, nesterov=True)
    decay = run.scheduler(stage, optimizer, MultiStepLR, milestones=[round(config.decay_at * config.epochs)], gamma=0.1)
    batches = run.loader(train, config.batch_size, view=RandomSlices(crop), steps=config.steps)
    for epoch in run.epochs(stage, config.epochs, shared=(train, val, config, crop), trains=[network]):
        network.train()
        for batch in batches:
            loss = bce_dice_loss(network(batch.image), batch.mask)
            run.step(optimizer, loss, log={"loss": loss})
        decay.step()
        if len(val) and ((epoch.index + 1) % config.validate_every == 0 or epoch.index + 1 == config.epochs):
            epoch.log(val={"dice": mean_dice(network, val)})


@torch.no_grad()
def mean_dice(network: nn.Module, data: Dataset) -> float:
    """The mean volume Dice over cases and classes."""
    network.eval()
    scores: list[float] = []
    for case in data.cases:
        sample = data.load(case)
        predicted = hard_masks(predict_volume(network, sample.image).numpy())
        truth = sample.mask.numpy() > 0.5
        scores += [dice(p, t) for p, t in zip(predicted, truth, strict=True)]
    return sum(scores) / len(scores)


def _needed(data: Dataset) -> int:
    """The edge, a multiple of 8, that holds the largest slice."""
    longest = max(max(data.load(case).image.shape[1:3]) for case in data.cases)
    return longest + -longest % 8

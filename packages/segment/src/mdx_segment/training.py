"""Supervised training of a slice network on some sites: the source model that adaptation starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import MultiStepLR

from mdx.data.batches.sampling import RandomSlices
from mdx.errors import DataError
from mdx.evaluation.segmentation import dice, hard_masks
from mdx.interfaces.dataset import Batch, Dataset, hidden_label
from mdx_segment.inference import predict_volume
from mdx_segment.losses import bce_dice_loss
from mdx_segment.settings import SourceTraining

if TYPE_CHECKING:
    from mdx.training.run import Run


def train_slices(network: nn.Module, data: Dataset, run: Run, config: SourceTraining, stage: str) -> None:
    """Train ``network`` in place on the train cases of ``data`` that have a mask.

    The last weights are kept, as in the paper: validation cases are scored for the curve and choose nothing. An equal
    stage of another run is taken from the cache. Raises DataError if no train case has a mask.
    """
    train, val = data.where(split="train").labelled, data.where(split="val").labelled
    withheld = data.where(split="train").withheld
    if len(withheld):
        raise hidden_label(data.task.label, [case.id for case in withheld.cases])
    if not len(train):
        raise DataError("there is no labelled case to train on", "check roles and splits with 'mdx data check'", stage)
    optimizer = run.optimizer(stage, network.parameters(), "sgd", lr=config.lr, momentum=0.9, nesterov=True)
    decay = run.scheduler(stage, optimizer, MultiStepLR, milestones=[round(config.decay_at * config.epochs)], gamma=0.1)
    # padding around small slices costs time and teaches nothing; the paper's crop is larger than its slices too
    crop = min(config.crop, _largest_edge(train)) if config.fit_crop else config.crop
    batches = run.loader(train, config.batch_size, view=RandomSlices(crop), steps=config.steps)
    for epoch in run.epochs(stage, config.epochs, shared=(train, val, config, crop), trains=[network]):
        network.train()
        for batch in batches:
            loss = bce_dice_loss(network(batch.image), batch.mask)
            run.step(optimizer, loss, log={"loss": loss})
        decay.step()
        done = epoch.index + 1
        if len(val) and (done % config.validate_every == 0 or done == config.epochs):
            epoch.log(val={"dice": mean_dice(network, val, run)})


def _largest_edge(data: Dataset) -> int:
    """The edge, a multiple of 8, that holds the largest slice."""
    longest = max(max(data.load(case).image.shape[1:3]) for case in data.cases)
    return longest + -longest % 8


def mean_dice(network: nn.Module, data: Dataset, run: Run) -> float:
    """The mean volume Dice over cases and classes."""

    def dice_of_classes(case: Batch) -> Tensor:
        predicted = hard_masks(predict_volume(network, case.image[0]).numpy())
        truth = case.mask[0].cpu().numpy() > 0.5
        return torch.tensor([[dice(p, t) for p, t in zip(predicted, truth, strict=True)]], dtype=torch.float64)

    scores = run.outputs(dice_of_classes, data, batch_size=1).values.flatten().tolist()
    return sum(scores) / len(scores)

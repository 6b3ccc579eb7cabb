"""Objects as peaks of a map of their centres (in the manner of Zhou et al. 2019), each of its class's mean size."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdx import Adapter, Batch, Dataset, MethodConfig, Model, Prediction, Reference, Run, Sample, Task

STRIDE = 8


class DotsConfig(MethodConfig):
    epochs: int = 20
    least: float = 0.2
    weight: float = 20.0


class Dots(Adapter[DotsConfig]):
    def build(self, task: Task) -> Model:
        self.sizes = torch.ones(len(task.classes), 2)
        channels, layers = len(task.channels), []
        for width in (16, 32, 64):
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.GroupNorm(4, width), nn.ReLU()]
            channels = width
        return Model(centres=nn.Sequential(*layers, nn.Conv2d(channels, len(task.classes), 3, padding=1)))

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        train = data.where(split="train").labelled
        boxes = torch.cat([data.load(case).label("boxes") for case in train.cases])
        found = [boxes[boxes[:, 4] == k] for k in range(len(self.sizes))]
        self.sizes = torch.stack([(b[:, 2:4] - b[:, :2]).mean(dim=0) if len(b) else torch.ones(2) for b in found])
        optimizer = run.optimizer("centres", model.centres.parameters(), lr=3e-3)
        batches = run.loader(train, 4)
        for _ in run.epochs("train", self.config.epochs):
            for batch in batches:
                said = model.centres(batch.image)
                truth, rare = self.truth(batch, said), said.new_tensor(self.config.weight)
                loss = F.binary_cross_entropy_with_logits(said, truth, pos_weight=rare, reduction="none")
                run.step(optimizer, loss.sum() / len(batch), log={"loss": loss.mean()})

    def truth(self, batch: Batch, said: Tensor) -> Tensor:
        """1 in the cell of each box's centre, (B, K, H, W)."""
        made = torch.zeros_like(said)
        for i, boxes in enumerate(batch.label("boxes")):
            x, y = ((boxes[:, :2] + boxes[:, 2:4]) / 2 / STRIDE).long().T
            made[i, boxes[:, 4].long(), y.clamp(max=said.shape[2] - 1), x.clamp(max=said.shape[3] - 1)] = 1
        return made

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        device = next(model.parameters()).device
        scores = model.centres(sample.image[None].to(device)).sigmoid()[0].cpu()
        peaks = (scores == F.max_pool2d(scores[None], 3, 1, 1)[0]) & (scores > self.config.least)
        k, y, x = peaks.nonzero().T
        centre, half = (torch.stack([x, y], dim=1) + 0.5) * STRIDE, self.sizes[k] / 2
        columns = [centre - half, centre + half, scores[peaks][:, None], k[:, None]]
        return Prediction(sample.geometry, boxes=torch.cat(columns, dim=1).numpy().astype(np.float32))

    def state(self) -> dict[str, Any]:
        return {"sizes": self.sizes}

    def restore(self, state: Any, model: Model) -> None:
        self.sizes = torch.as_tensor(state["sizes"])

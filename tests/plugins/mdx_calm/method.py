"""Entropy minimisation on one scan (Wang et al. 2021): scale and shift of the normalisation follow its slices."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdx import Adapter, Dataset, MethodConfig, Model, Prediction, Reference, Run, Sample, Task
from mdx.views import RandomSlices


class CalmConfig(MethodConfig):
    epochs: int = 3
    steps: int = 3
    lr: float = 0.05


class Calm(Adapter[CalmConfig]):
    adapts = True

    def build(self, task: Task) -> Model:
        channels, classes = len(task.channels), len(task.classes)
        return Model(
            network=nn.Sequential(
                nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.1),
                nn.Conv2d(8, classes, 3, padding=1),
            )
        )  # fmt: skip

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        optimizer = run.optimizer("main", model.network.parameters(), lr=1e-2)
        slices = run.loader(data.where(split="train", role="source").labelled, 8, view=RandomSlices())
        for _ in run.epochs("train", self.config.epochs):
            for batch in slices:
                loss = F.binary_cross_entropy_with_logits(model.network(batch.image), batch.mask)
                run.step(optimizer, loss, log={"loss": loss})

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        device = next(model.parameters()).device
        slices = sample.image.movedim(-1, 0).to(device)
        norm = [p for m in model.network if isinstance(m, nn.BatchNorm2d) for p in m.parameters()]
        optimizer = torch.optim.SGD(norm, lr=self.config.lr)
        model.train()
        for _ in range(self.config.steps):
            drawn = slices[torch.randint(len(slices), (4,))]
            optimizer.zero_grad()
            entropy(model.network(drawn).sigmoid()).backward()
            optimizer.step()
        model.eval()
        masks = model.network(slices).sigmoid().detach()
        return Prediction(sample.geometry, segmentation=masks.permute(1, 2, 3, 0).cpu().numpy())


def entropy(p: Tensor) -> Tensor:
    """The mean entropy of independent probabilities, in nats."""
    return -(p * p.clamp(min=1e-6).log() + (1 - p) * (1 - p).clamp(min=1e-6).log()).mean()

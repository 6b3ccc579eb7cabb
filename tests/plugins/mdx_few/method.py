"""Segmentation from few labels: cross-entropy where there is one, agreement under noise everywhere."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from mdx import Adapter, Dataset, MethodConfig, Model, Prediction, Reference, Run, Sample, Task, Weights
from mdx.views import RandomSlices


class FewConfig(MethodConfig):
    epochs: int = 2
    width: int = 8
    encoder: Weights | None = Field(None, description="what the encoder starts from")


class Few(Adapter[FewConfig]):
    def build(self, task: Task) -> Model:
        channels, width = len(task.channels), self.config.width
        layers = [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        return Model(encoder=nn.Sequential(*layers), head=nn.Conv2d(width, len(task.classes), 1))

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        c = self.config
        if c.encoder is not None:
            run.weights(c.encoder).into(model.encoder, rename={"backbone.": "", "classifier.": None})
        train = data.where(split="train")
        subjects = {case.subject for case in train.labelled.cases}
        run.note(f"{len(subjects)} subjects have labels, {len(train)} scans agree.")
        optimizer = run.optimizer("main", model.parameters(), lr=1e-2)
        view = RandomSlices(crop=16)
        labelled, all_scans = (run.loader(part, 4, view=view, steps=4) for part in (train.labelled, train))
        for _ in run.epochs("train", c.epochs):
            model.train()
            for known, scans in zip(labelled, all_scans, strict=True):
                mask = F.binary_cross_entropy_with_logits(model.head(model.encoder(known.image)), known.mask)
                noisy = (scans.image + 0.1 * torch.randn_like(scans.image) for _ in range(2))
                one, other = (model.head(model.encoder(image)).sigmoid() for image in noisy)
                agreement = F.mse_loss(one, other.detach())
                run.step(optimizer, mask + agreement, log={"mask": mask, "agreement": agreement})

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        slices = sample.image.movedim(-1, 0)
        masks = model.head(model.encoder(slices)).sigmoid().movedim(0, -1)
        return Prediction(sample.geometry, segmentation=masks.cpu().numpy())

"""Learning without forgetting: sites come one after the other. Source: Li and Hoiem 2017."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from mdx import Adapter, Batch, Dataset, MethodConfig, Model, Prediction, Reference, Run, Sample, Task


class LwFConfig(MethodConfig):
    epochs: int = 3
    lr: float = 0.01
    hold: float = 1.0
    keep: Literal["best", "last"] = "best"


class LwF(Adapter[LwFConfig]):
    """Cross-entropy at each new site, and the divergence from the answers of the network before it (teacher)."""

    def build(self, task: Task) -> Model:
        first = nn.Linear(16 * len(task.channels), 16)
        last = nn.Linear(16, len(task.classes))
        return Model(network=nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), first, nn.Dropout(0.2), last))

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        c, label, sites = self.config, data.task.label, data.task.sites
        run.add(teacher=copy.deepcopy(model.network).requires_grad_(False))
        optimizer, errors = None, {}
        for site in sites:
            here = data.where(site=site).labelled
            train, val = here.where(split="train"), here.where(split="val")
            optimizer = run.optimizer("main", model.network.parameters(), "adam", lr=c.lr, moments_from=optimizer)
            batches = run.loader(train, batch_size=4)
            for epoch in run.epochs(f"on_{site}", c.epochs, keep=c.keep, monitor="val/error", patience=5):
                model.network.train()
                for batch in batches:
                    logits = model.network(batch.image)
                    new = F.cross_entropy(logits, batch.label(label))
                    before = model.teacher(batch.image).log_softmax(1)
                    old = F.kl_div(logits.log_softmax(1), before, log_target=True, reduction="batchmean")
                    hold = c.hold if site != sites[0] else 0.0
                    run.step(optimizer, new + hold * old, log={"new": new, "old": old})
                epoch.log(val={"error": self.error(model, val, run)})
            model.teacher.load_state_dict(model.network.state_dict())
            errors[site] = self.error(model, train, run)
            for task in sites:
                run.evaluate(data.where(site=task, split="test"), f"on_{site}", task)
        run.table("Sites", [{"site": site, "train error": error} for site, error in errors.items()])
        run.curve("Train error", range(len(sites)), {"own site": list(errors.values())}, x_name="site")
        run.picture("First weights", model.network[2].weight.detach().sigmoid(), text="Of the first layer.")

    def error(self, model: Model, data: Dataset, run: Run) -> float:
        def answer(batch: Batch) -> torch.Tensor:
            return model.network(batch.image).argmax(1)

        found = run.outputs(answer, data, batch_size=8)
        return float((found.values != found.label(data.task.label)).float().mean())

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        return Prediction(sample.geometry, classes=model.network(sample.image[None])[0].float().softmax(0).numpy())

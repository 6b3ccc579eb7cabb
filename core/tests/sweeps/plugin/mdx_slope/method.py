"""Age from the mean intensity by a straight line, with ways to be slow, to break and to be killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch

from mdx import Adapter, Dataset, MethodConfig, Model, Prediction, Reference, Run, Sample, Task


class SlopeConfig(MethodConfig):
    epochs: int = 3
    offset: float = 0.0
    broken: bool = False


def killed_once() -> None:
    """Die as the kernel kills, once: the file that the environment names is there until then."""
    flag = os.environ.get("SLOPE_KILL")
    if flag and Path(flag).exists():
        Path(flag).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


class Slope(Adapter[SlopeConfig]):
    def build(self, task: Task) -> Model:
        model = Model(line=torch.nn.Linear(1, 1))
        with torch.no_grad():
            model.line.weight.fill_(9.0)
        return model

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        if self.config.broken:
            raise ValueError("broken on purpose")
        train = data.where(role="source", split="train")
        optimizer = run.optimizer("main", model.line.parameters(), "sgd", lr=0.01)
        loader = run.loader(train, batch_size=4)
        for epoch in run.epochs("source", self.config.epochs, shared=(train,)):
            for batch in loader:
                time.sleep(float(os.environ.get("SLOPE_PAUSE", "0")))
                mean = batch.image.flatten(1).mean(dim=1, keepdim=True) + 0.01 * torch.randn(len(batch), 1)
                loss = (model.line(mean)[:, 0] - batch.label("age")).abs().mean()
                run.step(optimizer, loss, log={"loss": loss})
            if epoch.index == 2:
                killed_once()
        run.table("The line", [{"slope": model.line.weight.item()}])

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        value = float(model.line(sample.image.mean()[None, None])) + self.config.offset
        return Prediction(geometry=sample.geometry, value=value)

"""A made-up method: three networks, three optimisers, two stages, early stop and a pool that grows.

It has every habit that makes resuming hard, and needs neither images nor labels.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mdx.interfaces.adapter import Adapter, MethodConfig, Prediction, Reference, networks_of
from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.interfaces.model import Model
from mdx.training.run import Run


class MadeUpConfig(MethodConfig):
    epochs: int = 4
    steps: int = 3
    patience: int = 2


class MadeUp(Adapter[MadeUpConfig]):
    def __init__(self, config: MadeUpConfig) -> None:
        super().__init__(config)
        self.pool = torch.zeros(0, 4)
        self.counts: dict[int, float] = {}

    def build(self, task: Task) -> Model:
        return Model(
            encoder=nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU()),
            task=nn.Linear(8, 1),
            site=nn.Linear(8, 2),
        )

    def fit(self, data: Dataset, model: Model, run: Run) -> None:
        main = run.optimizer("main", [*model.encoder.parameters(), *model.task.parameters()], "adam", lr=1e-2)
        site = run.optimizer("site", model.site.parameters(), "sgd", lr=0.1, momentum=0.9)
        decay = run.scheduler("main", main, torch.optim.lr_scheduler.StepLR, step_size=2, gamma=0.5)
        loader = run.loader(data, batch_size=4, steps=self.config.steps)
        for epoch in run.epochs("first", self.config.epochs):
            for batch in loader:
                x = batch.image.mean(dim=(2, 3)) + 0.1 * torch.randn(len(batch), 4)
                features = model.encoder(x)
                run.step(main, model.task(features).square().mean() + 1.0, clip_norm=1.0, log={"loss": x.mean()})
                truth = torch.from_numpy(run.rng("site").integers(0, 2, len(batch)))
                run.step(site, nn.functional.cross_entropy(model.site(features.detach()), truth))
            decay.step()
            self._grow(model, x.detach())
            epoch.log(val={"loss": float(x.mean())})
        # the same name again, as methods do: this one starts fresh, also in a resumed run
        confuse = run.optimizer("main", model.encoder.parameters(), "adam", lr=1e-3)
        for epoch in run.epochs("second", 10 * self.config.epochs, monitor="val/odd", patience=self.config.patience):
            for batch in loader:
                x = batch.image.mean(dim=(2, 3))
                p = model.site(model.encoder(x)).log_softmax(dim=1)
                run.step(confuse, -p.mean(), clip_value=0.1, log={"confusion": -p.mean()})
            # falls for three epochs, then rises: the best epoch is neither the first nor the last
            epoch.log(**{"val/odd": abs(epoch.index - 3) + float(run.rng("noise").random()) * 0.1})

    def _grow(self, model: Model, x: torch.Tensor) -> None:
        self.pool = torch.cat([self.pool, x[:1]])
        self.counts[len(self.pool)] = float(x.sum())
        name = f"expert{len(self.pool)}"
        if name not in model and len(self.pool) <= 2:
            model[name] = nn.Linear(4, 2)

    def apply(self, sample: Sample, model: Model, reference: Reference | None = None) -> Prediction:
        x = sample.image.mean(dim=(1, 2))[None]
        value = float(model.task(model.encoder(x)))
        return Prediction(geometry=sample.geometry, value=value)

    def state(self) -> dict[str, Any]:
        return {"pool": self.pool, "counts": self.counts}

    def restore(self, state: Mapping[str, Any], model: Model) -> None:
        self.pool, self.counts = state["pool"], dict(state["counts"])
        for i in range(1, min(len(self.pool), 2) + 1):
            if f"expert{i}" not in model:
                model[f"expert{i}"] = nn.Linear(4, 2)


def dataset(n: int = 8) -> Dataset:
    task = Task("regression", (), ("a", "b", "c", "d"), 2, ("A", "B"), label="age")
    cases = [
        Case(f"c{i}", f"s{i}", "AB"[i % 2], {"image": Path(f"c{i}.png")}, split="train", role="source",
             columns={"age": float(i)})
        for i in range(n)
    ]  # fmt: skip

    def load(case: Case, visible: bool) -> Sample:
        image = torch.arange(4 * 6 * 5, dtype=torch.float32).reshape(4, 6, 5).sin() * (1 + int(case.id[1:]))
        labels = {"age": case.columns["age"]} if visible else {}
        return Sample(
            case, image, Geometry(torch.eye(4).numpy(), (6, 5)), labels, frozenset() if visible else frozenset({"age"})
        )

    return Dataset(task, cases, load)


def train(folder: Path, kill_at: int | None = None, seed: int = 3) -> Run:
    """Fit in ``folder``; ``kill_at`` kills this very process at that count of steps and saved checkpoints."""
    torch.set_num_threads(1)
    data = dataset()
    method = MadeUp(MadeUpConfig())
    torch.manual_seed(seed)
    run = Run(folder, method, networks_of(method, data.task), seed=seed)
    run.journal.stream = open(os.devnull, "w")  # noqa: SIM115, PTH123 - lives as long as the run
    if kill_at is not None:
        _kill_after(run, kill_at)
    method.fit(data, run.model, run)
    run.finish()
    return run


def _kill_after(run: Run, count: int) -> None:
    ticks: Iterator[int] = iter(range(1, 10_000))

    def tick() -> None:
        if next(ticks) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    step, save = run.step, run._checkpoints.save

    def counted_step(*args: Any, **options: Any) -> None:
        step(*args, **options)
        tick()

    def counted_save(*args: Any, **options: Any) -> Path:
        tick()
        path = save(*args, **options)
        tick()
        return path

    run.step, run._checkpoints.save = counted_step, counted_save  # type: ignore[method-assign]


class Bare(MadeUp):
    """Two networks and no loop: tests drive the run by hand."""

    def build(self, task: Task) -> Model:
        torch.manual_seed(0)
        return Model(encoder=nn.Linear(3, 4), head=nn.Linear(4, 2))


def bare(folder: Path, **options: object) -> Run:
    method = Bare(MadeUpConfig())
    return Run(folder, method, method.build(None), **options)  # type: ignore[arg-type]

"""What each of two processes does in test_processes.py; a module of its own, so that a fresh process can import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from made_up import MadeUp, MadeUpConfig, dataset
from torch import nn

from mdx.interfaces.dataset import Task
from mdx.interfaces.model import Model
from mdx.testing import Watch, leave, place_of
from mdx.training.run import Run


class Scaled(nn.Module):
    """A network whose only parameter belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))


class TwoNetworks(MadeUp):
    def build(self, task: Task) -> Model:
        return Model(encoder=nn.Linear(4, 4), bare=Scaled(), unused=nn.Linear(2, 2))


def work(rank: int, port: int, folder: str) -> None:
    place = place_of(rank, port)
    method = TwoNetworks(MadeUpConfig())
    torch.manual_seed(rank)  # different initial weights: the first process's must win
    run = Run(Path(folder), method, method.build(None), seed=1, place=place)
    optimizer = run.optimizer("main", run.model.parameters(), "adam", lr=0.05, weight_decay=0.1)
    loader = run.loader(dataset(8), batch_size=2, steps=3)
    seen: list[str] = []
    for _ in run.epochs("one", 2):
        for batch in loader:
            seen += batch.case_ids
            x = batch.image.mean(dim=(2, 3)) * run.model.bare.scale
            run.step(optimizer, run.model.encoder(x).square().mean())
    run.add(late=nn.Linear(4, 2))  # each process draws other first weights for it
    late = run.optimizer("late", run.model.late.parameters(), "sgd", lr=0.1)
    for _ in run.epochs("two", 1):
        for batch in loader:
            run.step(late, run.model.late(batch.image.mean(dim=(2, 3))).square().mean())
    # each process has seen other cases, and has running statistics of its own
    run.add(normed=nn.BatchNorm1d(4))
    run.model.normed.running_mean.fill_(rank)
    whole = run.outputs(lambda batch: run.model.normed(batch.image.mean(dim=(2, 3))), dataset(8), 3)
    leave(run, rank, folder, seen=seen, outputs=whole.values)


def disagree(rank: int, port: int, folder: str) -> None:
    """The first process sees every epoch get better, the second every epoch get worse."""
    method = TwoNetworks(MadeUpConfig())
    run = Run(Path(folder), method, method.build(None), seed=1, place=place_of(rank, port))
    watch = Watch(run, "val/error")
    for epoch in run.epochs("one", 4, monitor="val/error", patience=1):
        epoch.log(val={"error": epoch.index if rank else -epoch.index})
    leave(run, rank, folder, monitored=watch.seen)


def share(directory: Path, place: object = None, late: bool = False, **more: object) -> Run:
    """A run whose only stage is equal in all such runs and therefore trained once."""
    method = TwoNetworks(MadeUpConfig())
    torch.manual_seed(0)
    run = Run(directory, method, method.build(None), seed=1, identity="equal", place=place, **more)  # type: ignore[arg-type]
    data = dataset(8)
    optimizer = run.optimizer("main", run.model.encoder.parameters(), "sgd", lr=0.1)
    if late:
        time.sleep(1.5)
    for _ in run.epochs("shared", 1, shared=(data,)):
        for batch in run.loader(data, batch_size=4):
            run.step(optimizer, run.model.encoder(batch.image.mean(dim=(2, 3))).square().mean())
    return run


def take_from_the_cache(rank: int, port: int, folder: str) -> None:
    """Two processes take a stage from the cache; the second looks when the first has long come to it."""
    signal.alarm(60)  # waiting for each other they would never end
    os.environ["MDX_CACHE"] = str(Path(folder) / "cache")
    run = share(Path(folder) / "two", place_of(rank, port), late=rank == 1)
    leave(run, rank, folder, steps=run.steps)

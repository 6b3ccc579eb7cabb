"""Epochs and what is remembered between them: the monitored value, early stopping, the mean of logged losses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch

from mdx.errors import PluginError, nearest


class Epoch:
    """One pass of a stage, given to the body of ``for epoch in run.epochs(...)``."""

    def __init__(self, stage: str, index: int) -> None:
        self.stage, self.index = stage, index
        self.metrics: dict[str, float] = {}
        self.stopped = False

    def log(self, **metrics: Any) -> None:
        """Record this epoch's metrics; ``val={"loss": 1.0}`` is recorded as ``val/loss``."""
        self.metrics.update(scalars(metrics))

    def stop(self) -> None:
        """Let this be the last epoch of the stage."""
        self.stopped = True


@dataclasses.dataclass
class Monitor:
    """The best value so far, the epoch it came from, and how many epochs it has stood since."""

    name: str | None
    mode: Literal["min", "max"]
    patience: int | None
    best: float | None = None
    best_epoch: int | None = None
    waited: int = 0

    def update(self, epoch: Epoch) -> bool:
        """Take an epoch's value; True if it is the best so far. Raises PluginError if it was not logged."""
        if self.name is None:
            return False
        if self.name not in epoch.metrics:
            raise PluginError(f"the monitored value '{self.name}' was not logged", nearest(self.name, epoch.metrics))
        value = epoch.metrics[self.name]
        better = not math.isnan(value) and (
            self.best is None or (value < self.best if self.mode == "min" else value > self.best)
        )
        if better:
            self.best, self.best_epoch, self.waited = value, epoch.index, 0
        else:
            self.waited += 1
        return better

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience


class Means:
    """Running means of logged losses, kept on their device so that logging never waits for it."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Any]) -> None:
        """Add one observation of each value."""
        for name, value in values.items():
            detached = value.detach() if isinstance(value, torch.Tensor) else value
            self.sums[name] = self.sums[name] + detached if name in self.sums else detached
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means as plain numbers; starts anew."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


def named_values(values: Any) -> dict[str, Any]:
    """The fields of a mapping, dataclass or named tuple, nested ones joined with ``/``; others are refused."""
    if hasattr(values, "_asdict"):
        values = values._asdict()
    elif dataclasses.is_dataclass(values) and not isinstance(values, type):
        values = {f.name: getattr(values, f.name) for f in dataclasses.fields(values)}
    if not isinstance(values, Mapping):
        raise PluginError(f"{type(values).__name__} cannot be logged", "log a dict, a dataclass or a named tuple")
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) or dataclasses.is_dataclass(value) or hasattr(value, "_asdict"):
            flat.update({f"{name}/{k}": v for k, v in named_values(value).items()})
        else:
            flat[str(name)] = value
    return flat


def scalars(values: Any) -> dict[str, float]:
    """``named_values`` as plain numbers."""
    plain = {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in named_values(values).items()}
    return {name: float(value) for name, value in plain.items()}

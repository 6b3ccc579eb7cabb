"""The stages of a run: their epochs, the value that is monitored, and the mean of logged losses."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from mdx import progress
from mdx.errors import MdxError, PluginError, nearest
from mdx.interfaces.dataset import Dataset
from mdx.training import processes
from mdx.training.resuming import Checkpoints, digest_of_tensors
from mdx.training.seeding import RandomState, derive

if TYPE_CHECKING:
    from mdx.training.run import Run


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

    @classmethod
    def of(cls, keep: str | None, name: str | None, mode: Literal["min", "max"], patience: int | None) -> Monitor:
        """What ``Run.epochs`` is asked for. Raises PluginError for best weights without a value to choose them by."""
        if keep == "best" and name is None:
            raise PluginError("the best weights need a value to choose them by", "name a logged value as monitor=")
        return cls(None, mode, None) if keep == "last" else cls(name, mode, patience)

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

    def loss(self) -> float | None:
        """The mean so far of the first value that is called a loss, or of the first of all; None before any."""
        name = next((name for name in self.sums if "loss" in name), next(iter(self.sums), None))
        return None if name is None else float(self.sums[name]) / self.counts[name]

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


class Stages:
    """The stages of a run, one after the other: what is done, what is going on, and what is restored.

    Attributes:
        name, epoch: the stage and the epoch that are going on; None between them.
        means: of what is logged in the epoch.
        seconds: spent in each stage by this process.
    """

    def __init__(self, run: Run, saved: Checkpoints, random: RandomState) -> None:
        self.run, self.saved, self.random = run, saved, random
        self.name: str | None = None
        self.epoch: Epoch | None = None
        self.means = Means()
        self.seconds: dict[str, float] = {}
        self._loaders = {"outside": 0, "inside": 0}
        self._begun: list[str] = []
        self._left: str | None = None

    def begin(
        self, name: str, count: int, watch: Monitor, shared: tuple[Any, ...] | None, trains: Sequence[nn.Module]
    ) -> Iterator[Epoch]:
        """The epochs of a stage that are still to be done; see ``Run.epochs``."""
        if not name.replace("_", "").replace("-", "").isalnum() or name in ("last", "best", "final"):
            raise PluginError(f"a stage cannot be named '{name}'", "use letters, digits and _; not last, best or final")
        if name in self._begun:
            raise PluginError(f"the stage '{name}' is run twice", "give each stage a name of its own")
        self._begun.append(name)
        networks = [key for key, net in self.run.model.items() if not trains or any(net is t for t in trains)]
        key = None
        if shared is not None and self.run.identity:
            parts = [_content(part) for part in shared]
            what = [repr((name, self.run.model[name])) for name in networks]
            code = (repr(watch), self.run.identity, self.run.device.type, self.saved.digest(networks))
            key = f"{derive(self.run.seed, name, count, *code, *what, *parts):016x}"
        return self._epochs(name, count, watch, key, networks)

    def next_loader(self) -> str:
        """A name for the loader that is being made, the same when an epoch is replayed."""
        place = "outside" if self.epoch is None else "inside"
        self._loaders[place] += 1
        return f"{place}{self._loaders[place]}"

    @property
    def where(self) -> str:
        """In words."""
        return f"stage '{self.name}', epoch {self.epoch.index if self.epoch else 0}"

    def require_not_left(self) -> None:
        """Raise PluginError if a stage was left by ``break``."""
        if self._left is not None:
            raise PluginError(
                f"the stage '{self._left}' was left by break, so its end was never saved",
                "end a stage early with epoch.stop()",
            )

    def _epochs(
        self, name: str, count: int, watch: Monitor, key: str | None, networks: Sequence[str]
    ) -> Iterator[Epoch]:
        journal, hooks, saved = self.run.journal, self.run.hooks, self.saved
        self.name = name
        absent = not saved.path(name).exists()
        processes.barrier(self.run.world)  # all have looked before the first process brings it
        if absent and key is not None:
            self._wait_for(name, key)
            if saved.fetch(name, key):
                journal.say(f"stage {name}: taken from the cache, an equal run has trained it")
        end = saved.load(name)
        if end is not None:
            saved.release()
            saved.restore(end)
            self.seconds.setdefault(name, 0.0)  # of this process; what trained it has written its own
            self._after(name)
            return
        first, finished = 0, False
        last = saved.load("last")
        if last is not None and last["stage"] == name:
            saved.restore(last)
            watch = Monitor(**last["monitor"])
            first, finished = last["epoch"] + 1, last["finished"]
            journal.forget_epochs(name, first)
            journal.say(f"stage {name}: going on after epoch {first} of {count}")
        else:
            journal.forget_epochs(name, 0)  # rows of an epoch whose checkpoint was never written
            hooks.tell("mdx_stage_started", stage=name, epochs=count)
        started = time.monotonic()
        told = progress.current()
        if told is not None and first < count and not finished:
            told.stage(name, count, first + 1, self.means.loss)
        for index in range(first, count):
            if finished:
                break
            self.random.reseed(name, index)
            self._loaders["inside"] = 0
            epoch = self.epoch = Epoch(name, index)
            if told is not None:
                told.epoch(index + 1, count)
            try:
                yield epoch
            except GeneratorExit:
                self._left = name
                raise
            finished = self._end(epoch, watch)
        self.epoch = None
        progress.phase("")
        if watch.best_epoch is not None:
            saved.restore_weights("best")
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
        self.save(name, {"stage": name, "epoch": count - 1, "finished": True, "monitor": dataclasses.asdict(watch)})
        if key is not None:
            try:
                saved.share(name, key, networks)
            except MdxError as error:  # a full or read-only cache: the stage itself is kept in the run
                journal.say(f"stage {name}: not shared with other runs ({error.what})")
            saved.release()
        hooks.tell("mdx_stage_finished", stage=name)
        self._after(name)

    def _wait_for(self, name: str, key: str) -> None:
        """Reserve a shared stage; where another process is training it, wait until it is done, stopped or killed."""
        waiting = False
        while not self.saved.reserve(name, key):
            if not waiting:
                self.run.journal.say(f"stage {name}: another run is training it, waiting")
                progress.phase(f"waiting for {name}")
            waiting = True
            self.run._alive()
            time.sleep(0.3)

    def _end(self, epoch: Epoch, watch: Monitor) -> bool:
        """Save an epoch; whether it was the stage's last."""
        run = self.run
        run._gradients.raise_if_diverged()
        processes.broadcast(run.model.buffers(), run.world)
        epoch.metrics = {**self.means.take(), **epoch.metrics}
        if watch.name in epoch.metrics:
            watched = epoch.metrics[watch.name]
            epoch.metrics[watch.name] = processes.of_the_first(watched, run.world, run.device)
        better = watch.update(epoch)
        finished = epoch.stopped or watch.exhausted
        record = {
            "stage": epoch.stage, "epoch": epoch.index, "finished": finished, "monitor": dataclasses.asdict(watch),
        }  # fmt: skip
        if better:
            self.save("best", record)
        run.journal.metrics({"stage": epoch.stage, "epoch": epoch.index, "step": run.steps, **epoch.metrics})
        self.save("last", record)
        run.hooks.tell("mdx_metrics", stage=epoch.stage, epoch=epoch.index, metrics=epoch.metrics)
        return finished

    def save(self, name: str, record: Mapping[str, Any]) -> None:
        """Write a checkpoint, and tell of it."""
        path = self.saved.save(name, record)
        self.run.hooks.tell("mdx_checkpoint_saved", path=path)

    def _after(self, name: str) -> None:
        self.random.reseed(name, "after")
        self.name = None


def _content(part: Any) -> str:
    """What a part of a shared stage's key stands for."""
    if isinstance(part, Dataset):
        return part.fingerprint()
    return digest_of_tensors(part.state_dict()) if isinstance(part, nn.Module) else repr(part)

"""``Run``: the only door from a method to the world."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mdx import stopping
from mdx.config import OptimizerSettings, RunSettings
from mdx.data.sampling import Column, Sampler
from mdx.errors import DataError, DivergedError, MdxError, PluginError, StoppedError
from mdx.interfaces.adapter import Adapter
from mdx.interfaces.dataset import Dataset
from mdx.interfaces.model import Model
from mdx.plugins.manager import HookCaller
from mdx.runs import processes
from mdx.runs.checkpoint import load_tree, save_tree
from mdx.runs.checkpoints import Checkpoints, digest_of_tensors
from mdx.runs.directory import final_checkpoint
from mdx.runs.journal import Journal
from mdx.runs.loader import Loader
from mdx.runs.optimizers import make_optimizer
from mdx.runs.seeding import RandomState, derive
from mdx.runs.stages import Epoch, Means, Monitor, named_values, scalars
from mdx.runs.transfer import take_weights

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")
CHECK_EVERY = 25  # steps between looks at whether a loss on an accelerator was finite: each look waits for the device


class Run:
    """Training state of one method in one directory: optimisers, epochs, checkpoints, random numbers, records.

    Args:
        directory: where everything is written; exists.
        adapter: the method; its ``state()`` is part of every checkpoint.
        model: the networks; moved to the device of ``fabric``.
        seed: fixes every random number of the run.
        fabric: device, precision and process group; one process on the CPU if not given.
        settings: how the run is carried out.
        optimizer: the user's replacement of optimiser settings.
        hooks: observers and providers of optimisers.
        identity: names code and preprocessing; part of the key of shared stages. Empty: stages are not shared.
        evaluate: scores a dataset for ``run.evaluate``; returns one row a case.
    """

    def __init__(
        self,
        directory: Path,
        adapter: Adapter[Any],
        model: Model,
        *,
        seed: int = 0,
        fabric: Fabric | None = None,
        settings: RunSettings | None = None,
        optimizer: OptimizerSettings | None = None,
        hooks: HookCaller | None = None,
        identity: str = "",
        evaluate: Callable[[Dataset], list[dict[str, Any]]] | None = None,
    ) -> None:
        self.directory, self.adapter, self.model, self.seed = directory, adapter, model, seed
        self.settings = settings or RunSettings.model_validate({})
        self.optimizer_settings = optimizer or OptimizerSettings.model_validate({})
        self.fabric = fabric
        self.device: torch.device = fabric.device if fabric else torch.device("cpu")
        self.rank, self.world = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
        self.journal = Journal(directory, writes=self.rank == 0)
        self.hooks = hooks or HookCaller(self.journal.say)
        self.identity = identity
        self.stop_requested = False
        self.timings: dict[str, float] = {}  # seconds by stage
        self._evaluate = evaluate
        self._random = RandomState(seed, self.rank)
        self._random.reseed("start")
        self._checkpoints = Checkpoints(directory, adapter, model, self.device, self.rank, self.world)
        self._pending: set[int] = set()
        self._means = Means()
        self._stages: list[str] = []
        self._stage: str | None = None
        self._left: str | None = None
        self._epoch: Epoch | None = None
        self._bad: Tensor | None = None
        self._loaders = {"outside": 0, "inside": 0}
        self._agreed: dict[int, Tensor] = {}
        self._take_in()

    @property
    def notes(self) -> list[str]:
        """What the reader of the report should know; part of every checkpoint, so that no stop loses it."""
        return self._checkpoints.counters["notes"]

    @property
    def steps(self) -> int:
        """Optimiser steps so far, all stages and optimisers together."""
        return self._checkpoints.counters["steps"]

    def _take_in(self) -> None:
        """Bring networks that have come in since the last look to the device, and all processes to one start.

        Each process draws its own random numbers, so that a network made in ``fit`` starts differently in each.
        """
        new = [p for p in self.model.parameters() if id(p) not in self._agreed]
        if new or not self._agreed:
            self.model.to(self.device)
            processes.broadcast([*new, *self.model.buffers()], self.world)
            self._agreed |= {id(p): p for p in new}  # kept, so that no other tensor is given its id

    # --- optimisers -----------------------------------------------------------------------------------------------

    def optimizer(
        self,
        name: str,
        params: Iterable[Any],
        algorithm: str = "adam",
        *,
        scratch: bool = False,
        **defaults: Any,
    ) -> Optimizer:
        """An optimiser over parameters or parameter groups, checkpointed under ``name``.

        ``algorithm`` and ``defaults`` are the method's own; ``--set optimizer.name=`` and ``optimizer.lr=`` replace
        them.
        With ``scratch=True`` (inner loops) it is not checkpointed.
        """
        self._take_in()
        made = make_optimizer(params, algorithm, defaults, self.optimizer_settings, self._optimizer_from_plugins)
        if not scratch:
            self._checkpoints.registry.add("optimizers", name, made)
        return made

    def scheduler(self, name: str, optimizer: Optimizer, factory: Callable[..., Any], **options: Any) -> Any:
        """``factory(optimizer, **options)``, checkpointed under ``name``; the method calls its ``step()``."""
        made = factory(optimizer, **options)
        if self._checkpoints.registry.add("schedulers", name, made):
            for key, known in self._checkpoints.registry.things["optimizers"].items():
                if known is optimizer:  # making a scheduler sets learning rates anew; the saved ones are the truth
                    self._checkpoints.registry.load("optimizers", key)
        return made

    def register(self, **stateful: Any) -> None:
        """Checkpoint objects that have ``state_dict()`` and ``load_state_dict()``."""
        for name, thing in stateful.items():
            self._checkpoints.registry.add("registered", name, thing)

    def _optimizer_from_plugins(self, name: str, params: Any, options: dict[str, Any]) -> Optimizer | None:
        return self.hooks.call("mdx_make_optimizer", name=name, params=params, options=options)

    # --- steps ----------------------------------------------------------------------------------------------------

    def step(
        self,
        optimizer: Optimizer,
        loss: Tensor | None = None,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        log: Any = None,
        retain_graph: bool = False,
    ) -> None:
        """One optimiser step on ``loss``: fresh gradients of this optimiser's own parameters, clipped, applied.

        No other network receives a gradient, so a confusion loss never moves the domain head it passes through.
        Gradients gathered with ``run.backward`` since the last step are added; without ``loss`` they alone are used.
        Raises DivergedError if the loss is not finite.
        """
        self._alive()
        params = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        if id(optimizer) not in self._pending:
            optimizer.zero_grad(set_to_none=True)
        self._pending.discard(id(optimizer))
        if loss is not None:
            self._check_finite(loss)
            torch.autograd.backward(loss, inputs=params, retain_graph=retain_graph)
        processes.average_gradients(params, self.world)
        if clip_value is not None:
            nn.utils.clip_grad_value_(params, clip_value)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(params, clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self._checkpoints.counters["steps"] += 1
        if log is not None:
            self.log(**{f"train/{k}": v for k, v in named_values(log).items()})

    def backward(self, loss: Tensor, *optimizers: Optimizer, retain_graph: bool = False) -> None:
        """Accumulate gradients for the given optimisers (all, if none is given) until each is stepped."""
        self._alive()
        self._check_finite(loss)
        chosen = optimizers or tuple(self._checkpoints.registry.things["optimizers"].values())
        for optimizer in chosen:
            if id(optimizer) not in self._pending:
                optimizer.zero_grad(set_to_none=True)
                self._pending.add(id(optimizer))
        params = {id(p): p for o in chosen for g in o.param_groups for p in g["params"] if p.requires_grad}
        torch.autograd.backward(loss, inputs=list(params.values()), retain_graph=retain_graph)

    def _check_finite(self, loss: Tensor) -> None:
        bad = ~torch.isfinite(loss.detach()).all()
        self._bad = bad if self._bad is None else self._bad | bad
        if self.device.type == "cpu" or self.steps % CHECK_EVERY == 0:
            self._raise_if_diverged()

    def _raise_if_diverged(self) -> None:
        if self._bad is not None and bool(self._bad):
            raise DivergedError(
                f"the loss is not finite in stage '{self._stage}', epoch {self._epoch.index if self._epoch else 0}",
                "lower the learning rate (the method's, or --set optimizer.lr=...), clip gradients, or look for odd "
                "scans with 'mdx data check'; the last good epoch is kept",
            )

    # --- epochs ---------------------------------------------------------------------------------------------------

    def epochs(
        self,
        stage: str,
        count: int,
        *,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
        patience: int | None = None,
        shared: tuple[Any, ...] | None = None,
        trains: Sequence[nn.Module] = (),
    ) -> Iterator[Epoch]:
        """The epochs of a stage that are still to be done, each saved when its body ends.

        On a resumed run finished epochs are skipped and a finished stage is restored to its own end. With ``monitor``
        the weights of the best epoch are in place when the stage ends; ``patience`` epochs without a better one end it.
        ``shared`` (datasets, plain values, and networks that are only read: what determines the stage) lets equal
        stages of several runs be trained once: the weights of the networks that the stage ``trains`` (all, if none is
        named) and its optimisers are then taken from the cache, the method's own ``state()`` is not. Stages that start
        from other weights are not equal.

        Leave a stage with ``epoch.stop()``: after a ``break`` the next use of the run raises PluginError.
        """
        self._alive()
        if not stage.replace("_", "").replace("-", "").isalnum() or stage in ("last", "best", "final"):
            raise PluginError(
                f"a stage cannot be named '{stage}'", "use letters, digits and _; not last, best or final"
            )
        if stage in self._stages:
            raise PluginError(f"the stage '{stage}' is run twice", "give each stage a name of its own")
        self._stages.append(stage)
        self._take_in()
        watch = Monitor(monitor, mode, patience)
        networks = [name for name, module in self.model.items() if not trains or any(module is t for t in trains)]
        key = None
        if shared is not None and self.identity:
            parts = [_content(part) for part in shared]
            what = [repr((name, self.model[name])) for name in networks]
            code = (repr(watch), self.identity, self.device.type, self._checkpoints.digest(networks))
            key = f"{derive(self.seed, stage, count, *code, *what, *parts):016x}"
        return self._run_stage(stage, count, watch, key, networks)

    def _run_stage(
        self, stage: str, count: int, watch: Monitor, key: str | None, networks: Sequence[str]
    ) -> Iterator[Epoch]:
        self._stage = stage
        saved = self._checkpoints
        if not saved.path(stage).exists() and key is not None:
            self._wait_for(stage, key)
            if saved.fetch(stage, key):
                self.journal.say(f"stage {stage}: taken from the cache, an equal run has trained it")
        end = saved.load(stage)
        if end is not None:
            saved.release()
            saved.restore(end)
            self.timings.setdefault(stage, 0.0)  # of this process; what trained it has written its own
            self._after(stage)
            return
        first, finished = 0, False
        last = saved.load("last")
        if last is not None and last["stage"] == stage:
            saved.restore(last)
            watch = Monitor(**last["monitor"])
            first, finished = last["epoch"] + 1, last["finished"]
            self.journal.forget_epochs(stage, first)
            self.journal.say(f"stage {stage}: going on after epoch {first} of {count}")
        else:
            self.journal.forget_epochs(stage, 0)  # rows of an epoch whose checkpoint was never written
            self.hooks.tell("mdx_stage_started", stage=stage, epochs=count)
        started = time.monotonic()
        for index in range(first, count):
            if finished:
                break
            self._random.reseed(stage, index)
            self._loaders["inside"] = 0
            epoch = self._epoch = Epoch(stage, index)
            self.journal.progress(f"{stage}: epoch", index - first, count - first, started, first=index == first)
            try:
                yield epoch
            except GeneratorExit:
                self._left = stage
                raise
            finished = self._end_epoch(epoch, watch)
        self._epoch = None
        self.journal.close_line()
        if watch.best_epoch is not None:
            saved.restore_weights("best")
        self.timings[stage] = self.timings.get(stage, 0.0) + time.monotonic() - started
        self._save(stage, {"stage": stage, "epoch": count - 1, "finished": True, "monitor": dataclasses.asdict(watch)})
        if key is not None:
            try:
                saved.share(stage, key, networks)
            except MdxError as error:  # a full or read-only cache: the stage itself is kept in the run
                self.journal.say(f"stage {stage}: not shared with other runs ({error.what})")
            saved.release()
        self.hooks.tell("mdx_stage_finished", stage=stage)
        self._after(stage)

    def _wait_for(self, stage: str, key: str) -> None:
        """Reserve a shared stage; where another process is training it, wait until it is done, stopped or killed."""
        waiting = False
        while not self._checkpoints.reserve(stage, key):
            if not waiting:
                self.journal.say(f"stage {stage}: another run is training it, waiting")
            waiting = True
            self._alive()
            time.sleep(0.3)

    def _end_epoch(self, epoch: Epoch, watch: Monitor) -> bool:
        self._raise_if_diverged()
        processes.broadcast(self.model.buffers(), self.world)
        epoch.metrics = {**self._means.take(), **epoch.metrics}
        if watch.name in epoch.metrics:
            watched = epoch.metrics[watch.name]
            epoch.metrics[watch.name] = processes.of_the_first(watched, self.world, self.device)
        better = watch.update(epoch)
        finished = epoch.stopped or watch.exhausted
        record = {
            "stage": epoch.stage, "epoch": epoch.index, "finished": finished, "monitor": dataclasses.asdict(watch),
        }  # fmt: skip
        if better:
            self._save("best", record)
        self.journal.metrics({"stage": epoch.stage, "epoch": epoch.index, "step": self.steps, **epoch.metrics})
        self._save("last", record)
        self.hooks.tell("mdx_metrics", stage=epoch.stage, epoch=epoch.index, metrics=epoch.metrics)
        return finished

    def _after(self, stage: str) -> None:
        self._random.reseed(stage, "after")
        self._stage = None

    def _alive(self) -> None:
        if self._left is not None:
            raise PluginError(
                f"the stage '{self._left}' was left by break, so its end was never saved",
                "end a stage early with epoch.stop()",
            )
        stopping.check()
        if self.stop_requested:
            raise StoppedError("the run was asked to stop", f"go on with: mdx resume {self.directory}")

    def finish(self) -> None:
        """Called by core after ``fit``: write the checkpoint that ``apply`` uses."""
        self._alive()
        self._take_in()
        self._save("final", {"stage": "final", "epoch": 0, "finished": True, "monitor": None})

    def close(self) -> None:
        """Called by core after ``fit``, however it ended: let go of what other runs may be waiting for."""
        self._checkpoints.release()

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def _save(self, name: str, record: Mapping[str, Any]) -> None:
        path = self._checkpoints.save(name, record)
        self.hooks.tell("mdx_checkpoint_saved", path=path)

    def start_from(self, run: str | Path, parts: Iterable[str] | None = None, optimizer: bool = False) -> None:
        """Take weights (and optimiser state) of another run's networks, and say what matched.

        Args:
            run: directory of a run.
            parts: names of networks; all that both have, if not given.
            optimizer: also take what optimisers of the same name remember of parameters of the same name and shape,
                such as Adam's moments; learning rates and other options stay the method's own.

        Raises DataError if nothing matches.
        """
        tree = load_tree(final_checkpoint(Path(run)))
        self.journal.say(f"from {Path(run).name}: {take_weights(self.model, tree['model'], parts)}")
        if optimizer:
            self._checkpoints.registry.take_moments(tree["optimizers"])

    # --- data -----------------------------------------------------------------------------------------------------

    def loader(
        self,
        data: Dataset,
        batch_size: int,
        *,
        view: Any = None,
        sampler: Sampler | None = None,
        steps: int | None = None,
        endless: bool = False,
        shuffle: bool = True,
        also: Mapping[str, Column] | None = None,
    ) -> Loader:
        """Batches of ``data`` on the run's device; every pass draws anew, and the same in a replayed epoch.

        ``view`` cuts slices or patches (``mdx.data.sampling``), ``sampler(data, rng)`` yields indices of cases or pairs
        (case, piece), ``steps`` limits a pass, ``endless`` repeats it, ``also={"domain": domains.index}`` names columns
        or functions of the case that are in the batch as ``batch["domain"]``. Raises DataError if ``data`` has no case.
        """
        if not len(data):
            raise DataError("there is no case to load", "check the splits and roles with 'mdx data check'")
        place = "outside" if self._epoch is None else "inside"
        self._loaders[place] += 1
        options = {
            "batch_size": batch_size, "view": view, "sampler": sampler, "steps": steps, "endless": endless,
            "shuffle": shuffle, "also": also, "workers": self.settings.workers, "rank": self.rank, "world": self.world,
            "pin": self.device.type == "cuda",
        }  # fmt: skip
        name = f"{place}{self._loaders[place]}"
        return Loader(data, self.device, lambda: derive(self.seed, *self._random.moment, "loader", name), options)

    def rng(self, name: str) -> np.random.Generator:
        """The numpy generator ``name``, reseeded from (seed, stage, epoch) at each epoch's start."""
        return self._random.generator(name)

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision, where the run asks for it; it may span a whole ``fit``.

        Torch would keep the rounded weights of the first forward until the context ends, so the cache is off.
        """
        if self.settings.precision == "32-true":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False)

    # --- records --------------------------------------------------------------------------------------------------

    def log(self, **metrics: Any) -> None:
        """Add values to this epoch's means; outside an epoch write them at once."""
        values = named_values(metrics)
        if self._epoch is None:
            self.journal.metrics({"stage": self._stage, "step": self.steps, **scalars(values)})
            return
        self._means.add(values)
        if self.steps % CHECK_EVERY == 0:
            self.hooks.tell("mdx_step", stage=self._stage or "", step=self.steps, losses=scalars(values))

    def track(self, name: str, value: Any) -> list[Any]:
        """Append to a checkpointed series of plain values, and return it: histories that a method looks back on."""
        series = self._checkpoints.counters["tracked"].setdefault(name, [])
        series.append(value)
        return series

    def tracked(self, name: str) -> list[Any]:
        """The series ``name``; empty if nothing was tracked."""
        return self._checkpoints.counters["tracked"].get(name, [])

    def artifact(self, name: str, tree: Any) -> None:
        """Keep tensors and plain values as ``artifacts/<name>.safetensors``."""
        folder = self.directory / "artifacts"
        if self.rank == 0:
            folder.mkdir(exist_ok=True)
            save_tree(folder / f"{name}.safetensors", tree)

    def note(self, sentence: str) -> None:
        """A fact the reader of the report should know."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            self.journal.say(f"note: {sentence}")

    def progress(self, items: Iterable[T], label: str) -> Iterator[T]:
        """Pass ``items`` on and show how far they are."""
        total = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
        started = time.monotonic()
        for done, item in enumerate(items):
            self.journal.progress(label, done, total, started, first=done == 0)
            yield item
        self.journal.close_line()

    def evaluate(self, data: Dataset, stage: str, task: str) -> None:
        """Score the model as it is now on the cases of ``data``, of whatever cohort; rows tagged with stage and task.

        What an interrupted process wrote of this stage and task is replaced. The scores go to ``evaluations.jsonl`` (a
        continual method's R matrix), not back to the method.
        """
        self._alive()
        if self._evaluate is None:
            raise MdxError("this run has no evaluators", "use mdx.run or 'mdx run'")
        tags = {"stage": stage, "task": task}
        rows = [{**tags, **row} for row in self._evaluate(data)]
        self.journal.replace_rows(self.directory / "evaluations.jsonl", tags, rows)


def _content(part: Any) -> str:
    """What a part of a shared stage's key stands for."""
    if isinstance(part, Dataset):
        return part.fingerprint()
    return digest_of_tensors(part.state_dict()) if isinstance(part, nn.Module) else repr(part)

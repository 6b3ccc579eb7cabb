"""``Run``: the only door from a method to the world."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mdx import progress, stopping
from mdx.config import OptimizerSettings, RunSettings
from mdx.data.batches.sampling import Column, Sampler, make_loader
from mdx.errors import DataError, MdxError, PluginError, StoppedError
from mdx.interfaces.adapter import Adapter
from mdx.interfaces.dataset import Batch, Dataset
from mdx.interfaces.model import Model
from mdx.interfaces.weights import Weights
from mdx.plugins.manager import HookCaller
from mdx.runs.checkpoint import save_tree
from mdx.runs.journal import Journal
from mdx.runs.shown import Shown
from mdx.training import processes
from mdx.training.gradients import CHECK_EVERY, Gradients
from mdx.training.loader import Loader
from mdx.training.optimizers import make_optimizer, take_moments
from mdx.training.outputs import Outputs, evaluating, gather
from mdx.training.resuming import Checkpoints
from mdx.training.seeding import RandomState, derive
from mdx.training.stages import Epoch, Monitor, Stages, named_values, scalars
from mdx.training.weights import Brought, bring

if TYPE_CHECKING:
    from mdx.training.device import Place

T = TypeVar("T")


class Run:
    """Training state of one method in one directory: optimisers, epochs, checkpoints, random numbers, records.

    Args:
        directory: where everything is written; exists.
        adapter: the method; its ``state()`` is part of every checkpoint.
        model: the networks; moved to the device of ``place``.
        seed: fixes every random number of the run.
        place: device and process group; one process on the CPU if not given.
        settings, optimizer: how the run is carried out, and the user's replacement of optimiser settings.
        hooks: observers and providers of optimisers.
        identity: names code and preprocessing; part of the key of shared stages. Empty: stages are not shared.
        evaluate: scores a dataset for ``run.evaluate``; returns one row a case.
    """

    def __init__(
        self, directory: Path, adapter: Adapter[Any], model: Model, *, seed: int = 0, place: Place | None = None,
        settings: RunSettings | None = None, optimizer: OptimizerSettings | None = None,
        hooks: HookCaller | None = None, identity: str = "",
        evaluate: Callable[[Dataset], list[dict[str, Any]]] | None = None,
    ) -> None:  # fmt: skip
        self.directory, self.adapter, self.model, self.seed = directory, adapter, model, seed
        self.settings = settings or RunSettings.model_validate({})
        self.optimizer_settings = optimizer or OptimizerSettings.model_validate({})
        self.device: torch.device = place.device if place else torch.device("cpu")
        self.rank, self.world = (place.rank, place.world) if place else (0, 1)
        self.journal = Journal(directory, writes=self.rank == 0)
        self.hooks = hooks or HookCaller(self.journal.say)
        self.identity = identity
        self.stop_requested = False
        self._evaluate = evaluate
        self._shown = Shown(directory, self.rank == 0)
        self._random = RandomState(seed, self.rank)
        self._random.reseed("start")
        self._checkpoints = Checkpoints(directory, adapter, model, self.device, self.rank, self.world)
        self._stages = Stages(self, self._checkpoints, self._random)
        self._gradients = Gradients(self._checkpoints, lambda: self._stages.where)
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

    @property
    def timings(self) -> dict[str, float]:
        """Seconds that this process has spent in each stage."""
        return self._stages.seconds

    def _take_in(self) -> None:
        """Bring networks that have come in since the last look to the device, and all processes to one start.

        Each process draws its own random numbers, so that a network made in ``fit`` starts differently in each.
        """
        new = [p for p in self.model.parameters() if id(p) not in self._agreed]
        if new or not self._agreed:
            self.model.to(self.device)
            processes.broadcast([*new, *self.model.buffers()], self.world)
            self._agreed |= {id(p): p for p in new}  # kept, so that no other tensor is given its id

    # --- networks and optimisers ---------------------------------------------------------------------------------

    def add(self, **networks: nn.Module) -> None:
        """Networks that only training needs: ``run.add(head=DomainHead(...))``, then ``model.head``.

        They start equal in all processes and are part of every checkpoint but the last, which ``apply`` uses. Raises
        PluginError if there is one of that name.
        """
        for name, network in networks.items():
            if name in self.model:
                raise PluginError(f"there is a network '{name}' already", "give each network a name of its own")
            self.model[name] = network
        self._checkpoints.only_training |= set(networks)
        self._take_in()

    def weights(self, setting: Weights) -> Brought:
        """What a setting of type ``Weights`` names: ``run.weights(c.encoder).into(model.encoder, rename={...})``.

        What matched, is missing and unexpected becomes a note. Raises ConfigError for weights of another network.
        """
        return bring(setting, self.note)

    def optimizer(
        self, name: str, params: Iterable[Any], algorithm: str = "adam", *, scratch: bool = False,
        moments_from: Optimizer | None = None, **defaults: Any,
    ) -> Optimizer:  # fmt: skip
        """An optimiser over parameters or parameter groups, checkpointed under ``name``.

        ``algorithm`` and ``defaults`` are the method's own; ``--set optimizer.name=`` and ``optimizer.lr=`` replace
        them. What ``moments_from`` remembers of a parameter, such as Adam's moments, is taken along; learning rates
        and other options are not. With ``scratch=True`` (inner loops) the optimiser is not checkpointed.
        """
        self._take_in()
        of_plugins = partial(self.hooks.call, "mdx_make_optimizer")
        made = make_optimizer(params, algorithm, defaults, self.optimizer_settings, of_plugins)
        if moments_from is not None:
            take_moments(made, moments_from)
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

    # --- steps ----------------------------------------------------------------------------------------------------

    def step(
        self, optimizer: Optimizer, loss: Tensor | None = None, *, clip_norm: float | None = None,
        clip_value: float | None = None, log: Any = None, retain_graph: bool = False,
    ) -> None:  # fmt: skip
        """One optimiser step on ``loss``: fresh gradients of this optimiser's own parameters, clipped, applied.

        No other network receives a gradient, so a confusion loss never moves the domain head it passes through.
        Gradients gathered with ``run.backward`` since the last step are added; without ``loss`` they alone are used.
        Raises DivergedError if the loss is not finite.
        """
        self._alive()
        self._gradients.step(optimizer, loss, clip_norm, clip_value, retain_graph)
        if values := self._gradients.remembered() | named_values(log or {}):
            self.log(**{f"train/{name}": value for name, value in values.items()})

    def backward(
        self, loss: Tensor, *optimizers: Optimizer, share: float = 1.0, log: Any = None, retain_graph: bool = False
    ) -> None:
        """Accumulate gradients for the given optimisers (all, if none is given) until each is stepped.

        A mean over a part of a batch counts as the part's ``share``, and so does what is logged, with the next step.
        """
        self._alive()
        self._gradients.backward(loss * share, optimizers, retain_graph)
        self._gradients.remember(named_values(log or {}), share)

    # --- epochs ---------------------------------------------------------------------------------------------------

    def epochs(
        self, stage: str, count: int, *, keep: Literal["best", "last"] | None = None, monitor: str | None = None,
        mode: Literal["min", "max"] = "min", patience: int | None = None, shared: tuple[Any, ...] | None = None,
        trains: Sequence[nn.Module] = (),
    ) -> Iterator[Epoch]:  # fmt: skip
        """The epochs of a stage that are still to be done, each saved when its body ends.

        On a resumed run finished epochs are skipped and a finished stage is restored to its own end. With
        ``keep="best"``, which is meant where ``monitor`` names a logged value, the weights of its best epoch are in
        place when the stage ends, and ``patience`` epochs without a better one end it. With ``keep="last"`` all
        epochs are trained, and neither plays a part: a setting of the method may be given as it is.

        ``shared`` (datasets, plain values, and networks that are only read: what determines the stage) lets equal
        stages of several runs be trained once: the weights of the networks that the stage ``trains`` (all, if none is
        named) and its optimisers are then taken from the cache, the method's own ``state()`` is not. Stages that start
        from other weights are not equal.

        Leave a stage with ``epoch.stop()``: after a ``break`` the next use of the run raises PluginError.
        """
        self._alive()
        self._take_in()
        return self._stages.begin(stage, count, Monitor.of(keep, monitor, mode, patience), shared, trains)

    def _alive(self) -> None:
        self._stages.require_not_left()
        stopping.check()
        if self.stop_requested:
            raise StoppedError("the run was asked to stop", f"go on with: mdx resume {self.directory}")

    def finish(self) -> None:
        """Called by core after ``fit``: write the checkpoint that ``apply`` uses."""
        self._alive()
        self._take_in()
        self._stages.save("final", {"stage": "final", "epoch": 0, "finished": True, "monitor": None})

    def close(self) -> None:
        """Called by core after ``fit``, however it ended: let go of what other runs may be waiting for."""
        self._checkpoints.release()

    # --- data -----------------------------------------------------------------------------------------------------

    def loader(
        self, data: Dataset, batch_size: int, *, view: Any = None, sampler: Sampler | None = None,
        steps: int | None = None, endless: bool = False, shuffle: bool = True,
        also: Mapping[str, Column] | None = None,
    ) -> Loader:  # fmt: skip
        """Batches of ``data`` on the run's device; every pass draws anew, and the same in a replayed epoch.

        ``view`` cuts slices or patches (``mdx.views``), ``sampler(data, rng)`` yields indices of cases or pairs
        (case, piece), ``steps`` limits a pass, ``endless`` repeats it, ``also={"domain": domains.index}`` names columns
        or functions of the case that are in the batch as ``batch["domain"]``. Raises DataError if ``data`` has no case.
        """
        if not len(data):
            raise DataError("there is no case to load", "check the splits and roles with 'mdx data check'")
        options = {
            "batch_size": batch_size, "view": view, "sampler": sampler, "steps": steps, "endless": endless,
            "shuffle": shuffle, "also": also, "workers": self.settings.workers, "rank": self.rank, "world": self.world,
            "pin": self.device.type == "cuda",
        }  # fmt: skip
        name = self._stages.next_loader()
        return Loader(data, self.device, lambda: derive(self.seed, *self._random.moment, "loader", name), options)

    def outputs(
        self, fn: Callable[[Batch], Any], data: Dataset, batch_size: int, *, view: Any = None,
        also: Mapping[str, Column] | None = None,
    ) -> Outputs:  # fmt: skip
        """What ``fn(batch)`` gives for every case of ``data``, in order: networks in eval mode, without gradients.

        ``fn`` returns a tensor with a row for each item, or a tuple or dict of them; with ``view`` an item is a piece
        of a case. Every process gets the values of all cases, and with running statistics of the first one. Random
        numbers of training are not used up, and networks are left in the mode they were in. Raises DataError if
        ``data`` has no case.
        """
        self._alive()
        if not len(data):
            raise DataError("there is no case to load", "check the splits and roles with 'mdx data check'")
        processes.broadcast(self.model.buffers(), self.world)
        how = {"view": view, "also": also, "workers": self.settings.workers}
        batches = make_loader(data, batch_size, shuffle=False, seed=0, **how)
        with evaluating(self.model), self._random.aside("outputs", self.device):
            return gather(fn, (batch.to(self.device) for batch in progress.within(batches, "outputs of batch", None)))

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
        if self._stages.epoch is None:
            self.journal.metrics({"stage": self._stages.name, "step": self.steps, **scalars(values)})
            return
        self._stages.means.add(values)
        if self.steps % CHECK_EVERY == 0:
            self.hooks.tell("mdx_step", stage=self._stages.name or "", step=self.steps, losses=scalars(values))

    def artifact(self, name: str, tree: Any) -> None:
        """Keep tensors and plain values as ``artifacts/<name>.safetensors``."""
        folder = self.directory / "artifacts"
        if self.rank == 0:
            folder.mkdir(exist_ok=True)
            save_tree(folder / f"{name}.safetensors", tree)

    def table(self, title: str, rows: Sequence[Mapping[str, Any]], *, text: str = "") -> None:
        """Rows of plain values by column name, shown in the report; another of the title takes its place."""
        self._shown.table(title, rows, text)

    def curve(
        self, title: str, x: Sequence[float], series: Mapping[str, Sequence[float]], *, x_name: str = "",
        y_name: str = "", chosen: Mapping[str, float] | None = None, text: str = "",
    ) -> None:  # fmt: skip
        """Values over ``x``, a panel a series, shown in the report; ``chosen`` marks a point of a series by its x."""
        self._shown.curve(title, x, series, x_name, y_name, chosen or {}, text)

    def picture(self, title: str, images: Any, *, text: str = "") -> None:
        """Pictures of (H, W) or (H, W, 3), 0 to 255 or as floats 0 to 1, by their captions (or one), in the report.

        They leave the data with the run: of patients show no more than the method needs.
        """
        self._shown.picture(title, images if isinstance(images, Mapping) else {"": images}, text)

    def note(self, sentence: str) -> None:
        """A fact the reader of the report should know."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            self.journal.say(f"note: {sentence}")

    def progress(self, items: Iterable[T], label: str) -> Iterator[T]:
        """Pass ``items`` on and show how far they are."""
        return progress.each(items, label)

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

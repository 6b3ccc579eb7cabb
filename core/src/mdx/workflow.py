"""The way of a run: plan, open and check data, claim the directory, build, fit, apply, score, report, done."""

from __future__ import annotations

import dataclasses
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mdx.data.checks import check
from mdx.data.open import open_dataset
from mdx.errors import DataError, RefusedError
from mdx.files import write_atomically, write_json
from mdx.interfaces.dataset import Dataset
from mdx.planning import Plan, make_plan, recorded_plan
from mdx.plugins.activation import adapter_types
from mdx.plugins.manager import HookCaller, installed_hooks
from mdx.records import record
from mdx.report.run import write_report
from mdx.runs import directory as folders
from mdx.runs.device import make_fabric
from mdx.runs.journal import Journal
from mdx.runs.loading import LoadedRun, load_run
from mdx.runs.own_network import OwnNetwork, kept, read_own_network
from mdx.runs.provenance import digest_of, versions
from mdx.runs.run import Run
from mdx.runs.scoring import evaluators_for, score_cases
from mdx.scores import score

NOT_IN_IDENTITY = {"threads", "workers", "predictions", "bootstrap"}
ROLES = {"source", "target", "reference"}
SIMULATED = "The data are simulated: no number of this run is evidence of performance at a real site."


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run: its directory, and whether it had been there before."""

    directory: Path
    found: bool = False

    @property
    def report(self) -> Path:
        """The page."""
        return self.directory / "report.html"


def run(
    plugin: str, data: str | None = None, *, out: str | Path = "runs", again: bool = False, **request: Any
) -> Result:
    """Run a plugin from Python: ``mdx.run("fda", data="csv:cohort.csv", settings={"source": "A", "target": "B"})``.

    Args:
        plugin: name of an installed plugin.
        data: URI of the data; the preset's own if not given.
        out: folder of runs.
        again: make a new run although an equal one exists.
        request: ``variant, preset, seed, device, precision, baselines, config, init_from``, and ``settings``, a dict
            of what ``--set`` takes.
    """
    settings = request.pop("settings", {})
    plan = make_plan(plugin, data=[data] if data else [], assignments=settings, **request)
    return execute(plan, Path(out), again=again)


def execute(plan: Plan, out: Path, *, again: bool = False, command: Sequence[str] | None = None) -> Result:
    """Carry out a plan: the method, its baselines and the report. Continues an unfinished run, finds a finished one."""
    data = open_data(plan)
    own = own_network(plan, data)
    directory = folders.claim(out, plan.plugin.name, identity(plan, data), again)
    return _carry_out(plan, data, directory, command or sys.argv, own)


def resume(path: str | Path) -> Result:
    """Go on with an unfinished run. Raises RefusedError if its data, settings or code have changed since."""
    directory = folders.find_run(path)
    if folders.is_done(directory):
        return Result(directory, found=True)
    facts = folders.read_json(directory / "provenance.json")
    plan = recorded_plan(facts)
    data = open_data(plan)
    if identity(plan, data) != facts["identity"]:
        changed = [k for k, now in (("versions", versions()), ("source", plan.source)) if facts[k] != now]
        raise RefusedError(
            f"what the run was made with has changed since ({', '.join(changed) or 'data or settings'})",
            "start it anew with 'mdx run', or bring the old state back",
            directory,
        )
    own = (kept(directory) or own_network(plan, data)) if plan.init_from else None
    return _carry_out(plan, data, directory, sys.argv, own)


def _carry_out(
    plan: Plan, data: Dataset, directory: Path, command: Sequence[str], own: OwnNetwork | None = None
) -> Result:
    if folders.is_done(directory):
        return Result(directory, found=True)
    with folders.owned(directory):
        try:
            record(plan, data, directory, identity(plan, data), command)
            if own is not None:
                own.keep(directory)
            with _signals() as stopping:
                _run_method(plan, data, directory, stopping)
                for name in plan.baselines:
                    baseline, beside = plan.for_variant(name), directory / "baselines" / name
                    record(baseline, data, beside, identity(baseline, data), command)
                    if own is not None:
                        own.keep(beside)
                    _run_method(baseline, data, beside, stopping)
            write_report(directory)
            write_atomically(directory / "done", folders.now() + "\n")
            folders.set_status(directory, "done")
        except BaseException as error:
            folders.record_failure(directory, error)
            raise
    return Result(directory)


def open_data(plan: Plan) -> Dataset:
    """The plan's data, opened and checked. Raises DataError with everything that is wrong with them."""
    data = open_dataset(plan.data, plan.settings.data)
    # the sites of another table need not be those that are named as source and target here
    elsewhere = plan.settings.data.model_copy(update={"source": (), "target": (), "reference": None})
    data.cohorts.update({name: open_dataset(uri, elsewhere) for name, uri in plan.cohorts.items()})
    capabilities = plan.manifest.capabilities
    if capabilities and capabilities.task != data.task.kind:
        raise DataError(
            f"{plan.plugin.name} is for {capabilities.task}, the table is for {data.task.kind}",
            "give the column of the labels with --set data.label=... (texts, or at most ten whole numbers written "
            f"without a point, are classes; other numbers are values), or choose a plugin for {data.task.kind}",
        )
    for name, part in {"": data, **data.cohorts}.items():
        report = check(part, elsewhere if name else plan.settings.data)
        try:
            report.raise_if_bad()
        except DataError as error:
            if not name:
                raise
            raise DataError(f"the cohort '{name}': {error.what}", error.remedy, error.where) from error
        for problem in report.warnings:
            sys.stderr.write(f"warning: {f'cohort {name}: ' if name else ''}{problem}\n")
    return data


def own_network(plan: Plan, data: Dataset) -> OwnNetwork | None:
    """The network that the plan starts from, compared with the data (see ``read_own_network``); None without one."""
    if plan.init_from is None:
        return None
    return read_own_network(plan.init_from, plan.init_digest, data, plan.settings.data)


def identity(plan: Plan, data: Dataset) -> str:
    """Eight digits that are equal for equal runs: settings, data of all cohorts, seed, versions and source."""
    values = plan.settings.values()
    values["run"] = {k: v for k, v in values["run"].items() if k not in NOT_IN_IDENTITY}
    return digest_of(
        plan.plugin.name, plan.variant_name, values, data.fingerprint(), plan.seed, list(plan.baselines), versions(),
        plan.source, *([plan.init_digest] if plan.init_digest else []),
        *((name, part.fingerprint()) for name, part in sorted(data.cohorts.items())),
    )  # fmt: skip


def hide(data: Dataset, target_labels: str) -> Dataset:
    """``data`` as ``build`` and ``fit`` may see it: test labels never, target labels as far as the method has declared.

    The same holds for each of its cohorts.
    """
    hidden = data.without_labels(split="test").without_labels(role="unlabelled")
    splits = {"never": ["train", "val"], "val": ["train"], "train": []}[target_labels]
    hidden = hidden.without_labels(role="target", split=splits) if splits else hidden
    hidden.cohorts = {name: hide(part, target_labels) for name, part in data.cohorts.items()}
    return hidden


def _run_method(plan: Plan, data: Dataset, directory: Path, stopping: list[Run]) -> None:
    """Fit one variant, predict the test cases with what was saved, and score them."""
    if (directory / "summary.json").exists():
        return
    journal = Journal(directory)
    journal.say(f"== {plan.plugin.name} / {plan.variant_name}")
    hooks = installed_hooks(journal.say)
    hooks.tell("mdx_run_started", directory=directory, config=plan.settings.values())
    try:
        settings = plan.settings
        fabric = make_fabric(settings.run)
        evaluators = evaluators_for(data.task, settings.run, hooks.call("mdx_evaluators", task=data.task))
        started = time.monotonic()
        notes = list(plan.notes) + ([SIMULATED] if plan.data.startswith("sim:") else [])
        if not (directory / "checkpoints" / "final.safetensors").exists():
            notes += _fit(plan, data, directory, fabric, evaluators, hooks, stopping, started)
            write_json(directory / "notes.json", notes)
        if fabric.global_rank == 0:
            loaded = load_run(directory, fabric.device)
            score(loaded, data.where(split="test"), directory, hooks, data.where(split=["train", "val"]))
            folders.set_status(directory, "done")
            hooks.tell("mdx_run_finished", directory=directory, summary=folders.read_json(directory / "summary.json"))
    except BaseException as error:
        hooks.tell("mdx_run_failed", directory=directory, error=error)
        raise


def _fit(
    plan: Plan, data: Dataset, directory: Path, fabric: Any, evaluators: Any, hooks: HookCaller, stopping: list[Run],
    started: float,
) -> list[str]:  # fmt: skip
    """Train, and write the checkpoint that ``apply`` uses; returns the notes of the method."""
    import torch

    settings = plan.settings
    adapter_type, _ = adapter_types(plan.plugin, plan.variant)
    adapter = adapter_type(settings.method)
    adapter.own_network = kept(directory)
    torch.manual_seed(plan.seed)  # initial weights
    visible = hide(data, plan.target_labels)
    model = adapter.build(visible)

    def evaluate(part: Dataset) -> list[dict[str, Any]]:
        live = LoadedRun(directory, plan.plugin, settings, part.task, adapter, model)
        return score_cases(part.revealed(), evaluators, live.predict)[0]

    # a shared stage's own key holds the cases that it trains on, so that pairs of sites share their source's
    preprocessing = {k: v for k, v in settings.values()["data"].items() if k not in ROLES}
    run = Run(
        directory, adapter, model, seed=plan.seed, fabric=fabric, settings=settings.run, optimizer=settings.optimizer,
        hooks=hooks, identity=digest_of(plan.source, versions(), preprocessing, settings.values()["optimizer"],
                                        settings.run.precision),
        evaluate=evaluate,
    )  # fmt: skip
    stopping[:] = [run]
    folders.set_status(directory, "running")
    try:
        with run.autocast():
            adapter.fit(visible, model, run)
        run.finish()
    finally:
        run.close()
    stopping.clear()
    timings = {"fit": time.monotonic() - started, "stages": run.timings}
    write_json(directory / "timings.json", timings)
    return run.notes


@contextmanager
def _signals() -> Iterator[list[Run]]:
    """SIGTERM and SIGUSR1 (a queue's time limit) stop the run at its next step; it can be resumed."""
    runs: list[Run] = []

    def stop(*_: object) -> None:
        for each in runs:
            each.stop_requested = True
        if not runs:
            raise KeyboardInterrupt

    before: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGUSR1"):
        number = getattr(signal, name, None)
        if number is not None:
            try:
                before[number] = signal.signal(number, stop)
            except ValueError:
                break  # not the main thread, where Python allows no handlers
    try:
        yield runs
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

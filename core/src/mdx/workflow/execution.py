"""The way of a run: plan, open and check data, claim the directory, build, fit, apply, score, report, done."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdx import stopping
from mdx.data.budgets import said as said_of_budget
from mdx.data.checks import check, require_groups
from mdx.data.open import open_dataset
from mdx.errors import DataError, RefusedError
from mdx.evaluation.cases import evaluators_for, score_cases
from mdx.files import write_atomically, write_json
from mdx.interfaces.adapter import networks_of
from mdx.interfaces.dataset import Dataset
from mdx.interfaces.own_network import OwnNetwork
from mdx.plugins.activation import adapter_types, own_network_type
from mdx.plugins.manager import HookCaller, installed_hooks
from mdx.report.run import write_report
from mdx.runs import folders
from mdx.runs.checkpoint import load_tree
from mdx.runs.journal import Journal
from mdx.runs.loading import LoadedRun, load_run
from mdx.runs.provenance import digest_of, versions
from mdx.training import processes
from mdx.training.device import Place, take_place, take_threads, threads_of
from mdx.training.run import Run
from mdx.workflow.identity import changes, identity, unfinished_like
from mdx.workflow.planning import Plan, make_plan, recorded_plan
from mdx.workflow.records import record, recorded_command
from mdx.workflow.scores import score

NOT_PREPROCESSING = {"source", "target", "reference", "labelled", "labelled_role", "labelled_seed", "groups"}
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
    stopping.working_on(None)
    data = open_data(plan)
    require(plan, data)
    own = own_network(plan, data)
    name = identity(plan, data)
    directory = folders.claim(out, plan.plugin.name, name, again)
    if not folders.is_run(directory) and not again:
        for beside in unfinished_like(plan, out):
            sys.stderr.write(
                f"note: the unfinished run {beside} has the same settings and other data; this is a new run "
                f"('mdx resume {beside}' says what differs)\n"
            )
    return _carry_out(plan, data, directory, command or sys.argv, own)


def resume(path: str | Path) -> Result:
    """Go on with an unfinished run; equal data with other names of folders or times of files are equal.

    Raises RefusedError that names what has changed since, DataError that says how to go on where the data have moved.
    """
    directory = folders.find_run(path)
    if folders.is_done(directory):
        return Result(directory, found=True)
    stopping.working_on(directory)
    facts = folders.read_json(directory / "provenance.json")
    plan = recorded_plan(facts)
    if isinstance(facts.get("threads"), int):
        take_threads(facts["threads"])  # it ends as the uninterrupted run would have
    try:
        data = open_data(plan)
    except DataError as error:
        if "there is no such" not in str(error) and "is no folder" not in str(error):
            raise
        raise DataError(
            error.what,
            f"if the data have moved, give the command of {directory}/command.txt with their new address (--data ...): "
            "equal content goes on with this run",
            error.where,
        ) from error
    if identity(plan, data) != facts["identity"]:
        raise RefusedError(
            f"what the run was made with has changed since: {'; '.join(changes(plan, data, directory)) or 'settings'}",
            "bring the old state back to go on, or start anew with 'mdx run'",
            directory,
        )
    reader = own_network_type(plan.plugin) if plan.init_from else None
    own = (reader.kept(directory) or own_network(plan, data)) if reader else None
    return _carry_out(plan, data, directory, recorded_command(directory) or sys.argv, own)


def _carry_out(
    plan: Plan, data: Dataset, directory: Path, command: Sequence[str], own: OwnNetwork | None = None
) -> Result:
    if folders.is_done(directory):
        return Result(directory, found=True)
    if processes.rank_of_launch() > 0:
        return _follow(plan, data, directory)
    with folders.owned(directory), stopping.listening():
        stopping.working_on(directory)
        try:
            folders.remove_leftovers(directory)
            record(plan, data, directory, identity(plan, data), command)
            if own is not None:
                own.keep(directory)
            _run_method(plan, data, directory)
            for name in plan.baselines:
                baseline, beside = plan.for_variant(name), directory / "baselines" / name
                record(baseline, data, beside, identity(baseline, data), command)
                if own is not None:
                    own.keep(beside)
                _run_method(baseline, data, beside)
            write_report(directory)
            write_atomically(directory / "done", folders.now() + "\n")
            folders.set_status(directory, "done")
        except BaseException as error:
            stopping.acknowledge()
            folders.record_failure(directory, error)
            raise
        finally:
            processes.leave_group()
    return Result(directory)


def _follow(plan: Plan, data: Dataset, directory: Path) -> Result:
    """What the other processes of one run do: they train with the first one, which alone writes and scores."""
    with stopping.listening():
        try:
            for each, folder in [
                (plan, directory),
                *((plan.for_variant(n), directory / "baselines" / n) for n in plan.baselines),
            ]:
                while not (folder / "provenance.json").exists():
                    stopping.check()
                    time.sleep(0.1)
                _run_method(each, data, folder)
        finally:
            processes.leave_group()
    return Result(directory)


def open_data(plan: Plan) -> Dataset:
    """The plan's data, opened and checked. Raises DataError with everything that is wrong with them."""
    capabilities, declared = plan.manifest.capabilities, plan.manifest.cohorts
    tasks = capabilities.tasks if capabilities else ()
    data = open_dataset(plan.data, plan.settings.data, tasks)
    read_as = {name: plan.settings.of_cohort(name) for name in plan.cohorts}
    for name, uri in plan.cohorts.items():
        own = declared[name].task if name in declared else None
        data.cohorts[name] = open_dataset(uri, read_as[name], (own,) if own else tasks)
    if tasks and data.task.kind not in tasks:
        raise DataError(
            f"{plan.plugin.name} is for {' or '.join(tasks)}, the table is for {data.task.kind}",
            "give the column of the labels with --set data.label=... (texts, or at most ten whole numbers written "
            f"without a point, are classes; other numbers are values), or choose a plugin for {data.task.kind}",
        )
    if capabilities and data.task.dims not in capabilities.dims:
        taken = " or ".join(f"{n}-D" for n in capabilities.dims)
        raise DataError(
            f"{plan.plugin.name} is for {taken} images, these are {data.task.dims}-D", "choose another plugin"
        )
    require_groups(data, plan.settings.data)
    for name, part in {"": data, **data.cohorts}.items():
        report = check(part, read_as.get(name, plan.settings.data))
        try:
            report.raise_if_bad()
        except DataError as error:
            if not name:
                raise
            raise DataError(f"the cohort '{name}': {error.what}", error.remedy, error.where) from error
        for problem in report.warnings:
            sys.stderr.write(f"warning: {f'cohort {name}: ' if name else ''}{problem}\n")
    return data


def require(plan: Plan, data: Dataset) -> None:
    """Raise DataError where a method of the plan cannot be trained on the data, or where nothing could be scored."""
    if not len(data.where(split="test").labelled) and data.task.label:
        raise DataError(
            f"there is no test case with a {data.task.label}",
            "raise data.test_fraction, give each site more subjects, or fill the column 'split'", plan.data,
        )  # fmt: skip
    for each in (plan, *map(plan.for_variant, plan.baselines)):
        adapter_type, _ = adapter_types(plan.plugin, each.variant)
        try:
            adapter_type(each.settings.method).require(hide(data, each.target_labels))
        except DataError as error:
            raise DataError(f"{each.variant_name}: {error.what}", error.remedy, error.where) from error


def own_network(plan: Plan, data: Dataset) -> OwnNetwork | None:
    """The network that the plan starts from, compared with the data; None without one."""
    reader = own_network_type(plan.plugin)
    if plan.init_from is None or reader is None:
        return None
    return reader.read(plan.init_from, plan.init_digest, data, plan.settings.data)


def hide(data: Dataset, target_labels: str) -> Dataset:
    """``data`` as ``fit`` may see it: test labels never, target labels as far as the method has declared.

    The same holds for each of its cohorts.
    """
    hidden = data.without_labels(split="test").without_labels(role="unlabelled")
    splits = {"never": ["train", "val"], "val": ["train"], "train": []}[target_labels]
    hidden = hidden.without_labels(role="target", split=splits) if splits else hidden
    hidden.cohorts = {name: hide(part, target_labels) for name, part in data.cohorts.items()}
    return hidden


def _run_method(plan: Plan, data: Dataset, directory: Path) -> None:
    """Fit one variant, predict the test cases with what was saved, and score them."""
    if (directory / "summary.json").exists():
        return
    settings = plan.settings
    place = take_place(settings.run)
    first = place.rank == 0
    journal = Journal(directory, writes=first)
    journal.say(f"== {plan.plugin.name} / {plan.variant_name}")
    hooks = installed_hooks(journal.say)
    hooks.tell("mdx_run_started", directory=directory, config=settings.values())
    try:
        evaluators = evaluators_for(data.task, settings.run, hooks.call("mdx_evaluators", task=data.task))
        if not (directory / "checkpoints" / "final.safetensors").exists():
            _fit(plan, data, directory, place, evaluators, hooks)
        if first:
            _write_notes(plan, data, directory)
            loaded = load_run(directory, place.device)
            score(loaded, data.where(split="test"), directory, hooks, data.where(split=["train", "val"]))
            folders.set_status(directory, "done")
            hooks.tell("mdx_run_finished", directory=directory, summary=folders.read_json(directory / "summary.json"))
    except BaseException as error:
        hooks.tell("mdx_run_failed", directory=directory, error=error)
        raise


def _write_notes(plan: Plan, data: Dataset, directory: Path) -> None:
    """From the final checkpoint, so that whoever ends the run writes what whoever trained it knew."""
    made = load_tree(directory / "checkpoints" / "final.safetensors")["notes"]
    simulated = [SIMULATED] if plan.data.startswith("sim:") else []
    budget = [f"{said}."] if (said := said_of_budget(data, plan.settings.data)) else []
    write_json(directory / "notes.json", [*plan.notes, *simulated, *budget, *made])


def _write_timings(run: Run, seconds: float, directory: Path) -> None:
    """Add the seconds of this process to those that processes before it have written."""
    path = directory / "timings.json"
    before = folders.read_json(path) if path.exists() else {}
    stages = {**before.get("stages", {})}
    for stage, spent in run.timings.items():
        stages[stage] = stages.get(stage, 0.0) + spent
    write_json(path, {**before, "fit": before.get("fit", 0.0) + seconds, "stages": stages})


def _fit(plan: Plan, data: Dataset, directory: Path, place: Place, evaluators: Any, hooks: HookCaller) -> None:
    """Train, and write the checkpoint that ``apply`` uses."""
    import torch

    settings, started = plan.settings, time.monotonic()
    adapter_type, _ = adapter_types(plan.plugin, plan.variant)
    adapter = adapter_type(settings.method)
    reader = own_network_type(plan.plugin)
    adapter.own_network = reader.kept(directory) if reader else None
    torch.manual_seed(plan.seed)  # initial weights
    visible = hide(data, plan.target_labels)
    model = networks_of(adapter, data.task)

    def evaluate(part: Dataset) -> list[dict[str, Any]]:
        live = LoadedRun(directory, plan.plugin, settings, part.task, adapter, model)
        return score_cases(part.revealed(), evaluators, live.predict, config=settings.data)[0]

    # a shared stage's own key holds the cases that it trains on, so that pairs of sites share their source's
    preprocessing = {k: v for k, v in settings.values()["data"].items() if k not in NOT_PREPROCESSING}
    stage = digest_of(
        plan.source, versions(), preprocessing, settings.values()["optimizer"],
        *([dict(settings.cohorts)] if settings.cohorts else []), settings.run.precision, threads_of(settings.run),
    )  # fmt: skip
    run = Run(
        directory, adapter, model, seed=plan.seed, place=place, settings=settings.run, optimizer=settings.optimizer,
        hooks=hooks, identity=stage, evaluate=evaluate,
    )  # fmt: skip
    if place.rank == 0:
        folders.set_status(directory, "running")
    try:
        try:
            with run.autocast():
                adapter.fit(visible, model, run)
        finally:  # a process that is stopped has spent its time too
            if place.rank == 0:
                _write_timings(run, time.monotonic() - started, directory)
        run.finish()
    finally:
        run.close()

"""The way of a run: plan, open and check data, claim the directory, build, fit, apply, score, report, done."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mdx import console, progress, stopping
from mdx.data.checks import check, require_groups
from mdx.data.open import open_dataset
from mdx.errors import DataError, RefusedError
from mdx.interfaces.dataset import Dataset
from mdx.interfaces.own_network import OwnNetwork
from mdx.plugins.activation import adapter_types, own_network_type
from mdx.report.run import write_report
from mdx.runs import folders
from mdx.runs.linking import take_over
from mdx.training import processes
from mdx.training.device import take_threads
from mdx.workflow.identity import changes, identity, suits, unfinished_like
from mdx.workflow.method import hide, run_method, seconds_of
from mdx.workflow.planning import Plan, make_plan, recorded_plan
from mdx.workflow.records import record, recorded_command

PAGES = 0.05
"""The share of a run's time that pages may take before the last one."""
A_PAGE_S = 1.0
"""What a page takes before one has been made."""


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
    with progress.telling(processes.rank_of_launch() == 0):
        console.detail(f"{plan.plugin.name} {plan.plugin.version} of {plan.plugin.distribution}, {plan.variant_name}")
        data = open_data(plan)
        console.detail(f"{plan.data}: {len(data)} cases of {len(data.task.sites)} sites, for {data.task.kind}")
        require(plan, data)
        own = own_network(plan, data)
        name = identity(plan, data)
        if not again and not os.environ.get("RANK"):  # of several processes none may find what another has not
            take_over(out, plan.plugin.name, name, partial(suits, plan))
        directory = folders.claim(out, plan.plugin.name, name, again)
        if not folders.is_run(directory) and not again:
            for beside in unfinished_like(plan, out):
                console.note(
                    f"note: the unfinished run {beside} has the same settings and other data; this is a new run "
                    f"('mdx resume {beside}' says what differs)"
                )
        return _carry_out(plan, data, directory, command or sys.argv, own)


def resume(path: str | Path) -> Result:
    """Go on with an unfinished run; equal data with other names of folders or times of files are equal.

    Raises RefusedError that names what has changed since, DataError that says how to go on where the data have moved.
    """
    directory = folders.find_run(path)
    if folders.is_done(directory):
        return Result(directory, found=True)
    if folders.is_folds(directory):
        raise RefusedError("the folds have not been put together", "give their 'mdx run --folds' again", directory)
    stopping.working_on(directory)
    with progress.telling(processes.rank_of_launch() == 0):
        return _resume(directory)


def _resume(directory: Path) -> Result:
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
            _run_methods(plan, data, directory, command, own)
            progress.phase("page")
            write_report(directory)
            progress.finished()
            folders.finish(directory)
        except BaseException as error:
            stopping.acknowledge()
            folders.record_failure(directory, error)
            raise
        finally:
            processes.leave_group()
    return Result(directory)


def in_order(plan: Plan, directory: Path) -> list[tuple[Plan, Path]]:
    """The methods of a run and their folders, as they are run: its own first, those that train on labels of the target
    last, for they compete with nobody and may take longest."""
    beside = [(plan.for_variant(name), directory / "baselines" / name) for name in plan.baselines]
    return [(plan, directory), *sorted(beside, key=lambda each: each[0].target_labels == "train")]


def _run_methods(plan: Plan, data: Dataset, directory: Path, command: Sequence[str], own: OwnNetwork | None) -> None:
    """Fit, predict and score all methods of a run; the page is there after the first of them, and grows.

    It is written anew as often as takes a small share of the run's time (``PAGES``).
    """
    told, page_s, since = progress.current(), A_PAGE_S, time.monotonic()
    methods = in_order(plan, directory)
    for number, (method, folder) in enumerate(methods, start=1):
        record(method, data, folder, identity(method, data), command)
        if own is not None:
            own.keep(folder)
        if told is not None and number == 1:
            told.into(directory)
        if told is not None:
            told.method(method.variant_name, number, len(methods))
        if not run_method(method, data, folder):
            progress.measured(seconds_of(folder))
            continue
        progress.measured(None)
        begun = time.monotonic()
        if number < len(methods) and begun - since >= page_s / PAGES:
            fine = _write_growing_page(directory)
            since = time.monotonic()
            page_s = since - begun if fine else float("inf")


def _write_growing_page(directory: Path) -> bool:
    """The page of what has been scored so far. That it cannot be made is said, and ends no run."""
    progress.phase("page")
    try:
        write_report(directory)
    except Exception as error:
        stopping.check()
        console.note(f"note: no page before the end of the run: {str(error).partition(chr(10))[0]}")
        return False
    return True


def _follow(plan: Plan, data: Dataset, directory: Path) -> Result:
    """What the other processes of one run do: they train with the first one, which alone writes and scores."""
    with stopping.listening():
        try:
            for each, folder in in_order(plan, directory):
                while not (folder / "provenance.json").exists():
                    stopping.check()
                    time.sleep(0.1)
                run_method(each, data, folder)
        finally:
            processes.leave_group()
    return Result(directory)


def open_data(plan: Plan) -> Dataset:
    """The plan's data, opened and checked. Raises DataError with everything that is wrong with them."""
    data = open_unchecked(plan)
    read_as = {name: plan.settings.of_cohort(name) for name in plan.cohorts}
    for name, part in {"": data, **data.cohorts}.items():
        report = check(part, read_as.get(name, plan.settings.data))
        try:
            report.raise_if_bad()
        except DataError as error:
            if not name:
                raise
            raise DataError(f"the cohort '{name}': {error.what}", error.remedy, error.where) from error
        for problem in report.warnings:
            console.note(f"warning: {f'cohort {name}: ' if name else ''}{problem}")
    return data


def open_unchecked(plan: Plan) -> Dataset:
    """The plan's data, whose files nobody has read yet. Raises DataError for another task or dimension."""
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

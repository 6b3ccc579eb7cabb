"""``mdx run --folds K``: a run for each fold, one after the other, and what all say together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdx import console, stopping
from mdx.data.folds import require_folds
from mdx.data.labels import label_of
from mdx.errors import UsageError
from mdx.interfaces.dataset import Dataset
from mdx.report.run import write_report
from mdx.runs import folders
from mdx.runs.provenance import digest_of
from mdx.sweeps.pooled import pool
from mdx.training.processes import rank_of_launch
from mdx.workflow.execution import Result, execute, open_data, open_unchecked, require
from mdx.workflow.execution import run as run_once
from mdx.workflow.planning import Plan, make_plan

OWN = ("data.folds", "data.fold")


def run(
    plugin: str,
    data: str | None = None,
    *,
    folds: int | None = None,
    out: str | Path = "runs",
    again: bool = False,
    **request: Any,
) -> Result:
    """Run a plugin from Python: ``mdx.run("fda", data="csv:cohort.csv", settings={"source": "A", "target": "B"})``.

    Args:
        plugin: name of an installed plugin.
        data: URI of the data; the preset's own if not given.
        folds: so many runs instead of one, which test every subject once; the result is that of all together.
        out: folder of runs.
        again: make a new run although an equal one exists.
        request: ``variant, preset, seed, device, precision, baselines, config, init_from``, and ``settings``, a dict
            of what ``--set`` takes.
    """
    if folds is None:
        return run_once(plugin, data, out=out, again=again, **request)
    settings = request.pop("settings", {})
    plan = make_plan(plugin, data=[data] if data else [], assignments=settings, **request)
    return run_folds(plan, folds, Path(out), again=again)


def run_folds(
    plan: Plan, folds: int, out: Path, *, again: bool = False, command: Sequence[str] | None = None
) -> Result:
    """Carry out a plan once a fold, each an ordinary run under ``out``, and put their scores together in a folder of
    their own, which ``mdx apply`` takes as one method.

    Finished folds are found, an unfinished one is gone on with. Every fold is looked at before the first is trained.
    Raises UsageError and DataError where the subjects do not suffice.
    """
    words = list(command or sys.argv)
    plans = plans_of(plan, folds)
    for sentence in looked_at(plans)[1]:
        console.note(f"warning: {sentence}")
    runs: list[Path] = []
    with stopping.one_of_several():
        for fold, each in enumerate(plans):
            if rank_of_launch() == 0:
                console.note(f"fold {fold} ({fold + 1} of {folds})")
            runs.append(execute(each, out, again=again, command=command_of(words, folds, fold)).directory)
        return _together(plan, runs, out, again, words)


def _together(plan: Plan, runs: Sequence[Path], out: Path, again: bool, command: Sequence[str]) -> Result:
    """The folder of the folds: the one that is finished, or a new one."""
    name = digest_of([folders.read_json(run / "provenance.json")["identity"] for run in runs], len(runs))
    directory = folders.claim(out, f"{plan.plugin.name}_folds{len(runs)}", name, again)
    if rank_of_launch() > 0 or folders.is_done(directory):
        return Result(directory, found=folders.is_done(directory))
    with folders.owned(directory), stopping.listening():
        folders.remove_leftovers(directory)
        pool(runs, directory, name, command)
        write_report(directory)
        folders.finish(directory)
    return Result(directory)


def plans_of(plan: Plan, folds: int) -> list[Plan]:
    """The plan of each fold. Raises UsageError for fewer than two, and for folds that the settings choose too."""
    if folds < 2:
        raise UsageError(f"--folds {folds} divides nothing", "give 2 or more; 5 is usual")
    given = [key for _, values in plan.layers for key in values if key in (*OWN, *(o.partition(".")[2] for o in OWN))]
    if given:
        raise UsageError(f"--folds runs every fold, and {given[0]} is set", "give one of them")
    return [plan.told({"data.folds": folds, "data.fold": fold}) for fold in range(folds)]


def looked_at(plans: Sequence[Plan]) -> tuple[list[Dataset], list[str]]:
    """The data as each fold divides them, and what the numbers of subjects are too small for.

    Raises DataError for data that are not as they should be, and where a method cannot be trained on one of the folds.
    """
    found = [open_data(plan) if fold == 0 else open_unchecked(plan) for fold, plan in enumerate(plans)]
    for plan, data in zip(plans, found, strict=True):
        require(plan, data)
    task = found[0].task
    fold_of = {case.subject: fold for fold, data in enumerate(found) for case in data.where(split="test").cases}
    config = plans[0].settings.data
    return found, require_folds(found[0].revealed().cases, fold_of, config, label_of(task), task.label)


def command_of(command: Sequence[str], folds: int, fold: int) -> list[str]:
    """The words that make the run of one fold by itself, of a command with ``--folds``; of another one its words."""
    words = [word for i, word in enumerate(command) if "--folds" not in (word, command[i - 1] if i else "")]
    words = [word for word in words if not word.startswith("--folds=")]
    if len(words) == len(command):
        return words
    return [*words, "--set", f"data.folds={folds}", "--set", f"data.fold={fold}"]


def sizes(data: Sequence[Dataset]) -> dict[str, list[int]]:
    """Site -> how many subjects each fold tests."""
    sites = data[0].task.sites
    return {
        site: [len({case.subject for case in part.where(split="test", site=site).cases}) for part in data]
        for site in sites
    }

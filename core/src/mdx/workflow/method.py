"""One method of a run: fit, predict and score; what it may see, and what is written down beside its scores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mdx import console
from mdx.data.budgets import said as said_of_budget
from mdx.evaluation.cases import evaluators_for, score_cases
from mdx.files import write_json
from mdx.interfaces.adapter import networks_of
from mdx.interfaces.dataset import Dataset
from mdx.plugins.activation import adapter_types, own_network_type
from mdx.plugins.manager import HookCaller, installed_hooks
from mdx.runs import folders
from mdx.runs.checkpoint import load_tree
from mdx.runs.journal import Journal
from mdx.runs.loading import LoadedRun, load_run
from mdx.runs.provenance import digest_of, versions
from mdx.training.determinism import without_deterministic_form
from mdx.training.device import Place, take_place, threads_of
from mdx.training.memory import begin_gpu_peak, peaks
from mdx.training.run import Run
from mdx.workflow.planning import Plan
from mdx.workflow.scores import score

NOT_PREPROCESSING = {
    "source", "target", "reference", "labelled", "labelled_role", "labelled_seed", "groups", "folds", "fold",
}  # fmt: skip
SIMULATED = "The data are simulated: no number of this run is evidence of performance at a real site."


def hide(data: Dataset, target_labels: str) -> Dataset:
    """``data`` as ``fit`` may see it: test labels never, target labels as far as the method has declared.

    The same holds for each of its cohorts.
    """
    hidden = data.without_labels(split="test").without_labels(role="unlabelled")
    splits = {"never": ["train", "val"], "val": ["train"], "train": []}[target_labels]
    hidden = hidden.without_labels(role="target", split=splits) if splits else hidden
    hidden.cohorts = {name: hide(part, target_labels) for name, part in data.cohorts.items()}
    return hidden


def run_method(plan: Plan, data: Dataset, directory: Path) -> bool:
    """Fit one variant, predict the test cases with what was saved, and score them; False where that had been done.

    Raises ResourceError for an operation without a deterministic form, where the run asks for such.
    """
    if (directory / "summary.json").exists():
        return False
    try:
        _fit_and_score(plan, data, directory)
    except RuntimeError as error:
        if not plan.settings.run.deterministic or "deterministic" not in str(error):
            raise
        raise without_deterministic_form(error) from error
    return True


def _fit_and_score(plan: Plan, data: Dataset, directory: Path) -> None:
    settings = plan.settings
    place = take_place(settings.run)
    first = place.rank == 0
    journal = Journal(directory, writes=first)
    journal.say(f"== {plan.plugin.name} / {plan.variant_name}")
    console.detail(f"on {place.device}, {threads_of(settings.run)} thread(s), {settings.run.precision}")
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


def seconds_of(directory: Path) -> float:
    """What a scored method took, as far as its timings say."""
    path = directory / "timings.json"
    found = folders.read_json(path) if path.exists() else {}
    return float(found.get("fit", 0.0)) + float(found.get("apply", 0.0))


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
    own = {"fit": before.get("fit", 0.0) + seconds, "stages": stages, "device": run.device.type}
    write_json(path, {**before, **own, **peaks(before)})


def _fit(plan: Plan, data: Dataset, directory: Path, place: Place, evaluators: Any, hooks: HookCaller) -> None:
    """Train, and write the checkpoint that ``apply`` uses."""
    import torch

    settings, started = plan.settings, time.monotonic()
    begin_gpu_peak()
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
        *(["deterministic"] if settings.run.deterministic else []),
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

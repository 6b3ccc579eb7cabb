"""What makes the methods of a run comparable: how weights were chosen, what was hidden, and how long each trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdx.errors import DataError
from mdx.report.text import Method
from mdx.runs.folders import AGAIN, read_json

LABELS_READ = {
    "never": "No label of a target site was visible in training.",
    "val": "Labels of the target's validation cases were visible in training.",
    "train": "Labels of the target's train and validation cases were visible in training.",
}
WHOSE = {"never": "none", "val": "validation cases", "train": "train and validation cases"}
NO_STAGE = ("last", "best", "final")


def fairness(methods: Sequence[Method]) -> list[tuple[str, list[str]]]:
    """(what, sentences) that stand beside the scores; nothing is said of what the run does not know."""
    said = [
        ("Hidden", _hidden(methods)),
        ("Weights", chosen(methods)),
        ("Training", _budgets(methods)),
    ]
    return [(what, sentences) for what, sentences in said if sentences]


def _hidden(methods: Sequence[Method]) -> list[str]:
    if not methods:
        return []
    others: dict[str, list[str]] = {}
    for m in methods[1:]:
        if m.target_labels != methods[0].target_labels:
            others.setdefault(m.target_labels, []).append(f"'{m.name}'")
    reads = [f"{', '.join(names)} read of the target: {WHOSE[labels]}." for labels, names in others.items()]
    return [LABELS_READ[methods[0].target_labels], *reads, "Test labels were never visible."]


def chosen(methods: Sequence[Method]) -> list[str]:
    """How the weights of each stage were chosen, as its checkpoint records it; equal sentences once."""
    made: dict[str, None] = {}
    for method in methods:
        for path in sorted((method.directory / "checkpoints").glob("*.safetensors")):
            if path.stem in NO_STAGE:
                continue
            watch = _recorded(path)["monitor"]
            made[
                f"Stage {path.stem}: the weights of its last epoch; no score chose them."
                if watch["best_epoch"] is None
                else f"Stage {path.stem}: the weights of epoch {watch['best_epoch'] + 1}, where {watch['name']} was "
                f"{'lowest' if watch['mode'] == 'min' else 'highest'} ({watch['best']:.4g})."
            ] = None
    return list(made)


def _budgets(methods: Sequence[Method]) -> list[str]:
    """Steps of the optimiser behind each method's weights, shared stages included, and the seconds of its own."""
    by_steps: dict[int, list[str]] = {}
    for m in methods:
        if (steps := _steps(m.directory)) is not None:
            by_steps.setdefault(steps, []).append(f"'{m.name}'")
    said = []
    if len(by_steps) == 1 and len(methods) > 1:
        said.append(f"Equal budgets: {next(iter(by_steps))} steps each.")
    elif by_steps:
        said.append("Steps: " + "; ".join(f"{n} of {', '.join(names)}" for n, names in by_steps.items()) + ".")
    seconds = {m.name: s for m in methods if (s := _seconds(m.directory)) is not None}
    longer = [f"'{name}' {s:.0f}" for name, s in seconds.items() if s >= 1]
    if longer:
        shared = " The others took a stage that is shared." if len(longer) < len(seconds) else ""
        said.append(f"Seconds: {', '.join(longer)}.{shared}")
    return said


def _steps(directory: Path) -> int | None:
    path = directory / "checkpoints" / "final.safetensors"
    return _recorded(path).get("steps") if path.exists() else None


def _seconds(directory: Path) -> float | None:
    path = directory / "timings.json"
    timings: Mapping[str, Any] = read_json(path) if path.exists() else {}
    return timings.get("fit")


def _recorded(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint says beside its weights, none of which is read. Raises DataError for a damaged file."""
    from safetensors import safe_open

    try:
        with safe_open(checkpoint, framework="numpy") as file:
            tree = json.loads(file.metadata()["tree"])
        if tree["monitor"] is not None:
            tree["monitor"] = {key: tree["monitor"][key] for key in ("best_epoch", "name", "mode", "best")}
        return tree
    except Exception as error:  # of safetensors, of JSON, of a header that is none
        raise DataError(f"the checkpoint is damaged ({type(error).__name__}: {error})", AGAIN, checkpoint) from error

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
    steps = {m.name: s for m in methods if (s := _steps(m.directory)) is not None}
    said = []
    if len(steps) > 1 and len(set(steps.values())) == 1:
        said.append(f"Equal budgets: {next(iter(steps.values()))} steps each.")
    elif steps:
        said.append(f"Steps: {_listed(steps)}.")
    seconds = {m.name: s for m in methods if (s := _seconds(m.directory)) is not None}
    if seconds:
        said.append(f"Seconds: {_listed(seconds)}.")
    if any(s < 1 for s in seconds.values()) and len(seconds) > 1:
        said.append("A stage that methods share is trained once, and its time counted once.")
    return said


def _listed(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"'{name}' {number:.0f}" for name, number in numbers.items())


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

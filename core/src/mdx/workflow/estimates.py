"""What can be said of the size of a run before it begins: steps from the settings, memory from the images, time from
runs that were measured. What nobody has measured is not said."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mdx.config import flatten
from mdx.data.files.facts import FileFacts, read_facts
from mdx.errors import MdxError
from mdx.files import plain
from mdx.interfaces.dataset import Dataset
from mdx.runs import folders
from mdx.runs.provenance import machine
from mdx.workflow.execution import in_order
from mdx.workflow.method import seconds_of
from mdx.workflow.planning import Plan
from mdx.workflow.records import absolute_uri

BYTES_OF_A_VOXEL = 4
"""Images are computed with as 32-bit numbers."""


@dataclass(frozen=True)
class Estimates:
    """What is known of a run that has not begun.

    Attributes:
        methods: in the order in which they are run.
        epochs, steps: of one training, as the settings say; None where they do not.
        image_bytes, largest_image_bytes: of all images, and of the largest case, at their size on disk.
        measured: a finished run of the same plugin on the same device: ``run``, ``seconds``, ``methods``, and in what
            it ``differs``; None where there is none.
    """

    methods: list[str]
    epochs: int | None
    steps: int | None
    image_bytes: int
    largest_image_bytes: int
    measured: dict[str, Any] | None

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> dict[str, str]:
        """In words, by what they are about."""
        return {
            "methods": f"{len(self.methods)}, in this order: {', '.join(self.methods)}",
            "training": self._training(),
            "memory": f"images of {_size(self.image_bytes)} as 32-bit numbers, the largest case "
            f"{_size(self.largest_image_bytes)} (as they are on disk); what training takes is measured by a run",
            "time": self._time(),
        }

    def _training(self) -> str:
        if self.epochs is None:
            return "the settings do not say how many epochs"
        if self.steps is None:
            return f"{self.epochs} epochs a method; the settings do not say how many steps an epoch has"
        each, count = self.epochs * self.steps, len(self.methods)
        total = f", {each * count} for {count} methods" if count > 1 else ""
        return (
            f"{self.epochs} epochs of {self.steps} steps, {each} steps{total}; fewer where methods share a stage or "
            "stop early, more where a method has further stages"
        )

    def _time(self) -> str:
        if self.measured is None:
            return "unknown until measured (no finished run of this plugin on this device lies in --out)"
        known = self.measured
        differs = f"; it differs in {', '.join(known['differs'])}" if known["differs"] else ", which is this very run"
        return (
            f"{known['run']} took {known['seconds']:.0f} s to train and predict {known['methods']} method(s) on this "
            f"device{differs}"
        )


def estimates(plan: Plan, data: Dataset, out: Path) -> Estimates:
    """See ``Estimates``; ``out`` is the folder of runs."""
    settings = flatten(plan.settings.values()["method"])
    facts = read_facts([path for case in data.cases for path in case.images.values()], "image")
    sizes = [
        sum(_bytes(found) for path in case.images.values() if isinstance(found := facts[path], FileFacts))
        for case in data.cases
    ]
    return Estimates(
        [method.variant_name for method, _ in in_order(plan, out)],
        _number(settings, "epochs"), _number(settings, "steps"), sum(sizes), max(sizes), _measured(plan, out),
    )  # fmt: skip


def _number(settings: dict[str, Any], name: str) -> int | None:
    """The one setting of the method that has this name, in whatever group; None where there is none, or several."""
    found = [value for key, value in settings.items() if key.rpartition(".")[2] == name]
    return found[0] if len(found) == 1 and isinstance(found[0], int) else None


def _bytes(facts: FileFacts) -> int:
    return math.prod(facts.shape) * facts.channels * BYTES_OF_A_VOXEL


def _measured(plan: Plan, out: Path) -> dict[str, Any] | None:
    """Of the finished runs of this plugin on this device, the one that differs least; the latest of equal ones."""
    best: dict[str, Any] | None = None
    for path in sorted(out.glob(f"*_{plan.plugin.name}_*")):
        try:
            facts = folders.read_json(path / "provenance.json")
            if not folders.is_done(path) or folders.is_folds(path) or not _same_device(plan, facts):
                continue  # of folds, the runs themselves are looked at
            methods = [path, *(path / "baselines" / name for name in facts["baselines"])]
            seconds = sum(seconds_of(folder) for folder in methods)
            differs = _differences(plan, facts)
        except MdxError:
            continue  # not a run, or a damaged one
        if best is None or len(differs) <= len(best["differs"]):
            best = {"run": path.name, "seconds": seconds, "methods": len(methods), "differs": differs}
    return best


def _same_device(plan: Plan, facts: dict[str, Any]) -> bool:
    wanted = plan.settings.run.device
    if "cpu" in (wanted, facts["device"]):
        return wanted == facts["device"] or (not machine().get("gpu") and not facts["machine"].get("gpu"))
    return machine().get("gpu") == facts["machine"].get("gpu")


def _differences(plan: Plan, facts: dict[str, Any]) -> list[str]:
    pairs = {
        "variant": (plan.variant_name, facts["variant"]),
        "baselines": (sorted(plan.baselines), sorted(facts["baselines"])),
        "preset": (plan.preset, facts["preset"]),
        "settings": (plain(plan.layers), plain(facts["layers"])),
        "data": (absolute_uri(plan.data), facts["data"]),
        "seed": (plan.seed, facts["seed"]),
    }
    return [name for name, (ours, theirs) in pairs.items() if ours != theirs]


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"

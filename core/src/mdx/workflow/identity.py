"""What makes two runs one, and what has changed since a run was begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mdx.config import flatten
from mdx.errors import DataError
from mdx.files import plain
from mdx.interfaces.dataset import Dataset
from mdx.runs import folders
from mdx.runs.provenance import digest_of, versions
from mdx.training.device import check_device, threads_of
from mdx.workflow.planning import Plan

NOT_IN_IDENTITY = {"workers", "predictions", "bootstrap"}
SHOWN = ("predictions", "bootstrap")
"""Of these, the ones that show in what a run holds."""


def identity(plan: Plan, data: Dataset) -> str:
    """Eight digits that are equal for equal runs: settings, data of all cohorts, seed, versions and source."""
    values = plan.settings.values()
    values["run"] = {k: v for k, v in values["run"].items() if k not in NOT_IN_IDENTITY}
    if not values["run"]["deterministic"]:
        del values["run"]["deterministic"]  # runs of before there was such a setting keep their names
    values["run"]["threads"] = threads_of(plan.settings.run)  # sums of floats depend on their number
    values["method"] = {**flatten(values["method"]), **plan.weights}  # what they hold, not where they lie
    return digest_of(
        plan.plugin.name, plan.variant_name, values, data.fingerprint(), plan.seed, list(plan.baselines), versions(),
        plan.source, *([plan.init_digest] if plan.init_digest else []),
        *((name, part.fingerprint()) for name, part in sorted(data.cohorts.items())), *_of_baselines(plan),
    )  # fmt: skip


def suits(plan: Plan, run: Path) -> bool:
    """Whether a finished run whose identity is the plan's is what the plan asks for in the rest, too.

    The rest is the kind of device, which ``auto`` leaves open, and the settings that are left out of names though they
    show: how many resamplings an interval has, and whether predictions are kept. False for a damaged run.
    """
    asked = plan.settings.run
    device = check_device(asked) if asked.device == "auto" else asked.device
    try:
        settings = folders.read_settings(run).get("run", {})
        same = all(settings.get(name, {}).get("value") == getattr(asked, name) for name in SHOWN)
        return same and device_of(run) == device
    except DataError:
        return False


def device_of(run: Path) -> str:
    """The kind of device that a run was trained on: ``cpu``, ``cuda`` or ``mps``.

    Of a run of before this was measured it is what was asked for, and of ``auto`` the GPU that its machine had.
    """
    path = run / "timings.json"
    measured = folders.read_json(path).get("device") if path.exists() else None
    if measured:
        return str(measured)
    facts = folders.read_json(run / "provenance.json")
    if facts["device"] != "auto":
        return str(facts["device"])
    return "cuda" if facts["machine"].get("gpu") else "cpu"


def _of_baselines(plan: Plan) -> list[Any]:
    """What the baselines are told and the method is not, by baseline."""
    own = flatten(plan.settings.values()["method"])
    made = []
    for name in plan.baselines:
        beside = plan.for_variant(name)
        theirs = {**flatten(beside.settings.values()["method"]), **beside.weights}
        more = {key: value for key, value in theirs.items() if key not in own}
        made += [(name, more)] if more else []
    return made


def changes(plan: Plan, data: Dataset, directory: Path) -> list[str]:
    """What differs from the records of a run, each as a sentence: packages, source, settings, data."""
    facts = folders.read_json(directory / "provenance.json")
    now = versions()
    found = [f"{k} {facts['versions'].get(k)} -> {v}" for k, v in now.items() if facts["versions"].get(k) != v]
    if facts["source"] != plan.source:
        found.append("the source of mdx or of the plugin")
    digests = {name: entry["digest"] for name, entry in facts.get("weights", {}).items()}
    found += [
        f"the weights that '{name}' names" for name, digest in plan.weights.items() if digests.get(name) != digest
    ]
    recorded = folders.read_json(directory / "fingerprint.json")
    for name, part in {"": data, **data.cohorts}.items():
        before, rows = recorded.get(name, {}), part.row_hashes()
        for what, ids in (
            ("changed", [i for i in rows if i in before and rows[i] != before[i]]),
            ("new", [i for i in rows if i not in before]),
            ("gone", [i for i in before if i not in rows]),
        ):
            if ids:
                more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
                found.append(f"{what} case(s){f' of {name}' if name else ''}: {', '.join(ids[:3])}{more}")
    return found


def unfinished_like(plan: Plan, out: Path) -> list[Path]:
    """Runs under ``out`` with the plan's settings that have not finished."""
    layers = plain(plan.layers)
    found = []
    for path in sorted(out.glob(f"*_{plan.plugin.name}_*")):
        try:
            facts = folders.read_json(path / "provenance.json")
            same = facts["variant"] == plan.variant_name and facts["seed"] == plan.seed and facts["layers"] == layers
        except DataError:
            continue  # not a run, or a damaged one
        if same and not folders.is_done(path):
            found.append(path)
    return found

"""What is written down before a run starts: settings, command, table, splits and provenance."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from mdx import __version__
from mdx.data.confounding import confounding_table
from mdx.data.splits import split_hash, write_splits
from mdx.files import plain, write_atomically, write_json
from mdx.interfaces.dataset import Dataset
from mdx.interfaces.weights import weights_in
from mdx.runs import folders
from mdx.runs.provenance import machine, versions
from mdx.runs.seen import record_seen
from mdx.spreadsheets import csv_text
from mdx.training.device import threads_of
from mdx.workflow.planning import Plan


def recorded_command(directory: Path) -> list[str]:
    """The command that began a run, whose baselines have it too; nothing if its file is gone or damaged."""
    try:
        return shlex.split((directory / "command.txt").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def record(plan: Plan, data: Dataset, directory: Path, identity: str, command: Sequence[str]) -> None:
    """Write config.yaml, command.txt, data.csv, splits.csv, confounding.json and, last, provenance.json.

    Of a run that is being resumed, which has the last of them, the command and the provenance stay; the others are
    written again, whatever has become of them.
    """
    resumed = (directory / "provenance.json").exists()
    directory.mkdir(parents=True, exist_ok=True)
    folders.write_yaml(directory / "config.yaml", plain(plan.settings.annotated()))
    if not resumed:
        write_atomically(directory / "command.txt", shlex.join(["mdx", *command[1:]]) + "\n")
    limited = plan.settings.data.labelled is not None
    write_splits(data.cases, directory / "splits.csv", {c.id for c in data.labelled.cases} if limited else None)
    _write_table(data.revealed(), directory / "data.csv")
    record_seen(data, directory)
    confounding = confounding_table(data.revealed())
    if confounding is not None:
        write_json(directory / "confounding.json", confounding)
    write_json(directory / "fingerprint.json", {name: p.row_hashes() for name, p in {"": data, **data.cohorts}.items()})
    if resumed:
        return
    run = plan.settings.run
    provenance = {
        "plugin": plan.plugin.name,
        "plugin_version": plan.plugin.version,
        "variant": plan.variant_name,
        "summary": (plan.variant.summary if plan.variant else "") or plan.manifest.summary,
        "paper": dict(plan.manifest.paper),
        "curves": dict(plan.manifest.curves),
        "preset": plan.preset,
        "baselines": list(plan.baselines),
        "target_labels": plan.target_labels,
        "seed": plan.seed,
        "device": run.device,
        "precision": run.precision,
        "threads": threads_of(run),
        **({"deterministic": True} if run.deterministic else {}),
        "data": absolute_uri(plan.data),
        "data_uri_kind": plan.data.partition(":")[0],
        "cohorts": {name: absolute_uri(uri) for name, uri in plan.cohorts.items()},
        "split_hash": split_hash(data.cases),
        "split_given": data.split_given,
        "roles": {case.site: case.role for case in data.cases},
        "task": dataclasses.asdict(data.task),
        "layers": plan.layers,
        "init_from": {"name": plan.init_from.name, "path": str(plan.init_from.resolve()), "digest": plan.init_digest}
        if plan.init_from else None,
        "weights": {
            name: {"path": w.absolute, "digest": plan.weights[name]} for name, w in weights_in(plan.settings.method)
        },
        "notes": list(plan.notes),
        "identity": identity,
        "mdx": __version__,
        "versions": versions(),
        "source": plan.source,
        "machine": machine(),
        "started": folders.now(),
    }  # fmt: skip
    write_json(directory / "provenance.json", provenance)


def absolute_uri(uri: str) -> str:
    """``csv:`` and bare paths made absolute, so that a run can be resumed from another folder."""
    scheme, colon, rest = uri.partition(":")
    if not colon:
        return str(Path(uri).resolve())
    path, mark, options = (rest, "", "") if Path(rest).exists() else rest.partition("?")  # bids:study?suffix=T1w
    return f"{scheme}:{Path(path).resolve()}{mark}{options}" if Path(path).exists() else uri


def _write_table(data: Dataset, path: Path) -> None:
    rows = [
        {"case": c.id, "subject": c.subject, "site": c.site, "split": c.split, "role": c.role}
        | {name: str(image) for name, image in c.images.items()}
        | ({"mask": str(c.mask)} if c.mask else {})
        | dict(c.columns)
        for c in data.cases
    ]
    write_atomically(path, csv_text(rows))

"""A published table as runs: which run each of its cells is measured in, and where."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mdx.errors import PluginError, UsageError, nearest
from mdx.plugins.discovery import find_plugin
from mdx.plugins.manifest import Manifest
from mdx.plugins.published import PublishedMetric, PublishedTable, TableKey
from mdx.plugins.variants import taken
from mdx.report.text import key_words
from mdx.sweeps.jobs import Job, as_text, divided_by

SITES = ("data.source", "data.target")
TARGETS = "target sites, or all"
"""The group of a cell that is measured over the target sites of the user's data, or all cases where none is named."""


@dataclass(frozen=True)
class Cell:
    """A number of the paper and where ours is found.

    Attributes:
        keys: the values of the key columns.
        metric, mean, std: as published; None where the paper prints none.
        where: metric and group in summary.json; None for a number that stays as published.
        runs: for each seed the run that it is measured in; equal runs of several cells are one object.
        reason: why it stays as published.
    """

    keys: Mapping[str, str]
    metric: str
    mean: float | None
    std: float | None
    where: PublishedMetric | None = None
    runs: Mapping[int, Job] = field(default_factory=dict)
    reason: str = ""

    @property
    def name(self) -> str:
        """The key values in one line."""
        return key_words(self.keys)


def published_table(plugin: str, name: str) -> tuple[Manifest, PublishedTable]:
    """The manifest and the table ``name`` of it. Raises UsageError with the nearest name."""
    manifest = find_plugin(plugin).manifest
    assert manifest is not None  # find_plugin returns working plugins only
    if name not in manifest.tables:
        raise UsageError(f"{plugin} has no table '{name}'", nearest(name, manifest.tables))
    return manifest, manifest.tables[name]


def cells_of(
    plugin: str,
    name: str,
    *,
    rows: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    data: str | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> list[Cell]:
    """Every cell of a published table, with the runs that it is measured in.

    Args:
        rows: values of the first key column; empty: all.
        data: the user's own data. What the table says of data and sites is then left out, and what the table measures
            at one site is measured over the target sites.
    """
    manifest, table = published_table(plugin, name)
    columns = list(table.keys)
    lines = _lines(manifest, table)
    first = columns[0] if columns else ""
    present = list(dict.fromkeys(line[first] for line in lines)) if first else []
    for row in rows:
        if row not in present:
            raise UsageError(f"{name} has no row '{row}'", nearest(row, present))
    base = Job(plugin, data or table.data, preset=preset or (table.preset if data is None else None), device=device)
    made = []
    for line in lines:
        if rows and line[first] not in rows:
            continue
        keys = {column: line[column] for column in columns}
        cell = Cell(keys, line["metric"], _number(line["mean"]), _number(line.get("std", "")))
        made.append(_located(cell, table, base, seeds, data is not None, settings or {}))
    jobs = distinct(made)
    return [replace(cell, runs={s: jobs[jobs.index(job)] for s, job in cell.runs.items()}) for cell in made]


def _lines(manifest: Manifest, table: PublishedTable) -> list[dict[str, str]]:
    path = manifest.folder / table.file
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise PluginError(f"cannot be read ({error.strerror})", "reinstall the plugin", path) from error
    missing = [c for c in (*table.keys, "metric", "mean") if not lines or c not in lines[0]]
    if missing:
        raise PluginError(f"has no column {', '.join(missing)}", "correct the file or its entry in mdx.toml", path)
    return lines


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _located(
    cell: Cell, table: PublishedTable, base: Job, seeds: Sequence[int], own: bool, given: Mapping[str, Any]
) -> Cell:
    """The cell with its runs, or with the reason why it has none."""
    entries: list[TableKey] = []
    for column, value in cell.keys.items():
        entry = table.keys[column].get(value)
        if entry is None:
            return replace(cell, reason=f"the plugin does not say how '{value}' is run")
        if entry.published_only is not None:
            return replace(cell, reason=entry.published_only)
        entries.append(entry)
    if cell.metric not in table.metrics:
        return replace(cell, reason=f"no run of mdx measures '{cell.metric}'")
    values = {**table.values, **{k: v for e in entries for k, v in e.values.items()}}
    if own:
        values = {k: v for k, v in values.items() if k not in SITES}
    variant = next((e.variant for e in reversed(entries) if e.variant is not None), None)
    plugin = find_plugin(base.plugin)
    values |= taken(
        plugin,
        plugin.manifest.variants.get(variant or plugin.manifest.default_variant or "") if plugin.manifest else None,
        given,
    )
    uri = base.data if own else next((e.data for e in entries if e.data is not None), base.data)
    where = table.metrics[cell.metric]
    group = next((e.group for e in entries if e.group is not None), where.group)
    if own and group.startswith("site="):
        group = TARGETS
    other = "" if uri == base.data else uri or ""
    runs = {}
    for seed in seeds:
        labels = _labels(variant, values, entries, other.replace("{seed}", str(seed)), seed)
        address = uri and uri.replace("{seed}", str(seed))
        settings = divided_by(seed, base, values)
        runs[seed] = replace(base, variant=variant, settings=settings, seed=seed, data=address, labels=labels)
    return replace(cell, where=replace(where, group=group), runs=runs)


def _labels(
    variant: str | None, values: Mapping[str, Any], entries: Sequence[TableKey], other: str, seed: int
) -> dict[str, str]:
    """What tells the run from others of the table."""
    set_by_keys = {k: values[k] for e in entries for k in e.values if k in values}
    shown = {k.removeprefix("data."): as_text(v) for k, v in set_by_keys.items()}
    return {"variant": variant or "", **shown, **({"data": other} if other else {}), "seed": str(seed)}


def distinct(cells: Sequence[Cell]) -> list[Job]:
    """The runs of all cells, each once, those of a seed together."""
    jobs: list[Job] = []
    for seed in dict.fromkeys(seed for cell in cells for seed in cell.runs):
        for cell in cells:
            if seed in cell.runs and cell.runs[seed] not in jobs:
                jobs.append(cell.runs[seed])
    return jobs

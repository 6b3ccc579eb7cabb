"""``mdx reproduce``: run the rows of a published table and put measured beside published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdx.errors import UsageError
from mdx.files import write_atomically, write_json
from mdx.plugins.published import PublishedTable
from mdx.report.reproduction import write_reproduction_page
from mdx.spreadsheets import csv_text
from mdx.sweeps.measured import Measured, Verdict, judge, measure, rank_agreement, run_directories
from mdx.sweeps.sweep import SweepResult, carry_out
from mdx.sweeps.table import TARGETS, Cell, cells_of, distinct, published_table


@dataclass(frozen=True)
class Reproduction:
    """A reproduced table: its folder, its sweep, and the facts of reproduction.json."""

    directory: Path
    sweep: SweepResult
    facts: Mapping[str, Any]


def reproduce(
    plugin: str,
    table: str,
    *,
    rows: Sequence[str] = (),
    seeds: int | Sequence[int] = 1,
    data: str | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str | None = None,
    jobs: int = 1,
    out: str | Path | None = None,
) -> Reproduction:
    """Run the rows of a table, and write reproduction.json, .csv and .html.

    Args:
        rows: values of the table's first key column; empty: all.
        seeds: how many (0, 1, ...), or which.
        data, preset: in place of the table's own; see ``mdx.sweeps.table.cells_of``.
        settings: what ``--set`` takes, for all rows.
        jobs: processes.
        out: folder; ``reproductions/PLUGIN_TABLE`` if not given.

    Raises UsageError for an unknown table or row, and where no row can be run. A failed run raises nothing: its cells
    have no number and say so.
    """
    which = range(seeds) if isinstance(seeds, int) else seeds
    cells = cells_of(
        plugin, table, rows=rows, seeds=which, data=data, preset=preset, settings=settings, device=device
    )  # fmt: skip
    planned = distinct(cells)
    if not planned:
        reasons = "; ".join(dict.fromkeys(c.reason for c in cells))
        raise UsageError(f"no row of {plugin} {table} can be run: {reasons}", "choose other rows or another table")
    directory = Path(out) if out else Path("reproductions") / f"{plugin}_{table}"
    result = carry_out(planned, directory, jobs, page="reproduction.html")
    runs = run_directories(planned, directory, result.outcomes)
    measured = measure(cells, runs)
    manifest, published = published_table(plugin, table)
    facts = {
        "plugin": plugin, "table": table, "paper": dict(manifest.paper),
        "data": list(dict.fromkeys(job.data or "" for job in planned)),
        "preset": planned[0].preset, "seeds": sorted({job.seed for job in planned}),
        "simulated": any((job.data or "").startswith("sim:") for job in planned),
        "own_data": own_data(cells) if data is not None else "",
        "overrides": overrides(published, rows, data, preset, settings, device),
        "columns": list(published.keys), "cells": [_cell_facts(m) for m in measured],
        "claims": [_claim_facts(v) for v in judge(published, measured, runs)],
        "rank_agreement": rank_agreement(measured),
        "runs": len(planned), "failed": result.failed, "seconds": sum(o.seconds for o in result.outcomes),
    }  # fmt: skip
    write_json(directory / "reproduction.json", facts)
    write_atomically(directory / "reproduction.csv", _as_csv(facts))
    write_reproduction_page(directory)
    return Reproduction(directory, result, facts)


def overrides(
    table: PublishedTable, rows: Sequence[str], data: str | None, preset: str | None,
    settings: Mapping[str, Any] | None, device: str | None,
) -> list[str]:  # fmt: skip
    """What the user put in place of what the table itself says, in words."""
    return [
        *([f"only the rows {', '.join(rows)}"] if rows else []),
        *([f"data {data} in place of {table.data}"] if data is not None and data != table.data else []),
        *([f"preset {preset} in place of {table.preset}"] if preset is not None and preset != table.preset else []),
        *(f"{key} = {value}" for key, value in (settings or {}).items()),
        *([f"device {device}"] if device is not None else []),
    ]


def own_data(cells: Sequence[Cell]) -> str:
    """What is compared when the user's data take the place of the table's."""
    pooled = any(c.where is not None and c.where.group == TARGETS for c in cells)
    return "These data are not the paper's: only orders can be compared." + (
        " What the paper prints for one of its sites stands beside the target sites of these data together (all cases "
        "where no target is named), so that several numbers of the paper may stand beside one measurement."
        if pooled else ""
    )  # fmt: skip


def _cell_facts(m: Measured) -> dict[str, Any]:
    return {
        **{f"key_{k}": v for k, v in m.cell.keys.items()}, "metric": m.cell.metric, "published": m.cell.mean,
        "published_std": m.cell.std, "measured": m.mean, "sd_over_seeds": m.sd, "n_seeds": len(m.values),
        "n_subjects": m.subjects, "by_seed": {str(s): v for s, v in m.values.items()}, "note": m.missing,
        "group": m.group,
    }  # fmt: skip


def _claim_facts(v: Verdict) -> dict[str, Any]:
    return {
        "claim": v.claim, "place": v.place, "better": v.better, "other": v.other, "metric": v.metric,
        "difference": v.difference, "low": v.low, "high": v.high, "n_subjects": v.n_subjects,
        "seeds_that_way": v.by_seed[0], "seeds": v.by_seed[1], "verdict": v.text,
    }  # fmt: skip


def _as_csv(facts: Mapping[str, Any]) -> str:
    rows = [{k.removeprefix("key_"): v for k, v in cell.items() if k != "by_seed"} for cell in facts["cells"]]
    return csv_text(rows)

"""The comparison that ``mdx run`` prints when it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mdx.runs.directory import read_json

SHOWN = ("surface_dice", "dice")


def methods_of(directory: Path) -> list[tuple[str, Path]]:
    """(variant, directory) of the run's method and of its baselines that have scores, the method first."""
    beside = [directory / "baselines" / n for n in read_json(directory / "provenance.json")["baselines"]]
    folders = [f for f in (directory, *beside) if (f / "summary.json").exists()]
    return [(read_json(f / "provenance.json")["variant"], f) for f in folders]


def comparison(directory: Path, metric: str) -> tuple[list[str], list[tuple[str, list[dict[str, Any] | None]]]]:
    """The groups (sites) as columns, and for each method its summary rows in their order."""
    tables = []
    columns: list[str] = []
    for name, folder in methods_of(directory):
        rows = {r["group"]: r for r in read_json(folder / "summary.json") if r["metric"] == metric}
        columns += [g for g in rows if g.startswith("site=") and g not in columns]
        tables.append((name, rows))
    return columns, [(name, [rows.get(c) for c in columns]) for name, rows in tables]


def summary_table(directory: Path, plain: bool = True) -> Any:
    """Methods by site: mean [95 % interval] of each main score; aligned text, or rich tables."""
    roles = {row["group"]: "" for row in read_json(directory / "summary.json")}
    blocks = []
    for metric in SHOWN:
        columns, rows = comparison(directory, metric)
        if not columns:
            continue
        n = [str(next((r[i]["n_subjects"] for _, r in rows if r[i]), "")) for i in range(len(columns))]
        heads = [f"{c.removeprefix('site=')} (n={k})" for c, k in zip(columns, n, strict=True)]
        cells = [[name, *map(_cell, values)] for name, values in rows]
        blocks.append((metric, ["method", *heads], cells))
    del roles
    return "\n\n".join(_plain(*b) for b in blocks) if plain else _rich(blocks)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["mean"] is None:
        return "-"
    return f"{row['mean']:.3f}" + (f" [{row['low']:.3f}, {row['high']:.3f}]" if row["low"] is not None else "")


def _plain(title: str, heads: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(r[i]) for r in [heads, *rows]) for i in range(len(heads))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in [heads, *rows]]
    return "\n".join([f"{title}: mean [95 % interval over subjects]", *lines])


def _rich(blocks: list[tuple[str, list[str], list[list[str]]]]) -> Any:
    from rich.console import Group
    from rich.table import Table

    tables = []
    for title, heads, rows in blocks:
        table = Table(*heads, title=f"{title}: mean [95 % interval over subjects]", title_justify="left", box=None)
        for i, row in enumerate(rows):
            table.add_row(*row, style="bold" if i == 0 else None)
        tables.append(table)
    return Group(*tables)

"""``mdx reproduce``: a table of the paper, published beside measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from mdx.cli import completing
from mdx.cli.sweep import seeds_of, words


def reproduce_command(
    plugin: str = typer.Argument(help="Name of a plugin.", autocompletion=completing.plugins),
    table: str = typer.Argument(
        help="Name of a table of its paper; 'mdx show PLUGIN' lists them.", autocompletion=completing.tables
    ),
    rows: str = typer.Option("", help="Rows with commas; all if not given."),
    seeds: str = typer.Option("1", help="How many (0, 1, ...), or which: 101,102,103."),
    data: str = typer.Option(None, "--data", metavar="URI", help="Your own data instead of the built-in cohort."),
    preset: str = typer.Option(None, help="A named set of values instead of the table's own."),
    assignments: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Settings that all rows have."),
    device: str = typer.Option(None, help="auto, cpu, cuda or mps."),
    jobs: int = typer.Option(1, min=1, help="Processes; each gets its share of the cores, or one GPU."),
    out: Path = typer.Option(None, help="Folder; reproductions/PLUGIN_TABLE if not given."),
    dry_run: bool = typer.Option(False, help="Print the runs and the rows that stay as published."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Run the rows of a published table, and print published beside measured and whether its orders came out."""
    from mdx.config import parse_assignments

    request: dict[str, Any] = {
        "rows": words(rows), "seeds": seeds_of(seeds), "data": data, "preset": preset,
        "settings": parse_assignments(assignments), "device": device,
    }  # fmt: skip
    if dry_run:
        _print_plan(plugin, table, request, as_json)
        return
    from mdx.report.reproduction import reproduction_text
    from mdx.sweeps.reproduction import reproduce

    made = reproduce(plugin, table, **request, jobs=jobs, out=out)
    if as_json:
        typer.echo(json.dumps(made.facts, indent=1))
    else:
        typer.echo(reproduction_text(made.facts))
        typer.echo(f"\nnumbers: {made.directory / 'reproduction.csv'}")
        typer.echo(f"page: {made.directory / 'reproduction.html'}")
    made.sweep.raise_if_failed()


def _print_plan(plugin: str, table: str, request: dict[str, Any], as_json: bool) -> None:
    from mdx.sweeps.table import cells_of, distinct

    cells = cells_of(plugin, table, **request)
    runs = distinct(cells)
    for job in runs:
        job.plan()
    left: dict[str, list[str]] = {}
    for cell in cells:
        if cell.where is None and cell.name not in left.setdefault(cell.reason, []):
            left[cell.reason].append(cell.name)
    if as_json:
        facts = {"numbers": len(cells), "commands": [job.command for job in runs], "as_published": left}
        typer.echo(json.dumps(facts, indent=1))
        return
    for job in runs:
        typer.echo(f"run: {job.name}")
    for reason, names in left.items():
        typer.echo(f"as published: {', '.join(names)}: {reason}")
    typer.echo(f"{len(runs)} runs for {len(cells)} numbers; nothing was run (--dry-run)")

"""``mdx sweep``: pairs of sites, sites left out, seeds and variants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from mdx.cli import completing


def sweep_command(
    plugin: str = typer.Argument(help="Name of a plugin.", autocompletion=completing.plugins),
    data: str = typer.Option(None, "--data", metavar="URI", help="csv:cohort.csv, sim:brain, ..."),
    pairs: str = typer.Option(None, help="'all' ordered pairs of sites as source and target, or A:B,C:D."),
    leave_site_out: bool = typer.Option(
        False, "--leave-site-out", help="Each site in turn is the target of all others."
    ),
    seeds: str = typer.Option("1", help="How many (0, 1, ...), or which: 0,7,11."),
    variants: str = typer.Option(
        "", help="Names with commas, or 'all'; the default variant if not given.", autocompletion=completing.variants
    ),
    grid: list[str] = typer.Option([], "--grid", metavar="KEY=V1,V2", help="A setting and the values to try."),
    preset: str = typer.Option(None, help="A named set of values.", autocompletion=completing.presets),
    config: Path = typer.Option(None, help="A YAML file of settings."),
    assignments: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Settings that all runs have."),
    baselines: str = typer.Option(
        "none", help="Variants to run beside each run: names with commas; their scores are in the runs' reports."
    ),
    device: str = typer.Option(None, help="auto, cpu, cuda or mps."),
    precision: str = typer.Option(None, help="32-true or bf16-mixed."),
    jobs: int = typer.Option(1, min=1, help="Processes; each gets its share of the cores, or one GPU."),
    out: Path = typer.Option(None, help="Folder of the sweep; sweeps/PLUGIN_HASH if not given."),
    dry_run: bool = typer.Option(False, help="Print what would be run."),
    as_json: bool = typer.Option(False, "--json", help="Print the index as JSON."),
) -> None:
    """Run every combination; the same command again fills only what is missing."""
    from mdx.config import parse_assignments

    request: dict[str, Any] = {
        "preset": preset, "config": config, "settings": parse_assignments(assignments), "device": device,
        "precision": precision, "baselines": tuple(words(baselines)) if baselines != "none" else (),
    }  # fmt: skip
    varied: dict[str, Any] = {
        "variants": words(variants), "seeds": seeds_of(seeds), "pairs": pairs, "leave_site_out": leave_site_out,
        "grid": {key: words(values) for key, values in parse_assignments(grid).items()},
    }  # fmt: skip
    if dry_run:
        _print_plan(plugin, data, request, varied, out, as_json)
        return
    from mdx.report.sweep import read_sweep, sweep_text
    from mdx.sweeps.sweep import sweep

    result = sweep(plugin, data, **varied, **request, jobs=jobs, out=out)
    table = read_sweep(result.directory)
    if as_json:
        typer.echo(json.dumps(json.loads(table.index.to_json(orient="records")), indent=1))
    else:
        typer.echo(sweep_text(table))
        typer.echo(f"index: {result.directory / 'index.csv'}\npage: {result.directory / 'sweep.html'}")
    result.raise_if_failed()


def words(text: str) -> list[str]:
    """The parts of a text between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def seeds_of(text: str) -> list[int]:
    """``3`` as 0, 1, 2; ``0,7`` as these. Raises UsageError for anything else."""
    from mdx.errors import UsageError

    parts = words(text)
    if not parts or not all(p.isdigit() for p in parts) or (len(parts) == 1 and int(parts[0]) < 1):
        raise UsageError(
            f"--seeds '{text}' is neither a number of seeds nor a list", "such as --seeds 3 or --seeds 0,7"
        )
    return list(range(int(parts[0]))) if len(parts) == 1 and "," not in text else [int(p) for p in parts]


def _print_plan(
    plugin: str, data: str | None, request: dict[str, Any], varied: dict[str, Any], out: Path | None, as_json: bool
) -> None:
    from mdx.sweeps.jobs import Job, expand
    from mdx.sweeps.sweep import default_folder

    made = expand(Job(plugin, data, **request), **varied)
    for job in made:
        job.plan()
    folder = out or default_folder(made)
    if as_json:
        typer.echo(json.dumps({"out": str(folder), "commands": [job.command for job in made]}, indent=1))
        return
    for job in made:
        typer.echo(job.name)
    typer.echo(f"{len(made)} runs, in {folder}; nothing was run (--dry-run)")

"""``mdx compare``: methods of several runs on the same cases."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer


def compare_command(
    runs: list[str] = typer.Argument(
        help="Runs (with their baselines), folders of runs or of a sweep, each also as RUN:VARIANT."
    ),
    metric: str = typer.Option(None, help="Metrics of the runs' summaries, with commas; the main ones if not given."),
    reference: str = typer.Option(
        None, help="Compare every method with this one; the first baseline if not given, 'all' for all pairs."
    ),
    role: str = typer.Option(None, help="Lead with sites of this role; target, where there are target sites."),
    out: Path = typer.Option(Path("comparison"), help="Folder for the page and the tables."),
    as_json: bool = typer.Option(False, "--json", help="Print the comparison as JSON."),
) -> None:
    """Compare methods on the same cases: paired differences with intervals and tests, the order and how steady it is.

    Several seeds of a method are one method. Runs with different splits are refused. A sweep over pairs of sites is
    compared pair by pair, each with a page of its own, and then over the pairs.
    """
    from mdx.report.comparison import compare, over_pairs, write_comparison
    from mdx.report.comparison_text import comparison_text
    from mdx.report.methods import pairs_of

    metrics = [m.strip() for m in metric.split(",") if m.strip()] if metric else []
    pairs = pairs_of(runs)
    if pairs:
        made = {name: compare(of, metrics, reference, role) for name, of in pairs.items()}
        pages = {name: write_comparison(out / name.replace(" ", "_"), facts) for name, facts in made.items()}
        pooled = over_pairs(made)
        if as_json:
            typer.echo(json.dumps({"pairs": made, "over_pairs": pooled}, indent=1))
            return
        for name, facts in made.items():
            typer.echo(f"== {name}\n{comparison_text(facts, plain=True)}\npage: {pages[name]}\n")
        typer.echo(f"== over {len(made)} pairs (no interval: pairs share subjects)")
        for row in pooled:
            typer.echo(
                f"{row['method']}: {row['metric']} {row['mean']:.3f}, first in {row['first']} of {row['pairs']} pairs"
            )
        return
    facts = compare(runs, metrics, reference, role)
    page = write_comparison(out, facts)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    terminal = sys.stdout.isatty()
    text = comparison_text(facts, plain=not terminal)
    if terminal:
        from rich.console import Console

        Console().print(text)
    else:
        typer.echo(text)
    typer.echo(f"\ntables: {out / 'comparison.csv'}, {out / 'methods.csv'}\npage: {page}")

"""``mdx run`` and ``mdx resume``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mdx import console
from mdx.cli import completing

if TYPE_CHECKING:
    from mdx.workflow.execution import Result
    from mdx.workflow.planning import Plan


def run_command(
    plugin: str = typer.Argument(help="Name of a plugin; 'mdx list' shows them.", autocompletion=completing.plugins),
    data: list[str] = typer.Option([], "--data", metavar="[NAME=]URI", help="csv:cohort.csv, sim:brain, ..."),
    variant: str = typer.Option(
        None, help="A row of the paper's tables; 'mdx show PLUGIN' lists them.", autocompletion=completing.variants
    ),
    preset: str = typer.Option(
        None, help="A named set of values, such as demo or paper.", autocompletion=completing.presets
    ),
    config: Path = typer.Option(None, help="A YAML file of settings."),
    assignments: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="A setting; lists with commas; several KEY=VALUE may follow one --set."
    ),
    baselines: str = typer.Option(
        None, help="Variants to run beside it: names with commas, or 'none'.", autocompletion=completing.variants
    ),
    folds: int = typer.Option(
        None, metavar="K", help="K runs that test every subject once, and their pooled scores; 'apply' averages them."
    ),
    no_oracle: bool = typer.Option(
        False, "--no-oracle", help="Leave out baselines that train on labels of the target."
    ),
    init_from: Path = typer.Option(
        None, help="A network that you have: a run, net.safetensors, net.onnx, or (with --trust-code) net.pt."
    ),
    trust_code: bool = typer.Option(False, "--trust-code", help="Run TorchScript of somebody else's."),
    seed: int = typer.Option(0, min=0, help="Fixes every random number."),
    device: str = typer.Option(None, help="auto, cpu, cuda or mps."),
    precision: str = typer.Option(None, help="32-true or bf16-mixed."),
    deterministic: bool = typer.Option(
        False, "--deterministic", help="Only operations that give the same bits each time; an error names others."
    ),
    out: Path = typer.Option(Path("runs"), help="Folder of runs."),
    again: bool = typer.Option(False, help="Make a new run although an equal one exists."),
    dry_run: bool = typer.Option(False, help="Check settings and data, print the plan, run nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Train a method and its baselines on a table of scans, score them on the test cases and write a report."""
    from mdx.workflow.planning import make_plan

    trust(trust_code)

    chosen = None
    if baselines is not None:
        chosen = [] if baselines == "none" else [b.strip() for b in baselines.split(",") if b.strip()]
    plan = make_plan(
        plugin, variant=variant, preset=preset, data=data, config=config, assignments=assignments, seed=seed,
        device=device, precision=precision, baselines=chosen, init_from=init_from,
        oracle=not no_oracle, deterministic=deterministic,
    )  # fmt: skip
    if dry_run:
        _print_plan(_first_fold(plan, folds) if folds is not None else plan, out, as_json)
        return
    for note in plan.notes:
        console.note(f"note: {note}")
    if folds is not None:
        from mdx.sweeps.folds import run_folds

        _print_result(run_folds(plan, folds, out, again=again, command=sys.argv), as_json)
        return
    from mdx.workflow.execution import execute

    _print_result(execute(plan, out, again=again, command=sys.argv), as_json)


def resume_command(
    run: Path = typer.Argument(help="Directory of a run."),
    trust_code: bool = typer.Option(False, "--trust-code", help="Run TorchScript of somebody else's."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Go on with a run that was stopped or killed."""
    trust(trust_code)
    from mdx.workflow.execution import resume

    _print_result(resume(run), as_json)


def trust(code: bool) -> None:
    """Let code from outside run in this process and its children, if the user has said so on this command line."""
    if code:
        os.environ["MDX_TRUST_CODE"] = "1"


def _first_fold(plan: Plan, folds: int) -> Plan:
    """The plan of the first of some folds that can be run; says how many subjects each tests."""
    from mdx.sweeps.folds import looked_at, plans_of, sizes

    plans = plans_of(plan, folds)
    data, warnings = looked_at(plans)
    for site, tested in sizes(data).items():
        typer.echo(f"subjects of {site} that folds 0 to {folds - 1} test: {', '.join(map(str, tested))}", err=True)
    for sentence in warnings:
        typer.echo(f"warning: {sentence}", err=True)
    typer.echo("the plan of fold 0:", err=True)
    return plans[0]


def _print_plan(plan: Plan, out: Path, as_json: bool) -> None:
    from mdx.data.budgets import said
    from mdx.training.device import check_device
    from mdx.workflow.estimates import estimates
    from mdx.workflow.execution import open_data, own_network, require
    from mdx.workflow.identity import identity

    check_device(plan.settings.run)
    data = open_data(plan)
    require(plan, data)
    own_network(plan, data)  # raises where it does not fit
    known = estimates(plan, data, out)
    counts: dict[str, int] = {}
    for case in data.cases:
        key = f"{case.site} {case.split}"
        counts[key] = counts.get(key, 0) + 1
    facts: dict[str, Any] = {
        "plugin": plan.plugin.name, "variant": plan.variant_name, "baselines": list(plan.baselines),
        "preset": plan.preset, "data": plan.data, "cases": dict(sorted(counts.items())),
        "labelled": said(data, plan.settings.data) or "all",
        "target_labels": plan.target_labels, "init_from": plan.init_from, "out": str(out),
        "identity": identity(plan, data),
        "estimates": known.plain(), "settings": plan.settings.annotated(), "notes": list(plan.notes),
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(facts, indent=1, default=str))
        return
    for key in ("plugin", "variant", "baselines", "preset", "data", "cases", "labelled", "target_labels", "init_from",
                "identity", "notes"):  # fmt: skip
        typer.echo(f"{key}: {facts[key]}")
    for key, line in known.lines().items():
        typer.echo(f"{key}: {line}")
    for space, values in facts["settings"].items():
        for key, entry in values.items():
            typer.echo(f"  {space}.{key} = {entry['value']}   ({entry['from']})")
    typer.echo("nothing was run (--dry-run)")


def _print_result(result: Result, as_json: bool) -> None:
    from mdx.runs.folders import read_json
    from mdx.training.processes import rank_of_launch

    if rank_of_launch() > 0:
        return  # the first process prints for all
    if as_json:
        beside = sorted(result.directory.glob("baselines/*/summary.json"))
        summaries = {"main": read_json(result.directory / "summary.json")}
        summaries |= {path.parent.name: read_json(path) for path in beside}
        from mdx.files import plain
        from mdx.report.answer import answer_of
        from mdx.report.text import methods_of

        answer = answer_of(result.directory, methods_of(result.directory))
        facts = {"directory": str(result.directory), "found": result.found, "summary": summaries,
                 "answer": answer.values() if answer else None}  # fmt: skip
        typer.echo(json.dumps(plain(facts), indent=1))
        return
    from mdx.report.text import summary_table

    if result.found:
        typer.echo(f"this run exists and is finished (--again makes a new one): {result.directory}")
    _print_table(summary_table, result.directory)
    typer.echo(f"report: {result.report}")


def _print_table(summary_table: Any, directory: Path) -> None:
    terminal = sys.stdout.isatty()
    made = summary_table(directory, plain=not terminal)
    if terminal:
        from rich.console import Console

        Console().print(made)
    else:
        typer.echo(made)

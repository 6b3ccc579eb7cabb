"""``mdx apply``, ``mdx evaluate`` and ``mdx report``: what can be done with a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mdx import console
from mdx.cli.run import trust

if TYPE_CHECKING:
    from mdx.workflow.applying import Applied


def apply_command(
    run: Path = typer.Argument(help="Directory of a run."),
    files: list[str] = typer.Argument(
        help="Images, folders of them, patterns in quotes, tables, bids:FOLDER; the contrasts of one case with commas: "
        "t1.nii.gz,t2.nii.gz"
    ),
    out: Path = typer.Option(Path("predictions"), help="Folder for the predictions."),
    variant: str = typer.Option(None, help="A baseline of the run instead of its method."),
    site: str = typer.Option(None, help="The site of the files, for methods that have a part for each site."),
    reference: str = typer.Option(
        None, metavar="FILE[:SLICE]", help="An image, or a slice of it, whose look the files are given."
    ),
    probabilities: bool = typer.Option(False, "--probabilities", help="Write those of each class beside the mask."),
    device: str = typer.Option("auto", help="auto (that of the run, where it is there), cpu, cuda or mps."),
    trust_code: bool = typer.Option(False, "--trust-code", help="Run TorchScript of somebody else's."),
    force: bool = typer.Option(False, "--force", help="Replace files that are there; an input is never replaced."),
    as_json: bool = typer.Option(False, "--json", help="Print the written files as JSON."),
) -> None:
    """Apply a run to new files; predictions lie exactly on the files that were read.

    What is predicted is printed and stands in predictions.csv. A file that fails stops no other: exit code 4.
    """
    trust(trust_code)
    from mdx.errors import DataError
    from mdx.workflow.applying import apply_files

    done = apply_files(
        run, files, out, variant=variant, site=site, reference=reference, device=device, force=force,
        probabilities=probabilities, tell=None if as_json or console.level() == "quiet" else _tell,
    )  # fmt: skip
    if as_json:
        facts: dict[str, object] = {source: [str(p) for p in paths] for source, paths in done.written.items()}
        failed = {source: str(error) for source, error in done.failed.items()}
        typer.echo(json.dumps({**facts, **({"failed": failed} if failed else {})}, indent=1))
    elif done.written:
        typer.echo(f"{len(done.written)} predicted, in {out}")
    if done.failed:
        listed = "\n  ".join(f"{source}: {error}" for source, error in done.failed.items())
        raise DataError(
            f"{len(done.failed)} of {len(done.failed) + len(done.written)} could not be predicted:\n  {listed}",
            "the others are done; correct these and give them again",
        )


def _tell(name: str, done: Applied, left: int) -> None:
    """A line as soon as a case is done."""
    to_go = f"   ({left} left)" if left else ""
    if name in done.failed:
        typer.echo(f"{name} failed{to_go}")
        return
    facts = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in done.rows[-1].items() if k != "file"}
    words = ", ".join(f"{k} {v}" for k, v in facts.items())
    where = f" -> {', '.join(map(str, done.written[name]))}" if done.written[name] else ""
    typer.echo(f"{name}{where}{f': {words}' if words else ''}{to_go}")


def evaluate_command(
    run: Path = typer.Argument(help="Directory of a run."),
    data: str = typer.Option(None, metavar="URI", help="Labelled cases; the run's own test cases if not given."),
    out: Path = typer.Option(None, help="Folder for scores.csv and summary.json; RUN/evaluations/NAME if not given."),
    variant: str = typer.Option(None, help="A baseline of the run instead of its method."),
    device: str = typer.Option("auto", help="auto (that of the run, where it is there), cpu, cuda or mps."),
    trust_code: bool = typer.Option(False, "--trust-code", help="Run TorchScript of somebody else's."),
    force: bool = typer.Option(False, "--force", help="Replace scores of other data that are there."),
    as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
) -> None:
    """Score a finished run on labelled cases: all of a table, or its test split where it has one."""
    trust(trust_code)
    from mdx.workflow.evaluating import evaluate_run

    folder, summary = evaluate_run(run, data, out, variant=variant, device=device, force=force)
    if as_json:
        typer.echo(json.dumps(summary, indent=1))
        return
    wide = {key: max(len(str(row[key])) for row in summary) + 2 for key in ("metric", "group")}
    for row in summary:
        interval = f"[{row['low']:.3f}, {row['high']:.3f}]" if row["low"] is not None else ""
        name = f"{row['metric']:<{wide['metric']}}{row['group']:<{wide['group']}}"
        typer.echo(f"{name}{_number(row['mean'])} {interval} n={row['n_subjects']}")
    typer.echo(f"scores: {folder / 'scores.csv'}")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def report_command(run: Path = typer.Argument(help="Directory of a run.")) -> None:
    """Write a run's report.html again from its files."""
    from mdx.report.run import write_report
    from mdx.runs.folders import find_run

    typer.echo(str(write_report(find_run(run))))

"""``mdx data prepare``: raw MR scans of the head made fit for the methods that assume it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from mdx.errors import DataError


def prepare_command(
    data: str = typer.Argument(help="A table, or an address such as bids:/study.", metavar="URI"),
    out: Path = typer.Option(..., help="The folder for images, masks, transforms, table.csv and qc.html."),
    steps: str = typer.Option("n4,register,mask,intensity", metavar="LIST", help="Which steps are carried out."),
    register: str = typer.Option("affine", metavar="HOW", help="To the template: none, rigid or affine."),
    spacing: str = typer.Option("1", metavar="MM", help="Edge of the voxels; 'own' keeps a scan's (not registered)."),
    mask: str = typer.Option("simple", metavar="HOW", help="simple, none, or a column that names brain masks."),
    intensity: str = typer.Option("percentiles", metavar="HOW", help="percentiles (0 to 1), wm-peak (1) or none."),
    template: Path = typer.Option(None, metavar="PATH", help="A skull-stripped T1 instead of ICBM152."),
    jobs: int = typer.Option(1, min=1, metavar="N", help="Processes; each takes some 2 GB."),
    assignments: list[str] = typer.Option(
        None, "--set", metavar="KEY=VALUE", help="data.image=t1,flair names columns."
    ),
) -> None:
    """Correct, register, mask and scale MR scans of the head; exit code 4 if a case failed.

    A command that was stopped goes on when it is given again. Look at qc.html before you use the results.
    """
    from mdx.config import Settings, parse_assignments, resolve
    from mdx.data.config import DataConfig
    from mdx.errors import DataError
    from mdx_prepare.cohort import open_cases, prepare_cohort
    from mdx_prepare.config import PrepareConfig

    config = PrepareConfig(
        tuple(s.strip() for s in steps.split(",") if s.strip()), register, _spacing(spacing), mask, intensity, template
    )
    cases, folder = open_cases(
        data, resolve([("--set", parse_assignments(assignments or []))], Settings, DataConfig).data
    )
    prepared = prepare_cohort(cases, folder, config, out, jobs, _say)
    if prepared.kept:
        typer.echo(f"{prepared.kept} case(s) were prepared before")
    reasons: dict[str, list[str]] = {}
    for name, reason in prepared.again.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        typer.echo(f"prepared again: {', '.join(names[:3])}{more}: {reason}")
    for name, error in prepared.failed.items():
        typer.echo(f"failed: {name}: {error.where}: {error.what}" if error.where else f"failed: {name}: {error.what}")
        typer.echo(f"  -> {error.remedy}")
    suspicious = sum(bool(record["suspicions"]) for record in prepared.records.values())
    typer.echo(
        f"{len(prepared.records)} of {len(cases)} cases prepared, {len(prepared.failed)} failed, "
        f"{suspicious} to look at: {out / 'qc.html'}"
    )
    if prepared.records:
        typer.echo(f"next: mdx data check {out / 'table.csv'}")
    if prepared.failed:
        raise typer.Exit(DataError.exit_code)


def _spacing(text: str) -> float | None:
    from mdx.errors import UsageError
    from mdx_prepare.config import OWN_SPACING

    if text == OWN_SPACING:
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--spacing '{text}' is no length in mm", f"give a number, or '{OWN_SPACING}'") from None


def _say(name: str, result: dict[str, Any] | DataError, left: int) -> None:
    rest = f"{left} left" if left else "last"
    if not isinstance(result, dict):
        typer.echo(f"{name}: failed ({rest})")
        return
    parts = [f"{result['seconds']['all']:.0f} s"]
    if "registration" in result:
        parts.append(f"template explains {result['registration']['correlation_ratio']:.2f}")
    if "brain" in result:
        parts.append(f"brain {result['brain']['ml']:.0f} ml")
    typer.echo(f"{name}: {', '.join(parts)} ({rest})")
    for sentence in result["suspicions"]:
        typer.echo(f"  look at it: {sentence}")

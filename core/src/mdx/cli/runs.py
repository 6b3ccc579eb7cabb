"""``mdx runs``: what lies in a folder of runs."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import typer


def runs_command(
    folder: Path = typer.Argument(Path("runs"), help="A folder of runs, or of a sweep."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the runs in a folder: what was run, how far it is, and its main score."""
    from mdx.errors import UsageError

    if not folder.is_dir():
        raise UsageError("is no folder", "give the folder that was --out of the runs", folder)
    inside = folder / "runs" if (folder / "sweep.json").exists() else folder
    found = [run_row(path) for path in sorted(inside.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    if not found:
        typer.echo(f"there is no run in {folder}")
        return
    heads = ["run", "variant", "sites", "seed", "state", "score", "age"]
    rows = [heads, *[[str(row[head]) for head in heads] for row in found]]
    widths = [max(len(r[i]) for r in rows) for i in range(len(heads))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def run_row(directory: Path) -> dict[str, Any]:
    """What one line says of a run; a directory that cannot be read is listed with the reason."""
    row: dict[str, Any] = dict.fromkeys(("variant", "sites", "seed", "state", "score", "age"), "")
    row["run"] = directory.name
    try:
        facts = json.loads((directory / "provenance.json").read_text(encoding="utf-8"))
        status = directory / "status.json"
        state = json.loads(status.read_text(encoding="utf-8")) if status.exists() else {}
        row |= {"variant": f"{facts['plugin']}/{facts['variant']}", "seed": facts["seed"], "sites": _sites(directory)}
        row |= {"state": _state(directory, state), "age": _age(facts["started"])}
        summary = directory / "summary.json"
        if summary.exists():
            row["score"] = _score(json.loads(summary.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        row["state"] = f"not readable ({type(error).__name__}: {error})"
    return row


def _state(directory: Path, state: dict[str, Any]) -> str:
    """``done``, ``running``, ``stopped``, ``failed: why``; a run whose process has gone is ``killed``."""
    if (directory / "done").exists():
        return "done"
    if state.get("state") == "failed":
        return f"failed: {state.get('error', '')}"
    if state.get("state") == "stopped":
        return "stopped, mdx resume goes on"
    return "running" if _held(directory) else "killed, mdx resume goes on"


def _age(started: str) -> str:
    """The time since the start of a run, in its largest unit: ``3 h``."""
    seconds = int((datetime.now().astimezone() - datetime.fromisoformat(started)).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _held(directory: Path) -> bool:
    """Whether a process holds the run's lock."""
    import fcntl

    try:
        handle = os.open(directory / ".lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _sites(directory: Path) -> str:
    import csv

    with (directory / "splits.csv").open(encoding="utf-8", newline="") as file:
        roles = {row["site"]: row["role"] for row in csv.DictReader(file)}
    parts = [",".join(s for s, r in roles.items() if r == role) for role in ("source", "target")]
    return " to ".join(p for p in parts if p) or ",".join(roles)


def _score(summary: list[dict[str, Any]]) -> str:
    """The main metric, at the targets where there are some."""
    main = ("surface_dice", "dice", "accuracy", "absolute_error")
    metrics = [row["metric"] for row in summary]
    metric = next((m for m in main if m in metrics), metrics[0] if metrics else None)
    of = {row["group"]: row["mean"] for row in summary if row["metric"] == metric}
    value = of.get("role=target", of.get("all"))
    return f"{metric} {value:.3f}" if value is not None else ""

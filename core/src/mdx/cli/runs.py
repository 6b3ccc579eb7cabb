"""``mdx runs``: what lies in a folder of runs."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from mdx.runs.folders import is_done, read_json, read_splits

WIDEST_STATE = 60


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
    rows = [["run", "variant", "sites", "seed", "state", "score", "age"], *map(_in_words, found)]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def run_row(directory: Path) -> dict[str, Any]:
    """What is known of a run, in numbers and texts for programs; one that cannot be read is listed with the reason.

    Returns:
        ``run``, ``path``, ``plugin``, ``variant``, ``sites`` by role, ``seed``, ``state`` (done, running, stopped,
        killed, failed, not readable), ``error``, ``metric`` and ``score``, ``started`` and ``age_s``.
    """
    from mdx.errors import DataError

    row: dict[str, Any] = {
        "run": directory.name, "path": str(directory.resolve()), "plugin": None, "variant": None, "sites": {},
        "seed": None, "state": None, "error": None, "metric": None, "score": None, "started": None, "age_s": None,
    }  # fmt: skip
    try:
        facts = read_json(directory / "provenance.json")
        row |= {key: facts[key] for key in ("plugin", "variant", "seed")} | {"started": facts.get("started")}
        row["age_s"] = _age_s(facts.get("started"))
        status = directory / "status.json"
        row |= _state(directory, read_json(status) if status.exists() else {})
        row["sites"] = _sites(directory)
        summary = directory / "summary.json"
        if summary.exists():
            row["metric"], row["score"] = _score(read_json(summary))
    except DataError as error:
        row |= {"state": "not readable", "error": f"{Path(str(error.where)).name} {error.what}"}
    except Exception as error:  # whatever is in one folder, the others are listed
        row |= {"state": "not readable", "error": f"{type(error).__name__}: {error}"}
    return row


def _in_words(row: dict[str, Any]) -> list[str]:
    sites = " to ".join(",".join(row["sites"][role]) for role in ("source", "target") if row["sites"].get(role))
    state = str(row["state"])
    if state in ("stopped", "killed"):
        state += ", mdx resume goes on"
    if row["error"]:
        state += f": {row['error']}"
    return [
        row["run"],
        f"{row['plugin']}/{row['variant']}" if row["plugin"] else "",
        sites or ",".join(site for found in row["sites"].values() for site in found),
        "" if row["seed"] is None else str(row["seed"]),
        state if len(state) <= WIDEST_STATE else f"{state[: WIDEST_STATE - 3]}...",
        "" if row["score"] is None else f"{row['metric']} {row['score']:.3f}",
        "" if row["age_s"] is None else _age(row["age_s"]),
    ]


def _state(directory: Path, state: dict[str, Any]) -> dict[str, Any]:
    """A run whose process has gone without a word is ``killed``."""
    if is_done(directory):
        return {"state": "done"}
    if state.get("state") == "failed":
        return {"state": "failed", "error": state.get("error") or None}
    if state.get("state") == "stopped":
        return {"state": "stopped"}
    return {"state": "running" if _held(directory) else "killed"}


def _age_s(started: Any) -> int | None:
    """Seconds since the start of a run; None where it is not known, or later than this machine's clock."""
    try:
        seconds = int((datetime.now().astimezone() - datetime.fromisoformat(started)).total_seconds())
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None


def _age(seconds: int) -> str:
    """A time in its largest unit: ``3 h``."""
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


def _sites(directory: Path) -> dict[str, list[str]]:
    """The sites of each role."""
    table = read_splits(directory)
    found: dict[str, list[str]] = {}
    for site, role in dict(zip(table["site"], table["role"], strict=True)).items():
        found.setdefault(role, []).append(site)
    return found


def _score(summary: list[dict[str, Any]]) -> tuple[str | None, float | None]:
    """The main metric, at the targets where there are some."""
    main = ("surface_dice", "dice", "accuracy", "absolute_error")
    metrics = [row["metric"] for row in summary]
    metric = next((m for m in main if m in metrics), metrics[0] if metrics else None)
    of = {row["group"]: row["mean"] for row in summary if row["metric"] == metric}
    return metric, of.get("role=target", of.get("all"))

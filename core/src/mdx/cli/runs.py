"""``mdx runs``: what lies in a folder of runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from mdx.progress.heartbeat import STUCK_S, read_heartbeat
from mdx.runs.folders import is_done, is_run, read_json, read_splits

NARROWEST_SITES = 8
WIDEST_LINE = 100
WATCH_S = 2.0
HEADS = ("run", "variant", "sites", "seed", "state", "score", "age")
Row = dict[str, Any]


def runs_command(
    folder: Path = typer.Argument(Path("runs"), help="A folder of runs, or of a sweep."),
    watch: bool = typer.Option(False, "--watch", help="Look again every 2 seconds until Ctrl-C."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON: numbers and paths."),
) -> None:
    """List the runs in a folder: what was run, how far it is, and its main score."""
    from mdx.errors import UsageError

    if not folder.is_dir():
        raise UsageError("is no folder", "give the folder that was --out of the runs", folder)
    if watch and as_json:
        raise UsageError("--watch and --json do not go together", "ask for --json again and again")
    if watch:
        _watch(folder)
        return
    found = rows_of(folder)
    if as_json:
        typer.echo(json.dumps([{**row, "scores": _scores(Path(row["path"]))} for row in found], indent=1))
        return
    for line in _table(found) if found else [f"there is no run in {folder}"]:
        typer.echo(line)


def rows_of(folder: Path) -> list[Row]:
    """A row for each run in a folder, or in that of a sweep; see ``run_row``."""
    inside = folder / "runs" if (folder / "sweep.json").exists() else folder
    return [run_row(path) for path in sorted(inside.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _watch(folder: Path) -> None:
    """The table, drawn anew on a terminal; in a pipe a line whenever a run is at something else. Ends with Ctrl-C."""
    said: dict[str, list[str]] = {}
    terminal = sys.stdout.isatty()
    try:
        while True:
            found = rows_of(folder)
            if terminal:
                typer.echo("\033[H\033[J" + "\n".join([*_table(found), "", "Ctrl-C leaves; the runs go on"]))
            for row in [] if terminal else found:
                at = row["progress"]["line"] if row["state"] == "running" and row["progress"] else row["error"]
                words = [row["run"], str(row["state"]), at or "", _score_in_words(row)]
                if said.get(row["run"]) != words:
                    said[row["run"]] = words
                    typer.echo("  ".join(filter(None, words)))
            time.sleep(WATCH_S)
    except KeyboardInterrupt:
        return


def run_row(directory: Path) -> Row:
    """What is known of a run, in numbers and texts for programs; one that cannot be read is listed with the reason.

    Returns:
        ``run``, ``path`` (absolute) and ``relative_path`` (from here), ``plugin``, ``variant``, ``sites`` by role,
        ``seed``, ``state`` (done, running, stopped, killed, failed, not readable), ``error``, ``metric`` and ``score``
        (the main one), ``started`` (ISO 8601), ``age_seconds`` and, of a run that is not done, ``progress``: its last
        sign, as ``progress.json`` has it, and ``silent_seconds`` since then.
    """
    from mdx.errors import DataError

    row: Row = {
        "run": directory.name, "path": str(directory.resolve()), "relative_path": os.path.relpath(directory),
        "plugin": None, "variant": None, "sites": {}, "seed": None, "state": None, "error": None, "metric": None,
        "score": None, "started": None, "age_seconds": None, "progress": None, "silent_seconds": None,
    }  # fmt: skip
    try:
        if not is_run(directory) and _held(directory):
            return row | {"state": "running"}  # it has just begun
        facts = read_json(directory / "provenance.json")
        row |= {key: facts[key] for key in ("plugin", "variant", "seed")} | {"started": facts.get("started")}
        row["age_seconds"] = _age_s(facts.get("started"))
        status = directory / "status.json"
        row |= _state(directory, read_json(status) if status.exists() else {})
        sign = read_heartbeat(directory) if row["state"] != "done" else None
        if sign is not None:
            row["progress"], row["silent_seconds"] = sign[0], round(sign[1])
        row["sites"] = _sites(directory)
        summary = directory / "summary.json"
        if summary.exists():
            row["metric"], row["score"] = _score(read_json(summary))
    except DataError as error:
        row |= {"state": "not readable", "error": f"{Path(str(error.where)).name} {error.what}"}
    except Exception as error:  # whatever is in one folder, the others are listed
        row |= {"state": "not readable", "error": f"{type(error).__name__}: {error}"}
    return row


def _scores(directory: Path) -> dict[str, dict[str, dict[str, float | None]]]:
    """Means by method, metric and group of cases (``site=A``, ``role=target``, ``all``); what is scored so far."""
    from mdx.errors import DataError
    from mdx.report.text import methods_of

    made: dict[str, dict[str, dict[str, float | None]]] = {}
    try:
        for method in methods_of(directory):
            for row in method.summary:
                made.setdefault(method.name, {}).setdefault(row["metric"], {})[row["group"]] = row["mean"]
    except DataError:  # the row says why the run cannot be read
        return {}
    return made


def _table(found: list[Row]) -> list[str]:
    """Lines of equal columns, no wider than the terminal, and under a run what there is to say of it."""
    rows = [list(HEADS), *map(_in_words, found)]
    width = min(shutil.get_terminal_size((WIDEST_LINE, 24)).columns, WIDEST_LINE)
    sites = HEADS.index("sites")
    others = sum(max(len(row[i]) for row in rows) + 2 for i in range(len(HEADS)) if i != sites)
    for row in rows:
        row[sites] = _cut(row[sites], max(NARROWEST_SITES, width - others))
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    below = [[f"    {_cut(more, width - 4)}"] if (more := _more(row)) else [] for row in found]
    return [lines[0], *(line for own, more in zip(lines[1:], below, strict=True) for line in (own, *more))]


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def _in_words(row: Row) -> list[str]:
    sites = " to ".join(",".join(row["sites"][role]) for role in ("source", "target") if row["sites"].get(role))
    return [
        row["run"],
        f"{row['plugin']}/{row['variant']}" if row["plugin"] else "",
        sites,
        "" if row["seed"] is None else str(row["seed"]),
        str(row["state"]),
        _score_in_words(row),
        "" if row["age_seconds"] is None else _age(row["age_seconds"]),
    ]


def _more(row: Row) -> str:
    """What a running run is at and since when, how an unfinished one goes on, and why one failed."""
    at, silent = row["progress"]["line"] if row["progress"] else "", row["silent_seconds"]
    if row["state"] == "running" and silent is not None:
        stuck = "seems stuck, " if silent > STUCK_S else ""
        return f"{at} ({stuck}last sign {_age(silent)} ago)".strip()
    if row["state"] in ("stopped", "killed"):
        return f"go on with: mdx resume {row['relative_path']}{f'; it was at {at}' if at else ''}"
    return row["error"] or ""


def _score_in_words(row: Row) -> str:
    return "" if row["score"] is None else f"{row['metric']} {row['score']:.3f}"


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

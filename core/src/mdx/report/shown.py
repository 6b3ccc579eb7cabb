"""What methods have the report show, and their scores after each stage of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mdx.errors import DataError
from mdx.evaluation.statistics import GROUP
from mdx.report import figures
from mdx.report.pages import data_uri
from mdx.report.text import Method
from mdx.runs.folders import AGAIN
from mdx.runs.journal import rows_of
from mdx.runs.shown import FILE, read_shown

TABLE_POINTS = 12
"""A curve of no more points stands in a table too."""
FACTS = ("stage", "task", "case", "subject", "site", "split", "role")


def shown_sections(methods: Sequence[Method]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(title, entries): what the method and its baselines show under a title, each ready to be put on the page."""
    made: dict[str, list[dict[str, Any]]] = {}
    for method in methods:
        with _whole(method.directory):
            for entry in read_shown(method.directory):
                made.setdefault(entry["title"], []).append({"method": method.name, **_ready(entry, method.directory)})
    return list(made.items())


@contextmanager
def _whole(directory: Path) -> Iterator[None]:
    """Raise DataError for entries that are none."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"is damaged ({type(error).__name__}: {error})", AGAIN, directory / FILE) from error


def tables_shown(directory: Path) -> list[dict[str, Any]]:
    """``title``, ``text`` and ``rows`` of the tables that the method of one directory shows."""
    with _whole(directory):
        tables = [entry for entry in read_shown(directory) if entry["kind"] == "table"]
        return [{"title": t["title"], "text": t["text"], "rows": [dict(row) for row in t["rows"]]} for t in tables]


def tables_of_methods(methods: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(title, entries) of the tables that the methods of a comparison show, each at its first seed."""
    made: dict[str, list[dict[str, Any]]] = {}
    for method in methods:
        for table in method["tables"]:
            entry = {
                "method": method["name"],
                "seeds": method["seeds"],
                "text": table["text"],
                **as_text(table["rows"]),
            }
            made.setdefault(table["title"], []).append(entry)
    return list(made.items())


def as_text(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``heads`` and ``rows`` of texts, with a column for every key."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    return {"heads": heads, "rows": numbers([[row.get(key) for key in heads] for row in rows]), "marks": []}


def _ready(entry: dict[str, Any], directory: Path) -> dict[str, Any]:
    """An entry with its drawing, its pictures, and its table as texts; ``marks`` are the chosen columns of its rows."""
    made = {"text": entry["text"], "drawing": "", "pictures": {}, "heads": [], "rows": [], "marks": []}
    if entry["kind"] == "table":
        return made | as_text(entry["rows"])
    if entry["kind"] == "picture":
        files = {caption: directory / file for caption, file in entry["files"].items()}
        return made | {"pictures": {c: data_uri(f.read_bytes(), "png") for c, f in files.items() if f.exists()}}
    x, series, chosen = entry["x"], entry["series"], entry["chosen"]
    made["drawing"] = figures.panels(x, series, chosen, entry["x_name"], entry["y_name"], entry["title"])
    if len(x) > TABLE_POINTS:
        return made
    rows = [[name, *cells] for name, cells in zip(series, numbers(series.values()), strict=True)]
    marks = [x.index(chosen[name]) + 1 if chosen.get(name) in x else 0 for name in series]
    return made | {"heads": [entry["x_name"], *(f"{value:g}" for value in x)], "rows": rows, "marks": marks}


def numbers(rows: Iterable[Sequence[Any]]) -> list[list[str]]:
    """Cells as texts: whole numbers as they are, others with three decimals or four digits."""
    return [[_text(cell) for cell in row] for row in rows]


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}" if 0.01 <= abs(cell) < 10 or cell == 0 else f"{cell:.4g}"
    return str(cell)


def stage_matrices(methods: Sequence[Method], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """For each method that was scored while it trained: stages by tasks, with the mean of the main score.

    Args:
        metrics: the main scores, best known first; the first that cases have is taken.
    """
    made = []
    for method in methods:
        path = method.directory / "evaluations.jsonl"
        rows = [row for row in rows_of(path) if isinstance(row, dict) and {"stage", "task"} <= row.keys()]
        scores = [
            name
            for name in dict.fromkeys(key for row in rows for key in row)
            if name not in FACTS and not name.startswith(GROUP)
        ]
        metric = next((name for name in (*metrics, *scores) if name in scores), None)
        if metric is None:
            continue
        stages, tasks = ([*dict.fromkeys(row[key] for row in rows)] for key in ("stage", "task"))
        cells: dict[tuple[str, str], list[float]] = {}
        for row in rows:
            if row.get(metric) is not None:
                cells.setdefault((row["stage"], row["task"]), []).append(row[metric])
        means = {place: sum(values) / len(values) for place, values in cells.items()}
        lines = numbers([[means.get((stage, task)) for task in tasks] for stage in stages])
        made.append({
            "method": method.name, "metric": metric, "tasks": tasks, "rows": list(zip(stages, lines, strict=True)),
        })  # fmt: skip
    return made

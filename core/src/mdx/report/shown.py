"""What methods have the report show, and their scores after each stage of training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mdx.report import figures
from mdx.report.text import Method
from mdx.runs.journal import rows_of
from mdx.runs.shown import read_shown

TABLE_POINTS = 12
"""A curve of no more points stands in a table too."""
FACTS = ("stage", "task", "case", "subject", "site", "split", "role")


def shown_sections(methods: Sequence[Method]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(title, entries): what the method and its baselines show under a title, each ready to be put on the page."""
    made: dict[str, list[dict[str, Any]]] = {}
    for method in methods:
        for entry in read_shown(method.directory):
            made.setdefault(entry["title"], []).append({"method": method.name, **_ready(entry, method.directory)})
    return list(made.items())


def _ready(entry: dict[str, Any], directory: Path) -> dict[str, Any]:
    """An entry with its drawing, its pictures, and its table as texts with whether each is the chosen one."""
    entry = {"drawing": "", "pictures": {}, "heads": [], "rows": [], **entry}
    if entry["kind"] == "table":
        heads = list(dict.fromkeys(key for row in entry["rows"] for key in row))
        rows = numbers([[row.get(key) for key in heads] for row in entry["rows"]])
        return {**entry, "heads": heads, "rows": [[(cell, False) for cell in row] for row in rows]}
    if entry["kind"] == "curve":
        x, series, chosen = entry["x"], entry["series"], entry["chosen"]
        drawing = figures.panels(x, series, chosen, entry["x_name"], entry["y_name"], entry["title"])
        rows = zip(series, numbers(list(series.values())), strict=True) if len(x) <= TABLE_POINTS else ()
        return {
            **entry, "drawing": drawing, "heads": [entry["x_name"], *(f"{value:g}" for value in x)],
            "rows": [[(name, False), *((cell, at == chosen.get(name)) for cell, at in zip(cells, x, strict=True))]
                     for name, cells in rows],
        }  # fmt: skip
    pictures = {caption: directory / file for caption, file in entry["files"].items()}
    return {**entry, "pictures": {c: figures.png_uri(p.read_bytes()) for c, p in pictures.items() if p.exists()}}


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
        rows = rows_of(method.directory / "evaluations.jsonl")
        scores = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in FACTS]
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

"""The comparison of a run's method with its baselines, as rows and as the text that ``mdx run`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdx.runs.folders import read_json, read_splits

MAIN_METRICS = ("surface_dice", "dice", "accuracy", "kappa", "f1", "ap50", "auroc", "absolute_error", "ssim", "psnr")
READS_TARGET = "* trained on labels of the target: what could be reached, not a competitor"
ORDER = {"target": 0, "source": 2}
"""What is asked for comes first: the target sites, then those without a role, then the sources."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """A run or a baseline of it: its variant, its directory, what it read of the target, and its summary rows."""

    name: str
    directory: Path
    target_labels: str
    summary: list[Row]

    def row(self, metric: str, group: str) -> Row | None:
        """The row of one metric and group; None if it was not measured."""
        return next((r for r in self.summary if r["metric"] == metric and r["group"] == group), None)

    def worst(self, metric: str, column: str = "site") -> tuple[str, Row] | None:
        """The worst site, or value of another column that groups the cases, and its row; None where there is one."""
        start = f"worst {column} ("
        rows = (r for r in self.summary if r["metric"] == metric and r["group"].startswith(start))
        return next(((r["group"][len(start) : -1], r) for r in rows), None)


@dataclass(frozen=True)
class Comparison:
    """One metric: sites as columns, methods as rows.

    Attributes:
        sites: names of the columns: sites, or the values of ``column``, which groups the cases.
        captions: role and number of subjects of each site.
        rows: (method, summary row of each site); None where a method was not scored at a site.
        undefined: sites left out because no method has a score there: kappa where all cases are of one class.
    """

    metric: str
    sites: list[str]
    captions: list[str]
    rows: list[tuple[Method, list[Row | None]]]
    undefined: list[str]
    column: str = "site"


def methods_of(directory: Path) -> list[Method]:
    """The run's method and those of its baselines that have been scored, the method first."""
    beside = [directory / "baselines" / name for name in read_json(directory / "provenance.json")["baselines"]]
    scored = [folder for folder in (directory, *beside) if (folder / "summary.json").exists()]
    return [
        Method(facts["variant"], folder, facts["target_labels"], read_json(folder / "summary.json"))
        for folder, facts in ((folder, read_json(folder / "provenance.json")) for folder in scored)
    ]


def site_roles(directory: Path) -> dict[str, str]:
    """Role of each site, from splits.csv; targets first, sources last."""
    table = read_splits(directory)
    roles = dict(zip(table["site"], table["role"], strict=True))
    return dict(sorted(roles.items(), key=lambda item: (ORDER.get(item[1], 1), item[0])))


def compare_sites(directory: Path, methods: list[Method], metric: str) -> Comparison:
    """The rows of ``metric`` by site, targets first, before the sites of a role their rows together.

    All cases if no site has a score.
    """
    roles = site_roles(directory)
    named = {role: list(roles.values()).count(role) for role in roles.values() if role}
    groups: dict[str, str] = {}
    for site, role in roles.items():
        if named.get(role, 0) > 1 and len(named) > 1:
            groups.setdefault(f"{role} sites", f"role={role}")
        groups[site] = f"site={site}"
    rows_of = {name: [m.row(metric, g) for m in methods] for name, g in groups.items()}
    scored = {name: any(r and r["mean"] is not None for r in found) for name, found in rows_of.items()}
    measured = {name: g for name, g in groups.items() if scored[name]} or {"all": "all"}
    undefined = [name for name, found in rows_of.items() if any(found) and not scored[name]]
    rows = [(m, [m.row(metric, group) for group in measured.values()]) for m in methods]
    captions = [f"{roles[n]}, {c}" if roles.get(n) else c for n, c in zip(measured, _subjects(rows), strict=True)]
    return Comparison(metric, list(measured), captions, rows, undefined)


def compare_groups(methods: list[Method], metric: str) -> list[Comparison]:
    """The rows of ``metric`` by the values of each column that groups the cases (``data.groups``)."""
    found: dict[str, list[str]] = {}
    for row in methods[0].summary:
        column, equals, value = row["group"].partition("=")
        if equals and row["metric"] == metric and column not in ("role", "site") and not column.startswith("worst "):
            found.setdefault(column, []).append(value)
    made = []
    for column, values in found.items():
        rows = [(m, [m.row(metric, f"{column}={value}") for value in values]) for m in methods]
        made.append(Comparison(metric, values, _subjects(rows), rows, [], column))
    return made


def _subjects(rows: list[tuple[Method, list[Row | None]]]) -> list[str]:
    """The subjects of each column."""
    columns = zip(*(found for _, found in rows), strict=True)
    return [f"n={max(row['n_subjects'] for row in column if row)}" for column in columns]


def reading_target(methods: list[Method]) -> set[str]:
    """The methods to be set apart since they train on labels of the target: none where the run's own method does."""
    if not methods or methods[0].target_labels == "train":
        return set()
    return {m.name for m in methods if m.target_labels == "train"}


def metrics_shown(methods: list[Method]) -> list[str]:
    """The main metrics that were measured; the first one there is, where none of them was."""
    measured = list(dict.fromkeys(row["metric"] for row in methods[0].summary)) if methods else []
    return [m for m in MAIN_METRICS if m in measured] or measured[:1]


def key_words(keys: Mapping[str, str]) -> str:
    """The values of a published table's key columns in one line; a bare number follows the name of its column."""
    named = (f"{k.replace('_', ' ')} {v}" if v.replace(".", "", 1).isdigit() else v for k, v in keys.items())
    return " / ".join(named)


def metric_words(metric: str) -> str:
    """A metric as it is written in a sentence: ``surface dice``, ``AUROC``."""
    first, _, rest = metric.partition("_")
    if first in ("auroc", "ece", "f1", "ap", "ap50", "ssim", "psnr", "hd95"):
        return f"{first.upper()} {rest.replace('_', ' ')}".strip()
    return metric.replace("_", " ")


def interval(row: Row | None) -> str:
    """``0.812 [0.790, 0.834]``; a dash where nothing was measured."""
    if row is None or row["mean"] is None:
        return "-"
    return f"{row['mean']:.3f}" + (f" [{row['low']:.3f}, {row['high']:.3f}]" if row["low"] is not None else "")


def summary_table(directory: Path, plain: bool = True) -> Any:
    """Methods by site: mean and 95 % interval of the main metrics, as aligned text or as rich tables."""
    methods = methods_of(directory)
    starred = reading_target(methods)
    marks = {m.name: "*" if m.name in starred else "" for m in methods}
    blocks = []
    for metric in metrics_shown(methods):
        c = compare_sites(directory, methods, metric)
        heads = [f"{site} ({caption})" for site, caption in zip(c.sites, c.captions, strict=True)]
        rows = [[m.name + marks[m.name], *map(interval, found)] for m, found in c.rows]
        blocks.append((metric, ["method", *heads], rows))
    from mdx.report.alarms import alarms, undefined
    from mdx.report.answer import answer_of

    answer = answer_of(directory, methods)
    foot = [answer.text] if answer else []
    foot += [READS_TARGET] if any(marks.values()) else []
    foot += [f"note: {sentence}" for sentence in undefined(methods)]
    foot += [f"ATTENTION: {sentence}" for sentence in alarms(directory, methods)]
    return "\n\n".join(_plain(*b) for b in blocks) + "".join(f"\n{f}" for f in foot) if plain else _rich(blocks, foot)


def _plain(title: str, heads: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(r[i]) for r in [heads, *rows]) for i in range(len(heads))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in [heads, *rows]]
    return "\n".join([f"{title}, test cases: mean [95 % interval over subjects]", *lines])


def _rich(blocks: list[tuple[str, list[str], list[list[str]]]], foot: list[str]) -> Any:
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    tables = []
    for title, heads, rows in blocks:
        table = Table(
            *map(escape, heads),
            title=escape(f"{title}, test cases: mean [95 % interval over subjects]"),
            title_justify="left",
            box=None,
        )
        for i, row in enumerate(rows):
            table.add_row(*map(escape, row), style="bold" if i == 0 else None)
        tables.append(table)
    red = [f"[bold red]{escape(f)}[/]" if f.startswith("ATTENTION") else escape(f) for f in foot]
    return Group(*tables, *red)

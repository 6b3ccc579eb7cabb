"""``mdx list`` and ``mdx show``: what is installed, without importing it."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from typing import Any, cast

import typer

from mdx.cli import completing
from mdx.errors import PluginError
from mdx.plugins.discovery import Plugin, discover, find_plugin
from mdx.plugins.published import PublishedTable


def list_command(
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the installed plugins; broken ones too, with the reason."""
    plugins = discover()
    if as_json:
        typer.echo(json.dumps([_facts(p) for p in plugins.values()], indent=1))
        return
    methods = [p for p in plugins.values() if p.manifest is None or p.manifest.adapter]
    if not methods:
        typer.echo("no plugin is installed; install one with: pip install mdx-fda")
        return
    rows = [(p.name, *_columns(p)) for p in methods]
    if sys.stdout.isatty():
        _print_rich(rows)
        return
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        typer.echo("  ".join([*(cell.ljust(w) for cell, w in zip(row[:3], widths, strict=True)), row[3]]).rstrip())


def _columns(plugin: Plugin) -> tuple[str, str, str]:
    if plugin.manifest is None:
        return "BROKEN", plugin.version, str(plugin.error).replace("\n  ->", " ->")
    task = ", ".join(plugin.manifest.capabilities.tasks) if plugin.manifest.capabilities else ""
    return task, plugin.version, plugin.manifest.summary


def _print_rich(rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for title in ("plugin", "task", "version", "summary"):
        table.add_column(title)
    for row in rows:
        table.add_row(*row, style="red" if row[1] == "BROKEN" else None)
    Console().print(table)


def _facts(plugin: Plugin) -> dict[str, Any]:
    manifest = plugin.manifest
    facts: dict[str, Any] = {
        "name": plugin.name, "distribution": plugin.distribution, "version": plugin.version,
        "entry_point": plugin.entry_point, "error": str(plugin.error) if plugin.error else None,
    }  # fmt: skip
    if manifest is not None:
        facts |= {
            "summary": manifest.summary,
            "tasks": list(manifest.capabilities.tasks) if manifest.capabilities else [],
            "variants": list(manifest.variants),
            "presets": list(manifest.presets),
            "tables": list(manifest.tables),
            "cohorts": list(manifest.cohorts),
            "paper": dict(manifest.paper),
            "provides": {kind: list(names) for kind, names in manifest.provides.items()},
        }
    return facts


def show_command(
    plugin: str = typer.Argument(help="Name of a plugin.", autocompletion=completing.plugins),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    as_bibtex: bool = typer.Option(False, "--bibtex", help="Print the paper as BibTeX, to cite it."),
) -> None:
    """Show a plugin: its paper, variants, presets, tables and every setting with its default."""
    found = find_plugin(plugin)
    if as_bibtex:
        typer.echo(_bibtex(found))
        return
    settings = _settings(found)
    if as_json:
        typer.echo(json.dumps({**_facts(found), "settings": settings}, indent=1, default=str))
        return
    manifest = found.manifest
    assert manifest is not None  # find_plugin returns working plugins only
    paper = manifest.paper
    typer.echo(f"{found.name} {found.version}: {manifest.summary}")
    if paper:
        authors = ", ".join(paper.get("authors", []))
        typer.echo(f"\n{paper.get('title', '')}\n{authors}. {paper.get('venue', '')} {paper.get('year', '')}")
        typer.echo(f"doi:{paper['doi']}" if paper.get("doi") else "", nl=bool(paper.get("doi")))
    if manifest.capabilities:
        c = manifest.capabilities
        if c.modalities:
            typer.echo(f"\nmade for {', '.join(c.modalities)}, {' and '.join(f'{n}-D' for n in c.dims)}")
        typer.echo(
            f"\ntask {', '.join(c.tasks)}, unseen sites: {c.unseen_sites}, labels of the target: {c.target_labels}"
        )
        if c.own_network:
            typer.echo("can be run with a network of yours: --init-from RUN, net.onnx or net.pt")
    beside = set(manifest.baselines)
    _section("variants", {v.name + (" *" if v.name == manifest.default_variant else " +" if v.name in beside else ""):
                          v.summary for v in manifest.variants.values()})  # fmt: skip
    if manifest.variants:
        typer.echo("  (* the default, + run beside it)")
    _section("presets", {p.name: p.summary or p.data or "" for p in manifest.presets.values()})
    _section(f"verbs (mdx {found.name} VERB)", dict.fromkeys(manifest.provides.get("verbs", ()), ""))
    _section(
        "further data (--data NAME=URI; --set NAME.size=64 is its own)",
        {c.name: c.summary for c in manifest.cohorts.values()},
    )
    _section("tables", {name: _keys(t) for name, t in manifest.tables.items()})
    _section("settings", {row["key"]: f"{row['default']}   {row['description']}{_takers(row, manifest.variants)}"
                          for row in settings})  # fmt: skip


def _bibtex(plugin: Plugin) -> str:
    """The paper of a plugin as an entry of BibTeX. Raises PluginError where its manifest names none."""
    paper = plugin.manifest.paper if plugin.manifest else {}
    if not paper.get("title"):
        raise PluginError(f"the plugin '{plugin.name}' names no paper", "ask its authors what to cite")
    authors = list(paper.get("authors", []))
    fields = {
        "author": " and ".join(authors), "title": f"{{{paper['title']}}}", "booktitle": paper.get("venue", ""),
        "year": str(paper.get("year", "")), "doi": paper.get("doi", ""),
    }  # fmt: skip
    first = authors[0].rpartition(" ")[2].lower() if authors else plugin.name
    lines = [f"  {key} = {{{value}}}," for key, value in fields.items() if value]
    return "\n".join([f"@inproceedings{{{first}{fields['year']}{plugin.name},", *lines, "}"])


def _takers(setting: Mapping[str, Any], variants: Collection[str]) -> str:
    """Which variants take a setting, or, where that is shorter, which do not; nothing where all do."""
    left = [name for name in variants if name not in setting["of"]]
    if not setting["of"]:
        return ""
    return f" (not {', '.join(left)})" if len(left) < len(setting["of"]) else f" ({', '.join(setting['of'])})"


def _keys(table: PublishedTable) -> str:
    rows = next(iter(table.keys.values()), {})
    left = sum(key.published_only is not None for key in rows.values())
    return f"{len(rows)} rows" + (f", {left} of them as published only" if left else "")


def _section(title: str, rows: dict[str, str]) -> None:
    if rows:
        typer.echo(f"\n{title}")
        width = max(map(len, rows))
        for name, text in rows.items():
            typer.echo(f"  {name.ljust(width)}  {text}".rstrip())


def _settings(plugin: Plugin) -> list[dict[str, Any]]:
    from mdx.config import OptimizerSettings, RunSettings, field_names
    from mdx.data.config import DataConfig
    from mdx.plugins.variants import configs_of, takers

    configs = configs_of(plugin)
    rows: list[dict[str, Any]] = []
    for prefix, model in (
        *(("", config) for config in dict.fromkeys(configs.values())),
        ("data.", DataConfig),
        ("optimizer.", OptimizerSettings),
        ("run.", RunSettings),
    ):
        for name in field_names(model):
            if any(row["key"] == prefix + name for row in rows):
                continue  # a setting that several variants share
            info, owner = None, cast(Any, model)
            for part in name.split("."):
                info = owner.model_fields[part]
                owner = info.annotation
            assert info is not None  # field_names names fields that exist
            default = info.get_default(call_default_factory=True)
            of = [] if prefix or len(found := takers(plugin, name)) == len(configs) else found
            rows.append({"key": prefix + name, "default": default, "description": info.description or "", "of": of})
    return rows

"""What a shell may put after a command when a user presses Tab; asked for by typer, and never an error."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from mdx.plugins.discovery import Plugin, discover


def plugins(incomplete: str) -> list[tuple[str, str]]:
    """Names of plugins, with their summaries."""
    found = [(p.name, p.manifest.summary if p.manifest else "broken") for p in discover().values()]
    return [(name, summary) for name, summary in found if name.startswith(incomplete)]


def variants(context: typer.Context, incomplete: str) -> list[str]:
    """The rows of the plugin that the command line has named; several go with commas."""
    done, comma, last = incomplete.rpartition(",")
    return [done + comma + name for name in _of(context, "variants") if name.startswith(last)]


def presets(context: typer.Context, incomplete: str) -> list[str]:
    """The presets of that plugin."""
    return [name for name in _of(context, "presets") if name.startswith(incomplete)]


def tables(context: typer.Context, incomplete: str) -> list[str]:
    """The published tables of that plugin."""
    return [name for name in _of(context, "tables") if name.startswith(incomplete)]


def _of(context: typer.Context, part: str) -> Iterable[str]:
    words = [context.params.get("plugin"), *context.args]  # typer has not told arguments apart yet
    plugin: Plugin | None = next((p for name, p in discover().items() if name in words), None)
    return getattr(plugin.manifest, part) if plugin and plugin.manifest else ()

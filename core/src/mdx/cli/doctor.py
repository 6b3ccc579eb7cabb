"""``mdx doctor``: is this installation fit for work?"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from typing import NamedTuple

import typer

from mdx.cli.imports import Tried, try_imports


class Finding(NamedTuple):
    """One look at the installation."""

    what: str
    fine: bool
    detail: str


def doctor_command(
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Look at Python, torch, devices, plugins, the cache and the disk; exit 8 if something is wrong."""
    findings = examine()
    if as_json:
        typer.echo(json.dumps([f._asdict() for f in findings], indent=1))
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.fine else 'BAD '} {finding.what}: {finding.detail}")
    if not all(f.fine for f in findings):
        raise typer.Exit(8)


def examine() -> list[Finding]:
    """Every finding. What is diagnosed is imported in a child process; a check that itself fails is a finding too."""
    from mdx.plugins.discovery import discover
    from mdx.runs.provenance import versions

    plugins = discover()
    libraries = [*versions(), *(name for name in _needed() if name not in versions())]
    libraries.remove("python")
    whole = [f"plugin:{name}" for name, plugin in plugins.items() if plugin.error is None]
    tried = {t.target: t for t in try_imports([*(f"library:{n}" for n in libraries), "accelerator", *whole])}
    findings = [Finding("python", True, versions()["python"])]
    findings += [Finding(name, tried[f"library:{name}"].fine, tried[f"library:{name}"].detail) for name in libraries]
    findings.append(Finding("accelerator", tried["accelerator"].fine, tried["accelerator"].detail))
    findings += _cache_and_disk()
    for name, plugin in plugins.items():
        found = tried.get(f"plugin:{name}", Tried(name, False, str(plugin.error)))
        findings.append(Finding(f"plugin {name}", found.fine, found.detail))
        findings += [Finding(*check) for check in found.checks]
    return findings + [Finding("plugins", False, sentence) for sentence in _clashes_if_known()]


def _needed() -> list[str]:
    """The distributions that mdx-core asks for on every machine."""
    from importlib.metadata import requires

    lines = [line for line in requires("mdx-core") or () if "extra ==" not in line]
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines]


def _cache_and_disk() -> list[Finding]:
    from mdx.cache import cache_dir
    from mdx.errors import MdxError

    try:
        folder = cache_dir()
    except MdxError as error:
        return [Finding("cache", False, str(error))]
    free = shutil.disk_usage(folder).free / 1e9
    disk = Finding("disk", free > 5, f"{free:.0f} GB free beside the cache")
    try:
        with tempfile.TemporaryFile(dir=folder):
            return [Finding("cache", True, str(folder)), disk]
    except OSError as error:
        return [Finding("cache", False, f"{folder} cannot be written to ({error.strerror})"), disk]


def _clashes_if_known() -> list[str]:
    """The same where layouts cannot be imported, because a library is missing that is a finding by itself."""
    try:
        return _clashes()
    except ImportError as error:
        return [f"what they bring twice cannot be told: {error}"]


def _clashes() -> list[str]:
    """A sentence for each name that plugins provide more than once, or that mdx itself has."""
    from mdx.data.layouts.layout import BUILT_IN
    from mdx.plugins.discovery import claims_of, several_bring
    from mdx.plugins.manifest import PROVIDES

    sentences = []
    for group in PROVIDES:
        for name, claims in claims_of(group).items():
            brought = [plugin for _, plugin in claims]
            if len(brought) > 1:
                sentences.append(str(several_bring(f"[provides.{group}] {name}", brought)))
            elif group == "layouts" and name in BUILT_IN:
                sentences.append(f"the layout '{name}' of {brought[0].distribution} is not used: mdx has its own")
    return sentences

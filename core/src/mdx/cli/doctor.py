"""``mdx doctor``: is this installation fit for work?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import typer


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
    """Every finding; a check that itself fails is a finding too."""
    from mdx.cache import cache_dir
    from mdx.errors import MdxError
    from mdx.plugins.discovery import discover
    from mdx.plugins.manager import installed_hooks
    from mdx.runs.provenance import versions

    findings = [Finding(name, found != "missing", found) for name, found in versions().items()]
    findings.append(_accelerator())
    try:
        folder = cache_dir()
        findings.append(Finding("cache", True, str(folder)))
    except MdxError as error:
        folder = Path()
        findings.append(Finding("cache", False, str(error)))
    free = shutil.disk_usage(folder).free / 1e9
    findings.append(Finding("disk", free > 5, f"{free:.0f} GB free beside the cache"))
    for plugin in discover().values():
        fine = plugin.error is None
        findings.append(Finding(f"plugin {plugin.name}", fine, plugin.version if fine else str(plugin.error)))
    hooks = installed_hooks(lambda text: findings.append(Finding("hooks", False, text)))
    for group in hooks.call("mdx_doctor"):
        findings.extend(Finding(*entry) for entry in group)
    return findings


def _accelerator() -> Finding:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return Finding("accelerator", True, f"{torch.cuda.get_device_name()}, {memory:.0f} GiB")
    return Finding("accelerator", True, f"none, {torch.get_num_threads()} threads on the CPU")

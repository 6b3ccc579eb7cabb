"""Finding the installed plugins without importing any of them.

The entry points of group ``mdx.plugins`` are read from the ``entry_points.txt`` files on ``sys.path`` directly:
``importlib.metadata.entry_points`` gives the same answer and alone costs as long as the rest of ``mdx list``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mdx.errors import PluginError, nearest
from mdx.plugins.manifest import Manifest, read_manifest

GROUP = "mdx.plugins"


@dataclass(frozen=True)
class Plugin:
    """An entry point: either its manifest, or the error that says why it is broken."""

    name: str
    entry_point: str
    distribution: str
    version: str
    manifest: Manifest | None = None
    error: PluginError | None = None


def discover() -> dict[str, Plugin]:
    """Every installed plugin by name, broken ones included. No plugin is imported."""
    found: dict[str, Plugin] = {}
    for name, value, distribution, version in _entry_points():
        if name not in found:  # the first on sys.path is the one that Python would import
            found[name] = _plugin(name, value, distribution, version)
    return dict(sorted(found.items()))


def find_plugin(name: str) -> Plugin:
    """The working method plugin ``name``. Raises PluginError if it is not installed, broken, or not a method."""
    plugins = discover()
    methods = [k for k, p in plugins.items() if p.manifest is None or p.manifest.adapter]
    if name not in plugins:
        raise PluginError(
            f"there is no plugin '{name}'", f"{nearest(name, methods)} (install others with: pip install mdx-{name})"
        )
    plugin = plugins[name]
    if plugin.error is not None:
        raise plugin.error
    if plugin.manifest is None or plugin.manifest.adapter is None:
        raise PluginError(f"'{name}' provides data or parts, not a method to run", nearest(name, methods))
    return plugin


def dataset_providers() -> Mapping[str, Callable[[], Any]]:
    """URI scheme -> function that imports and returns its reader, from every working plugin."""
    from mdx.plugins.activation import load

    providers: dict[str, Callable[[], Any]] = {}
    for plugin in discover().values():
        if plugin.manifest is not None:
            for scheme, target in plugin.manifest.provides.get("datasets", {}).items():
                providers[scheme] = lambda target=target, plugin=plugin: load(target, plugin)
    return providers


def _entry_points() -> Iterator[tuple[str, str, str, str]]:
    """(name, value, distribution, version) of every entry point of the group."""
    for folder in dict.fromkeys(sys.path):
        try:
            infos = sorted(e.path for e in os.scandir(folder or ".") if e.name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue  # an entry of sys.path that is a zip file or does not exist
        for info in infos:
            try:
                text = Path(info, "entry_points.txt").read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue  # most distributions have no entry points
            if f"[{GROUP}]" in text:
                distribution, _, version = Path(info).stem.partition("-")
                for name, value in _section(text):
                    yield name, value, distribution.replace("_", "-"), version


def _section(text: str) -> Iterator[tuple[str, str]]:
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _plugin(name: str, value: str, distribution: str, version: str) -> Plugin:
    label = f"{distribution} {version} (entry point {name} = {value})"
    try:
        package, _, file = value.partition(":")
        if not file:
            raise PluginError("the entry point names no manifest", "it must read 'package:mdx.toml'")
        spec = find_spec(package) if "." not in package else None
        if spec is None or not spec.submodule_search_locations:
            raise PluginError(f"there is no top-level package '{package}'", f"reinstall it: pip install {distribution}")
        manifest = read_manifest(Path(next(iter(spec.submodule_search_locations)), file))
        if manifest.name != name:
            raise PluginError(f"the manifest is named '{manifest.name}', the entry point '{name}'", "make them equal")
    except PluginError as error:
        broken = PluginError(error.what, error.remedy, where=label)
        return Plugin(name, value, distribution, version, error=broken)
    return Plugin(name, value, distribution, version, manifest=manifest)

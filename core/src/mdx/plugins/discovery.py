"""Finding the installed plugins without importing any of them.

The entry points of group ``mdx.plugins`` are read from the ``entry_points.txt`` files on ``sys.path`` directly:
``importlib.metadata.entry_points`` gives the same answer and alone costs as long as the rest of ``mdx list``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
    """Every installed plugin by name, broken ones included. No plugin is imported.

    A distribution that is there twice counts once: the first on ``sys.path`` is the one that Python imports. Of two
    distributions that bring a plugin of one name neither is used, and both are named.
    """
    claims: dict[str, dict[str, Plugin]] = {}
    for claim in _entry_points():
        claims.setdefault(claim.name, {}).setdefault(claim.distribution.lower(), claim)
    found: dict[str, Plugin] = {}
    for name, of in sorted(claims.items()):
        first, *others = of.values()
        clash = several_bring(f"the plugin '{name}'", list(of.values())) if others else None
        found[name] = replace(first, error=clash) if clash else _examined(first)
    return found


def find_plugin(name: str) -> Plugin:
    """The working method plugin ``name``. Raises PluginError if it is not installed, broken, or not a method."""
    plugins = discover()
    methods = [k for k, p in plugins.items() if p.manifest is None or p.manifest.adapter]
    if name not in plugins:
        raise PluginError(
            f"there is no plugin '{name}'", f"{nearest(name, methods)} ('mdx list' shows what is installed)"
        )
    plugin = plugins[name]
    if plugin.error is not None:
        raise plugin.error
    if plugin.manifest is None or plugin.manifest.adapter is None:
        raise PluginError(f"'{name}' provides data or parts, not a method to run", nearest(name, methods))
    return plugin


def claims_of(group: str) -> dict[str, list[tuple[str, Plugin]]]:
    """Name -> (``module:attribute``, plugin) of all working plugins that have it in ``[provides.<group>]``."""
    claims: dict[str, list[tuple[str, Plugin]]] = {}
    for plugin in discover().values():
        for name, target in plugin.manifest.provides.get(group, {}).items() if plugin.manifest else ():
            claims.setdefault(name, []).append((target, plugin))
    return claims


def provided(group: str) -> dict[str, Callable[[], Any]]:
    """Name -> function that imports and returns what a plugin provides under it.

    The function of a name that several plugins bring raises a PluginError that names them; other names work.
    """
    from mdx.plugins.activation import load

    def thing(name: str, claims: Sequence[tuple[str, Plugin]]) -> Any:
        if len(claims) > 1:
            raise several_bring(f"[provides.{group}] {name}", [plugin for _, plugin in claims])
        return load(*claims[0])

    return {name: partial(thing, name, claims) for name, claims in claims_of(group).items()}


def several_bring(what: str, plugins: Sequence[Plugin]) -> PluginError:
    """The refusal of a name that cannot be told apart."""
    brought = " and ".join(f"{p.distribution} {p.version} ({p.entry_point})" for p in plugins)
    return PluginError(
        f"{what} is brought by {len(plugins)} distributions: {brought}",
        f"uninstall all but one of {', '.join(p.distribution for p in plugins)}",
    )


def _entry_points() -> Iterator[Plugin]:
    """Every entry point of the group; nothing of it has been looked at."""
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
                    yield Plugin(name, value, distribution.replace("_", "-"), version)


def _section(text: str) -> Iterator[tuple[str, str]]:
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _examined(plugin: Plugin) -> Plugin:
    """The plugin with its manifest, or with the error that says why it has none."""
    try:
        return replace(plugin, manifest=_manifest(plugin))
    except Exception as error:  # of whatever kind: a broken plugin never keeps the others from being listed
        known = error if isinstance(error, PluginError) else None
        what = known.what if known else f"it cannot be looked at: {type(error).__name__}: {error}"
        remedy = known.remedy if known else f"reinstall it: pip install {plugin.distribution}"
        where = f"{plugin.distribution} {plugin.version} (entry point {plugin.name} = {plugin.entry_point})"
        return replace(plugin, error=PluginError(what, remedy, where))


def _manifest(plugin: Plugin) -> Manifest:
    package, _, file = plugin.entry_point.partition(":")
    if not file:
        raise PluginError("the entry point names no manifest", "it must read 'package:mdx.toml'")
    spec = find_spec(package) if package.isidentifier() and package != "__main__" else None
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(
            f"there is no top-level package '{package}'", f"reinstall it: pip install {plugin.distribution}"
        )
    manifest = read_manifest(Path(next(iter(spec.submodule_search_locations)), file))
    if manifest.name != plugin.name:
        raise PluginError(
            f"the manifest is named '{manifest.name}', the entry point '{plugin.name}'", "make them equal"
        )
    return manifest

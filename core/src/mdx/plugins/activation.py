"""Importing what a manifest names: the step from "listed" to "used"."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdx.errors import PluginError
from mdx.plugins.manifest import Variant

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Adapter, MethodConfig
    from mdx.interfaces.own_network import OwnNetwork
    from mdx.plugins.discovery import Plugin


def load(target: str, plugin: Plugin) -> Any:
    """The object ``module:attribute`` of ``plugin``, or the module where no attribute is named.

    Raises PluginError that names distribution, version and cause; ``MDX_DEBUG=1`` lets the cause itself through.
    """
    module, _, attribute = target.partition(":")
    try:
        found = import_module(module)
        return getattr(found, attribute) if attribute else found
    except (Exception, SystemExit) as error:  # a module that ends the process is as broken as one that raises
        if os.environ.get("MDX_DEBUG"):
            raise
        raise PluginError(
            f"'{target}' cannot be imported: {type(error).__name__}: {error}",
            f"reinstall {plugin.distribution}, or set MDX_DEBUG=1 to see the traceback",
            where=f"{plugin.distribution} {plugin.version}",
        ) from error


def adapter_types(plugin: Plugin, variant: Variant | None) -> tuple[type[Adapter[Any]], type[MethodConfig]]:
    """The adapter and config classes of a variant of a method plugin."""
    from mdx.interfaces.adapter import Adapter

    target, _ = _targets(plugin, variant)
    return _subclass(target, Adapter, plugin), config_type(plugin, variant)


def config_type(plugin: Plugin, variant: Variant | None) -> type[MethodConfig]:
    """The config class alone, which is imported without the method and so, as a rule, without torch."""
    from mdx.interfaces.adapter import MethodConfig

    _, target = _targets(plugin, variant)
    return _subclass(target, MethodConfig, plugin)


def own_network_type(plugin: Plugin) -> type[OwnNetwork] | None:
    """The class that reads networks of the user's for a method plugin; None where it takes none."""
    from mdx.interfaces.own_network import OwnNetwork

    capabilities = plugin.manifest.capabilities if plugin.manifest else None
    target = capabilities.own_network if capabilities else None
    return _subclass(target, OwnNetwork, plugin) if target else None


def _targets(plugin: Plugin, variant: Variant | None) -> tuple[str, str]:
    manifest = plugin.manifest
    if manifest is None or manifest.adapter is None or manifest.config is None:
        raise PluginError(f"'{plugin.name}' is not a method", "choose one that 'mdx list' shows")
    own = (variant.adapter, variant.config) if variant else (None, None)
    return own[0] or manifest.adapter, own[1] or manifest.config


def _subclass(target: str, base: type, plugin: Plugin) -> Any:
    found = load(target, plugin)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise PluginError(f"{found!r} is not a subclass of mdx.{base.__name__}", "correct the plugin", plugin.name)
    return found

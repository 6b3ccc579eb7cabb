"""Which settings a variant takes, where the variants of a plugin have configs of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mdx.config import known_key
from mdx.plugins.activation import config_type

if TYPE_CHECKING:
    from mdx.interfaces.adapter import MethodConfig
    from mdx.plugins.discovery import Plugin
    from mdx.plugins.manifest import Variant


def configs_of(plugin: Plugin) -> dict[str, type[MethodConfig]]:
    """The config class of each variant by name; of a method without variants by the plugin's."""
    variants = plugin.manifest.variants if plugin.manifest else {}
    return {name: config_type(plugin, each) for name, each in variants.items()} or {
        plugin.name: config_type(plugin, None)
    }


def has_setting(config: type[MethodConfig], key: str) -> bool:
    """Whether ``key``, with or without ``method.``, is a setting of ``config``."""
    return known_key(config, key.removeprefix("method."))


def takers(plugin: Plugin, key: str) -> list[str]:
    """The variants that take the setting ``key``, by name."""
    return [name for name, config in configs_of(plugin).items() if has_setting(config, key)]


def taken(plugin: Plugin, variant: Variant | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` without the settings that other variants take and this one does not.

    What no variant takes stays, so that it is refused as unknown.
    """
    own = config_type(plugin, variant)
    return {key: value for key, value in values.items() if has_setting(own, key) or not takers(plugin, key)}

"""``mdx.toml``: what a plugin says it brings, read without importing the plugin.

Plain dataclasses: this is read by every ``mdx list``, which must not wait for a validation library.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdx.errors import PluginError
from mdx.plugins.published import Faults, PublishedTable, TableReader

API = 1
"""The version of the plugin interface that this core speaks."""

TARGET_LABELS = ("never", "val", "train")
UNSEEN_SITES = ("yes", "no", "calibrate")
PROVIDES = ("datasets", "layouts", "models", "evaluators", "optimizers")


@dataclass(frozen=True)
class Capabilities:
    """What a method can do and what it may read.

    Attributes:
        target_labels: labels of target cases visible in ``fit``: ``never``, ``val`` or ``train`` (train and val).
        unseen_sites: whether ``apply`` accepts a site that was not in the run.
        own_network: whether it can be run with a network of the user's (``--init-from``).
    """

    task: str
    modalities: tuple[str, ...] = ()
    dims: tuple[int, ...] = (2, 3)
    trains: bool = True
    unseen_sites: str = "yes"
    target_labels: str = "never"
    own_network: bool = False


@dataclass(frozen=True)
class Variant:
    """One row of a paper's table: the method with settings, or another adapter."""

    name: str
    summary: str = ""
    adapter: str | None = None
    config: str | None = None
    target_labels: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    own_network: bool | None = None


@dataclass(frozen=True)
class Preset:
    """A named set of values, and the data it is meant for."""

    name: str
    summary: str = ""
    data: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """A plugin's ``mdx.toml``.

    Attributes:
        adapter: None for a package that only provides readers, models or hooks.
        default_variant: what ``mdx run PLUGIN`` runs.
        baselines: run beside it; the first is what the change of each case is measured against.
        cpu_preset: used on a machine without a GPU where no preset is given; the run says so.
    """

    name: str
    summary: str
    folder: Path
    adapter: str | None = None
    config: str | None = None
    hooks: tuple[str, ...] = ()
    default_variant: str | None = None
    baselines: tuple[str, ...] = ()
    cpu_preset: str | None = None
    paper: Mapping[str, Any] = field(default_factory=dict)
    capabilities: Capabilities | None = None
    presets: Mapping[str, Preset] = field(default_factory=dict)
    variants: Mapping[str, Variant] = field(default_factory=dict)
    tables: Mapping[str, PublishedTable] = field(default_factory=dict)
    provides: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_manifest(path: Path) -> Manifest:
    """The manifest at ``path``. Raises PluginError that names every fault of the file."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PluginError("the manifest is missing", "reinstall the plugin; its package must carry mdx.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PluginError(f"the manifest is not valid TOML: {error}", "correct mdx.toml or reinstall") from error
    api = raw.pop("api", None)
    if api != API:
        newer = isinstance(api, int) and api > API
        raise PluginError(
            f"the plugin is made for plugin interface {api}, this mdx speaks {API}",
            "upgrade mdx-core" if newer else "upgrade the plugin",
        )
    reader = _Reader()
    manifest = reader.manifest(raw, path.parent)
    if reader.faults:
        raise PluginError("; ".join(reader.faults), "correct mdx.toml or ask the plugin's authors")
    return manifest


class _Reader(Faults):
    """Turns tables of the file into dataclasses and collects what is wrong with them."""

    def manifest(self, raw: dict[str, Any], folder: Path) -> Manifest:
        known = set(Manifest.__dataclass_fields__) - {"folder"}
        self.unknown("mdx.toml", raw, known)
        for key in ("name", "summary"):
            if not isinstance(raw.get(key), str):
                self.faults.append(f"'{key}' must be a text")
        variants = {k: self.variant(k, v) for k, v in raw.get("variants", {}).items()}
        for name in [raw.get("default_variant"), *raw.get("baselines", [])]:
            if name is not None and name not in variants:
                self.faults.append(f"'{name}' is named as default or baseline but is no variant")
        if raw.get("cpu_preset") is not None and raw["cpu_preset"] not in raw.get("presets", {}):
            self.faults.append(f"cpu_preset '{raw['cpu_preset']}' is no preset")
        for group in raw.get("provides", {}):
            if group not in PROVIDES:
                self.faults.append(f"[provides.{group}] is not one of {', '.join(PROVIDES)}")
        tables = TableReader(self.faults)
        if raw.get("adapter") and not (raw.get("config") and raw.get("capabilities")):
            self.faults.append("an adapter needs 'config' and [capabilities]")
        return Manifest(
            name=str(raw.get("name")),
            summary=str(raw.get("summary")),
            folder=folder,
            adapter=raw.get("adapter"),
            config=raw.get("config"),
            hooks=tuple(raw.get("hooks", ())),
            default_variant=raw.get("default_variant"),
            baselines=tuple(raw.get("baselines", ())),
            cpu_preset=raw.get("cpu_preset"),
            paper=raw.get("paper", {}),
            capabilities=self.capabilities(raw["capabilities"]) if "capabilities" in raw else None,
            presets={k: self.preset(k, v) for k, v in raw.get("presets", {}).items()},
            variants=variants,
            tables={k: tables.table(k, v, variants, raw.get("presets", {})) for k, v in raw.get("tables", {}).items()},
            provides=raw.get("provides", {}),
        )

    def capabilities(self, raw: dict[str, Any]) -> Capabilities:
        self.unknown("[capabilities]", raw, set(Capabilities.__dataclass_fields__))
        self.allowed("target_labels", raw.get("target_labels", "never"), TARGET_LABELS)
        self.allowed("unseen_sites", raw.get("unseen_sites", "yes"), UNSEEN_SITES)
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        if "task" not in values:
            self.faults.append("[capabilities] needs 'task'")
            values["task"] = ""
        return Capabilities(**{k: v for k, v in values.items() if k in Capabilities.__dataclass_fields__})

    def variant(self, name: str, raw: dict[str, Any]) -> Variant:
        self.unknown(f"[variants.{name}]", raw, {"summary", "adapter", "config", "target_labels", "set", "own_network"})
        if "target_labels" in raw:
            self.allowed(f"variants.{name}.target_labels", raw["target_labels"], TARGET_LABELS)
        return Variant(
            name, raw.get("summary", ""), raw.get("adapter"), raw.get("config"), raw.get("target_labels"),
            raw.get("set", {}), raw.get("own_network"),
        )  # fmt: skip

    def preset(self, name: str, raw: dict[str, Any]) -> Preset:
        self.unknown(f"[presets.{name}]", raw, {"summary", "data", "set"})
        return Preset(name, raw.get("summary", ""), raw.get("data"), raw.get("set", {}))

    def allowed(self, name: str, value: object, options: tuple[str, ...]) -> None:
        if value not in options:
            self.faults.append(f"{name} is '{value}', not one of {', '.join(options)}")

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
from mdx.plugins.published import PublishedTable, TableReader
from mdx.plugins.shapes import Faults

API = 1
"""The version of the plugin interface that this core speaks."""

TARGET_LABELS = ("never", "val", "train")
UNSEEN_SITES = ("yes", "no", "calibrate")
PROVIDES = ("datasets", "layouts", "verbs", "data_verbs")
MANIFEST = {
    "name": "a text", "summary": "a text", "adapter": "a text", "config": "a text", "hooks": "a list of texts",
    "default_variant": "a text", "baselines": "a list of texts", "cpu_preset": "a text", "paper": "a table",
    "capabilities": "a table", "presets": "a table", "variants": "a table", "tables": "a table",
    "provides": "a table of tables", "cohorts": "a table", "defaults": "a table", "curves": "a table",
}  # fmt: skip
PAPER = {
    "title": "a text", "authors": "a list of texts", "year": "a text or a number", "venue": "a text", "doi": "a text",
    "code": "a text",
}  # fmt: skip
CAPABILITIES = {
    "task": "a text", "tasks": "a list of texts", "modalities": "a list of texts", "dims": "a list of numbers",
    "trains": "true or false", "unseen_sites": "a text", "target_labels": "a text", "own_network": "a text",
}  # fmt: skip
VARIANT = {
    "summary": "a text", "adapter": "a text", "config": "a text", "target_labels": "a text", "set": "a table",
    "own_network": "true or false",
}  # fmt: skip
PRESET = {"summary": "a text", "data": "a text", "set": "a table"}
COHORT = {"summary": "a text", "required": "true or false", "task": "a text"}
LARGEST_BYTES = 4_000_000
TASKS = ("segmentation", "classification", "multilabel", "regression", "detection", "harmonisation", "nothing")
"""The kinds of ``mdx.interfaces.dataset.Task``; nothing: images only."""


@dataclass(frozen=True)
class Capabilities:
    """What a method can do and what it may read.

    Attributes:
        tasks: the kinds of task it can be run on, the preferred one first; ``task`` in the file is one of them.
        target_labels: labels of target cases visible in ``fit``: ``never``, ``val`` or ``train`` (train and val).
        unseen_sites: whether ``apply`` accepts a site that was not in the run.
        own_network: ``module:class`` that reads networks of the user's (``--init-from``); None: it takes none.
    """

    tasks: tuple[str, ...]
    modalities: tuple[str, ...] = ()
    dims: tuple[int, ...] = (2, 3)
    trains: bool = True
    unseen_sites: str = "yes"
    target_labels: str = "never"
    own_network: str | None = None


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
class NamedCohort:
    """A named dataset that a method takes besides the main one: ``--data NAME=URI``.

    Attributes:
        task: the kind of task that is preferred where its table has several labels; ``nothing`` reads images only.
    """

    name: str
    summary: str = ""
    required: bool = False
    task: str | None = None


@dataclass(frozen=True)
class Manifest:
    """A plugin's ``mdx.toml``.

    Attributes:
        adapter: None for a package that only provides readers, models or hooks.
        default_variant: what ``mdx run PLUGIN`` runs.
        baselines: run beside it; the first is what the change of each case is measured against.
        cpu_preset: used on a machine without a GPU where no preset is given; the run says so.
        defaults: values of ``data.``, ``optimizer.`` and ``run.`` settings that every run of the method starts from,
            under its presets (``[defaults] set = {...}``); the method's own settings have theirs in its config class.
        cohorts: the named datasets that it takes; others are refused.
        curves: words for what it logs while it trains, such as ``cen = "center loss"``, for the titles of curves.
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
    cohorts: Mapping[str, NamedCohort] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, str] = field(default_factory=dict)


def read_manifest(path: Path) -> Manifest:
    """The manifest at ``path``. Raises PluginError that names every fault of the file."""
    try:
        raw = tomllib.loads(_text(path))
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, numbers or nesting beyond any use
        raise PluginError(f"the manifest is not valid TOML: {error}", "correct mdx.toml or reinstall") from error
    api = raw.pop("api", None)
    if isinstance(api, bool) or not isinstance(api, int):
        raise PluginError(f"the manifest has api = {api!r}, which must be a whole number", f"write api = {API}")
    if api != API:
        raise PluginError(
            f"the plugin is made for plugin interface {api}, this mdx speaks {API}",
            "upgrade mdx-core" if api > API else "upgrade the plugin",
        )
    reader = _Reader()
    manifest = reader.manifest(raw, path.parent)
    if reader.faults:
        raise PluginError("; ".join(reader.faults), "correct mdx.toml or ask the plugin's authors")
    return manifest


def _text(path: Path) -> str:
    try:
        if not path.exists():
            raise PluginError("the manifest is missing", "reinstall the plugin; its package must carry mdx.toml")
        if not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            kind = f"has {path.stat().st_size} bytes" if path.is_file() else "is no regular file"
            raise PluginError(f"mdx.toml {kind}", "reinstall the plugin")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PluginError(f"mdx.toml cannot be read ({error.strerror})", "reinstall the plugin") from error


class _Reader(Faults):
    """Turns tables of the file into dataclasses and collects what is wrong with them."""

    def manifest(self, raw: dict[str, Any], folder: Path) -> Manifest:
        raw = self.shaped("mdx.toml", raw, MANIFEST)
        self.faults.extend(f"'{key}' must be a text" for key in ("name", "summary") if key not in raw)
        variants = {k: self.variant(k, v) for k, v in self.entries("[variants]", raw.get("variants", {}))}
        presets = {k: self.preset(k, v) for k, v in self.entries("[presets]", raw.get("presets", {}))}
        for name in [raw.get("default_variant"), *raw.get("baselines", [])]:
            if name is not None and name not in variants:
                self.faults.append(f"'{name}' is named as default or baseline but is no variant")
        if raw.get("cpu_preset") is not None and raw["cpu_preset"] not in presets:
            self.faults.append(f"cpu_preset '{raw['cpu_preset']}' is no preset")
        for group, provided in raw.get("provides", {}).items():
            self.allowed(f"[provides.{group}]", group, PROVIDES)
            self.shaped(f"[provides.{group}]", provided, dict.fromkeys(provided, "a text"))
        if raw.get("adapter") and not (raw.get("config") and raw.get("capabilities")):
            self.faults.append("an adapter needs 'config' and [capabilities]")
        tables = TableReader(self.faults)
        found = {k: tables.table(k, v, variants, presets) for k, v in raw.get("tables", {}).items()}
        return Manifest(
            name=raw.get("name", ""),
            summary=raw.get("summary", ""),
            folder=folder,
            adapter=raw.get("adapter"),
            config=raw.get("config"),
            hooks=tuple(raw.get("hooks", ())),
            default_variant=raw.get("default_variant"),
            baselines=tuple(raw.get("baselines", ())),
            cpu_preset=raw.get("cpu_preset"),
            paper=self.shaped("[paper]", raw.get("paper", {}), PAPER),
            capabilities=self.capabilities(raw["capabilities"]) if "capabilities" in raw else None,
            presets=presets,
            variants=variants,
            tables=found,
            provides=raw.get("provides", {}),
            cohorts={k: self.cohort(k, v) for k, v in self.entries("[cohorts]", raw.get("cohorts", {}))},
            defaults=self.shaped("[defaults]", raw.get("defaults", {}), {"set": "a table"}).get("set", {}),
            curves={str(k): str(v) for k, v in raw.get("curves", {}).items()},
        )

    def cohort(self, name: str, raw: dict[str, Any]) -> NamedCohort:
        raw = self.shaped(f"[cohorts.{name}]", raw, COHORT)
        if "task" in raw:
            self.allowed(f"cohorts.{name}.task", raw["task"], TASKS)
        return NamedCohort(name, raw.get("summary", ""), raw.get("required", False), raw.get("task"))

    def capabilities(self, raw: dict[str, Any]) -> Capabilities:
        raw = self.shaped("[capabilities]", raw, CAPABILITIES)
        self.allowed("target_labels", raw.get("target_labels", "never"), TARGET_LABELS)
        self.allowed("unseen_sites", raw.get("unseen_sites", "yes"), UNSEEN_SITES)
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        tasks = values.pop("tasks", ()) or tuple(filter(None, [values.pop("task", "")]))
        values.pop("task", None)
        if not tasks:
            self.faults.append("[capabilities] needs 'task'")
        for task in tasks:
            self.allowed("task", task, TASKS)
        return Capabilities(tasks, **values)

    def variant(self, name: str, raw: dict[str, Any]) -> Variant:
        raw = self.shaped(f"[variants.{name}]", raw, VARIANT)
        if "target_labels" in raw:
            self.allowed(f"variants.{name}.target_labels", raw["target_labels"], TARGET_LABELS)
        return Variant(
            name, raw.get("summary", ""), raw.get("adapter"), raw.get("config"), raw.get("target_labels"),
            raw.get("set", {}), raw.get("own_network"),
        )  # fmt: skip

    def preset(self, name: str, raw: dict[str, Any]) -> Preset:
        raw = self.shaped(f"[presets.{name}]", raw, PRESET)
        return Preset(name, raw.get("summary", ""), raw.get("data"), raw.get("set", {}))

"""From the words of a command to a plan: which method, which settings, on which data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mdx.config import Resolved, parse_assignments, read_config_file, resolve
from mdx.errors import ConfigError, UsageError, nearest
from mdx.interfaces.weights import weights_in
from mdx.plugins.activation import adapter_types, config_type
from mdx.plugins.discovery import Plugin, find_plugin
from mdx.plugins.manifest import Manifest, Preset, Variant
from mdx.plugins.variants import has_setting, taken, takers
from mdx.runs import provenance


@dataclass(frozen=True)
class Plan:
    """Everything that determines a run before its data are opened.

    Attributes:
        variant: None for a method without named variants.
        settings: validated, with origins.
        data: the URI of the data; ``cohorts`` the URIs of ``--data NAME=URI``.
        baselines: names of the variants that are run beside this one.
        notes: what the user should know about choices made for them.
        init_from: the run or file whose network is used; ``init_digest`` a hash of its content.
    """

    plugin: Plugin
    manifest: Manifest
    variant: Variant | None
    preset: str | None
    settings: Resolved
    data: str
    cohorts: Mapping[str, str]
    seed: int
    baselines: tuple[str, ...]
    notes: tuple[str, ...] = ()
    layers: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    init_from: Path | None = None
    init_digest: str = ""

    @property
    def variant_name(self) -> str:
        """The variant's name; the plugin's own where it has no variants."""
        return self.variant.name if self.variant else self.plugin.name

    @property
    def source(self) -> str:
        """A hash of the code that the method consists of."""

        named = (self.manifest.adapter, self.variant.adapter if self.variant else None)
        return provenance.source_hash(*(target.partition(":")[0].partition(".")[0] for target in named if target))

    @property
    def weights(self) -> dict[str, str]:
        """Setting of the method that names weights -> a hash of them. Raises ConfigError where they are not there."""
        named = dict(weights_in(self.settings.method))
        if not named:
            return {}
        from mdx.training.weights import digest_of_weights

        return {name: digest_of_weights(weights) for name, weights in named.items()}

    @property
    def target_labels(self) -> str:
        """What the method may read of the target: ``never``, ``val`` or ``train``."""
        return target_labels_of(self.manifest, self.variant)

    def for_variant(self, name: str) -> Plan:
        """The same plan for another variant, without baselines."""
        variant = self.manifest.variants[name]
        layers = tuple((k, variant.values if k.startswith("variant") else v) for k, v in self.layers)
        return replace(self, variant=variant, settings=_settings(self.plugin, variant, layers), baselines=(), notes=())

    def told(self, values: Mapping[str, Any]) -> Plan:
        """The same plan with more of what ``--set`` takes."""
        layers = tuple((k, {**v, **values} if k == "--set" else v) for k, v in self.layers)
        return replace(self, layers=layers, settings=_settings(self.plugin, self.variant, layers))


def make_plan(
    plugin: str,
    *,
    variant: str | None = None,
    preset: str | None = None,
    data: Sequence[str] = (),
    config: Path | None = None,
    assignments: Iterable[str] | Mapping[str, Any] = (),
    seed: int = 0,
    device: str | None = None,
    precision: str | None = None,
    baselines: Sequence[str] | None = None,
    init_from: str | Path | None = None,
    oracle: bool = True,
    deterministic: bool = False,
) -> Plan:
    """Validate a request. Raises UsageError, ConfigError or PluginError with everything that is wrong with it.

    With ``oracle=False`` baselines that train on labels of the target are left out.
    """
    found = find_plugin(plugin)
    manifest = found.manifest
    assert manifest is not None  # find_plugin returns working plugins only
    chosen = _variant(manifest, variant)
    main, cohorts = _uris(data, manifest)
    notes: list[str] = []
    preset_name, preset_values = _preset(manifest, preset, main, device, notes)
    values = dict(assignments) if isinstance(assignments, Mapping) else parse_assignments(assignments)
    flags = {"run.device": device, "run.precision": precision, "run.deterministic": deterministic or None}
    beside = manifest.baselines if baselines is None else tuple(baselines)
    for name in beside:
        _variant(manifest, name)
    if not oracle:
        beside = tuple(name for name in beside if target_labels_of(manifest, manifest.variants[name]) != "train")
    _refuse_settings_of_others(found, chosen, beside, values)
    from_file = read_config_file(config) if config else {}
    others = sorted(set(from_file) - set(taken(found, chosen, from_file)))
    if others:
        notes.append(f"Of {config} these settings of other variants were left out: {', '.join(others)}.")
    layers = (
        ("defaults of the plugin", manifest.defaults),
        (f"preset {preset_name}", preset_values.values if preset_values else {}),
        (f"variant {chosen.name}" if chosen else "variant", chosen.values if chosen else {}),
        (f"--config {config.name}" if config else "--config", from_file),
        ("--set", values),
        ("command line", {k: v for k, v in flags.items() if v is not None}),
    )
    uri = main or (preset_values.data if preset_values else None)
    if uri is None:
        raise UsageError("there are no data", "give them with --data csv:cohort.csv, or use --preset demo")
    digest = ""
    if init_from is not None:
        beside = _with_own_network(manifest, chosen, beside, baselines is not None, notes)
        digest = provenance.digest_of_network(Path(init_from))
    plan = Plan(
        plugin=found,
        manifest=manifest,
        variant=chosen,
        preset=preset_name,
        settings=_settings(found, chosen, layers),
        data=uri,
        cohorts=cohorts,
        seed=seed,
        baselines=tuple(b for b in beside if chosen is None or b != chosen.name),
        notes=tuple(notes),
        layers=layers,
        init_from=None if init_from is None else Path(init_from),
        init_digest=digest,
    )
    plan.weights  # noqa: B018 - raises before the data are read
    return plan


def recorded_plan(facts: Mapping[str, Any]) -> Plan:
    """The plan of a run, from its provenance.json."""
    found = find_plugin(facts["plugin"])
    manifest = found.manifest
    assert manifest is not None  # find_plugin returns working plugins only
    chosen = _variant(manifest, facts["variant"])
    places = {name: entry["path"] for name, entry in facts.get("weights", {}).items()}  # whatever the working directory
    layers = tuple(
        (layer, {key: places.get(key.removeprefix("method."), value) for key, value in values.items()})
        for layer, values in facts["layers"]
    )
    return Plan(
        plugin=found,
        manifest=manifest,
        variant=chosen,
        preset=facts["preset"],
        settings=_settings(found, chosen, layers),
        data=facts["data"],
        cohorts=facts["cohorts"],
        seed=facts["seed"],
        baselines=tuple(facts["baselines"]),
        notes=tuple(facts["notes"]),
        layers=layers,
        init_from=Path(own["path"]) if (own := facts.get("init_from")) else None,
        init_digest=own["digest"] if own else "",
    )


def target_labels_of(manifest: Manifest, variant: Variant | None) -> str:
    """What a variant may read of the target: ``never``, ``val`` or ``train``."""
    own = variant.target_labels if variant else None
    return own or (manifest.capabilities.target_labels if manifest.capabilities else "never")


def _settings(plugin: Plugin, variant: Variant | None, layers: Iterable[tuple[str, Mapping[str, Any]]]) -> Resolved:
    from mdx.data.config import DataConfig

    _, config_type = adapter_types(plugin, variant)
    cohorts = plugin.manifest.cohorts if plugin.manifest else ()
    kept = [(name, taken(plugin, variant, values)) for name, values in layers]
    return resolve(kept, config_type, DataConfig, cohorts)


def _refuse_settings_of_others(
    plugin: Plugin, variant: Variant | None, beside: Sequence[str], values: Mapping[str, Any]
) -> None:
    """Raise ConfigError for what the user sets and neither the chosen variant nor one beside it takes."""
    name = variant.name if variant else plugin.name
    own = config_type(plugin, variant)
    faults = [
        f"'{key}' is not a setting of {name}: {', '.join(found)} take{'' if len(found) > 1 else 's'} it"
        for key in values
        if not has_setting(own, key) and (found := takers(plugin, key)) and not set(found) & set(beside)
    ]
    if faults:
        raise ConfigError("; ".join(faults), "leave it out, or choose such a variant with --variant", "--set")


def _variant(manifest: Manifest, name: str | None) -> Variant | None:
    wanted = name or manifest.default_variant
    if wanted is None or (wanted == manifest.name and wanted not in manifest.variants):
        return None
    if wanted not in manifest.variants:
        raise UsageError(f"{manifest.name} has no variant '{wanted}'", nearest(wanted, manifest.variants))
    return manifest.variants[wanted]


def _with_own_network(
    manifest: Manifest, chosen: Variant | None, beside: Sequence[str], asked: bool, notes: list[str]
) -> tuple[str, ...]:
    """The baselines that can be run with the user's network; raises UsageError where what was asked for cannot."""
    if not (manifest.capabilities and manifest.capabilities.own_network):
        raise UsageError(
            f"{manifest.name} cannot be run with a network of yours",
            "leave --init-from out; 'mdx show PLUGIN' says which plugins can",
        )
    trains = {name for name, variant in manifest.variants.items() if variant.own_network is False}
    refused = [n for n in ([chosen.name] if chosen else []) + (list(beside) if asked else []) if n in trains]
    if refused:
        raise UsageError(
            f"'{refused[0]}' trains a network of its own, which --init-from would replace",
            "leave it out, or run it without --init-from",
        )
    left_out = [name for name in beside if name in trains]
    if left_out:
        notes.append(f"Left out beside a network of your own: {', '.join(left_out)}, which would train another one.")
    return tuple(name for name in beside if name not in trains)


def _preset(
    manifest: Manifest, name: str | None, data: str | None, device: str | None, notes: list[str]
) -> tuple[str | None, Preset | None]:
    if name is None and data is None and "demo" in manifest.presets:
        name = "demo"
    if name is None and manifest.cpu_preset and not _has_gpu(device):
        name = manifest.cpu_preset
        longer = " The paper's own budget is --preset paper, which takes hours on a CPU."
        notes.append(
            f"No preset was given and there is no GPU: preset '{name}' was used."
            + (longer if "paper" in manifest.presets else "")
        )
    if name is None:
        return None, None
    if name not in manifest.presets:
        raise UsageError(f"{manifest.name} has no preset '{name}'", nearest(name, manifest.presets))
    return name, manifest.presets[name]


def _has_gpu(device: str | None) -> bool:
    if device in ("cuda", "mps"):
        return True
    if device == "cpu":
        return False
    import torch

    return torch.cuda.is_available()


def _uris(data: Sequence[str], manifest: Manifest) -> tuple[str | None, dict[str, str]]:
    """The main URI and the named ones of ``[NAME=]URI``; a ``=`` after the scheme's colon belongs to the URI.

    Raises UsageError for a name that the method does not know, and for a cohort that it needs and that is not there.
    """
    main: str | None = None
    cohorts: dict[str, str] = {}
    for text in data:
        name, equals, uri = text.partition("=")
        if equals and name.isidentifier():
            cohorts[name] = uri
        elif main is None:
            main = text
        else:
            raise ConfigError(f"two main datasets are given: {main} and {text}", "name the second: --data NAME=URI")
    for name in cohorts:
        if name not in manifest.cohorts:
            remedy = nearest(name, manifest.cohorts) if manifest.cohorts else "leave it out"
            raise UsageError(f"{manifest.name} takes no data named '{name}'", remedy, f"--data {name}={cohorts[name]}")
    lacking = [c for c in manifest.cohorts.values() if c.required and c.name not in cohorts]
    if lacking:
        raise UsageError(
            f"{manifest.name} needs {', '.join(f'{c.name} ({c.summary})' for c in lacking)} besides its main data",
            f"give it with --data {lacking[0].name}=URI",
        )
    return main, cohorts

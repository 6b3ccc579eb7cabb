"""Settings: where each value comes from, and one message for everything that is wrong with them.

Layers, the later wins: defaults of the paper < preset < variant < ``--config`` file < ``--set``.
Namespaces: ``method.`` (may be left out), ``data.``, ``optimizer.``, ``run.``.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mdx.errors import ConfigError, nearest

NAMESPACES = ("method", "data", "optimizer", "run")
SEQUENCES = (tuple, list, set, frozenset)
ITEM = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^,]*))\s*(?:,|$)""")


class Settings(BaseModel):
    """The base of all settings: unknown keys are refused, values do not change, ``a,b`` fills a tuple."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _split_commas(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {k: _from_text(v, cls.model_fields[k].annotation) if k in cls.model_fields else v
                for k, v in values.items()}  # fmt: skip


def _from_text(value: Any, annotation: Any) -> Any:
    """A text of the command line as what the annotation asks for.

    ``null`` is None; commas separate items, which brackets may enclose (see ``items``).
    """
    if not isinstance(value, str):
        return [value] if _is_sequence(annotation) and isinstance(value, int | float) else value
    if value == "null":
        return None
    if _is_sequence(annotation):
        inner = value.strip()
        inner = inner[1:-1] if inner[:1] + inner[-1:] in ("[]", "()") else inner  # as settings are printed
        return items(inner)
    return value


def items(text: str) -> list[str]:
    """The items of ``A, B``; one that holds a comma stands in quotes: ``"Koeln, Uni",B``."""
    found = ["".join(parts).strip() for parts in ITEM.findall(text)]
    return [item for item in found if item]


def in_quotes(item: Any) -> str:
    """The reverse: an item as it stands in a list of items."""
    return f'"{item}"' if "," in str(item) else str(item)


def _is_sequence(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        # a choice such as ``str | tuple[str, ...]`` splits only what has a comma, in its own validator
        return not any(a is str for a in typing.get_args(annotation)) and any(
            _is_sequence(a) for a in typing.get_args(annotation)
        )
    return origin in SEQUENCES or annotation in SEQUENCES


class OptimizerSettings(Settings):
    """What replaces the method's own optimiser. Other keys than ``name`` are passed to the optimiser."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str | None = Field(None, description="sgd, adam, adamw, rmsprop, or one that a plugin provides")
    lr: float | None = Field(None, description="learning rate of all groups that name none themselves", gt=0)


class RunSettings(Settings):
    """How a run is carried out and scored."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where networks run")
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="numbers used in training")
    processes: int = Field(1, ge=1, description="processes of one run (start it with torchrun)")
    threads: int | None = Field(None, ge=1, description="threads of one process; default: all cores of this machine")
    deterministic: bool = Field(False, description="only operations that give the same bits each time")
    workers: int = Field(0, ge=0, description="processes that load batches")
    tolerance_mm: float = Field(1.0, gt=0, description="tolerance of the surface Dice in millimetres")
    bootstrap: int = Field(2000, ge=100, description="resamplings of a confidence interval")
    predictions: bool = Field(True, description="write the predictions of the test cases")


@dataclass(frozen=True)
class Resolved:
    """All settings of a run, validated, with the layer that each value came from.

    Attributes:
        method, data, optimizer, run: the settings of each namespace.
        cohorts: those of the data's that each named cohort has for itself, as plain values (``pretrain.size=64``).
        origins: dotted key with namespace (``data.source``) -> layer, for every key that is not a default.
    """

    method: Any
    data: Any
    optimizer: OptimizerSettings
    run: RunSettings
    origins: Mapping[str, str] = field(default_factory=dict)
    cohorts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def values(self) -> dict[str, dict[str, Any]]:
        """Plain values by namespace, ready for JSON and YAML."""
        own = {name: getattr(self, name).model_dump(mode="json") for name in NAMESPACES}
        return own | {name: dict(values) for name, values in self.cohorts.items()}

    def of_cohort(self, name: str) -> Any:
        """The data's settings as a named cohort is read: those of the run, where it has none of its own.

        What is about the sites of one table (``of_one_table`` of the settings' class) is not taken over.
        """
        shared = flatten(self.data.model_dump(exclude=set(self.data.of_one_table), exclude_unset=True))
        return type(self.data).model_validate(nested(shared | dict(self.cohorts.get(name, {}))))

    def annotated(self) -> dict[str, dict[str, dict[str, Any]]]:
        """As ``values``, flattened, each with its origin: what ``config.yaml`` holds."""
        return {
            space: {key: {"value": value, "from": self.origins.get(f"{space}.{key}", "default")}
                    for key, value in flatten(values).items()}
            for space, values in self.values().items()
        }  # fmt: skip


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``; empty tables stay as they are."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of ``flatten``."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ConfigError(f"'{key}' is set although '{part}' already has a value", "set only one of them")
        node[last] = value
    return tree


def parse_assignments(texts: Iterable[str]) -> dict[str, str]:
    """``["a=1", "b=2,3"]`` as a dict. Raises ConfigError for a text without ``=``."""
    values: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"'{text}' is not an assignment", "write --set key=value, lists with commas")
        values[key.strip()] = value.strip()
    return values


LONGEST_FILE = 1_000_000


def read_config_file(path: Path) -> dict[str, Any]:
    """A YAML file of settings, flattened; the ``config.yaml`` of a run is one too."""
    import yaml

    try:
        if path.exists() and not path.is_file():
            raise ConfigError("is no regular file", "give the path of a YAML file with --config", path)
        text = path.read_text(encoding="utf-8")
        if len(text) > LONGEST_FILE:
            raise ConfigError(f"has {len(text)} characters", "no settings are that long: give another file", path)
        # aliases multiply what a short file holds, or lead back into themselves; settings need none
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ConfigError("uses a YAML alias (*name)", "write the value out where it is used", path)
        twice = _key_that_repeats(yaml.compose(text, Loader=yaml.SafeLoader))
        if twice:
            raise ConfigError(f"sets '{twice}' twice", "keep one of them", path)
        raw = yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigError("there is no such file", "give the path of a YAML file with --config", path) from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # also numbers of 5000 digits
        raise ConfigError(f"cannot be read as YAML: {error!s:.300}", "correct the file", path) from error
    if not isinstance(raw, dict):
        raise ConfigError("holds no settings", "write lines such as 'beta: 0.01' or 'data: {source: A}'", path)
    flat: dict[str, Any] = {}
    for key, value in raw.items():
        if isinstance(value, dict) and (key in NAMESPACES or any(map(_is_annotated, value.values()))):
            for name, entry in value.items():
                flat[f"{key}.{name}"] = entry["value"] if _is_annotated(entry) else entry
        else:
            flat[str(key)] = value
    return flatten(flat)


def _is_annotated(entry: Any) -> bool:
    return isinstance(entry, dict) and set(entry) == {"value", "from"}


def _key_that_repeats(node: Any) -> str | None:
    """A key that a mapping of a parsed YAML document has twice: the reader would keep the last without a word."""
    pairs = node.value if getattr(node, "id", "") == "mapping" else ()
    names = [key.value for key, _ in pairs if isinstance(key.value, str)]
    inside = (_key_that_repeats(value) for _, value in pairs)
    return next((name for name in names if names.count(name) > 1), None) or next(filter(None, inside), None)


def resolve(
    layers: Iterable[tuple[str, Mapping[str, Any]]], method_type: type[BaseModel], data_type: type[BaseModel],
    cohorts: Iterable[str] = (),
) -> Resolved:  # fmt: skip
    """Merge the layers (name, flat values), lowest first, and validate every namespace at once.

    Each of ``cohorts`` has a namespace too, for settings of the data that are its own.

    Raises ConfigError that names every unknown key, with the nearest known one, and every value that does not fit.
    """
    models: dict[str, type[BaseModel]] = {
        **dict.fromkeys(cohorts, data_type),
        "method": method_type, "data": data_type, "optimizer": OptimizerSettings, "run": RunSettings,
    }  # fmt: skip
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    faults: list[str] = []
    for layer, values in layers:
        for key, value in values.items():
            full = _with_namespace(key, models)
            if full is None:
                faults.append(f"'{key}' ({layer}) is not a setting: {nearest(key, _all_keys(models))}")
                continue
            merged[full] = value
            origins[full] = layer
    spaces: dict[str, dict[str, Any]] = {name: {} for name in models}
    for full, value in merged.items():
        space, _, key = full.partition(".")
        spaces[space][key] = value
    made: dict[str, Any] = {}
    for name, model in models.items():
        try:
            made[name] = model.model_validate(nested(_with_shared(name, spaces, data_type)))
        except ValidationError as error:
            faults.extend(_fault(name, detail, origins) for detail in error.errors())
    if faults:
        count = f"{len(faults)} settings are" if len(faults) > 1 else "1 setting is"
        raise ConfigError(f"{count} wrong:\n  " + "\n  ".join(faults), "see 'mdx show PLUGIN' for all settings")
    own = {
        name: {k: v for k, v in flatten(made[name].model_dump(mode="json")).items() if k in spaces[name]}
        for name in models if spaces[name]
    }  # fmt: skip
    return Resolved(
        made["method"], made["data"], made["optimizer"], made["run"], origins,
        {name: values for name, values in own.items() if name not in NAMESPACES},
    )  # fmt: skip


def _with_shared(
    name: str, spaces: Mapping[str, Mapping[str, Any]], data_type: type[BaseModel]
) -> dict[str, Any]:  # fmt: skip
    """The values of a namespace; those of a named cohort over the data's, of which it has the rest."""
    if name in NAMESPACES or not spaces[name]:
        return dict(spaces[name])
    alone = getattr(data_type, "of_one_table", ())
    return {k: v for k, v in spaces["data"].items() if k.split(".")[0] not in alone} | dict(spaces[name])


def _with_namespace(key: str, models: Mapping[str, type[BaseModel]]) -> str | None:
    head, _, rest = key.partition(".")
    if head in models and rest and not (head not in NAMESPACES and known_key(models["method"], key)):
        return key if head == "optimizer" or known_key(models[head], rest) else None
    for space in ("method", "data", "run"):
        if known_key(models[space], key):
            return f"{space}.{key}"
    return None


def known_key(model: type[BaseModel], key: str) -> bool:
    """Whether the dotted ``key`` leads to a field of ``model``."""
    head, _, rest = key.partition(".")
    if head not in model.model_fields:
        return False
    if not rest:
        return True
    inner = model.model_fields[head].annotation
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return known_key(inner, rest)
    return typing.get_origin(inner) in (dict, Mapping) or inner is dict


def _all_keys(models: Mapping[str, type[BaseModel]]) -> list[str]:
    keys: list[str] = []
    for space, model in models.items():
        for key in field_names(model):
            keys += [key, f"{space}.{key}"] if space in ("method", "data", "run") else [f"{space}.{key}"]
    return keys


def field_names(model: type[BaseModel]) -> list[str]:
    """Dotted names of all settings of a model, nested ones included."""
    names: list[str] = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += [f"{name}.{key}" for key in field_names(inner)]
        else:
            names.append(name)
    return names


def _fault(space: str, detail: Any, origins: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    layer = origins.get(f"{space}.{key}", "")
    return f"{space}.{key}{f' ({layer})' if layer else ''}: {detail['msg']}, but is {detail['input']!r}"

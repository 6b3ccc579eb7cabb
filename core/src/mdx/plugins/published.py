"""Published tables in ``mdx.toml``: where their numbers are, and how each of their rows is run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mdx.plugins.shapes import Faults


@dataclass(frozen=True)
class PublishedMetric:
    """Where summary.json of a run has a published metric; ``scale`` brings ours to the printed unit."""

    metric: str
    group: str = "all"
    scale: float = 1.0


@dataclass(frozen=True)
class TableKey:
    """What a value of a key column sets; ``published_only`` says why its rows are not run.

    ``group`` says where in a run the row is measured, in place of its metric's own: one run then serves several rows.
    """

    variant: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None
    group: str | None = None
    published_only: str | None = None


@dataclass(frozen=True)
class Claim:
    """An order that the paper claims for values of the key column ``column``, the better one first.

    ``where`` narrows the rows by other key columns; without a ``metric`` it is the table's first.
    """

    order: tuple[str, ...]
    metric: str | None = None
    column: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper: its numbers (a CSV file in the plugin, in long form) and how its rows are run.

    Attributes:
        data, preset, values: what its rows are run on and with, unless the user says otherwise; ``{seed}`` in ``data``
            is the seed of the run, so that a simulated cohort is another one for each seed.
        metrics: published metric -> where a run has it.
        keys: key column -> value -> what it sets; a row of the table merges what its key columns set.
        claims: sentence -> the order that it claims.
    """

    file: str
    data: str | None = None
    preset: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, PublishedMetric] = field(default_factory=dict)
    keys: Mapping[str, Mapping[str, TableKey]] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)


TABLE = {
    "file": "a text", "data": "a text", "preset": "a text", "set": "a table", "metrics": "a table", "keys": "a table",
    "claims": "a table",
}  # fmt: skip
METRIC = {"metric": "a text", "group": "a text", "scale": "a number"}
KEY = {"variant": "a text", "set": "a table", "data": "a text", "group": "a text", "published_only": "a text"}
CLAIM = {
    "order": "a list of texts or numbers", "metric": "a text", "column": "a text", "where": "a table",
}  # fmt: skip


class TableReader(Faults):
    """Turns a table of the manifest into a ``PublishedTable`` and collects what is wrong with it."""

    def table(self, name: str, raw: object, variants: Collection[str], presets: Collection[str]) -> PublishedTable:
        """``[tables.NAME]``; ``variants`` and ``presets`` are what its entries may name."""
        where = f"[tables.{name}]"
        raw = self.shaped(where, raw, TABLE)
        if "file" not in raw:
            self.faults.append(f"{where} needs 'file', the CSV of the published numbers")
        if raw.get("preset") is not None and raw["preset"] not in presets:
            self.faults.append(f"{where} names the preset '{raw['preset']}', which is none")
        metrics = {}
        for key, entry in self.entries(f"{where[:-1]}.metrics]", raw.get("metrics", {})):
            metrics[key] = self._metric(f"{where[:-1]}.metrics] {key}", entry)
        keys: dict[str, dict[str, TableKey]] = {}
        for column, values in self.entries(f"{where[:-1]}.keys]", raw.get("keys", {})):
            inside = f"{where[:-1]}.keys.{column}]"
            keys[column] = {v: self._key(f"{inside} {v}", e, variants) for v, e in self.entries(inside, values)}
        found = self.entries(f"{where[:-1]}.claims]", raw.get("claims", {}))
        claims = {text: self._claim(name, text, entry, keys, metrics) for text, entry in found}
        return PublishedTable(
            raw.get("file", ""), raw.get("data"), raw.get("preset"), raw.get("set", {}), metrics, keys, claims
        )

    def _metric(self, where: str, raw: dict[str, Any]) -> PublishedMetric:
        raw = self.shaped(where, raw, METRIC)
        if "metric" not in raw:
            self.faults.append(f"{where} needs 'metric', its name in summary.json")
        self._group(where, raw.get("group", "all"))
        return PublishedMetric(raw.get("metric", ""), raw.get("group", "all"), raw.get("scale", 1.0))

    def _key(self, where: str, raw: dict[str, Any], variants: Collection[str]) -> TableKey:
        raw = self.shaped(where, raw, KEY)
        if raw.get("variant") is not None and raw["variant"] not in variants:
            self.faults.append(f"{where} names the variant '{raw['variant']}', which is none")
        self._group(where, raw.get("group", "all"))
        return TableKey(
            raw.get("variant"), raw.get("set", {}), raw.get("data"), raw.get("group"), raw.get("published_only")
        )

    def _group(self, where: str, group: str) -> None:
        if group != "all" and "=" not in group:
            self.faults.append(f"{where} has the group '{group}', not 'all', 'role=...', 'site=...' or 'COLUMN=...'")

    def _claim(
        self, table: str, text: str, raw: dict[str, Any], keys: Mapping[str, Mapping[str, Any]],
        metrics: Mapping[str, Any],
    ) -> Claim:  # fmt: skip
        where = f"[tables.{table}.claims] '{text}'"
        raw = self.shaped(where, raw, CLAIM)
        column = raw.get("column") or next(iter(keys), None)
        order = tuple(map(str, raw.get("order", ())))
        places = {k: str(v) for k, v in raw.get("where", {}).items()}
        if len(order) < 2:
            self.faults.append(f"{where} needs 'order', two or more values, the better one first")
        unknown = [value for value in order if value not in keys.get(column or "", {})]
        if unknown:
            self.faults.append(f"{where} orders {', '.join(unknown)}, which are no values of the column '{column}'")
        for key, value in places.items():
            if value not in keys.get(key, {}):
                self.faults.append(f"{where} is about {key} = '{value}', which the table does not have")
        if raw.get("metric", next(iter(metrics), None)) not in metrics:
            self.faults.append(f"{where} names the metric '{raw.get('metric')}', which the table does not map")
        return Claim(order, raw.get("metric"), column, places)

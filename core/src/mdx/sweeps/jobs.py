"""What a sweep runs: one job a combination of pair, variant, setting and seed."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdx.config import in_quotes, items, read_config_file
from mdx.errors import UsageError, nearest

if TYPE_CHECKING:
    from mdx.workflow.planning import Plan


SPLIT_SEED = "data.split_seed"


@dataclass(frozen=True)
class Job:
    """One run to be: what ``mdx run`` would be told.

    Attributes:
        settings: what ``--set`` would take.
        baselines: None for those of the plugin.
        labels: what tells this job from the others of its sweep: variant, source, target, seed.
    """

    plugin: str
    data: str | None
    variant: str | None = None
    preset: str | None = None
    config: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    baselines: tuple[str, ...] | None = ()
    device: str | None = None
    precision: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """The labels in one line: ``srsim_mst, A to B, seed 0``."""
        place = f"{self.labels['source']} to {self.labels['target']}" if "source" in self.labels else ""
        rest = [v for k, v in self.labels.items() if k not in ("variant", "source", "target", "seed")]
        return ", ".join(p for p in (self.labels.get("variant", ""), place, *rest, f"seed {self.seed}") if p)

    @property
    def command(self) -> list[str]:
        """The words that make the same run by itself."""
        flags = {
            "data": self.data, "variant": self.variant, "preset": self.preset, "config": self.config,
            "seed": self.seed, "device": self.device, "precision": self.precision,
            "baselines": None if self.baselines is None else ",".join(self.baselines) or "none",
        }  # fmt: skip
        words = [word for name, value in flags.items() if value is not None for word in (f"--{name}", str(value))]
        settings = [word for key, value in self.settings.items() for word in ("--set", f"{key}={as_text(value)}")]
        return ["mdx", "run", self.plugin, *words, *settings]

    def plan(self, threads: int | None = None) -> Plan:
        """The plan of the run; raises what ``mdx run`` would."""
        from mdx.workflow.planning import make_plan

        settings = {**({"run.threads": threads} if threads else {}), **self.settings}
        return make_plan(
            self.plugin, variant=self.variant, preset=self.preset, data=[self.data] if self.data else [],
            config=self.config, assignments=settings, seed=self.seed, device=self.device, precision=self.precision,
            baselines=self.baselines,
        )  # fmt: skip


def as_text(value: Any) -> str:
    """A setting's value as ``--set`` takes it."""
    return ",".join(map(in_quotes, value)) if isinstance(value, list | tuple) else str(value)


def expand(
    job: Job,
    *,
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    pairs: str | None = None,
    leave_site_out: bool = False,
    grid: Mapping[str, Sequence[str]] | None = None,
) -> list[Job]:
    """Every combination.

    Args:
        job: what all have in common.
        variants: names, or ``all``; empty: the plugin's default.
        pairs: ``all`` ordered pairs of sites, or ``A:B,C:D``.
        leave_site_out: each site in turn is the target, all others the source.
        grid: setting -> values, each with each.

    Raises UsageError for pairs together with ``leave_site_out``, and for an unknown variant or site.
    """
    names = _variants(job.plugin, variants)
    unused = _unused(job, names, [*job.settings, *(grid or {})])
    places = _places(_without(replace(job, variant=names[0]), unused[names[0]]), pairs, leave_site_out)
    varied = [[(key, value) for value in values] for key, values in (grid or {}).items()]
    made = []
    for seed, place, setting, variant in itertools.product(seeds, places, itertools.product(*varied), names):
        where = {role: ",".join(sites) for role, sites in place.items()}
        labels = {**({"variant": variant} if variant else {}), **where, **dict(setting), "seed": str(seed)}
        settings = {**job.settings, **{f"data.{role}": as_text(of) for role, of in place.items()}, **dict(setting)}
        settings = divided_by(seed, job, settings)
        made.append(
            _without(replace(job, variant=variant, settings=settings, seed=seed, labels=labels), unused[variant])
        )
    return made


def _unused(job: Job, names: Sequence[str | None], keys: Sequence[str]) -> dict[str | None, set[str]]:
    """Of each variant the settings that it does not take and another one of the sweep does."""
    from mdx.plugins.discovery import find_plugin
    from mdx.plugins.variants import taken

    plugin = find_plugin(job.plugin)
    assert plugin.manifest is not None  # find_plugin returns working plugins only
    variants = plugin.manifest.variants
    left = {name: set(keys) - set(taken(plugin, variants.get(name or ""), dict.fromkeys(keys))) for name in names}
    of_nobody = set.intersection(*left.values())  # which each run refuses
    return {name: found - of_nobody for name, found in left.items()}


def _without(job: Job, keys: Collection[str]) -> Job:
    return replace(job, settings={key: value for key, value in job.settings.items() if key not in keys})


def divided_by(seed: int, job: Job, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the division of the user's own table that belongs to a seed, as papers divide theirs anew.

    A division that the user sets, by ``--set`` or in the configuration file, is kept at all seeds. A simulated cohort
    has a seed of its own in its address.
    """
    simulated = job.data is None or job.data.startswith("sim:")
    given = {*settings, *(read_config_file(job.config) if job.config else ())}
    if simulated or not seed or given & {SPLIT_SEED, SPLIT_SEED.removeprefix("data.")}:
        return dict(settings)
    return {**settings, SPLIT_SEED: seed}


def turns(jobs: Sequence[Job]) -> list[int]:
    """The order in which to start jobs: first one of each source, data and seed.

    Jobs that are equal in these often share a training; started together, one would wait for the other.
    """
    seen: dict[tuple[str | None, int, str], int] = {}
    rounds = []
    for job in jobs:
        key = (job.data, job.seed, as_text(job.settings.get("data.source", "")))
        seen[key] = seen.get(key, -1) + 1
        rounds.append(seen[key])
    return sorted(range(len(jobs)), key=lambda i: rounds[i])


def _variants(plugin: str, asked: Sequence[str]) -> list[str | None]:
    from mdx.plugins.discovery import find_plugin

    manifest = find_plugin(plugin).manifest
    assert manifest is not None  # find_plugin returns working plugins only
    if list(asked) == ["all"]:
        return list(manifest.variants) or [None]
    for name in asked:
        if name not in manifest.variants:
            raise UsageError(f"{plugin} has no variant '{name}'", nearest(name, manifest.variants))
    return list(asked) or [manifest.default_variant]


def _places(job: Job, pairs: str | None, leave_site_out: bool) -> list[dict[str, list[str]]]:
    """Source and target sites of every run; one empty entry where sites do not vary."""
    if pairs and leave_site_out:
        raise UsageError("--pairs and --leave-site-out cannot be combined", "give one of them")
    if not pairs and not leave_site_out:
        return [{}]
    sites = _sites(job)
    if leave_site_out:
        return [{"source": [s for s in sites if s != target], "target": [target]} for target in sites]
    if pairs == "all":
        return [{"source": [a], "target": [b]} for a, b in itertools.permutations(sites, 2)]
    found = []
    for text in items(str(pairs)):
        source, colon, target = text.partition(":")
        if not colon:
            raise UsageError(f"'{text}' is no pair", "write --pairs A:B,C:D, or --pairs all")
        for site in (source, target):
            if site not in sites:
                raise UsageError(f"the data have no site '{site}'", nearest(site, sites))
        found.append({"source": [source], "target": [target]})
    return found


def _sites(job: Job) -> list[str]:
    from mdx.data.open import open_dataset

    plan = job.plan()
    return list(open_dataset(plan.data, plan.settings.data.elsewhere()).task.sites)

"""The scored methods of several runs, told apart by variant and settings, for a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mdx.errors import RefusedError, UsageError, nearest
from mdx.runs.folders import is_done, read_json, read_settings, read_splits

SHOWN = 4
NOT_OF_A_METHOD = ("run", "data.cache", "data.groups", "data.split_seed")
"""Settings that say how a run is carried out, not what the method is; how a table was divided shows in its splits."""


@dataclass(frozen=True)
class Scored:
    """One method at one seed.

    Attributes:
        name: the method's name in the comparison; equal for its seeds.
        directory: where its scores are.
        facts: its provenance.json.
        settings: dotted key -> value; ``init_from``: the run or network that it began with, None where there is none.
    """

    name: str
    seed: int
    directory: Path
    facts: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def run(self) -> Path:
        """The directory of the run that it belongs to."""
        return _run_of(self.directory)

    @property
    def label(self) -> str:
        """Name, seed and run, for messages."""
        return f"{self.name}, seed {self.seed} ({self.run.name})"


def scored_methods(asked: Sequence[str]) -> list[Scored]:
    """Every scored method of the given runs, each once; several seeds of a method have one name.

    Args:
        asked: run directories (with their baselines), folders of runs or of a sweep, or either with ``:VARIANT``.

    Raises UsageError where there is no run, no such variant, or fewer than two methods; RefusedError for runs that have
    not finished.
    """
    folders = _directories(asked)
    unfinished = [run for run in dict.fromkeys(run for run, _ in folders) if not is_done(run)]
    if unfinished:
        lines = [f"{run.name}: {_state(run)}" for run in unfinished]
        raise RefusedError(
            f"{len(lines)} run{'s have' if len(lines) > 1 else ' has'} not finished:\n  " + "\n  ".join(lines),
            "finish with 'mdx resume RUN' or the same 'mdx sweep', or leave them out",
        )
    found = [_read(directory) for _, directory in folders]
    named = _with_names(found)
    if len({m.name for m in named}) < 2:
        raise UsageError(
            "a comparison needs two methods, here is one" if named else "there is no method",
            "give runs of different variants or settings, or a run with baselines", ", ".join({m.name for m in named}),
        )  # fmt: skip
    return named


def _directories(asked: Sequence[str]) -> list[tuple[Path, Path]]:
    """(run, directory of one of its methods), each method once."""
    made: dict[Path, Path] = {}
    for text in asked:
        path, variant = Path(text), ""
        if not path.exists() and ":" in text:
            head, _, variant = text.rpartition(":")
            path = Path(head)
        inside = path / "runs" if (path / "sweep.json").exists() else path
        runs = [path] if (path / "provenance.json").is_file() else _runs_in(inside)
        if not runs:
            raise UsageError("holds no run", "give run directories, or a folder of runs or of a sweep", path)
        methods = [(run, folder) for run in runs for folder in (run, *_baselines(run))]
        if variant:
            names = {folder: read_json(folder / "provenance.json")["variant"] for _, folder in methods}
            methods = [(run, folder) for run, folder in methods if names[folder] == variant]
            if not methods:
                raise UsageError(f"has no variant '{variant}'", nearest(variant, names.values()), path)
        for _, folder in methods:
            made.setdefault(folder.resolve(), _run_of(folder.resolve()))
    return [(run, folder) for folder, run in made.items()]


def pairs_of(asked: Sequence[str]) -> dict[str, list[str]]:
    """The runs of sweeps over pairs of sites, by pair (``A to B``); empty where all runs have the same roles.

    Methods can be compared within a pair only: in another pair a site is a source that was a target.
    """
    sweeps = [Path(text) for text in asked if (Path(text) / "sweep.json").exists()]
    found: dict[str, list[str]] = {}
    for run in (run for sweep in sweeps for run in _runs_in(sweep / "runs")):
        roles = read_splits(run).drop_duplicates("site").set_index("site")["role"]
        sides = [",".join(sorted(roles.index[roles == role])) for role in ("source", "target")]
        found.setdefault(" to ".join(filter(None, sides)), []).append(str(run))
    return dict(sorted(found.items())) if len(found) > 1 and len(sweeps) == len(asked) else {}


def _run_of(folder: Path) -> Path:
    """The run that a method's directory belongs to: its own, or the one that it is a baseline of."""
    return folder.parent.parent if folder.parent.name == "baselines" else folder


def _runs_in(folder: Path) -> list[Path]:
    return sorted(p.parent for p in folder.glob("*/provenance.json")) if folder.is_dir() else []


def _baselines(run: Path) -> list[Path]:
    return _runs_in(run / "baselines")


def _state(run: Path) -> str:
    path = run / "status.json"
    return read_json(path)["state"] if path.exists() else "not started"


def _read(directory: Path) -> Scored:
    facts = read_json(directory / "provenance.json")
    spaces = read_settings(directory)
    settings = {f"{space}.{key}": entry["value"] for space, values in spaces.items() for key, entry in values.items()}
    begun = facts.get("init_from")
    settings["init_from"] = f"{begun['name']} ({begun['digest'][:8]})" if begun else None
    return Scored(facts["variant"], facts["seed"], directory, facts, settings)


def _with_names(found: Sequence[Scored]) -> list[Scored]:
    """Runs of equal variant and settings are seeds of one method; equal scores of one variant and seed count once.

    A name is the variant, with the plugin where there are several, and with what differs where a variant was run with
    several settings.
    """
    several = len({m.facts["plugin"] for m in found}) > 1
    variants: dict[str, list[dict[int, list[Scored]]]] = {}
    for m in found:
        name = f"{m.facts['plugin']}/{m.facts['variant']}" if several else m.facts["variant"]
        groups = variants.setdefault(name, [])
        group = next((g for g in groups if _method_of(g) == _own(m)), None)
        if group is None:
            groups.append(group := {})
        repeats = group.setdefault(m.seed, [])
        if all(_scores(m) != _scores(other) for other in repeats):
            repeats.append(m)
    made = []
    for name, groups in variants.items():
        for group, differs in _told_apart(_merged(groups)):
            for seed, repeats in group.items():
                for m in repeats:
                    again = f", {m.directory.name}" if len(repeats) > 1 else ""
                    made.append(replace(m, name=f"{name}{differs}{again}", seed=seed))
    return made


def _own(m: Scored) -> dict[str, Any]:
    """The settings that make the method what it is."""
    return {k: v for k, v in m.settings.items() if not k.startswith(NOT_OF_A_METHOD)}


def _method_of(group: Mapping[int, Sequence[Scored]]) -> dict[str, Any]:
    return _own(next(iter(group.values()))[0])


def _scores(m: Scored) -> bytes:
    return (m.directory / "scores.csv").read_bytes()


def _merged(groups: Sequence[dict[int, list[Scored]]]) -> list[dict[int, list[Scored]]]:
    """Groups whose settings differ without any effect are one: a baseline that does not read the method's settings."""
    made: list[dict[int, list[Scored]]] = []
    for group in groups:
        same = next((other for other in made if _equal_scores(group, other)), None)
        if same is None:
            made.append(dict(group))
        else:
            same |= {seed: repeats for seed, repeats in group.items() if seed not in same}
    return made


def _equal_scores(a: Mapping[int, Sequence[Scored]], b: Mapping[int, Sequence[Scored]]) -> bool:
    common = set(a) & set(b)
    return bool(common) and all({_scores(m) for m in a[s]} == {_scores(m) for m in b[s]} for s in common)


def _told_apart(groups: Sequence[dict[int, list[Scored]]]) -> list[tuple[dict[int, list[Scored]], str]]:
    """Each group with the settings that differ between them, as ``, beta=0.1``; nothing for a single group."""
    if len(groups) < 2:
        return [(group, "") for group in groups]
    own = [_method_of(group) for group in groups]
    keys = [k for k in {k: None for settings in own for k in settings} if len({repr(s.get(k)) for s in own}) > 1]
    return [
        (group, "".join(f", {k.removeprefix('method.')}={_text(settings.get(k))}" for k in keys))
        for group, settings in zip(groups, own, strict=True)
    ]


def _text(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def refuse_unfair(methods: Sequence[Scored]) -> None:
    """Raise RefusedError, naming what differs, unless all methods were tested on the same cases in the same way."""
    _refuse_unequal_splits(methods)
    for what, of, remedy in (
        ("made of different data", _data, "run all on the same data"),
        ("about different labels", lambda m: m.facts["task"]["label"], "run all with the same data.label"),
        ("of different classes", lambda m: m.facts["task"]["classes"], "run all with the same data.classes"),
        ("scored with different tolerances of the surface Dice (run.tolerance_mm)",
         lambda m: m.settings.get("run.tolerance_mm"), "run all with the same run.tolerance_mm"),
    ):  # fmt: skip
        groups: dict[str, list[Scored]] = {}
        for m in methods:
            groups.setdefault(str(of(m)), []).append(m)
        if len(groups) > 1:
            lines = [f"{value}: {_listed(group)}" for value, group in groups.items()]
            raise RefusedError(f"the runs are {what}:\n  " + "\n  ".join(lines), remedy)


def _data(m: Scored) -> str:
    """The recipe of simulated data, whose cases have the same names at every seed; of files the split says it all."""
    return m.facts["data"] if m.facts["data_uri_kind"] == "sim" else ""


def _refuse_unequal_splits(methods: Sequence[Scored]) -> None:
    """Splits may differ between seeds only, where every method has the same seeds; roles are the same everywhere."""
    tables = {m.directory: read_splits(m.directory) for m in methods}
    roles = {d: repr(_roles(table)) for d, table in tables.items()}
    seeds = {n: {m.seed for m in methods if m.name == n} for n in {m.name for m in methods}}
    divided_anew = len(set(roles.values())) == 1 and len({frozenset(s) for s in seeds.values()}) == 1
    groups: dict[tuple[str, str], list[Scored]] = {}
    for seed in sorted({m.seed for m in methods}) if divided_anew else [None]:
        groups = {}
        for m in (m for m in methods if seed is None or m.seed == seed):
            groups.setdefault((m.facts["split_hash"], roles[m.directory]), []).append(m)
        if len(groups) > 1:
            break
    else:
        return
    first, *others = groups
    of = {key: tables[group[0].directory] for key, group in groups.items()}
    lines = [f"{_listed(groups[k])}: {_difference(of[first], of[k])}" for k in others]
    raise RefusedError(
        "the runs have different splits or roles, so their scores cannot be compared; "
        f"against {_listed(groups[first])}:\n  " + "\n  ".join(lines),
        "run all on one table with the same source, target, data.split_seed and fractions, or every method at the same "
        "seeds where each divides the table anew ('mdx sweep --seeds'); a split column fixes it",
    )


def _roles(table: Any) -> list[list[str]]:
    rows = table.drop_duplicates(["site", "role"]).sort_values(["site", "role"])
    return rows[["site", "role"]].to_numpy().tolist()


def _difference(a: Any, b: Any) -> str:
    """What tells two splits.csv apart, in numbers."""
    said = []
    test = [table[table["split"] == "test"] for table in (a, b)]
    cases, subjects = (len(set(test[0][c]) ^ set(test[1][c])) for c in ("case", "subject"))
    if cases:
        said.append(f"{cases} test case(s) of {subjects} subject(s) are not in both")
    both = a.merge(b, on="case", suffixes=("", "_b"))
    if {"fold", "fold_b"} <= set(both.columns):
        moved = both[both["fold"] != both["fold_b"]]
        if len(moved):
            said.append(f"{len(moved)} case(s) of {moved['subject'].nunique()} subject(s) are tested in another fold")
    moved = both[both["split"] != both["split_b"]]
    if len(moved):
        said.append(f"{len(moved)} case(s) of {moved['subject'].nunique()} subject(s) are in another split")
    lacking = len(set(a["case"]) ^ set(b["case"])) - cases
    if lacking > 0:
        said.append(f"{lacking} train or val case(s) are not in both")
    roles = both[both["role"] != both["role_b"]]
    if len(roles):
        names = sorted(set(roles["site"]))
        said.append(f"the site(s) {', '.join(names)} have another role")
    return "; ".join(said) or "the same cases under another hash"


def _listed(methods: Sequence[Scored]) -> str:
    names = list(dict.fromkeys(m.label for m in methods))
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

"""What a sweep says: each combination against the reference at the same sites, and the score at the source.

The reference is the first of the plugin's baselines that was swept, as in ``mdx compare``; the first combination where
none was. What was trained on labels of the target is no competitor: it is outside Holm's family and gives no mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mdx.evaluation.paired import paired
from mdx.evaluation.statistics import bootstrap_interval, goodness, holm
from mdx.plugins.discovery import discover
from mdx.plugins.manifest import Manifest
from mdx.report.answer import CANNOT_TELL, GAIN, HARM, MARKS
from mdx.report.sweep import FINISHED, SweepTable
from mdx.report.text import metric_words
from mdx.report.verdicts import ENOUGH_SUBJECTS, LEVEL, p_text
from mdx.runs.folders import read_json, read_scores

PLACE = ("source", "target")
GAIN_AND_HARM = "gain and harm"
SYMBOLS = {**MARKS, GAIN_AND_HARM: "±"}


@dataclass
class Combination:
    """One combination of labels over its seeds, on the main metric.

    Attributes:
        place: source and target, where the sweep goes over them; ``name``: the other labels.
        runs: names of its finished runs.
        cases: one row a test case of the target (all cases without one): ``subject`` and ``score``, its mean over the
            seeds that tested it; None for a score that cases do not have.
        variant: the method; ``reads_target``: whether it is set apart, trained on labels of the target.
        mean, low, high: of these cases, with the interval over subjects; ``at_source``: mean at the sources.
        base: name of the reference at the same place; empty for itself.
        against: ``paired`` with it, and ``p_holm`` (NaN where it is set apart); None without a common test case.
    """

    place: tuple[str, ...]
    name: str
    runs: list[str]
    variant: str = ""
    reads_target: bool = False
    cases: Any = None
    mean: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    at_source: float = float("nan")
    base: str = ""
    against: dict[str, Any] | None = field(default=None)

    @property
    def scored(self) -> bool:
        """Whether any of its test cases has a score."""
        return self.cases is not None and len(self.cases) > 0

    @property
    def competes(self) -> bool:
        """Whether its difference is in Holm's family and in the mark."""
        return self.against is not None and not self.reads_target

    def told(self) -> bool:
        """Whether it differs from the reference beyond chance."""
        a = self.against
        return (
            bool(a) and a["n_subjects"] >= ENOUGH_SUBJECTS and a["p_holm"] < LEVEL and (a["low"] > 0 or a["high"] < 0)
        )


def combinations(directory: Path, sweep: SweepTable) -> list[Combination]:
    """The combinations in the order of ``sweep.means``, each against the reference of its place.

    The p values of the whole sweep are one family for Holm's adjustment.
    """
    made = [_scored(directory, sweep, *found) for found in _finished(sweep)]
    manifest = _manifest(sweep.plugin)
    _set_apart(directory, made, manifest.default_variant if manifest else None)
    scored = [one for one in made if one.scored]
    for place in dict.fromkeys(one.place for one in scored):
        beside = [one for one in scored if one.place == place]
        base = _reference(beside, manifest.baselines if manifest else ())
        for one in beside:
            if one is not base:
                one.base, one.against = base.name, _paired(one, base)
    family = [one.against for one in made if one.against and one.competes]
    for found, p in zip(family, holm([f["p"] for f in family]), strict=True):
        found["p_holm"] = p
    return made


def _manifest(plugin: str) -> Manifest | None:
    found = discover().get(plugin)
    return found.manifest if found else None


def _set_apart(directory: Path, made: Sequence[Combination], default: str | None) -> None:
    """Mark what trained on labels of the target; nothing where the plugin's own method, or everything, did."""
    readers: dict[str, bool] = {}
    for one in made:
        path = directory / "runs" / one.runs[0] / "provenance.json"
        facts = read_json(path) if path.exists() else {"variant": one.variant, "target_labels": ""}
        one.variant = facts["variant"]
        readers[one.variant] = facts["target_labels"] == "train"
    apart = not all(readers.values()) and not readers.get(default or "", False)
    for one in made:
        one.reads_target = apart and readers[one.variant]


def _reference(beside: Sequence[Combination], baselines: Sequence[str]) -> Combination:
    """The first baseline in the plugin's order that is no label reader; the first combination where there is none."""
    ranked = [one for one in beside if not one.reads_target] or list(beside)
    named = (one for name in baselines for one in ranked if one.variant == name)
    return next(named, ranked[0])


def _paired(one: Combination, base: Combination) -> dict[str, Any] | None:
    """``paired`` on the test cases of both; None where they have none in common."""
    both = one.cases.join(base.cases, rsuffix="_b", how="inner")
    if not len(both):
        return None
    found = paired(both["score"].tolist(), both["score_b"].tolist(), both["subject"].tolist())
    return {**found, "p_holm": float("nan")}


def _finished(sweep: SweepTable) -> Iterator[tuple[tuple[str, ...], str, list[str]]]:
    """(place, name, runs) of each combination."""
    done = sweep.index[sweep.index["state"].isin(FINISHED)]
    for values, part in done.groupby(sweep.labels, sort=False) if sweep.labels else [((), done)]:
        of = dict(zip(sweep.labels, values, strict=True))
        place = tuple(of[name] for name in PLACE if name in of)
        yield place, ", ".join(v for k, v in of.items() if k not in PLACE), part["run"].tolist()


def _scored(directory: Path, sweep: SweepTable, place: tuple[str, ...], name: str, runs: list[str]) -> Combination:
    made = Combination(place, name, runs)
    metric = sweep.metrics[0] if sweep.metrics else ""
    files = [directory / "runs" / run for run in runs]
    if not metric or not all((folder / "scores.csv").exists() for folder in files):
        return made
    rows: Any = pd.concat([read_scores(folder) for folder in files])
    if metric not in rows or not _one_cohort(directory):
        return made
    rows = rows.assign(score=rows[metric].abs() if sweep.better == "zero" else rows[metric])
    roles = rows["role"].tolist() if "role" in rows else []
    aimed = rows[rows["role"] == "target"] if "target" in roles else rows
    made.cases = aimed.groupby("case").agg(subject=("subject", "first"), score=("score", "mean")).dropna()
    made.mean = float(made.cases["score"].mean())
    made.low, made.high = bootstrap_interval(made.cases["score"].to_numpy(), made.cases["subject"].tolist())
    if "target" in roles:
        made.at_source = float(rows.loc[rows["role"] == "source"].groupby("case")["score"].mean().mean())
    return made


def _one_cohort(directory: Path) -> bool:
    """Whether all runs read the same data: simulated cases of other seeds have the same names and are other heads."""
    return len({job.get("data") for job in read_json(directory / "sweep.json")["jobs"]}) == 1


def sweep_answer(sweep: SweepTable, found: Sequence[Combination]) -> dict[str, Any] | None:
    """``mark``, ``symbol`` and ``sentences`` that open the page; None before any run has a score of cases."""
    scored = [one for one in found if one.scored]
    if not scored or sweep.better is None:
        return None
    words = metric_words(sweep.metrics[0])
    held = [one for one in scored if one.against]
    competing = [one for one in held if one.competes]
    sentences = [_sentence(name, group, sweep) for name, group in _by_name(competing).items()]
    if not sentences:
        one = next((one for one in scored if not one.base), scored[0])
        spread = f" [{one.low:.3f}, {one.high:.3f}]" if one.low == one.low else ""
        name = f"'{one.name}'" if one.name else "the first"
        sentences = [f"Nothing to hold a method against: {name} reaches a {words} of {one.mean:.3f}{spread}."]
    ways = [goodness(_gap(one), _way(sweep)) for one in competing if one.told()]
    mark = CANNOT_TELL if not ways else GAIN if min(ways) > 0 else HARM if max(ways) < 0 else GAIN_AND_HARM
    few = sum((one.against or {})["n_subjects"] < ENOUGH_SUBJECTS for one in competing)
    if few:
        sentences.append(
            f"Fewer than {ENOUGH_SUBJECTS} subjects in {few} of {len(competing)} comparisons: no verdict is possible."
        )
    sentences += _others(scored)
    return {"mark": mark, "symbol": SYMBOLS[mark], "sentences": sentences}


def _others(scored: Sequence[Combination]) -> list[str]:
    """What is not held against the reference: other test cases, and what was trained on labels of the target."""
    said = []
    elsewhere = _by_name([one for one in scored if one.base and not one.against])
    for base in dict.fromkeys(group[0].base for group in elsewhere.values()):
        names = [f"'{name}'" for name, group in elsewhere.items() if group[0].base == base]
        said.append(f"Other test cases than '{base}', so not held against it: {', '.join(names)}.")
    for name, group in _by_name([one for one in scored if one.reads_target]).items():
        gaps = [_gap(one) for one in group if one.against]
        beside = f" ({sum(gaps) / len(gaps):+.3f} to '{group[0].base}')" if gaps else ""
        said.append(
            f"'{name}' trained on labels of the target: what could be reached{beside}, not a competitor; in no verdict."
        )
    return said


def _by_name(held: Sequence[Combination]) -> dict[str, list[Combination]]:
    groups: dict[str, list[Combination]] = {}
    for one in held:
        groups.setdefault(one.name, []).append(one)
    return groups


def _way(sweep: SweepTable) -> str:
    return "min" if sweep.better in ("min", "zero") else "max"


def _sentence(name: str, group: Sequence[Combination], sweep: SweepTable) -> str:
    """One combination against the reference, at its place or over all places."""
    base = group[0].base
    words = metric_words(sweep.metrics[0])
    if len(group) == 1:
        a = group[0].against or {}
        verb = _verb(group[0], sweep)
        test = f"p {p_text(a['p_holm'])} by Holm, {a['n_subjects']} subjects"
        return f"'{name}' {verb} '{base}' in {words}: {difference(a)}, {test}."
    better = sum(one.told() and goodness(_gap(one), _way(sweep)) > 0 for one in group)
    worse = sum(one.told() and goodness(_gap(one), _way(sweep)) < 0 for one in group)
    mean = sum(map(_gap, group)) / len(group)
    return (
        f"'{name}' against '{base}': better at {better} of {len(group)} pairs of sites, worse at {worse}, not told at "
        f"{len(group) - better - worse}; the {words} differs by {mean:+.3f} in the mean of the pairs."
    )


def _gap(one: Combination) -> float:
    return (one.against or {})["difference"]


def _verb(one: Combination, sweep: SweepTable) -> str:
    if not one.told():
        return "cannot be told from"
    return "is better than" if goodness(_gap(one), _way(sweep)) > 0 else "is worse than"


def difference(against: Mapping[str, Any] | None) -> str:
    """``+0.012 [+0.003, +0.020]``; a dash for the reference."""
    if not against or against["difference"] != against["difference"]:
        return "-"
    spread = f" [{against['low']:+.3f}, {against['high']:+.3f}]" if against["low"] == against["low"] else ""
    return f"{against['difference']:+.3f}{spread}"

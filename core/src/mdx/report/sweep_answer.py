"""What a sweep says: each combination against the first one at the same sites, and the score at the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mdx.evaluation.paired import paired
from mdx.evaluation.statistics import bootstrap_interval, goodness, holm
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
        mean, low, high: of these cases, with the interval over subjects; ``at_source``: mean at the sources.
        against: ``paired`` with the first combination at the same place, and ``p_holm``; None for the first one.
    """

    place: tuple[str, ...]
    name: str
    runs: list[str]
    cases: Any = None
    mean: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    at_source: float = float("nan")
    against: dict[str, Any] | None = field(default=None)

    def told(self) -> bool:
        """Whether it differs from the first one beyond chance."""
        a = self.against
        return (
            bool(a) and a["n_subjects"] >= ENOUGH_SUBJECTS and a["p_holm"] < LEVEL and (a["low"] > 0 or a["high"] < 0)
        )


def combinations(directory: Path, sweep: SweepTable) -> list[Combination]:
    """The combinations in the order of ``sweep.means``, each against the first one of its place.

    The p values of the whole sweep are one family for Holm's adjustment.
    """
    made = [_scored(directory, sweep, *found) for found in _finished(sweep)]
    first: dict[tuple[str, ...], Combination] = {}
    for one in made:
        base = first.setdefault(one.place, one)
        if base is not one and base.cases is not None and one.cases is not None:
            both = one.cases.join(base.cases, rsuffix="_b", how="inner")
            one.against = paired(both["score"].tolist(), both["score_b"].tolist(), both["subject"].tolist())
    family = [one.against for one in made if one.against]
    for found, p in zip(family, holm([f["p"] for f in family]), strict=True):
        found["p_holm"] = p
    return made


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
    scored = [one for one in found if one.cases is not None]
    if not scored or sweep.better is None:
        return None
    words = metric_words(sweep.metrics[0])
    held = [one for one in scored if one.against]
    if not held:
        one = scored[0]
        spread = f" [{one.low:.3f}, {one.high:.3f}]" if one.low == one.low else ""
        text = f"Nothing to hold a method against: the first reaches a {words} of {one.mean:.3f}{spread}."
        return {"mark": CANNOT_TELL, "symbol": SYMBOLS[CANNOT_TELL], "sentences": [text]}
    ways = [goodness(one.against["difference"], _way(sweep)) for one in held if one.told() and one.against]
    mark = CANNOT_TELL if not ways else GAIN if min(ways) > 0 else HARM if max(ways) < 0 else GAIN_AND_HARM
    sentences = [_sentence(name, group, scored, sweep) for name, group in _by_name(held).items()]
    few = [one.against["n_subjects"] for one in held if one.against and one.against["n_subjects"] < ENOUGH_SUBJECTS]
    if few:
        sentences.append(
            f"Fewer than {ENOUGH_SUBJECTS} subjects in {len(few)} of {len(held)} comparisons: no verdict is possible."
        )
    return {"mark": mark, "symbol": SYMBOLS[mark], "sentences": sentences}


def _by_name(held: Sequence[Combination]) -> dict[str, list[Combination]]:
    groups: dict[str, list[Combination]] = {}
    for one in held:
        groups.setdefault(one.name, []).append(one)
    return groups


def _way(sweep: SweepTable) -> str:
    return "min" if sweep.better in ("min", "zero") else "max"


def _sentence(name: str, group: Sequence[Combination], scored: Sequence[Combination], sweep: SweepTable) -> str:
    """One combination against the first one, at its place or over all places."""
    base = next(one.name for one in scored if one.place == group[0].place)
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
    """``+0.012 [+0.003, +0.020]``; a dash for the first combination."""
    if not against or against["difference"] != against["difference"]:
        return "-"
    spread = f" [{against['low']:+.3f}, {against['high']:+.3f}]" if against["low"] == against["low"] else ""
    return f"{against['difference']:+.3f}{spread}"

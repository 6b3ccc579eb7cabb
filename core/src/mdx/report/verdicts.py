"""What the numbers of a run allow to be said: the method against each baseline, in a table and in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdx.evaluation.paired import paired
from mdx.evaluation.statistics import goodness, holm
from mdx.report.text import Method, Row, interval, metric_words, reading_target

ENOUGH_SUBJECTS = 6
"""With fewer, a two-sided Wilcoxon test cannot give p below .05, and a bootstrap interval is too narrow."""
LEVEL = 0.05


@dataclass(frozen=True)
class Part:
    """Some sites that are looked at together: their name on the page, and their group in summary.json."""

    name: str
    sites: tuple[str, ...]
    group: str
    is_target: bool


def parts_of(roles: Mapping[str, str]) -> list[Part]:
    """All target sites together where there are several, then each site; without roles every site is a target."""
    has_target = "target" in roles.values()
    targets = tuple(s for s, role in roles.items() if role == "target" or not has_target)
    parts = [Part(s, (s,), f"site={s}", s in targets) for s in roles]
    pooled = "role=target" if has_target else "all"
    return [Part("all target sites" if has_target else "all sites", targets, pooled, True)] * (len(targets) > 1) + parts


def paired_tests(
    methods: Sequence[Method], tables: Mapping[str, Any], metric: str, parts: Sequence[Part]
) -> list[dict[str, Any]]:
    """The method against each baseline on the same cases; p values adjusted over the baselines of a part (Holm).

    What was trained on labels of the target is no competitor: it is outside the family, and has no adjusted p, unless
    it is all that there is.

    Args:
        tables: the rows of scores.csv by method.

    Returns:
        ``paired`` with ``baseline``, ``part`` and ``p_holm``.
    """
    made: list[dict[str, Any]] = []
    own = tables[methods[0].name]
    outside = reading_target(list(methods))
    if outside >= {m.name for m in methods[1:]}:
        outside = set()
    for part in parts:
        rows: list[dict[str, Any]] = []
        for baseline in methods[1:]:
            both = own.merge(tables[baseline.name][["case", metric]], on="case", suffixes=("", "_b"))
            both = both[both["site"].isin(part.sites)]
            if len(both):
                scores = both[metric].tolist(), both[f"{metric}_b"].tolist()
                found = paired(*scores, both["subject"].tolist())
                rows.append({"part": part.name, "baseline": baseline.name, **found, "p_holm": float("nan")})
        family = [row for row in rows if row["baseline"] not in outside]
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = p
        made += rows
    return made


def headline(
    methods: Sequence[Method], metric: str, better: str, parts: Sequence[Part], tests: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What was measured at the targets, in a sentence or two each; what is not better is said to be not better."""
    own = methods[0]
    sentences = []
    for part in parts:
        row = own.row(metric, part.group)
        if not part.is_target or row is None or row["mean"] is None:
            continue
        place = f"Over {part.name}" if len(part.sites) > 1 else f"At {part.name}"
        words = metric_words(metric)
        text = f"{place}, '{own.name}' reaches {'an' if words[0] in 'aeiouA' else 'a'} {words} of {interval(row)}"
        first = next((t for t in tests if t["part"] == part.name), None)
        text += f", {_verdict(first, better)}." if first else "."
        for labels, how in (("never", "without labels of the target"), ("val", "with the target's validation labels")):
            above = [
                f"'{m.name}' ({other['mean']:.3f})"
                for m in methods[2:]
                if m.target_labels == labels and (other := m.row(metric, part.group)) and _beats(other, row, better)
            ]
            beyond = "Lower" if better == "min" else "Higher" if better == "max" else "Nearer to 0"
            text += f" {beyond} {how}: {_listed(above)}." if above else ""
        sentences.append(text)
    return sentences


def _verdict(test: Mapping[str, Any], better: str) -> str:
    """The comparison with one baseline in words, no stronger than its interval, its test and its subjects allow."""
    name, d, n = test["baseline"], test["difference"], test["n_subjects"]
    if not n:
        return f"which cannot be compared with '{name}'"
    spread = f" [{test['low']:+.3f}, {test['high']:+.3f}]" if test["low"] == test["low"] else ""
    counts = f"higher in {test['higher']} and lower in {test['lower']} of {n} subject{'s' if n > 1 else ''}"
    if n < ENOUGH_SUBJECTS:
        return f"{d:+.3f}{spread} against '{name}', {counts}: too few for a verdict"
    apart = test["p_holm"] < LEVEL and (test["low"] > 0 or test["high"] < 0)
    gain = {"max": d, "min": -d}.get(better)
    words = "cannot be told from" if not apart else "differs from" if gain is None else "is better than"
    if apart and gain is not None and gain < 0:
        words = "is worse than"
    return f"which {words} '{name}' ({d:+.3f}{spread}, {counts}, p by Holm {p_text(test['p_holm'])})"


def p_text(p: float) -> str:
    """``0.031``, ``< 0.001``, or a dash where there is none."""
    return "-" if p != p else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _beats(other: Row, own: Row, better: str) -> bool:
    return other["mean"] is not None and goodness(other["mean"], better) > goodness(own["mean"], better)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

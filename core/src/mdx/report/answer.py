"""The answer of a run: what is lost from source to target, how much of it the method closes, what could be told at all.

The question is one comparison: the method against the reference, the first baseline that reads no label of the target
in training, on the main metric over all target sites together. A method that itself trains on such labels is said to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mdx.evaluation.statistics import goodness
from mdx.report.alarms import failures
from mdx.report.gap import Estimate, gap_closed
from mdx.report.text import Method, metric_words, metrics_shown, site_roles
from mdx.report.verdicts import ENOUGH_SUBJECTS, LEVEL, Part, p_text, paired_tests, parts_of
from mdx.runs.folders import read_json, read_scores

GAIN, NO_GAIN, HARM, CANNOT_TELL, DID_NOT_LEARN = "gain", "no gain", "harm", "cannot tell", "did not learn"
MARKS = {GAIN: "▲", NO_GAIN: "=", HARM: "▼", CANNOT_TELL: "?", DID_NOT_LEARN: "✕"}
"""The five verdicts, each with a symbol that says the same without colour."""
WORTH = 0.5
"""There is no gain where even the upper ends of its interval and of the share's close less than this of the drop."""


@dataclass(frozen=True)
class Answer:
    """What a run says of its method.

    Attributes:
        mark: one of ``MARKS``.
        sentences: the answer, then its limits; names of methods stand in single quotes.
        reference: the baseline that the method is held against; None without one.
        n_subjects: that have test cases at the target and both scores.
        at_source, at_target: mean of the reference; ``reached``: mean of the method at the target.
        drop: how much better the reference is at the source than at the target; positive where something is lost.
        gain: method minus reference at the target, in the metric's own direction.
        share: of the drop that the method closes; None where no drop can be told.
        p, p_holm: Wilcoxon's over subjects, and adjusted over the baselines.
        detectable: half the width of the gain's interval: a smaller difference would not have been told.
    """

    mark: str
    sentences: tuple[str, ...]
    method: str
    metric: str = ""
    better: str = ""
    place: str = ""
    reference: str | None = None
    n_subjects: int = 0
    at_source: float | None = None
    at_target: float | None = None
    reached: float | None = None
    drop: Estimate | None = None
    gain: Estimate | None = None
    share: Estimate | None = None
    p: float | None = None
    p_holm: float | None = None
    detectable: float | None = None

    @property
    def text(self) -> str:
        """The mark and all sentences in one line."""
        return " ".join([f"{self.mark[0].upper()}{self.mark[1:]}.", *self.sentences])

    def values(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {**asdict(self), "text": self.text}


def reference_of(methods: Sequence[Method]) -> Method | None:
    """The first baseline that trains on no label of the target; None where there is none.

    Where the method itself trains on them, and so does every baseline, it is the first: like is held against like.
    """
    unseen = next((m for m in methods[1:] if m.target_labels != "train"), None)
    if unseen is not None or not methods or methods[0].target_labels != "train":
        return unseen
    return next(iter(methods[1:]), None)


def _caveat(own: Method, reference: Method | None) -> list[str]:
    """What a method that itself trains on labels of the target is not."""
    if own.target_labels != "train":
        return []
    if reference is not None and reference.target_labels == "train":
        return [f"'{own.name}' and '{reference.name}' both trained on labels of the target."]
    beside = f", '{reference.name}' did not: the difference" if reference else ": its score"
    return [
        f"'{own.name}' trained on labels of the target{beside} says what could be reached with them, not what "
        "adaptation without them gains."
    ]


def answer_of(
    directory: Path, methods: Sequence[Method], tables: Mapping[str, Any] | None = None,
    tests: Sequence[Mapping[str, Any]] = (),
) -> Answer | None:  # fmt: skip
    """The answer of a run as far as it has been scored; None before its method has a score of cases.

    Args:
        methods: the run's own first.
        tables: the rows of scores.csv by method, if they have been read.
        tests: ``paired_tests`` of the first main metric, if they have been made.
    """
    if not methods:
        return None
    tables = tables or {m.name: read_scores(m.directory) for m in methods}
    metric = next((m for m in metrics_shown(list(methods)) if m in tables[methods[0].name]), None)
    if metric is None:
        return None
    better = next(r.get("better", "max") for r in methods[0].summary if r["metric"] == metric)
    if better == "zero":  # two errors of opposite sign would cancel out
        tables = {name: table.assign(**{metric: table[metric].abs()}) for name, table in tables.items()}
        better, tests = "min", ()
    roles = site_roles(directory)
    failed = _did_not_learn(directory, methods, roles)
    if failed is not None:
        return failed
    part = next((p for p in parts_of(roles) if p.is_target), None)
    reference = reference_of(methods)
    if part is None or reference is None:
        return _alone(directory, methods[0], tables, metric, better)
    tests = [t for t in tests or paired_tests(methods, tables, metric, [part]) if t["part"] == part.name]
    test = next((t for t in tests if t["baseline"] == reference.name), None)
    if test is None or not test["n_subjects"]:
        sentence = f"'{methods[0].name}' and '{reference.name}' have no score of the same test case at the target."
        return Answer(CANNOT_TELL, (sentence,), methods[0].name, metric, better, part.name, reference.name)
    family = sum(t["p_holm"] == t["p_holm"] for t in tests)
    return _compared(methods, reference, part, tables, metric, better, test, family)


def _did_not_learn(directory: Path, methods: Sequence[Method], roles: Mapping[str, str]) -> Answer | None:
    """The answer where the method, or its reference, fails at every source (at every site where none is named)."""
    sources = [s for s, role in roles.items() if role == "source"] or list(roles)
    failed = failures(directory, list(methods))
    reference = reference_of(methods)
    for method in (methods[0], reference) if reference else methods[:1]:
        said = [sentence for name, site, sentence in failed if name == method.name and site in sources]
        sites = {site for name, site, _ in failed if name == method.name}
        if not said or not set(sources) <= sites:
            continue
        if method is methods[0]:
            return Answer(DID_NOT_LEARN, tuple(said), method.name)
        more = f"The reference '{method.name}' did not learn, so nothing says what '{methods[0].name}' gains."
        return Answer(CANNOT_TELL, (more, *said), methods[0].name, reference=method.name)
    return None


def _alone(directory: Path, method: Method, tables: Mapping[str, Any], metric: str, better: str) -> Answer:
    """The answer without a reference: what the method itself loses, and that nothing says what it gains."""
    planned = read_json(directory / "provenance.json")["baselines"]
    why = "No baseline has been scored yet" if planned and len(tables) < 2 else (
        "No baseline that reads no label of the target was run beside it" if planned
        else "No baseline was run beside it"
    )  # fmt: skip
    sentences = [f"{why}, so nothing says what '{method.name}' gains.", *_caveat(method, None)]
    found = gap_closed(_both(tables[method.name], tables[method.name], metric), better)
    if found["at_source"] == found["at_source"] and found["at_target"] == found["at_target"]:
        sentences.append(f"{_loss(found, metric, better, method.name)}.")
    return Answer(
        CANNOT_TELL, tuple(sentences), method.name, metric, better, at_source=_known(found["at_source"]),
        reached=_known(found["at_target"]), drop=found["drop"],
    )  # fmt: skip


def _compared(
    methods: Sequence[Method], reference: Method, part: Part, tables: Mapping[str, Any], metric: str, better: str,
    test: Mapping[str, Any], family: int,
) -> Answer:  # fmt: skip
    own = methods[0]
    rows = _both(tables[own.name], tables[reference.name], metric)
    found = gap_closed(rows, better)
    at_place = rows["site"].isin(part.sites)
    gain, drop = Estimate(test["difference"], test["low"], test["high"]), found["drop"]
    has_drop = drop is not None and drop.low > 0
    p = test["p_holm"] if test["p_holm"] == test["p_holm"] else test["p"]
    test_words = f"p {p_text(p)}" + (f" by Holm over {family} baselines" if family > 1 else "")
    share = found["share"] if has_drop else None
    mark = verdict_of(gain, drop if has_drop else None, share, p, test["n_subjects"], better)
    changed = f"changes the {metric_words(metric)} at {part.name} by"
    start = _start(found, metric, better, reference.name, has_drop)
    said = [f"{start} {_change(own, share, gain, test_words, better, changed)}", *_caveat(own, reference)]
    said += _limits(mark, gain, test["n_subjects"], family, part)
    said += _worst(own, reference, part, metric)
    return Answer(
        mark, tuple(said), own.name, metric, better, part.name, reference.name, test["n_subjects"],
        _known(found["at_source"]), _known(float(rows.loc[at_place, "reference"].mean())),
        _known(float(rows.loc[at_place, "own"].mean())), drop, gain, share,
        _known(test["p"]), _known(test["p_holm"]), _known((gain.high - gain.low) / 2),
    )  # fmt: skip


def _both(own: Any, reference: Any, metric: str) -> Any:
    """One row a case that both methods predicted: ``subject``, ``site``, ``role``, ``own`` and ``reference``."""
    both = own.merge(reference[["case", metric]], on="case", suffixes=("", "_b"))
    role = both["role"] if "role" in both else pd.Series("", index=both.index)
    values = {"own": both[metric], "reference": both[f"{metric}_b"]}
    return pd.DataFrame({"subject": both["subject"].astype(str), "site": both["site"], "role": role, **values})


def verdict_of(
    gain: Estimate, drop: Estimate | None, share: Estimate | None, p: float, n_subjects: int, better: str
) -> str:
    """The verdict; a difference is told by its interval and its test together.

    The interval of the share holds what is unsure of the drop as well: there is no gain only where it, too, stays
    below ``WORTH``.
    """
    if n_subjects < ENOUGH_SUBJECTS:
        return CANNOT_TELL
    if gain.told and p < LEVEL:
        return GAIN if goodness(gain.value, better) > 0 else HARM
    if drop is None or share is None:
        return CANNOT_TELL
    best = max(goodness(gain.low, better), goodness(gain.high, better))
    return NO_GAIN if best < WORTH * drop.value and share.high < WORTH else CANNOT_TELL


def _loss(found: Mapping[str, Any], metric: str, better: str, name: str) -> str:
    """``From source to target the surface dice drops by 0.033 [...] (0.912 to 0.879, 'no_da')``."""
    drop, verb = found["drop"], "drops" if better == "max" else "rises"
    if drop.low > 0:
        return (
            f"From source to target the {metric_words(metric)} {verb} by {drop.value:.3f} [{drop.low:.3f}, "
            f"{drop.high:.3f}] ({found['at_source']:.3f} to {found['at_target']:.3f}, '{name}')"
        )
    if drop.low != drop.low:
        return (
            f"The {metric_words(metric)} goes from {found['at_source']:.3f} at the source to {found['at_target']:.3f} "
            f"at the target ('{name}'), of one subject on a side"
        )
    what = "can be told" if not drop.high < 0 else "is there, it is better at the target"
    spread = f" [{drop.low:+.3f}, {drop.high:+.3f}]" if drop.low == drop.low else ""
    return (
        f"No {'drop' if better == 'max' else 'rise'} of the {metric_words(metric)} from source to target {what} "
        f"({found['at_source']:.3f} to {found['at_target']:.3f}, '{name}'; {drop.value:+.3f}{spread})"
    )


def _start(found: Mapping[str, Any], metric: str, better: str, reference: str, has_drop: bool) -> str:
    if found["drop"] is None:
        return f"Of '{reference}' there is no score at a source and at a target, so no drop is measured."
    return f"{_loss(found, metric, better, reference)}{';' if has_drop else '.'}"


def _change(own: Method, share: Estimate | None, gain: Estimate, test: str, better: str, changed: str) -> str:
    """What the method makes of it: the share of the drop where there is one, the difference, and the test.

    Args:
        changed: the words before the difference where there is no share: ``changes the dice at B by``.
    """
    spread = f" [{gain.low:+.3f}, {gain.high:+.3f}]" if gain.low == gain.low else ""
    if share is None:
        return f"'{own.name}' {changed} {gain.value:+.3f}{spread}, {test}."
    number = f"({gain.value:+.3f}{spread}, {test})."
    if share.value < 0:
        return f"'{own.name}' adds {_percent(-share.value)} to it {number}"
    ends = f" [{_percent(share.low)}, {_percent(share.high)}]" if share.low == share.low else ""
    verb = "closes" if better == "max" else "undoes"
    return f"'{own.name}' {verb} {_percent(share.value)} of it{ends} {number}"


def _limits(mark: str, gain: Estimate, n: int, family: int, part: Part) -> list[str]:
    """What so many subjects could have shown at all."""
    who = f"{n} subject{'s' if n > 1 else ''} at {part.name}"
    if n < ENOUGH_SUBJECTS:
        return [f"{who}: with fewer than {ENOUGH_SUBJECTS} no verdict is possible."]
    floor = 2.0 ** (1 - n)
    if floor * max(family, 1) >= LEVEL:
        return [
            f"{who} and {family} baselines: no difference could have been told, p is {floor:.2g} at least and "
            f"{floor * family:.2g} after Holm's adjustment."
        ]
    if gain.low == gain.high:
        return [f"{who}, with the same difference each."]
    said = [
        f"{who}: a difference below about {(gain.high - gain.low) / 2:.3f} could not have been told (half the width of "
        "its interval)."
    ]
    if mark == NO_GAIN:
        said.append(f"Even the upper end of the interval closes less than {_percent(WORTH)} of the drop.")
    return said


def _worst(own: Method, reference: Method, part: Part, metric: str) -> list[str]:
    """The target site at which the method does worst, where there are several."""
    rows = {site: own.row(metric, f"site={site}") for site in part.sites} if len(part.sites) > 1 else {}
    scored = {s: r for s, r in rows.items() if r and r["mean"] is not None}
    if len(scored) < 2:
        return []
    site = min(scored, key=lambda s: goodness(scored[s]["mean"], scored[s].get("better", "max")))
    beside = reference.row(metric, f"site={site}")
    there = f", {beside['mean']:.3f} with '{reference.name}'" if beside and beside["mean"] is not None else ""
    return [f"The worst is {site}: {scored[site]['mean']:.3f} with '{own.name}'{there}."]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _known(value: float) -> float | None:
    return None if value != value else value

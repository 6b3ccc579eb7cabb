"""A comparison in words and aligned text; what is said is no stronger than intervals, tests and subjects allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mdx.evaluation.statistics import goodness
from mdx.report.answer import CANNOT_TELL, GAIN, HARM
from mdx.report.text import metric_words
from mdx.report.verdicts import ENOUGH_SUBJECTS, LEVEL, p_text

Facts = Mapping[str, Any]


def score_words(metric: Facts) -> str:
    """``surface dice``, ``AUROC``; of a signed error its distance from 0."""
    words = metric_words(metric["metric"])
    return f"distance of the {words} from 0" if metric["distance_to_zero"] else words


def group_words(group: str) -> str:
    """``all test cases``, ``test cases of the target sites``, ``test cases of site A``."""
    kind, _, name = group.partition("=")
    if kind == "all":
        return "all test cases"
    if kind in ("role", "site"):
        return f"test cases of the {name} sites" if kind == "role" else f"test cases of site {name}"
    return f"test cases with {kind} {name}"


def number(value: float | None, form: str = ".3f") -> str:
    """The number, or a dash where there is none."""
    return "-" if value is None else format(value, form)


def spread(row: Facts, form: str = ".3f", name: str = "") -> str:
    """``[low, high]`` (of ``name`` if given), or nothing."""
    low, high = row[f"{name}low"], row[f"{name}high"]
    return f"[{low:{form}}, {high:{form}}]" if low is not None and high is not None else ""


def mean_text(row: Facts) -> str:
    """``0.812 [0.790, 0.834]``; a dash where nothing was measured."""
    return f"{number(row['mean'])} {spread(row)}".strip()


def p_value(p: float | None) -> str:
    """See ``p_text``."""
    return "-" if p is None else p_text(p)


def told(pair: Facts) -> bool:
    """Whether the two differ beyond chance: subjects enough, an interval without 0, p < .05 where there is a test.

    A method that was trained on labels of the target is in no family and never told apart: it is no competitor.
    """
    low, high, p = pair["low"], pair["high"], pair["p_holm"]
    if pair["n_subjects"] < ENOUGH_SUBJECTS or low is None or high is None:
        return False
    return (low > 0 or high < 0) and (p < LEVEL if p is not None else pair["p"] is None)


def comparison_answer(facts: Facts) -> tuple[str, str]:
    """(mark, sentence): whether any ranked method beats the reference, or where there is none, the best all others."""
    metric = facts["metrics"][0]
    group = metric["groups"][0]
    ranked = set(facts["ranked"])
    best = next((r["method"] for r in sorted(group["ranks"], key=lambda r: r["rank"])), None)
    about = facts["reference"] or best
    pairs = [p for p in group["pairs"] if about in (p["a"], p["b"]) and {p["a"], p["b"]} <= ranked]
    pairs = [p for p in pairs if p["difference"] is not None]
    if about is None or not pairs:
        return CANNOT_TELL, "No two methods can be held against each other."
    words, n = score_words(metric), group["n_subjects"]
    ways = {_other(p, about): (goodness(1.0, metric["better"]) * _seen_from(p, about), p) for p in pairs}
    name, (_, pair) = min(ways.items(), key=lambda item: item[1][0])  # the other that does best beside ``about``
    gap = _gap(pair, name)
    if n < ENOUGH_SUBJECTS:
        return CANNOT_TELL, f"'{name}' against '{about}' in {words}: {gap}; {n} subjects are too few for a verdict."
    worse = [f"'{other}'" for other, (way, p) in ways.items() if told(p) and way > 0]
    if facts["reference"] is None:
        if all(told(p) for p in pairs):
            return GAIN, f"'{about}' is better in {words} than each of the others; next is '{name}' ({gap})."
        return CANNOT_TELL, f"'{about}' is first in {words}, but cannot be told from '{name}' ({gap})."
    if told(pair) and ways[name][0] < 0:
        return GAIN, f"'{name}' is better in {words} than the reference '{about}': {gap}; {n} subjects."
    if len(worse) == len(pairs):
        return HARM, f"Every method is worse in {words} than the reference '{about}'; the best is '{name}': {gap}."
    return CANNOT_TELL, f"No method can be told to be better in {words} than the reference '{about}'; '{name}': {gap}."


def _seen_from(pair: Facts, name: str) -> float:
    return pair["difference"] if pair["a"] == name else -pair["difference"]


def sentences(facts: Facts) -> list[str]:
    """What was found for the first metric in the leading group."""
    metric = facts["metrics"][0]
    group = metric["groups"][0]
    made = _few(group) if group["n_subjects"] < ENOUGH_SUBJECTS else _order(metric, group, facts)
    made += _seeds(metric)
    apart = [m["name"] for m in facts["methods"] if m["name"] not in facts["ranked"]]
    if apart:
        made.append(f"Trained on labels of the target, so compared but not ranked: {', '.join(map(_quoted, apart))}.")
    return made


def _few(group: Facts) -> list[str]:
    n = group["n_subjects"]
    floor = f"with {n} subject{'s' if n > 1 else ''} the smallest possible p is {2.0 ** (1 - n):.2g}"
    return [f"{n} subject{'s are' if n > 1 else ' is'} too few for a verdict: {floor}, and intervals are too narrow."]


def _order(metric: Facts, group: Facts, facts: Facts) -> list[str]:
    ranks = group["ranks"]
    if not ranks:
        return []
    best = [r for r in ranks if r["rank"] == min(r["rank"] for r in ranks)]
    name = best[0]["method"]
    row = next(m for m in group["methods"] if m["method"] == name)
    best_of = {"max": "highest", "min": "lowest"}[metric["better"]]
    first, same = (f"{100 * share:.0f} %" for share in (sum(r["shares"][0] for r in best), group["order_stays"]))
    made = [
        f"{' and '.join(_quoted(r['method']) for r in best)} {'has' if len(best) == 1 else 'have'} the {best_of} "
        f"{score_words(metric)}, {mean_text(row)}. Had other subjects been scanned, first place would stay so in "
        f"{first} and the order of all {len(ranks)} methods in {same} of 2000 resamplings."
    ]
    about = facts["reference"] or name
    pairs = [p for p in group["pairs"] if about in (p["a"], p["b"]) and {p["a"], p["b"]} <= set(facts["ranked"])]
    said = [f"{_quoted(_other(p, about))} ({_gap(p, about)})" for p in pairs if told(p)]
    unsaid = [_quoted(_other(p, about)) for p in pairs if not told(p)]
    if said:
        made.append(
            f"'{about}' is told apart from {', '.join(said)}"
            + (f"; not from {', '.join(unsaid)}." * bool(unsaid) or ".")
        )
    elif unsaid:
        made.append(f"'{about}' cannot be told apart from {', '.join(unsaid)}.")
    made += _too_many_pairs(metric, group, facts)
    if row.get("worst") is not None:
        made.append(
            f"The worst site of '{name}' is {row['worst']} ({number(row['worst_mean'])} {spread(row, name='worst_')}), "
            f"{number(row['gap'])} {spread(row, name='gap_')} from its best, {row['best']}."
        )
    return made


def _too_many_pairs(metric: Facts, group: Facts, facts: Facts) -> list[str]:
    """That no pair could have been told apart, where Holm's adjustment lifts even the smallest p to .05."""
    n, pairs = group["n_subjects"], group["family"]
    floor = 2.0 ** (1 - n)
    if metric["of_sets"] or floor * pairs < LEVEL:
        return []
    fewer = "fewer methods" if facts["reference"] else "one method only (--reference NAME) or fewer methods"
    return [
        f"With {n} subjects no p falls below {floor:.2g}, and {pairs} pairs raise that to {floor * pairs:.2g}: "
        f"no difference could have been told. Compare with {fewer}."
    ]


def _quoted(name: str) -> str:
    return f"'{name}'"


def _other(pair: Facts, name: str) -> str:
    return pair["b"] if pair["a"] == name else pair["a"]


def _gap(pair: Facts, name: str) -> str:
    """The difference seen from ``name``, with its interval where there are subjects enough for one."""
    sign = 1 if pair["a"] == name else -1
    ends = sorted(sign * pair[end] for end in ("low", "high") if pair[end] is not None)
    interval = f" [{ends[0]:+.3f}, {ends[1]:+.3f}]" if len(ends) == 2 else ""
    p = "" if pair["p_holm"] is None else f", p by Holm {p_text(pair['p_holm'])}"
    return f"{sign * pair['difference']:+.3f}{interval}{p}"


def _seeds(metric: Facts) -> list[str]:
    whole = [row["ranks"] for row in metric["by_seed"] if len(row["ranks"]) > 1]
    if len(whole) < 2:
        return []
    if all(ranks == whole[0] for ranks in whole):
        return [f"The order of the methods is the same at all {len(whole)} seeds."]
    first = [[n for n, r in ranks.items() if r == min(ranks.values())] for ranks in whole]
    if all(names == first[0] for names in first):
        return [
            f"{' and '.join(map(_quoted, first[0]))} stays first at all {len(whole)} seeds, the order behind changes."
        ]
    counts = Counter(name for names in first for name in names)
    places = ", ".join(f"'{name}' {n}" for name, n in counts.most_common())
    return [f"The order of the methods changes with the seed; first place over {len(whole)} seeds: {places}."]


def comparison_text(facts: Facts, plain: bool = True) -> Any:
    """Methods and pairs of each metric in the leading group, and what was found: aligned text, or rich tables."""
    several = any(len(m["seeds"]) > 1 for m in facts["methods"])
    blocks = []
    for metric in facts["metrics"]:
        group = metric["groups"][0]
        title = f"{score_words(metric)}, {group_words(group['group'])}"
        n = f"{group['n_subjects']} subject{'s' if group['n_subjects'] > 1 else ''}"
        blocks.append((f"{title} ({n}): mean [95 % interval over subjects]", *_methods(facts, group, several)))
        tests = "" if metric["of_sets"] else ", p by Wilcoxon"
        tests += f" and Holm over {group['family']}" if tests and group["family"] else ""
        blocks.append((f"differences{tests}", *_pairs(group, several)))
    mark, answer = comparison_answer(facts)
    said = [f"{mark[0].upper()}{mark[1:]}. {answer}", *sentences(facts), *(f"note: {note}" for note in facts["notes"])]
    if plain:
        return "\n\n".join(
            ["\n".join([title, *_aligned([heads, *rows])]) for title, heads, rows in blocks] + ["\n".join(said)]
        )
    return _rich(blocks, said)


def _methods(facts: Facts, group: Facts, several: bool) -> tuple[list[str], list[list[str]]]:
    marks = {m["name"]: "*" if m["target_labels"] == "train" else "" for m in facts["methods"]}
    first = {r["method"]: r["shares"][0] for r in group["ranks"]}
    heads = ["method", "mean", "SD", *(["SD over seeds"] if several else []), "worst site", "gap", "first in"]
    rows = [
        [m["method"] + marks[m["method"]], mean_text(m), number(m["std"]),
         *([number(m["sd_over_seeds"])] if several else []),
         f"{m['worst']} {number(m['worst_mean'])}" if m["worst"] is not None else "-", number(m["gap"]),
         f"{100 * first[m['method']]:.0f} %" if m["method"] in first else "-"]
        for m in group["methods"]
    ]  # fmt: skip
    return heads, rows


def _pairs(group: Facts, several: bool) -> tuple[list[str], list[list[str]]]:
    heads = ["pair", "difference", "better / worse", "effect", "p (raw)", "p (Holm)", *(["seeds"] if several else [])]
    rows = [
        [f"{p['a']} - {p['b']}", f"{number(p['difference'], '+.3f')} {spread(p, '+.3f')}".strip(),
         "-" if p["wins"] is None else f"{p['wins']} / {p['losses']} of {p['n_subjects']}", number(p["effect"], "+.2f"),
         p_value(p["p"]), p_value(p["p_holm"]), *([f"{p['seeds_won']} of {p['seeds']}"] if several else [])]
        for p in group["pairs"]
    ]  # fmt: skip
    return heads, rows


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]


def _rich(blocks: Sequence[tuple[str, list[str], list[list[str]]]], said: Sequence[str]) -> Any:
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    tables = []
    for title, heads, rows in blocks:
        table = Table(*map(escape, heads), title=escape(title), title_justify="left", box=None)
        for row in rows:
            table.add_row(*map(escape, row))
        tables += [table, ""]
    return Group(*tables, *map(escape, said))

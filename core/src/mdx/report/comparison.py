"""``mdx compare``: everything about methods on the same cases, as plain values, CSV, JSON and a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdx.errors import RefusedError, UsageError, nearest
from mdx.evaluation.statistics import GROUP, goodness, group_columns
from mdx.files import cannot_write, plain, write_atomically, write_json
from mdx.report import comparison_figures as figures
from mdx.report.answer import MARKS
from mdx.report.compared_cases import ComparedCases, of_metric
from mdx.report.comparison_text import (
    comparison_answer,
    group_words,
    mean_text,
    number,
    p_value,
    score_words,
    sentences,
    spread,
    told,
)
from mdx.report.methods import NOT_OF_A_METHOD, Scored, refuse_unfair, scored_methods
from mdx.report.next_steps import link_between
from mdx.report.pages import names_as_code, write_page
from mdx.report.shown import tables_of_methods, tables_shown
from mdx.report.text import MAIN_METRICS
from mdx.runs.folders import read_json, read_scores
from mdx.runs.loading import task_from
from mdx.spreadsheets import csv_text

FACTS = ["case", "subject", "site", "role"]
ALL_PAIRS = "all"
SEEDS_EQUAL = ("plugin", "preset", "target_labels")


def compare(
    runs: Sequence[str | Path], metrics: Sequence[str] = (), reference: str | None = None, role: str | None = None
) -> dict[str, Any]:
    """The whole comparison as plain values: what comparison.json holds.

    Args:
        runs: runs with their baselines, folders of runs or of a sweep, each also as ``RUN:VARIANT``.
        metrics: of summary.json; the main ones that all runs have, if none is given.
        reference: compare every method with this one only; the first run's first baseline if not given, and all pairs
            with one another for ``all``, or where no baseline is among the methods.
        role: lead with the cases of sites with this role; the target's, where there are target sites.

    Returns:
        ``methods``, ``reference``, ``group``, ``ranked``, ``notes`` and for each of ``metrics`` its ``groups`` (see
        ``compare_group``; the leading one comes first, its methods have ``site_gap``) and ``by_seed``. Methods that
        were trained on labels of the target are compared, but not ranked.

    Raises RefusedError for an unfair comparison or no common metric, UsageError for an unknown name.
    """
    methods = scored_methods([str(run) for run in runs])
    refuse_unfair(methods)
    names = list(dict.fromkeys(m.name for m in methods))
    chosen = _metrics(methods, metrics)
    tables = {n: {m.seed: _rows(m) for m in methods if m.name == n} for n in names}
    _refuse_unequal_cases(tables)
    first = _all_cases(tables)
    roles = sorted({r for r in first["role"] if r})
    if role is not None and role not in roles:
        raise UsageError(f"no test case has the role '{role}'", nearest(role, roles))
    leading = f"role={role}" if role else "role=target" if "target" in roles else "all"
    reads = {n: next(m.facts["target_labels"] for m in methods if m.name == n) for n in names}
    competitors = [n for n in names if reads[n] != "train"]
    ranked = competitors if len(competitors) > 1 else names
    reference = _reference(methods, ranked) if reference is None else _asked_for(reference, names)
    task = task_from(methods[0].facts["task"])
    cells = [ComparedCases(tables, first, metric, better, task) for metric, better in chosen]
    names = sorted(cells[0].best_first(leading), key=lambda n: n not in ranked)
    return plain({
        "methods": [_about(n, [m for m in methods if m.name == n]) for n in names],
        "reference": reference, "group": leading, "ranked": ranked, "split_hash": methods[0].facts["split_hash"],
        "simulated": methods[0].facts["data_uri_kind"] == "sim", "notes": _notes(methods),
        "metrics": [of_metric(c, names, leading, ranked, reference) for c in cells],
    })  # fmt: skip


def _reference(methods: Sequence[Scored], ranked: Sequence[str]) -> str | None:
    """The first baseline, in the plugin's order, of the first run that was compared with its baselines."""
    for method in methods:
        for baseline in method.facts["baselines"]:
            if baseline in ranked:
                return baseline
    return None


def _asked_for(reference: str, names: Sequence[str]) -> str | None:
    if reference == ALL_PAIRS and ALL_PAIRS not in names:
        return None
    if reference not in names:
        raise UsageError(f"there is no method '{reference}'", nearest(reference, [*names, ALL_PAIRS]))
    return reference


def over_pairs(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each method over all pairs of sites: ``mean`` of its pairs' means of the leading metric, ``pairs``, ``first``.

    ``first`` counts the pairs in which no other ranked method is better. There is no interval: pairs share subjects.

    Args:
        found: pair -> what ``compare`` made of it.
    """
    scores: dict[str, list[float]] = {}
    first: Counter[str] = Counter()
    metric, better = "", "max"
    for facts in found.values():
        lead = facts["metrics"][0]
        metric, better = lead["metric"], lead["better"]
        means = {m["method"]: m["mean"] for m in lead["groups"][0]["methods"] if m["mean"] is not None}
        for name, mean in means.items():
            scores.setdefault(name, []).append(mean)
        ranked = {n: v for n, v in means.items() if n in facts["ranked"]}
        first.update([max(ranked, key=lambda n: goodness(ranked[n], better))] if ranked else [])
    rows = [
        {"method": name, "metric": metric, "mean": sum(v) / len(v), "pairs": len(v), "first": first[name]}
        for name, v in scores.items()
    ]
    return sorted(rows, key=lambda row: -goodness(row["mean"], better))


def _metrics(methods: Sequence[Scored], asked: Sequence[str]) -> list[tuple[str, str]]:
    """(metric, which value is better) of what is compared; every method has it."""
    of = [{r["metric"]: r["better"] for r in read_json(m.directory / "summary.json")} for m in methods]
    common = {name: better for name, better in of[0].items() if all(name in other for other in of)}
    if not common:
        lines = dict.fromkeys(f"{m.name}: {', '.join(found)}" for m, found in zip(methods, of, strict=True))
        raise RefusedError("the runs have no metric in common:\n  " + "\n  ".join(lines), "compare methods of one task")
    for name in asked:
        if name not in common:
            lacking = [m.name for m, found in zip(methods, of, strict=True) if name not in found]
            every = len(lacking) == len(methods)
            what = f"no run has the metric '{name}'" if every else f"{', '.join(lacking)}: no metric '{name}'"
            raise (UsageError if every else RefusedError)(what, nearest(name, common))
    chosen = list(asked) or [m for m in MAIN_METRICS if m in common] or list(common)[:1]
    return [(name, common[name]) for name in chosen]


def _rows(method: Scored) -> Any:
    """scores.csv with the cases in one order; only scores can be missing, a site may be called NA."""
    return read_scores(method.directory).sort_values("case").reset_index(drop=True)


def _refuse_unequal_cases(tables: Mapping[str, Mapping[int, Any]]) -> None:
    """Raise RefusedError where methods were scored on other cases at a seed, or against another truth.

    Where the seeds are not the same for all methods, they have the same splits.
    """
    said = []
    leader = next(iter(tables.values()))
    for name, found in tables.items():
        for seed, table in found.items():
            first = leader.get(seed, next(iter(leader.values())))
            lacking = len(set(table["case"]) ^ set(first["case"]))
            if lacking:
                said.append(f"{name}, seed {seed}: {lacking} scored case(s) are not in both")
            elif "truth" in table and not table["truth"].equals(first["truth"]):
                said.append(
                    f"{name}, seed {seed}: {int((table['truth'] != first['truth']).sum())} case(s) of another truth"
                )
    if said:
        raise RefusedError(
            f"not all methods were scored on the cases of {next(iter(tables))}:\n  " + "\n  ".join(said),
            "run all on the same table, with the same labels",
        )


def _all_cases(tables: Mapping[str, Mapping[int, Any]]) -> Any:
    """The facts of every case that was tested at any seed, each once, in the order of their names.

    A column that groups the cases counts for all where any run has it (``data.groups``).
    """
    import pandas as pd

    rows = pd.concat([table for found in tables.values() for table in found.values()])
    for name in group_columns(rows):
        rows[f"{GROUP}{name}"] = rows.groupby("case")[f"{GROUP}{name}"].transform("first")
    return rows.drop_duplicates("case").sort_values("case").reset_index(drop=True)


def _about(name: str, runs: Sequence[Scored]) -> dict[str, Any]:
    facts = {key: runs[0].facts[key] for key in SEEDS_EQUAL}
    return {"name": name, "variant": runs[0].facts["variant"], **facts, "seeds": sorted(m.seed for m in runs),
            "runs": [m.run.name for m in sorted(runs, key=lambda m: m.seed)],
            "paths": [str(m.run.resolve()) for m in sorted(runs, key=lambda m: m.seed)],
            "tables": tables_shown(min(runs, key=lambda m: m.seed).directory)}  # fmt: skip


def _notes(methods: Sequence[Scored]) -> list[str]:
    """What is not equal between the methods, beside the methods themselves."""
    notes = []
    seeds = {tuple(sorted(m.seed for m in methods if m.name == n)) for n in {m.name for m in methods}}
    if len(seeds) > 1:
        notes.append("Not all methods were run with the same seeds.")
    if len({m.facts["split_hash"] for m in methods}) > 1:
        notes.append(
            "Each seed has its own division of the table: a case counts once, with its mean over the seeds at which it "
            "was tested, and the SD over seeds holds other subjects as well as other trainings."
        )
    keys = dict.fromkeys(k for m in methods for k in m.settings if k.startswith("data.") and k not in NOT_OF_A_METHOD)
    unequal = [k for k in keys if len({repr(m.settings.get(k)) for m in methods}) > 1]
    if unequal:
        notes.append(f"The data were not read in the same way: {', '.join(unequal)}.")
    for what, of in (("presets", "preset"), ("versions of mdx", "mdx")):
        values = list(dict.fromkeys(str(m.facts[of]) for m in methods))
        if len(values) > 1:
            notes.append(f"The runs have different {what}: {', '.join(values)}.")
    return notes


def write_comparison(directory: Path, facts: Mapping[str, Any]) -> Path:
    """Write comparison.json, comparison.csv (a row a metric, group and pair), methods.csv (a row a metric, group and
    method) and comparison.html, all from the same numbers; the page's path.
    """

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(directory, error) from error
    facts = plain(facts)  # NaN has become null
    write_json(directory / "comparison.json", facts)
    for name, key in (("comparison.csv", "pairs"), ("methods.csv", "methods")):
        rows = [{"metric": m["metric"], "better": m["better"], "group": g["group"]} | row
                for m in facts["metrics"] for g in m["groups"] for row in g[key]]  # fmt: skip
        write_atomically(directory / name, csv_text(rows))
    return write_page(directory / "comparison.html", "comparison.html.j2", _context(facts, directory))


def _context(facts: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    lead = facts["metrics"][0]
    reading = [m["name"] for m in facts["methods"] if m["target_labels"] == "train"]
    names = [m["name"] for m in facts["methods"]]
    mark, answer = comparison_answer(facts)
    said = [names_as_code(sentence, names) for sentence in (answer, *sentences(facts))]
    return {
        "facts": facts, "lead": lead, "others": facts["metrics"][1:], "mark": mark, "symbol": MARKS[mark],
        "sentences": said, "runs_of": lambda m: [(run, link_between(directory, Path(path)))
                                                 for run, path in zip(m["runs"], m["paths"], strict=True)],
        "score_words": score_words, "group_words": group_words, "mean_text": mean_text, "number": number,
        "spread": spread, "p_value": p_value, "told": told,
        "forest": figures.forest(lead), "sites": figures.by_site(lead), "slopes": figures.by_subject(lead),
        # a star sets apart; where all read labels of the target there is nothing to set apart
        "shown": tables_of_methods(facts["methods"]),
        "reads_target": [] if len(reading) == len(facts["methods"]) else reading,
    }  # fmt: skip

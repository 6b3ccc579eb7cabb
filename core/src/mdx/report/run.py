"""The page of a run, made from the plain files of its directory alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdx.errors import DataError
from mdx.evaluation.statistics import goodness
from mdx.plugins.manager import installed_hooks
from mdx.report import figures
from mdx.report.alarms import alarms, undefined
from mdx.report.answer import MARKS, Answer, answer_of
from mdx.report.case_table import cases_of
from mdx.report.fairness import fairness
from mdx.report.labels import label_parts
from mdx.report.next_steps import files_beside, next_commands, page_above
from mdx.report.pages import names_as_code, without_folders, write_page
from mdx.report.shown import shown_sections, stage_matrices
from mdx.report.text import (
    READS_TARGET,
    Comparison,
    Method,
    compare_groups,
    compare_sites,
    interval,
    methods_of,
    metric_words,
    metrics_shown,
    reading_target,
    site_roles,
)
from mdx.report.truths import page_of
from mdx.report.verdicts import ENOUGH_SUBJECTS, headline, p_text, paired_tests, parts_of
from mdx.runs.folders import AGAIN, is_done, read_json, read_scores, read_settings, read_splits
from mdx.runs.journal import Journal, rows_of

PROBE = ("_probe_accuracy", "_probe_chance")
"""Said in a sentence of their own: no case has such a score."""
NO_LABELS: dict[str, Any] = {"confusions": [], "reliability": "", "scatter": "", "embeddings": "", "probes": []}


def write_report(directory: Path) -> Path:
    """Write report.html into a run directory: one file that needs no other, of as many methods as have been scored."""
    return write_page(directory / "report.html", "page.html.j2", _context(directory))


def _context(directory: Path) -> dict[str, Any]:
    facts = read_json(directory / "provenance.json")
    methods = methods_of(directory)
    command = _command(directory)
    names = [facts["variant"], *facts["baselines"]]
    return {
        "facts": facts,
        "named": lambda text: names_as_code(text, names),
        "above": page_above(directory),
        "unfinished": _unfinished(directory, methods, names),
        "fairness": fairness(methods),
        "commands_next": next_commands(directory, methods, facts, command),
        "files": files_beside(directory, methods),
        "command": command,
        "notes": _notes(methods),
        "cohort": _cohort(directory),
        "confounding": _optional(directory / "confounding.json"),
        **_scores(directory, methods, names),
        "cases": cases_of(directory, methods),
        "ranked_by": metric_words(page_of(facts.get("task", {})).ranked_by),
        "curves": [(m.name, _drawing(drawn)) for m in methods
                   if (drawn := figures.curves(rows_of(m.directory / "metrics.jsonl"), facts.get("curves")))],
        "stages": stage_matrices(methods, metrics_shown(methods)),
        "shown": shown_sections(methods),
        "settings": _settings(directory),
        "timings": [(m.name, _optional(m.directory / "timings.json") or {}) for m in methods],
        "sections": _sections(directory),
        "interval": interval,
        "words": metric_words,
        "p_text": p_text,
    }  # fmt: skip


def _unfinished(directory: Path, methods: list[Method], names: list[str]) -> dict[str, Any] | None:
    """How many of the planned methods are ``scored``, and which are ``waiting``; None where all are."""
    if is_done(directory) or len(methods) >= len(names):
        return None
    there = {m.name for m in methods}
    waiting = ", ".join(f"'{name}'" for name in names if name not in there)
    return {"scored": len(methods), "planned": len(names), "waiting": waiting}


def _on_page(answer: Answer | None, names: list[str]) -> dict[str, Any] | None:
    if answer is None:
        return None
    said = [names_as_code(sentence, names) for sentence in answer.sentences]
    return {"mark": answer.mark, "symbol": MARKS[answer.mark], "sentences": said}


def _scores(directory: Path, methods: list[Method], names: list[str]) -> dict[str, Any]:
    """Everything on the page that was measured; empty before any method has been scored."""

    metrics = metrics_shown(methods)
    if not metrics:
        return {
            "headline": [], "comparisons": [], "by_group": [], "others": [], "change": None, "tests": [], "few": 0,
            "foot": "", "labels": NO_LABELS, "alarms": [], "undefined": [], "answer": None,
        }  # fmt: skip
    roles, metric = site_roles(directory), metrics[0]
    better = {r["metric"]: r.get("better", "max") for r in methods[0].summary if not r["metric"].endswith(PROBE)}
    task = read_json(directory / "provenance.json").get("task", {})
    tables = {m.name: read_scores(m.directory) for m in methods}
    parts = parts_of(roles)
    tests = paired_tests(methods, tables, metric, parts)
    return {
        "answer": _on_page(answer_of(directory, methods, tables, tests), names),
        "headline": headline(methods, metric, better[metric], parts, tests),
        "comparisons": [_drawn(compare_sites(directory, methods, m)) for m in metrics],
        "by_group": [c for m in metrics for c in compare_groups(methods, m)],
        "others": [compare_sites(directory, methods, m) for m in better if m not in metrics],
        "change": _change(methods, tables, metric, better[metric], list(roles)),
        "tests": tests,
        "few": ENOUGH_SUBJECTS if any(t["n_subjects"] < ENOUGH_SUBJECTS for t in tests) else 0,
        "labels": label_parts(methods, tables, task),
        "foot": READS_TARGET if reading_target(methods) else "",
        "alarms": alarms(directory, methods),
        "undefined": undefined(methods),
    }


def _change(
    methods: list[Method], tables: Mapping[str, Any], metric: str, better: str, sites: list[str]
) -> dict[str, Any] | None:
    """Each case's score with the first baseline and with the method; None without a case that has both."""
    if len(methods) < 2:
        return None
    after, before = methods[0].name, methods[1].name
    both = tables[after].merge(tables[before][["case", metric]], on="case", suffixes=("", "_b"))
    both = both.dropna(subset=[metric, f"{metric}_b"])
    pairs: dict[str, list[tuple[float, float]]] = {}
    for site in sites:
        part = both[both["site"] == site]
        if len(part):
            pairs[site] = list(zip(part[f"{metric}_b"], part[metric], strict=True))
    if not pairs:
        return None
    gains = {s: [goodness(b, better) - goodness(a, better) for a, b in v] for s, v in pairs.items()}
    counts = [(s, sum(g > 0 for g in v), sum(g < 0 for g in v), len(v)) for s, v in gains.items()]
    right_or_wrong = {v for both in pairs.values() for pair in both for v in pair} <= {0.0, 1.0}
    picture = "" if right_or_wrong else _drawing(figures.changes(metric, better, pairs, before, after))
    return {"before": before, "after": after, "metric": metric, "counts": counts, "picture": picture}


def _drawn(c: Comparison) -> dict[str, Any]:
    picture = figures.site_scores(c.metric, c.sites, [(m.name, found) for m, found in c.rows])
    return {"c": c, "picture": _drawing(picture)}


def _drawing(svg: str) -> Any:
    """An SVG of ``figures``, whose texts matplotlib has escaped, as it is."""
    from markupsafe import Markup

    return Markup(svg)


def _cohort(directory: Path) -> dict[str, Any]:
    table = read_splits(directory)
    splits = {name: table["split"] == name for name in ("train", "val", "test")}
    if "fold" in table:  # each tests those that the others train on
        splits = {f"fold {fold}": table["fold"] == fold for fold in sorted(set(table["fold"]), key=int)}
    sites = []
    for site, role in site_roles(directory).items():
        part = table[table["site"] == site]
        row = {"site": site, "role": role, "subjects": part["subject"].nunique()}
        sites.append(row | {"cases": [int(chosen[part.index].sum()) for chosen in splits.values()]})
    shared = int((table.groupby("subject")["fold" if "fold" in table else "split"].nunique() > 1).sum())
    target = any(row["role"] == "target" for row in sites)
    subjects = int(table["subject"].nunique())
    return {"sites": sites, "splits": list(splits), "has_target": target, "subjects": subjects, "in_two_splits": shared}


def _notes(methods: list[Method]) -> list[str]:
    return list(dict.fromkeys(note for m in methods for note in _optional(m.directory / "notes.json") or []))


def _settings(directory: Path) -> list[tuple[str, str, str]]:
    """The settings that are not defaults: key, value, where it came from."""
    spaces = read_settings(directory)
    return [
        (f"{space}.{key}", without_folders(_value(entry["value"])), entry["from"])
        for space, values in spaces.items()
        for key, entry in values.items()
        if entry["from"] != "default"
    ]


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _command(directory: Path) -> str:
    path = directory / "command.txt"
    try:
        words = shlex.split(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", AGAIN, path) from error
    except ValueError as error:  # no UTF-8, a quotation without end
        raise DataError(f"is damaged ({error})", AGAIN, path) from error
    return shlex.join(without_folders(word) for word in words)


def _sections(directory: Path) -> list[tuple[str, Any]]:
    """What plugins add to the page: (title, HTML of their own making)."""
    from markupsafe import Markup

    groups = installed_hooks(Journal(directory).say).call("mdx_report_sections", directory=directory)
    return [(title, Markup(html)) for group in groups for title, html in group]


def _optional(path: Path) -> Any:
    return read_json(path) if path.exists() else None

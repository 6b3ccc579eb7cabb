"""The page of a run, made from the plain files of its directory alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdx.evaluation.statistics import holm, paired_comparison
from mdx.files import write_atomically
from mdx.plugins.manager import installed_hooks
from mdx.report import figures
from mdx.report.text import Comparison, Method, compare_sites, interval, methods_of, metrics_shown, site_roles
from mdx.runs.directory import read_json
from mdx.runs.journal import Journal

TEMPLATES = Path(__file__).parent / "templates"
LABELS_READ = {
    "never": "No label of a target site was visible in training.",
    "val": "Labels of the target's validation cases were visible in training.",
    "train": "Labels of the target's train and validation cases were visible in training.",
}


def write_report(directory: Path) -> Path:
    """Write report.html into a run directory; one file without scripts, links to other files, or paths."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("run.html.j2").render(_context(directory))
    path = directory / "report.html"
    write_atomically(path, page)
    return path


def _context(directory: Path) -> dict[str, Any]:
    import pandas as pd

    facts = read_json(directory / "provenance.json")
    methods = methods_of(directory)
    tables = {
        m.name: pd.read_csv(m.directory / "scores.csv", dtype={"case": str, "subject": str, "site": str})
        for m in methods
    }
    metrics = metrics_shown(methods)
    comparisons = [compare_sites(directory, methods, metric) for metric in metrics]
    tests = _tests(methods, tables, metrics[0]) if metrics else []
    return {
        "facts": facts,
        "labels_read": LABELS_READ[facts["target_labels"]],
        "command": _command(directory),
        "headline": _headline(directory, methods, metrics[0], tests) if metrics else [],
        "notes": _notes(methods),
        "cohort": _cohort(directory),
        "confounding": _optional(directory / "confounding.json"),
        "comparisons": [_drawn(c) for c in comparisons],
        "worst": [(m.name, _group(m, metrics[0], "worst site")) for m in methods] if metrics else [],
        "change": _change(directory, methods, tables, metrics[0]) if metrics else None,
        "tests": tests,
        "overlays": [figures.png_uri(p.read_bytes()) for n in ("best", "median", "worst")
                     if (p := directory / "figures" / f"overlay_{n}.png").exists()],
        "curves": [(m.name, drawn) for m in methods
                   if (drawn := figures.curves(_lines(m.directory / "metrics.jsonl")))],
        "settings": _settings(directory),
        "timings": [(m.name, _optional(m.directory / "timings.json") or {}) for m in methods],
        "sections": _sections(directory),
        "interval": interval,
    }  # fmt: skip


def _headline(directory: Path, methods: list[Method], metric: str, tests: list[dict[str, Any]]) -> list[str]:
    """What was measured, in a sentence for each target site; a method that is not better is said to be not better."""
    roles = site_roles(directory)
    targets = [s for s, role in roles.items() if role == "target"] or list(roles)
    own = methods[0]
    sentences = []
    for site in targets:
        row = _group(own, metric, f"site={site}")
        if row is None or row["mean"] is None:
            continue
        text = f"At {site}, {own.name} reaches a {metric.replace('_', ' ')} of {interval(row)}"
        found = next((t for t in tests if t["site"] == site), None)
        if found is None:
            sentences.append(text + ".")
            continue
        d = found["difference"]
        verdict = (
            "which is better than" if d > 0 and found["low"] is not None and found["low"] > 0
            else "which is worse than" if d < 0 and found["high"] is not None and found["high"] < 0
            else "which is not distinguishable from"
        )  # fmt: skip
        spread = f" [{found['low']:+.3f}, {found['high']:+.3f}]" if found["low"] == found["low"] else ""
        sentences.append(f"{text}, {verdict} {found['baseline']} (difference {d:+.3f}{spread}).")
    return sentences


def _tests(methods: list[Method], tables: Mapping[str, Any], metric: str) -> list[dict[str, Any]]:
    """The method against each baseline at each site, on the same cases; p values adjusted together."""
    if len(methods) < 2:
        return []
    own = tables[methods[0].name]
    made: list[dict[str, Any]] = []
    for baseline in methods[1:]:
        both = own.merge(tables[baseline.name][["case", metric]], on="case", suffixes=("", "_b"))
        for site, part in both.groupby("site", sort=True):
            pair = (part[metric].tolist(), part[f"{metric}_b"].tolist())
            made.append(
                {"baseline": baseline.name, "site": str(site), **paired_comparison(*pair, part["subject"].tolist())}
            )
    for row, p in zip(made, holm([row["p"] for row in made]), strict=True):
        row["p_holm"] = p
    return made


def _change(directory: Path, methods: list[Method], tables: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    """Each case's score with the first baseline and with the method."""
    if len(methods) < 2:
        return None
    after, before = methods[0].name, methods[1].name
    both = tables[after].merge(tables[before][["case", metric]], on="case", suffixes=("", "_b")).dropna(subset=[metric])
    pairs: dict[str, list[tuple[float, float]]] = {}
    for site in site_roles(directory):
        part = both[both["site"] == site]
        if len(part):
            pairs[site] = list(zip(part[f"{metric}_b"], part[metric], strict=True))
    counts = [(s, sum(b > a for a, b in v), sum(b < a for a, b in v), len(v)) for s, v in pairs.items()]
    picture = figures.changes(metric, pairs, before, after)
    return {"before": before, "after": after, "metric": metric, "counts": counts, "picture": picture}


def _drawn(c: Comparison) -> dict[str, Any]:
    return {"c": c, "picture": figures.site_scores(c.metric, c.sites, c.rows)}


def _group(method: Method, metric: str, group: str) -> dict[str, Any] | None:
    rows = (r for r in method.summary if r["metric"] == metric and r["group"].startswith(group))
    return next((r for r in rows if r["group"] == group or group == "worst site"), None)


def _cohort(directory: Path) -> dict[str, Any]:
    import pandas as pd

    table: Any = pd.read_csv(directory / "splits.csv", dtype=str)
    sites = []
    for site, role in site_roles(directory).items():
        part = table[table["site"] == site]
        row = {"site": site, "role": role, "subjects": part["subject"].nunique()}
        sites.append(row | {s: int((part["split"] == s).sum()) for s in ("train", "val", "test")})
    shared = int((table.groupby("subject")["split"].nunique() > 1).sum())
    return {"sites": sites, "subjects": int(table["subject"].nunique()), "in_two_splits": shared}


def _notes(methods: list[Method]) -> list[str]:
    return list(dict.fromkeys(note for m in methods for note in _optional(m.directory / "notes.json") or []))


def _settings(directory: Path) -> list[tuple[str, Any, str]]:
    """The settings that are not defaults: key, value, where it came from."""
    import yaml

    spaces = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
    return [
        (f"{space}.{key}", entry["value"], entry["from"])
        for space, values in spaces.items()
        for key, entry in values.items()
        if entry["from"] != "default"
    ]


def _command(directory: Path) -> str:
    """The command without the folders of its paths: a report is sent to people who should not see them."""
    words = (directory / "command.txt").read_text(encoding="utf-8").split()
    return " ".join(word[: word.index("/")] + word.rsplit("/", 1)[1] if "/" in word else word for word in words)


def _sections(directory: Path) -> list[tuple[str, Any]]:
    """What plugins add to the page: (title, HTML of their own making)."""
    from markupsafe import Markup

    groups = installed_hooks(Journal(directory).say).call("mdx_report_sections", directory=directory)
    return [(title, Markup(html)) for group in groups for title, html in group]


def _optional(path: Path) -> Any:
    return read_json(path) if path.exists() else None


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

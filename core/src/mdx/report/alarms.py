"""What a reader must know before any other number: a network that marks nothing, a guess that is as good as the method.

Each sentence is a count or a score of this run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mdx.evaluation.statistics import goodness
from mdx.report.text import Method, metric_words, metrics_shown, reading_target, site_roles
from mdx.report.truths import page_of
from mdx.runs.folders import read_json, read_scores


def alarms(directory: Path, methods: list[Method]) -> list[str]:
    """The sentences for a scored run; none where nothing is wrong."""
    if not methods:
        return []
    return [sentence for *_, sentence in failures(directory, methods)] + _no_upper_bound(directory, methods)


def failures(directory: Path, methods: list[Method]) -> list[tuple[str, str, str]]:
    """(method, site, sentence) wherever a method is no better there than one that has learned nothing."""
    task = read_json(directory / "provenance.json").get("task", {})
    found: list[tuple[str, str, str]] = []
    for method in methods:
        table = read_scores(method.directory)
        for site, cases in table.groupby("site", sort=False):
            said = page_of(task).alarms(directory, method, str(site), cases, task.get("label", ""))
            found += [(method.name, str(site), sentence) for sentence in said]
    return found


def undefined(methods: list[Method]) -> list[str]:
    """Classes of a segmentation that are in neither the mask nor the prediction of some cases, with their number."""
    if not methods:
        return []
    prefix = "dice_"
    rows = [r for r in methods[0].summary if r["metric"].startswith(prefix) and r["group"] == "all"]
    rows = rows or [r for r in methods[0].summary if r["metric"] == "dice" and r["group"] == "all"]
    return [
        f"{'class ' + row['metric'].removeprefix(prefix) if row['metric'] != 'dice' else 'the class'} is in neither "
        f"mask nor prediction of {row['n_undefined']} of {row['n_undefined'] + row['n_cases']} cases of "
        f"{methods[0].name}: undefined there, and left out of their means"
        for row in rows if row.get("n_undefined")
    ]  # fmt: skip


def _no_upper_bound(directory: Path, methods: list[Method]) -> list[str]:
    """Methods that train on the target's labels and reach less than one that does not."""
    starred, shown = reading_target(methods), metrics_shown(methods)
    if not starred or not shown:
        return []
    metric = shown[0]
    roles = site_roles(directory)
    trained = _train_cases(directory)
    found = []
    for site in [s for s, role in roles.items() if role == "target"]:
        rows = {m.name: m.row(metric, f"site={site}") for m in methods}
        scores: Mapping[str, tuple[float, str]] = {
            name: (row["mean"], row.get("better", "max"))
            for name, row in rows.items()
            if row and row["mean"] is not None
        }
        for name in sorted(starred & set(scores)):
            mean, better = scores[name]
            above = [
                n for n, (other, _) in scores.items()
                if n not in starred and goodness(other, better) > goodness(mean, better)
            ]  # fmt: skip
            if above:
                best = max(above, key=lambda n: goodness(scores[n][0], better))
                found.append(
                    f"'{name}' reaches {mean:.3f} {metric_words(metric)} at {site}, '{best}' {scores[best][0]:.3f}: it "
                    f"is no upper bound here ({trained.get(site, 0)} training cases of that site)."
                )
    return found


def _train_cases(directory: Path) -> Counter[str]:
    from mdx.runs.folders import read_splits

    first_fold = directory / "folds" / "0"
    table = read_splits(first_fold if first_fold.is_dir() else directory)
    return Counter(table.loc[table["split"] == "train", "site"])

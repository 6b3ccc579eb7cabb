"""What a reader must know before any other number: a network that marks nothing, a guess that is as good as the method.

Each sentence is a count or a score of this run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdx.evaluation.statistics import goodness
from mdx.report.text import Method, metric_words, metrics_shown, reading_target, site_roles
from mdx.runs.directory import read_json, read_scores
from mdx.spreadsheets import read_frame


def alarms(directory: Path, methods: list[Method]) -> list[str]:
    """The sentences for a scored run; none where nothing is wrong."""
    if not methods:
        return []
    task = read_json(directory / "provenance.json").get("task", {})
    found: list[str] = []
    for method in methods:
        table = read_scores(method.directory)
        for site, cases in table.groupby("site", sort=False):
            if task.get("kind") == "segmentation":
                found += _marks_nothing(method, str(site), cases)
            elif task.get("kind") == "classification" and {"truth", "predicted"} <= set(cases):
                found += _no_better_than_the_majority(method, str(site), cases)
            elif task.get("kind") == "regression" and "truth" in cases:
                found += _no_better_than_the_mean(directory, method, str(site), cases, task.get("label", ""))
    return found + _no_upper_bound(directory, methods)


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


def _marks_nothing(method: Method, site: str, cases: Any) -> list[str]:
    """Dice 0 and a volume error of -100 % in every case that has anything to mark."""
    if not {"dice", "volume_error_percent"} <= set(cases):
        return []
    known = cases.dropna(subset=["volume_error_percent"])
    if not len(known) or not ((known["volume_error_percent"] <= -100) & (known["dice"] == 0)).all():
        return []
    return [f"'{method.name}' marks nothing in any of the {len(known)} test case(s) at {site}."]


def _no_better_than_the_majority(method: Method, site: str, cases: Any) -> list[str]:
    (name, n), *others = Counter(cases["truth"]).most_common()
    reached, guessed = float((cases["truth"] == cases["predicted"]).mean()), n / len(cases)
    if not others or reached > guessed:
        return []
    return [
        f"'{method.name}' has an accuracy of {reached:.3f} at {site}; always saying '{name}' has {guessed:.3f} "
        f"({n} of {len(cases)} cases)."
    ]


def _no_better_than_the_mean(directory: Path, method: Method, site: str, cases: Any, label: str) -> list[str]:
    if "absolute_error" not in cases or not label or len(cases) < 2 or not (directory / "data.csv").exists():
        return []
    data = read_frame(directory / "data.csv", dtype={"split": str})
    if label not in data:
        return []
    mean = float(data.loc[data["split"] == "train", label].astype(float).mean())
    reached = float(cases["absolute_error"].mean())
    guessed = float((cases["truth"].astype(float) - mean).abs().mean())
    if reached < guessed or mean != mean:
        return []
    return [
        f"'{method.name}' has a mean error of {reached:.3g} at {site}; always saying the training cases' mean of "
        f"{mean:.3g} has {guessed:.3g}."
    ]


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
    from mdx.runs.directory import read_splits

    table = read_splits(directory)
    return Counter(table.loc[table["split"] == "train", "site"])

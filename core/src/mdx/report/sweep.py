"""The scores of a sweep: as text, and as a page with a matrix of site pairs and a table of all combinations."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdx.evaluation.statistics import goodness
from mdx.report.pages import names_as_code, without_folders, write_page
from mdx.report.shown import as_text, tables_shown
from mdx.report.text import READS_TARGET, metric_words
from mdx.report.verdicts import p_text
from mdx.runs.folders import read_json
from mdx.spreadsheets import read_frame

if TYPE_CHECKING:
    from mdx.report.sweep_answer import Combination

FINISHED = ("done", "found")
FACTS = ("state", "run", "seconds", "epochs", "seed")


@dataclass(frozen=True)
class SweepTable:
    """A sweep as its files tell it.

    Attributes:
        index: one row a run, as in index.csv.
        labels: the columns that tell its runs apart, besides the seed.
        metrics: its columns of scores.
        means: one row a combination of labels: mean of each metric, ``METRIC_sd`` over seeds, number of ``runs``.
        data: the URI; ``plugin`` the name of the method.
        better: which value of the first metric is better, as in summary.json; None while no run has a result.
    """

    index: Any
    labels: list[str]
    metrics: list[str]
    means: Any
    plugin: str
    data: str
    better: str | None

    @property
    def unfinished(self) -> Any:
        """The rows of the runs without a result."""
        return self.index[~self.index["state"].isin(FINISHED)]

    @property
    def trained(self) -> int:
        """How many finished runs trained a network themselves."""
        return int((self.index["epochs"] > 0).sum()) if "epochs" in self.index else 0


def read_sweep(directory: Path) -> SweepTable:
    """The sweep in a folder. Raises DataError if its sweep.json cannot be read."""
    import pandas as pd

    jobs = read_json(directory / "sweep.json")["jobs"]
    labels = [name for name in dict.fromkeys(name for job in jobs for name in job["labels"]) if name != "seed"]
    kinds: Any = dict.fromkeys([*labels, "run"], str)
    index: Any = read_frame(directory / "index.csv", dtype=kinds, na_values={"run": [""]})
    metrics = [c for c in index.columns if c not in (*FACTS, *labels)]
    for metric in [*metrics, *(c for c in ("seconds", "epochs") if c in index)]:
        index[metric] = pd.to_numeric(index[metric])
    done = index[index["state"].isin(FINISHED)]
    rows = []
    for values, part in done.groupby(labels, sort=False) if labels else [((), done)]:
        row: dict[str, Any] = dict(zip(labels, values, strict=True))
        for metric in metrics:
            row |= {metric: part[metric].mean(), f"{metric}_sd": part[metric].std(ddof=1)}
        rows.append(row | {"runs": len(part)})
    means = pd.DataFrame(rows) if len(done) else pd.DataFrame()
    better = _better(directory, done["run"], metrics[0]) if metrics else None
    return SweepTable(index, labels, metrics, means, jobs[0]["plugin"], jobs[0]["data"] or "", better)


def _better(directory: Path, runs: Any, metric: str) -> str | None:
    for run in runs:
        for row in read_json(directory / "runs" / run / "summary.json"):
            if row["metric"] == metric:
                return row["better"]
    return None


def cell(row: Any, metric: str) -> str:
    """``0.812 ± 0.010``; without a spread where there is one seed, a dash where nothing was measured."""
    if row[metric] != row[metric]:
        return "-"
    spread = row[f"{metric}_sd"]
    return f"{row[metric]:.3f}" + (f" ± {spread:.3f}" if spread == spread else "")


def sweep_text(sweep: SweepTable) -> str:
    """Mean and SD over seeds of every combination, aligned; what has not ended is counted below."""
    lines = []
    if len(sweep.means):
        heads = [*sweep.labels, *sweep.metrics, "runs"]
        body = [[*(r[c] for c in sweep.labels), *(cell(r, m) for m in sweep.metrics), str(r["runs"])]
                for _, r in sweep.means.iterrows()]  # fmt: skip
        lines = ["test cases of the target sites, or all: mean ± SD over seeds", *aligned([heads, *body])]
        for variant, rows in matrices(sweep):
            lines += [
                "",
                f"{variant}: {metric_words(sweep.metrics[0])}, source by row and target by column".lstrip(": "),
            ]
            lines += aligned(rows)
        lines += ["", trainings(sweep)]
    return "\n".join([*lines, *(f"{n} runs {state}" for state, n in sweep.unfinished["state"].value_counts().items())])


def trainings(sweep: SweepTable) -> str:
    """How many runs trained; the others took an equal training from the cache."""
    n = int(sweep.means["runs"].sum())
    return f"{sweep.trained} of {n} runs trained a network" + (
        "; the others took an equal training from the cache" if sweep.trained < n else ""
    )


def aligned(rows: list[list[str]]) -> list[str]:
    """The rows as lines with aligned columns."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]


def matrices(sweep: SweepTable) -> list[tuple[str, list[list[str]]]]:
    """(other labels, a head and a row a source) of the first metric by source and target; none without pairs."""
    if not {"source", "target"} <= set(sweep.labels) or not sweep.metrics:
        return []
    rest = [c for c in sweep.labels if c not in ("source", "target")]
    aimed_at = set(sweep.means["target"])
    made = []
    for names, part in sweep.means.groupby(rest, sort=False) if rest else [((), sweep.means)]:
        of = {(r["source"], r["target"]): cell(r, sweep.metrics[0]) for _, r in part.iterrows()}
        targets = [s for s in dict.fromkeys([*sweep.means["source"], *sweep.means["target"]]) if s in aimed_at]
        rows = [[s, *(of.get((s, t), "") for t in targets)] for s in dict.fromkeys(part["source"])]
        made.append((", ".join(names), [["source", *targets], *rows]))
    return made


def write_sweep_page(directory: Path) -> Path:
    """Write sweep.html into the folder of a sweep, from its index.csv and the scores of its runs."""
    from mdx.report.sweep_answer import combinations, sweep_answer

    sweep = read_sweep(directory)
    found = combinations(directory, sweep) if len(sweep.means) else []
    answer = sweep_answer(sweep, found)
    shades = _shades(sweep)
    context = {
        "plugin": sweep.plugin, "data": without_folders(sweep.data), "labels": sweep.labels,
        "metrics": [metric_words(m) for m in sweep.metrics], "rows": _rows(sweep, found), "n_runs": len(sweep.index),
        "answer": answer and {**answer, "sentences": [_named(text, found) for text in answer["sentences"]]},
        "compared": sum(one.competes for one in found),
        "at_source": any(one.at_source == one.at_source for one in found), "n_left": len(sweep.unfinished),
        "trainings": trainings(sweep) if found else "",
        "matrices": [{"name": name, "metric": metric_words(sweep.metrics[0]), "targets": head[1:],
                      "rows": [(r[0], [(text, shades.get(text, 0)) for text in r[1:]]) for r in body]}
                     for name, (head, *body) in matrices(sweep)],
        "left": [(", ".join([*(r[c] for c in sweep.labels), f"seed {r['seed']}"]), r["state"])
                 for _, r in sweep.unfinished.iterrows()],
        "shown": _tables(directory, sweep), "next": _next(directory, sweep),
        "simulated": sweep.data.startswith("sim:"),
        "references": list(dict.fromkeys(one.base for one in found if one.base)),
        "foot": READS_TARGET if any(one.reads_target for one in found) else "",
    }  # fmt: skip
    return write_page(directory / "sweep.html", "sweep.html.j2", context)


def _named(text: str, found: Sequence[Combination]) -> Any:
    return names_as_code(text, {one.name for one in found if one.name})


def _rows(sweep: SweepTable, found: Sequence[Combination]) -> list[dict[str, Any]]:
    """A row of the page's table for each combination."""
    from mdx.report.sweep_answer import difference

    seeds = dict(zip(sweep.index["run"], sweep.index["seed"], strict=True))
    return [
        {
            "labels": _starred(r, sweep.labels, one.reads_target), 
            "scores": [cell(r, m) for m in sweep.metrics], "told": one.told(),
            "interval": f"[{one.low:.3f}, {one.high:.3f}]" if one.low == one.low else "",
            "difference": difference(one.against), "p": p_text(one.against["p_holm"]) if one.against else "-",
            "source": f"{one.at_source:.3f}" if one.at_source == one.at_source else "-",
            "runs": [(seeds[run], run) for run in one.runs],
        }
        for (_, r), one in zip(sweep.means.iterrows(), found, strict=True)
    ]  # fmt: skip


def _starred(row: Any, labels: Sequence[str], star: bool) -> list[str]:
    """The labels of a combination; a star after the variant of one that is set apart."""
    return [f"{row[c]}*" if star and c == "variant" else row[c] for c in labels]


def _next(directory: Path, sweep: SweepTable) -> list[dict[str, str]]:
    """Commands that follow: the comparison of all methods, and one of the runs applied."""
    done = sweep.index[sweep.index["state"].isin(FINISHED)]["run"].tolist()
    above = "sweeps/" if directory.parent.name == "sweeps" else ""
    folder = shlex.quote(f"{above}{directory.name}")
    steps = [{"what": "all methods with intervals, tests and the order over seeds", "command": f"mdx compare {folder}"}]
    if done:
        run = shlex.quote(f"{above}{directory.name}/runs/{done[0]}")
        steps.append({"what": "predict new scans with one of the runs", "command": f"mdx apply {run} new_scans"})
    return steps


def _tables(directory: Path, sweep: SweepTable) -> list[tuple[str, dict[str, Any]]]:
    """(title, table): what the methods of all finished runs show under a title, each row with its run's labels."""
    made: dict[str, list[dict[str, Any]]] = {}
    for _, run in sweep.index[sweep.index["state"].isin(FINISHED)].iterrows():
        labels = {name: run[name] for name in (*sweep.labels, "seed")}
        for table in tables_shown(directory / "runs" / run["run"]):
            made.setdefault(table["title"], []).extend(labels | row for row in table["rows"])
    return [(title, as_text(rows)) for title, rows in made.items()]


def _shades(sweep: SweepTable) -> dict[str, int]:
    """Text of a cell -> percent of the accent colour behind it: 30 for the best score, 0 for the worst."""
    if sweep.better is None:
        return {}
    metric = sweep.metrics[0]
    means = sweep.means.dropna(subset=[metric])
    good = [goodness(value, sweep.better) for value in means[metric]]
    low, span = min(good), (max(good) - min(good)) or 1.0
    return {cell(r, metric): round(30 * (g - low) / span) for g, (_, r) in zip(good, means.iterrows(), strict=True)}

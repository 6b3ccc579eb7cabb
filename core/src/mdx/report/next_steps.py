"""Where to go from a run: commands that follow, and the files and pages beside it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdx.report.pages import without_folders
from mdx.report.text import Method
from mdx.runs.folders import is_done, is_folds, read_json, read_splits

FILES = {
    "scores.csv": "the score of each test case", "summary.json": "means and intervals",
    "predictions": "predicted test cases", "splits.csv": "who was trained on, who tested",
    "config.yaml": "every setting and where it came from", "provenance.json": "versions, source, machine",
    "log.txt": "what was said while it ran",
}  # fmt: skip
FEW_TESTED = 10
"""Below so many test subjects at a target site, folds are worth a word."""
SAME_IN_A_SWEEP = ("--data", "--preset", "--config", "--set", "--device", "--precision")
"""What ``mdx sweep`` takes of a command of ``mdx run``, as it stands there."""


def next_commands(
    directory: Path, methods: Sequence[Method], facts: Mapping[str, Any], command: str
) -> list[dict[str, str]]:
    """``what`` and ``command`` of each: to go on, apply, compare and repeat; paths as seen from above the run's folder.

    Args:
        facts: provenance.json of the run.
        command: the one that made it, without names of folders.
    """
    run = shlex.quote(
        f"{directory.parent.name}/{directory.name}" if directory.parent.name == "runs" else directory.name
    )
    made = []
    if not is_done(directory) and len(methods) <= len(facts["baselines"]):
        made.append(("go on where it stopped", f"mdx resume {run}"))
    if methods:
        made.append(("predict new scans: files, folders, a table", f"mdx apply {run} new_scans --out predictions"))
    if len(methods) > 1:
        made.append(("every pair of methods, and how steady their order is", f"mdx compare {run}"))
    folds = _folds(directory, facts, command)
    if folds:
        made.append(("every subject tested once: narrower intervals", folds))
    repeated = _repeated(facts, methods, command)
    if repeated and not is_folds(directory):
        made.append(("the same at three seeds: does it hold?", repeated))
    return [{"what": what, "command": text} for what, text in made]


def _folds(directory: Path, facts: Mapping[str, Any], command: str) -> str:
    """The command of the run with five folds, where few are tested at a site and the division is not the table's."""
    words = shlex.split(command)
    if words[:2] != ["mdx", "run"] or facts.get("split_given") is not False or "folds" in command:
        return ""
    table = read_splits(directory)
    sites = table[table["role"] == "target"] if "target" in set(table["role"]) else table
    tested = sites[sites["split"] == "test"].groupby("site")["subject"].nunique()
    few = len(tested) > 0 and tested.min() < FEW_TESTED
    return shlex.join([*words, "--folds", "5"]) if few and sites.groupby("site")["subject"].nunique().min() >= 5 else ""


def _repeated(facts: Mapping[str, Any], methods: Sequence[Method], command: str) -> str:
    """The command of the run as a sweep over seeds of its method and its reference; nothing where a sweep cannot."""
    if facts.get("init_from") or facts.get("cohorts"):
        return ""  # of a sweep's runs each has a network and data of its own
    words = shlex.split(command)
    if words[:2] != ["mdx", "run"]:  # begun from Python, or within a sweep
        words = ["mdx", "run", facts["plugin"], "--data", without_folders(str(facts.get("data", "")))]
        words += ["--preset", facts["preset"]] if facts["preset"] else []
    kept, before = ["mdx", "sweep", facts["plugin"]], ""
    for word in words[2:]:
        name = word.partition("=")[0]
        option = name if word.startswith("-") else before
        if option in SAME_IN_A_SWEEP:
            kept.append(word)
        before = option if word.startswith("-") or option == "--set" else ""
    variants = [facts["variant"], *facts["baselines"][:1]]
    return shlex.join([*kept, "--variants", ",".join(variants), "--seeds", "3"])


def files_beside(directory: Path, methods: Sequence[Method]) -> list[tuple[str, str]]:
    """(relative path, what it is) of the run's files that are there, and of the scores of its baselines."""
    found = [(f"{name}/" * (directory / name).is_dir() or name, what)
             for name, what in FILES.items() if (directory / name).exists()]  # fmt: skip
    beside = [f"baselines/{m.directory.name}/scores.csv" for m in methods[1:]]
    return found + [(path, f"of '{path.split('/')[1]}'") for path in beside if (directory / path).exists()]


def page_above(directory: Path) -> str:
    """The relative path of the page of the sweep that a run belongs to; nothing for a run of its own."""
    plan = directory.parent.parent / "sweep.json"
    if directory.parent.name != "runs" or not plan.is_file():
        return ""
    return f"../../{read_json(plan).get('page', 'sweep.html')}"


def link_between(folder: Path, run: Path) -> str:
    """The relative path from a page in ``folder`` to that of ``run``, where it names only folders that mdx names.

    Nothing for a run elsewhere: a page is sent to people who should not see folders' names.
    """
    relative = Path(os.path.relpath(run / "report.html", folder.resolve())).parts
    between = [part for part in relative[:-2] if part != ".."]
    of_many = len(between) == 3 and between[0] in ("sweeps", "reproductions") and between[2] == "runs"
    if not (run / "report.html").is_file() or relative.count("..") > 2 or not (between == ["runs"] or of_many):
        return ""
    return "/".join(relative)

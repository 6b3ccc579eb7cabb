"""``mdx sweep``: carry out many runs, fill gaps when repeated, and put their scores into one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mdx import console
from mdx.data.files.facts import cores
from mdx.errors import MdxError, UsageError
from mdx.files import plain, write_atomically, write_json
from mdx.report.sweep import write_sweep_page
from mdx.report.text import MAIN_METRICS
from mdx.runs.folders import read_json
from mdx.runs.provenance import digest_of
from mdx.spreadsheets import csv_text
from mdx.sweeps.jobs import Job, expand
from mdx.sweeps.pool import FINISHED, Outcome, run_all
from mdx.sweeps.worker import log_of


@dataclass(frozen=True)
class SweepResult:
    """A sweep's folder, its jobs, and how each ended."""

    directory: Path
    jobs: Sequence[Job]
    outcomes: Sequence[Outcome]

    @property
    def runs(self) -> dict[str, Path]:
        """The directories of the finished runs, by the names of their jobs."""
        return {j.name: self.directory / "runs" / o.directory
                for j, o in zip(self.jobs, self.outcomes, strict=True) if o.state in FINISHED}  # fmt: skip

    @property
    def failed(self) -> list[str]:
        """A line for each job without a finished run: its name, the reason, and its log."""
        logs = self.directory / "logs"
        return [f"{j.name}: {o.reason} (log: {log_of(j, logs)})"
                for j, o in zip(self.jobs, self.outcomes, strict=True) if o.state not in FINISHED]  # fmt: skip

    def raise_if_failed(self) -> None:
        """Raise MdxError that names every failed job; the exit code is that of all, or 1 where they differ."""
        if not self.failed:
            return
        codes = {o.exit_code for o in self.outcomes if o.state not in FINISHED}
        error = MdxError(
            f"{len(self.failed)} of {len(self.jobs)} runs failed:\n  " + "\n  ".join(self.failed),
            "mend the cause and give the same command: only what is missing is run",
        )
        error.exit_code = codes.pop() if len(codes) == 1 else 1
        raise error


def sweep(
    plugin: str,
    data: str | None = None,
    *,
    variants: Sequence[str] = (),
    seeds: int | Sequence[int] = 1,
    pairs: str | None = None,
    leave_site_out: bool = False,
    grid: Mapping[str, Sequence[str]] | None = None,
    jobs: int = 1,
    out: str | Path | None = None,
    **common: Any,
) -> SweepResult:
    """Every combination of seeds, pairs of sites, settings and variants as a run; what is finished is found.

    Args:
        variants: names, or ``["all"]``; the plugin's default if empty.
        seeds: how many (0, 1, ...), or which.
        pairs, leave_site_out, grid: see ``mdx.sweeps.jobs.expand``.
        jobs: processes, each with its share of the cores or one GPU.
        out: folder of the sweep; ``sweeps/PLUGIN_HASH`` if not given.
        common: ``preset, config, settings, baselines, device, precision`` of all runs.
    """
    made = expand(
        Job(plugin, data, **common), variants=variants, seeds=range(seeds) if isinstance(seeds, int) else seeds,
        pairs=pairs, leave_site_out=leave_site_out, grid=grid,
    )  # fmt: skip
    result = carry_out(made, Path(out) if out else default_folder(made), jobs)
    write_sweep_page(result.directory)
    return result


def default_folder(jobs: Sequence[Job]) -> Path:
    """``sweeps/PLUGIN_HASH``: the same jobs find the same folder."""
    return Path("sweeps") / f"{jobs[0].plugin}_{digest_of([plain(asdict(job)) for job in jobs])}"


def carry_out(
    jobs: Sequence[Job], directory: Path, count: int = 1, say: Callable[[str], None] | None = None,
    page: str = "sweep.html",
) -> SweepResult:  # fmt: skip
    """Run ``jobs`` under ``directory``/runs in ``count`` processes; write sweep.json and index.csv.

    Finished runs are found, unfinished ones gone on with. Raises StoppedError when asked to stop, with the index of
    what has ended written; failures are in the result.
    """
    say = say or console.note
    if not jobs:
        raise UsageError("there is nothing to run", "give a variant, a seed, or a row that can be run")
    for job in jobs:
        job.plan()  # what is wrong with the request is said before any process starts
    directory.mkdir(parents=True, exist_ok=True)
    ended: dict[int, Outcome] = {}

    def tell(index: int, state: str, outcome: Outcome | None) -> None:
        name = jobs[index].name
        if outcome is None:
            say(f"started  {name}")
            return
        ended[index] = outcome
        seconds = f" ({outcome.seconds:.0f} s)" if state == "done" else ""
        reason = f": {outcome.reason}" if outcome.message else ""
        say(f"{state:<8} {name}{seconds}{reason}   {len(ended)}/{len(jobs)}")
        _write_index(directory, jobs, ended)

    threads = _threads(directory, min(count, len(jobs)))
    facts = {"jobs": [plain(asdict(job)) for job in jobs], "processes": count, "threads": threads, "page": page}
    write_json(directory / "sweep.json", facts)
    _write_index(directory, jobs, ended)
    outcomes = run_all(jobs, directory / "runs", count, directory / "logs", tell, threads)
    return SweepResult(directory, jobs, outcomes)


def _threads(directory: Path, count: int) -> int:
    """Threads of each run: its share of the cores when the sweep was begun, and the same whenever it goes on.

    The number of threads moves scores, so it is a part of a run's identity; another ``--jobs`` must find the same runs.
    """
    path = directory / "sweep.json"
    known = read_json(path).get("threads") if path.exists() else None
    return known if isinstance(known, int) else max(1, cores() // max(1, count))


def _write_index(directory: Path, jobs: Sequence[Job], ended: Mapping[int, Outcome]) -> None:
    rows = [index_row(directory, job, ended.get(i)) for i, job in enumerate(jobs)]
    write_atomically(directory / "index.csv", csv_text(rows))


def index_row(directory: Path, job: Job, outcome: Outcome | None) -> dict[str, Any]:
    """Labels, state, directory, epochs trained (0 where a training was taken from the cache) and main scores."""
    row: dict[str, Any] = {**job.labels, "state": outcome.state if outcome else "waiting"}
    if outcome is None:
        return row
    row |= {"run": outcome.directory, "seconds": round(outcome.seconds, 1)}
    if outcome.state in FINISHED:
        run = directory / "runs" / outcome.directory
        row |= {"epochs": _epochs(run), **scores_of(run)}
    return row


def _epochs(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return sum('"epoch"' in line for line in metrics.read_text().splitlines()) if metrics.exists() else 0


def scores_of(run: Path) -> dict[str, float]:
    """The mean of every main metric of a run, over its target sites, or over all cases where there is no target."""
    found: dict[str, float] = {}
    rows = read_json(run / "summary.json")
    measured = list(dict.fromkeys(row["metric"] for row in rows))
    for metric in [m for m in MAIN_METRICS if m in measured] or measured[:1]:
        of = {row["group"]: row["mean"] for row in rows if row["metric"] == metric}
        value = of.get("role=target", of.get("all"))
        if value is not None:
            found[metric] = value
    return found

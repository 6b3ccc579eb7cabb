"""A cohort on disk: made once for its options, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mdx import progress
from mdx.cache import cache_dir
from mdx.errors import ResourceError
from mdx_sim import anatomy, worker
from mdx_sim.designs import DESIGNS
from mdx_sim.options import SimOptions

NOTES = (
    "The images are simulated (mdx-sim): a number from them is no evidence of performance at a real site.",
    "Anatomy: ICBM152 average maps, sharpened and deformed; skull and scalp are synthetic.",
)
STALE_SECONDS = 24 * 3600.0


def cohort(options: SimOptions) -> Path:
    """The folder of the cohort, made now if it does not exist: ``cohort.csv``, images, masks, ``notes.json``.

    A cohort is built in a folder beside its own and renamed when whole, so that an interrupted generation is never
    used and two processes do not meet. Raises ResourceError if it cannot be made.
    """
    version = DESIGNS[options.design].VERSION
    content = json.dumps([version, anatomy.VERSION, options.design, options.model_dump(mode="json")], sort_keys=True)
    root = cache_dir("sim")
    folder = root / f"{options.design}_{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    if (folder / "cohort.csv").is_file():
        return folder
    _remove_abandoned(root)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=root))
    try:
        _build(options, building)
        with contextlib.suppress(OSError):  # another process was first; its cohort is the same
            building.replace(folder)
        if not (folder / "cohort.csv").is_file():
            raise ResourceError("the cohort could not be put in its place", "remove this folder and repeat", folder)
    except OSError as error:
        raise _cannot_make(error.strerror or str(error)) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def _remove_abandoned(root: Path) -> None:
    """Clear away what killed processes left; a folder that was touched within a day may still be in work."""
    for folder in root.glob(".building-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _build(options: SimOptions, folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    name, design = f"sim:{options.design}", DESIGNS[options.design]
    plan = design.visits(options)
    (folder / worker.PLAN).write_text(
        json.dumps({"design": options.design, "size_mm": options.size_mm, "visits": [asdict(visit) for visit in plan]})
    )
    truths: dict[int, dict[str, object]] = {}
    what = f"simulating {name}, {len(plan)} visits at {options.size_mm:g} mm"
    with progress.telling():
        progress.phase(what)
        for load in design.LOADS:  # once, before the workers ask for it
            load(options.size_mm)
        for line in progress.each(_work(folder, len(plan)), what, len(plan), aloud=False):
            index, truths[index] = json.loads(line)
    (folder / worker.PLAN).unlink()
    (folder / "notes.json").write_text(json.dumps(NOTES, indent=1) + "\n")
    (folder / "README.md").write_text(f"# {name}\n\n{NOTES[0]}\n\n{NOTES[1]}\n\nOptions: `{options!r}`\n")
    rows = [{**design.row(visit, options), **truths[index]} for index, visit in enumerate(plan)]
    _write_table(folder / "cohort.csv", rows)


def _work(folder: Path, count: int) -> Iterator[str]:
    """Run the workers and yield a line for each visit that is done. Raises ResourceError if one of them fails."""
    parts = max(
        1, min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, count)
    )
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    processes: list[subprocess.Popen[str]] = []
    reading, writing = os.pipe()
    log = folder / ".errors.txt"
    try:
        with log.open("w") as errors:
            for part in range(parts):
                command = [sys.executable, "-m", "mdx_sim.worker", str(folder), str(part), str(parts)]
                processes.append(
                    subprocess.Popen(command, stdout=writing, stderr=errors, text=True, env={**os.environ, **threads})
                )
        os.close(writing)
        with os.fdopen(reading) as lines:
            yield from lines
        if any(process.wait() for process in processes):
            raise _cannot_make((log.read_text().strip().splitlines() or ["a worker was killed"])[-1])
        log.unlink()
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _cannot_make(cause: str) -> ResourceError:
    return ResourceError(
        f"the simulated cohort cannot be made ({cause})",
        "free disk space, or set MDX_CACHE to a folder with room; nothing half-made is kept",
        cache_dir("sim"),
    )


def _write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)

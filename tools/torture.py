"""Runs that are killed and stopped at random moments, and damaged inputs, run directories and manifests.

``python tools/torture.py kills 50`` kills a small run of fda with SIGKILL at 50 moments spread over its length, goes on
with it as a user would (``mdx resume``, or the same command where no run had begun), and compares the whole directory
with that of a run which nobody disturbed. ``stops 50`` asks it to stop with SIGTERM instead: it must end with 75, or
with 0 where it had finished. Both exit 1 if anything differs.

``python tools/torture.py damage 500`` gives commands files, run directories and manifests that are damaged in as many
ways: none may end with exit code 1, a traceback or a signal, take longer than a minute or more than 2 GB, and a refusal
must name what is damaged. See docs/reliability.md for what came out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

RUN = ["run", "fda", "--set", "source=A", "target=B", "run.threads=1"]
STOPPED = 75
TIMES = {
    "provenance.json": ("started",),
    "status.json": ("at", "pid"),
    "timings.json": None,
}
"""JSON files that hold times, and the keys that do; None: every number is one."""


def words(table: Path) -> list[str]:
    from small_cohort import TINY

    rest = ["--data", f"csv:{table}", "--baselines", "no_da", "--device", "cpu", "--out", "runs"]
    return [sys.executable, "-m", "mdx", *RUN, *TINY, *rest]


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """A command with a cache of its own: another one's training would shorten it."""
    environment = {**os.environ, "MDX_CACHE": str(folder / "cache")}
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=environment)


def the_run(folder: Path) -> Path | None:
    """The directory of the run, once there is one that can be gone on with."""
    found = list((folder / "runs").glob("*/provenance.json")) if (folder / "runs").is_dir() else []
    return found[0].parent if found else None


def disturbed(kind: str, count: int) -> int:
    """Kill or stop ``count`` runs; how many did not end as they should."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        from small_cohort import make_cohort

        table = make_cohort(place / "cohort")
        whole = place / "whole"
        whole.mkdir()
        began = time.monotonic()
        assert start(words(table), whole).wait() == 0, (whole / "output.txt").read_text()
        length = time.monotonic() - began
        reference = the_run(whole)
        assert reference is not None
        bad, ends = 0, Counter[str]()
        for i in range(count):
            folder = place / f"trial{i}"
            folder.mkdir()
            faults, how = one_trial(kind, table, folder, reference, (i + 0.5) / count * length)
            ends[how] += 1
            bad += bool(faults)
            for fault in faults:
                print(f"  {kind} {i} at {(i + 0.5) / count * length:.1f} s: {fault}", flush=True)
            shutil.rmtree(folder)
        print(f"{kind}: {count - bad} of {count} as they should be; the undisturbed run took {length:.1f} s; "
              + ", ".join(f"{n} {what}" for what, n in ends.items()))  # fmt: skip
    return bad


def one_trial(kind: str, table: Path, folder: Path, reference: Path, moment: float) -> tuple[list[str], str]:
    """What went wrong, and in which state the run was when it was disturbed."""
    process = start(words(table), folder)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL if kind == "kills" else signal.SIGTERM)
    code = process.wait()
    faults = []
    wanted = (-signal.SIGKILL, 0) if kind == "kills" else (STOPPED, 0)
    if code not in wanted:
        faults.append(f"exit code {code}: {(folder / 'output.txt').read_text()[-300:]}")
    run = the_run(folder)
    state = "had finished" if code == 0 else "were training or scoring" if run else "had not begun"
    if code != 0:
        again = [sys.executable, "-m", "mdx", "resume", str(run.relative_to(folder))] if run else words(table)
        code = start(again, folder).wait()
        if code:
            return [*faults, f"going on: exit code {code}: {(folder / 'output.txt').read_text()[-300:]}"], state
    run = the_run(folder)
    return [*faults, *(differences(reference, run) if run else ["there is no run"])], state


def differences(reference: Path, run: Path) -> list[str]:
    """What is not the same in two directories of runs, times apart."""
    files = [{p.relative_to(d): p for p in d.rglob("*") if p.is_file()} for d in (reference, run)]
    found = [f"only in one: {name}" for name in set(files[0]) ^ set(files[1])]
    common = set(files[0]) & set(files[1])
    return found + [f"differs: {name}" for name in sorted(common) if content(files[0][name]) != content(files[1][name])]


def content(path: Path) -> Any:
    """What must be equal of a file: its bytes, without the times of day and durations that are measured anew.

    Of log.txt nothing: a run that was gone on with has another story.
    """
    if path.suffix == ".safetensors":  # of equal trees the order in the header may differ; the digest covers all values
        from safetensors import safe_open

        from mdx.runs.checkpoint import load_tree

        load_tree(path)
        with safe_open(path, framework="numpy") as file:
            return file.metadata()["digest"]
    if path.name in TIMES:
        return timeless(json.loads(path.read_text()), TIMES[path.name])
    if path.name in ("log.txt", "done"):
        return path.stat().st_size > 0
    if path.name == "report.html":  # the table of timings, and the sentence of the seconds of training
        page = re.sub(r"Seconds: .*?</dd>", "</dd>", path.read_text())
        return re.sub(r'(<td class="(?:n|text)">)(?:\w+ )?\d+(?:\.\d+)?(?=</td>)', r"\1", page)
    return path.read_bytes()


def timeless(value: Any, keys: tuple[str, ...] | None) -> Any:
    if isinstance(value, dict):
        return {k: timeless(v, keys) for k, v in value.items() if keys is None or k not in keys}
    return 0 if keys is None and isinstance(value, int | float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "stops", "damage"])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of the damages")
    options = parser.parse_args()
    if options.what == "damage":
        os.environ["OMP_NUM_THREADS"] = "1"  # threads of a process that forks are not those of its children
        from damaged_inputs import damaged

        sys.exit(bool(damaged(options.count, options.seed)))
    sys.exit(bool(disturbed(options.what, options.count)))


if __name__ == "__main__":
    main()

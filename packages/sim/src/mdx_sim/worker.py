"""A process that simulates a part of a cohort: ``python -m mdx_sim.worker FOLDER PART PARTS``.

A program of its own rather than a pool of forked or spawned copies of the caller: it works from notebooks and from
scripts without a main guard, and never copies a process that already runs torch's threads. It imports numpy, scipy and
nibabel, and prints a line of JSON for each visit: its place in the plan and what is true of it; when the caller is
gone the pipe breaks and it ends.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mdx_sim.anatomy import load_anatomy
from mdx_sim.designs import DESIGNS

PLAN = ".plan.json"


def main(folder: Path, part: int, parts: int) -> None:
    """Simulate every ``parts``-th visit of the plan in ``folder``, from the ``part``-th on."""
    plan = json.loads((folder / PLAN).read_text())
    design = DESIGNS[plan["design"]]
    anatomy = load_anatomy(plan["size_mm"])
    for index in range(part, len(plan["visits"]), parts):
        truth = design.simulate(design.Visit(**plan["visits"][index]), anatomy, folder)
        sys.stdout.write(json.dumps([index, truth]) + "\n")  # one write: lines of two workers do not mix
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

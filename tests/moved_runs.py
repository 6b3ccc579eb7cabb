"""A run at another place, with its data gone, applied to copies of its test scans."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

CASES = 3


def applied_after_moving(
    mdx: Callable[..., tuple[int, str]], run: Path, table: Path, folder: Path, variant: str | None, columns: list[str]
) -> tuple[Any, Any]:
    """What ``mdx apply`` of the moved run gives for the first test cases, and what the run itself wrote, as frames."""
    own = run if variant is None else run / "baselines" / variant
    scored = pd.read_csv(own / "scores.csv", float_precision="round_trip").set_index("case").iloc[:CASES]
    rows = pd.read_csv(table)
    of_subject = {row["subject"]: table.parent / row["image"] for _, row in rows.iterrows()}
    scans = [shutil.copy(of_subject[subject], folder) for subject in scored["subject"]]
    moved = shutil.copytree(run, folder / "elsewhere" / "my run")
    hidden = (table.parent / "images").rename(table.parent / "gone")
    try:
        more = [] if variant is None else ["--variant", variant]
        code, printed = mdx("apply", moved, *scans, "--out", folder / "applied", *more)
    finally:
        hidden.rename(table.parent / "images")
    assert code == 0, printed
    made = pd.read_csv(folder / "applied" / "predictions.csv", float_precision="round_trip")
    return made[columns].reset_index(drop=True), scored[columns].reset_index(drop=True)

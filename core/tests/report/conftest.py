"""Runs to be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scored_runs import ALIKE, BASE, BETTER, N, write_run


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Three methods, the best and the worst of which were run at two seeds."""
    rng = np.random.default_rng(3)
    made = []
    for variant, scores, seeds in (("plain", BASE, (0, 1)), ("clever", BETTER, (0, 1)), ("other", ALIKE, (0,))):
        for seed in seeds:
            noisy = scores + rng.normal(0, 0.01, N)
            all_scores = {"surface_dice": noisy, "dice": noisy + 0.05, "volume_error_percent": rng.normal(0, 10, N)}
            made.append(write_run(tmp_path / "runs" / f"{variant}{seed}", variant, all_scores, seed=seed))
    return made

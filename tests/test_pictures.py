"""Pictures go the same way as volumes: a table of PNG files, a run, masks on new files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_cohort import TINY

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:41, :50]
    lines = ["image,mask,subject,site"]
    for site in "AB":
        for i in range(5):
            spot = (y - rng.integers(15, 26)) ** 2 + (x - rng.integers(18, 30)) ** 2 < 100
            colour = np.where(spot[..., None], (150, 90, 60), (230, 190, 170)) * (1.0 if site == "A" else 0.7)
            noisy = np.clip(colour + rng.normal(0, 6, colour.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / f"{site}{i}.png")
            Image.fromarray((spot * 255).astype(np.uint8)).save(tmp_path / f"{site}{i}_mask.png")
            lines.append(f"{site}{i}.png,{site}{i}_mask.png,{site}{i},{site}")
    table = tmp_path / "pictures.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_colour_pictures_are_trained_on_and_masks_written_on_new_ones(pictures: Path, tmp_path: Path, mdx: Cli) -> None:
    code, text = mdx("run", "fda", "--data", f"csv:{pictures}", "--set", "source=A", "target=B", *TINY, "--baselines",
                     "no_da", "--device", "cpu", "--out", tmp_path / "runs")  # fmt: skip
    assert code == 0, text
    (run,) = (tmp_path / "runs").iterdir()
    code, text = mdx("apply", run, pictures.parent / "B2.png", "--out", tmp_path / "out")
    assert code == 0, text
    mask = np.asarray(Image.open(tmp_path / "out" / "B2.png"))
    assert mask.shape == (41, 50)
    assert set(np.unique(mask)) <= {0, 255}

"""What the pictures show: planes, proportions, and the runs' own colours."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdx.report.figures import changes, curves, site_scores
from mdx.report.overlays import overlay


def bright(path: Path, lowest: int = 200) -> np.ndarray:
    """(n, 2) rows and columns of white pixels below the titles."""
    grey = np.asarray(Image.open(path).convert("RGB")).min(axis=2)
    grey[: grey.shape[0] // 4] = 0
    return np.argwhere(grey > lowest)


@pytest.fixture
def volume() -> np.ndarray:
    """(1, 20, 20, 10) with a bright mark at the patient's right, front and top (RAS)."""
    image = np.zeros((1, 20, 20, 10), np.float32)
    image[0, 12:18, 12:18, 6:9] = 1
    return image


def test_an_overlay_has_three_panels_for_a_volume_and_one_for_a_picture(tmp_path: Path, volume: np.ndarray) -> None:
    overlay(tmp_path / "3d.png", volume, volume > 0, volume > 0, (1, 1, 2), "a volume")
    overlay(tmp_path / "2d.png", volume[..., 7], volume[..., 7] > 0, None, (1, 1), "a picture")
    widths = [Image.open(tmp_path / name).width for name in ("3d.png", "2d.png")]
    assert widths[0] > 2.5 * widths[1]


def test_right_front_and_top_are_drawn_right_and_up(tmp_path: Path, volume: np.ndarray) -> None:
    nothing = np.zeros_like(volume, bool)
    overlay(tmp_path / "o.png", volume, nothing, volume > 0, (1, 1, 2), "")
    width, height = Image.open(tmp_path / "o.png").size
    found = bright(tmp_path / "o.png")
    for panel in range(3):
        inside = found[(found[:, 1] >= panel * width / 3) & (found[:, 1] < (panel + 1) * width / 3)]
        inside = inside[inside[:, 0] < 0.85 * height]  # above the legend
        assert inside[:, 1].mean() > (panel + 0.5) * width / 3
        assert inside[:, 0].mean() < 0.5 * height


def test_a_plane_is_drawn_in_its_true_proportions(tmp_path: Path) -> None:
    image = np.zeros((1, 10, 10, 10), np.float32)
    image[0, 3:7, 3:7, 3:7] = 1
    overlay(tmp_path / "o.png", image, np.zeros_like(image, bool), image > 0, (1, 1, 2), "")
    width, height = Image.open(tmp_path / "o.png").size
    found = bright(tmp_path / "o.png")
    coronal = found[(found[:, 1] > width / 3) & (found[:, 1] < 2 * width / 3) & (found[:, 0] < 0.85 * height)]
    tall, wide = np.ptp(coronal, axis=0) + 1
    assert tall / wide == pytest.approx(2, abs=0.2)


def test_an_empty_prediction_and_an_empty_reference_are_drawn(tmp_path: Path, volume: np.ndarray) -> None:
    nothing = np.zeros_like(volume, bool)
    overlay(tmp_path / "o.png", volume, nothing, nothing, (1, 1, 1), "nothing")
    assert Image.open(tmp_path / "o.png").width > 0


def test_curves_have_a_panel_for_each_stage_and_metric() -> None:
    rows = [
        {
            "stage": "one",
            "epoch": e,
            "step": e,
            "train/loss": 1 / (e + 1),
            "val/loss": 1.2 / (e + 1),
            "val/dice": 0.1 * e,
        }
        for e in range(3)
    ] + [{"stage": "two", "epoch": 0, "train/loss": 0.1}, {"stage": None, "epoch": 0, "train/loss": 9}]
    titles = re.findall(r">((?:one|two): \w+)<", curves(rows))
    assert titles == ["one: loss", "one: dice", "two: loss"]


def test_nothing_to_draw_is_no_drawing() -> None:
    assert curves([]) == ""
    assert site_scores("dice", ["A"], [("method", [None])]) == ""


def test_every_site_and_method_is_named_where_one_was_not_scored() -> None:
    row = {"mean": 0.5, "low": None, "high": None}
    drawn = site_scores("dice", ["A", "B"], [("method", [row, row]), ("other", [None, row])])
    for name in ("A", "B", "method", "other"):
        assert f">{name}<" in drawn


def test_a_change_is_coloured_by_what_is_better() -> None:
    up, down = "#009e73", "#d55e00"
    better = changes("mae", "min", {"A": [(3.0, 1.0)]}, "before", "after")
    worse = changes("mae", "max", {"A": [(3.0, 1.0)]}, "before", "after")
    assert up in better
    assert down not in better
    assert down in worse
    assert up not in worse


def test_curves_have_the_words_of_the_field_and_of_the_plugin() -> None:
    rows = [{"stage": "fit", "epoch": e, "train/cls": 1.0 - e, "val/cen+latent": 0.5, "val/auroc": 0.6} for e in (0, 1)]
    drawn = curves(rows, {"cen": "center loss"})
    for words in ("fit: classification loss", "fit: center loss + latent", "fit: AUROC", "training", "validation"):
        assert words in drawn

"""What the lower half of a run's page says of single cases: the table, the gallery, changed images, intensities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scored_runs import BASE, BETTER, N, cohort, write_classification, write_run

from mdx.errors import DataError, PluginError
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Sample
from mdx.interfaces.geometry import Geometry
from mdx.report.case_table import MOST_ROWS, cases_of, predictions_in
from mdx.report.changed_images import Changes, changed_image
from mdx.report.gallery import EACH, chosen, record, save_small
from mdx.report.intensities import BINS, FILE, Intensities, densities_drawn
from mdx.report.overlays import overlay
from mdx.report.text import methods_of

ORANGE, SKY = (230, 159, 0), (86, 180, 233)


@pytest.fixture
def segmented(tmp_path: Path) -> Path:
    """A run with one baseline, of which one case has no score, and the files of two predictions."""
    scores = BETTER.copy()
    scores[3] = np.nan
    run = write_run(tmp_path / "run", "clever", {"surface_dice": scores}, baselines=["plain"])
    write_run(run / "baselines" / "plain", "plain", {"surface_dice": BASE})
    (run / "predictions").mkdir()
    for name in ("A1.nii.gz", "A1_image.nii.gz", "B2_boxes.csv"):
        (run / "predictions" / name).write_bytes(b"")
    return run


def rows_of(directory: Path) -> list[dict[str, Any]]:
    return cases_of(directory, methods_of(directory))["table"]["rows"]


def test_the_worst_case_comes_first_and_one_without_a_score_last(segmented: Path) -> None:
    cells = [row["cells"][0][0] for row in rows_of(segmented)]
    assert cells[-1] == "-"
    assert cells[:-1] == sorted(cells[:-1])
    assert len(cells) == N


def test_each_case_is_compared_with_the_first_baseline(segmented: Path) -> None:
    for row in rows_of(segmented)[:-1]:
        own, before, change = (float(text) for text, _ in row["cells"])
        assert change == pytest.approx(own - before, abs=0.0011)


def test_a_case_leads_to_the_file_of_its_prediction(segmented: Path) -> None:
    files = {row["case"]: row["file"] for row in rows_of(segmented)}
    assert files["A1"] == "predictions/A1.nii.gz"
    assert files["B2"] == "predictions/B2_boxes.csv"
    assert files["C1"] == ""


def test_a_case_whose_name_ends_like_a_kind_of_file_leads_to_its_own(tmp_path: Path) -> None:
    for name in ("scan_image.nii.gz", "tooth.nii.gz", "tooth_image.nii.gz", "cell_boxes.csv"):
        (tmp_path / name).touch()
    links = predictions_in(tmp_path, ["scan", "scan_image", "tooth", "cell"])
    found = {case: Path(link).name for case, link in links.items()}
    assert found == {"scan_image": "scan_image.nii.gz", "tooth": "tooth.nii.gz", "cell": "cell_boxes.csv"}


def test_a_class_stands_beside_its_truth_and_its_probability(tmp_path: Path) -> None:
    truth = np.arange(N) % 2
    run = write_classification(tmp_path / "run", "plain", np.linspace(0.02, 0.98, N), truth)
    first = cases_of(run, methods_of(run))["table"]
    assert [name for name, _, _ in first["heads"]] == ["truth", "predicted", "probability", "probability of truth"]
    texts = [text for text, _ in first["rows"][0]["cells"]]
    assert texts[:2] == ["ill", "well"] and float(texts[2]) == pytest.approx(1 - float(texts[3]), abs=0.0011)
    assert first["rows"][0]["cells"][1][1] == "wrong"


def test_of_a_large_cohort_the_worst_cases_are_shown(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random(3000)
    run = write_run(tmp_path / "run", "clever", scores, cohort(1000))
    table = cases_of(run, methods_of(run))["table"]
    assert (len(table["rows"]), table["whole"]) == (MOST_ROWS, 3000)
    assert float(table["rows"][-1]["cells"][0][0]) == pytest.approx(np.sort(scores)[MOST_ROWS - 1], abs=0.0006)


def classified(count: int = 60) -> pd.DataFrame:
    """Rows of scores.csv whose case ``c<i>`` has a probability of 'b' that grows with i."""
    p, truth = np.linspace(0.01, 0.99, count), np.array(["a", "b", "b"] * (count // 3))
    said = np.where(p > 0.5, "b", "a")
    return pd.DataFrame({
        "case": [f"c{i:02d}" for i in range(count)], "truth": truth, "predicted": said, "p_a": 1 - p, "p_b": p,
        "accuracy": (truth == said).astype(float),
    })  # fmt: skip


def test_the_gallery_shows_right_wrong_and_uncertain_cases() -> None:
    table = classified()
    groups = chosen(table.sample(frac=1, random_state=0))
    assert groups == chosen(table)
    facts = table.set_index("case")
    assert {name: len(cases) for name, cases in groups.items()} == {
        "Right": EACH,
        "Wrong": EACH,
        "Most uncertain": EACH,
    }
    assert (facts.loc[groups["Right"], "accuracy"] == 1).all() and (facts.loc[groups["Wrong"], "accuracy"] == 0).all()
    assert list(facts.loc[groups["Wrong"], "truth"]) == ["a", "b"] * (EACH // 2)
    assert set(groups["Most uncertain"]) == {f"c{i}" for i in range(26, 34)}


def test_values_are_shown_where_they_are_nearest_and_furthest() -> None:
    error = np.array([-9.0, 4, 0.5, -1, 7])
    table = pd.DataFrame({"case": list("abcde"), "truth": 50.0, "predicted": 50 + error, "error": error,
                          "absolute_error": np.abs(error)})  # fmt: skip
    groups = chosen(table)
    assert groups["Nearest"][0] == "c"
    assert (groups["Furthest above"], groups["Furthest below"]) == (["e", "b", "c"], ["a", "d"])


def test_small_pictures_are_recorded_once_a_case(tmp_path: Path) -> None:
    groups = record(tmp_path, classified(6), lambda case: (np.random.default_rng(0).random((3, 300, 400)), (1.0, 1.0)))
    files = {entry["file"] for group in groups for entry in group["cases"]}
    assert files == {path.name for path in tmp_path.iterdir()} and len(files) <= 6
    with Image.open(tmp_path / "gallery_0.jpg") as picture:
        assert (picture.size, picture.mode) == ((192, 144), "RGB")


def test_the_small_picture_of_a_volume_is_its_axial_slice_in_true_proportions(tmp_path: Path) -> None:
    image = np.zeros((1, 20, 40, 10), np.float32)
    image[0, 15:, 30:, 5] = 1  # right and in front
    assert save_small(tmp_path / "v.jpg", image, (2.0, 1.0, 3.0)) == {"wide": 96, "high": 96}
    bright = np.argwhere(np.asarray(Image.open(tmp_path / "v.jpg").convert("L")) > 128)
    assert bright[:, 0].mean() < 60 and bright[:, 1].mean() > 130


def scan(shape: tuple[int, ...] = (1, 12, 10, 6), name: str = "c1") -> Sample:
    image = torch.from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))
    mask = torch.zeros(shape)
    mask[..., 4] = 1
    geometry = Geometry(np.eye(4), (1.0,) * (len(shape) - 1))
    return Sample(Case(name, "s", "A", {}), image, geometry, {"mask": mask})


def test_a_changed_image_is_drawn_beside_the_scan(tmp_path: Path) -> None:
    sample, changes = scan(), Changes()
    brighter = sample.image.numpy() + 0.25
    changes.add(sample, changed_image(Prediction(sample.geometry, shown={"restyled": brighter}), sample))
    changes.add(scan(name="c2"), None)
    assert (changes.name, changes.cases) == ("restyled", ["c1"])
    assert changes.change_of("c1") == pytest.approx(0.25, abs=1e-3)
    changes.draw(tmp_path / "c.png", "c1", "a title")
    pixels = np.asarray(Image.open(tmp_path / "c.png").convert("RGB")).astype(int)
    assert (np.abs(pixels - ORANGE).sum(axis=2) < 30).mean() > 0.1  # the difference


@pytest.mark.parametrize("wrong", [np.zeros((1, 3, 3)), np.full((1, 12, 10, 6), np.nan)])
def test_a_changed_image_that_cannot_be_shown_is_a_fault_of_the_plugin(wrong: np.ndarray) -> None:
    sample = scan()
    with pytest.raises(PluginError, match="'restyled'"):
        changed_image(Prediction(sample.geometry, shown={"restyled": wrong}), sample)


def test_intensities_are_those_of_each_site_without_background(tmp_path: Path) -> None:
    rng, found = np.random.default_rng(0), Intensities(4)
    for i, site in enumerate("AABB"):
        image = rng.normal(0.3 if site == "A" else 0.7, 0.03, (1, 32, 32)).astype(np.float32)
        image[:, :16] = 0
        found.add(f"c{i}", site, image, ("restyled", image + 0.2))
    found.write(tmp_path)
    made = json.loads((tmp_path / FILE).read_text())
    middles = np.linspace(made["low"], made["high"], BINS)
    means = {
        state: {s: np.average(middles, weights=w) for s, w in made[state].items()} for state in ("before", "after")
    }
    assert means["before"] == pytest.approx({"A": 0.3, "B": 0.7}, abs=0.02)
    assert means["after"] == pytest.approx({"A": 0.5, "B": 0.9}, abs=0.02)
    assert made["cases"] == {"A": 2, "B": 2}
    drawn = densities_drawn(tmp_path, {"A": "source", "B": "target"})["picture"]
    assert all(f">{text}<" in drawn for text in ("A (source)", "B (target)", "restyled"))


def test_two_classes_have_two_colours(tmp_path: Path) -> None:
    masks = np.zeros((2, 30, 30), bool)
    masks[0, 4:14, 4:26] = masks[1, 16:26, 4:26] = True
    overlay(tmp_path / "o.png", np.zeros((1, 30, 30)), masks, None, (1, 1), "two", ("anterior", "posterior"))
    pixels = np.asarray(Image.open(tmp_path / "o.png").convert("RGB")).astype(int)
    rows = [np.argwhere(np.abs(pixels - colour).sum(axis=2) < 30)[:, 0] for colour in (ORANGE, SKY)]
    height = len(pixels) * 0.9  # above the legend
    assert all(len(r) > 100 for r in rows)
    assert rows[0][rows[0] < height].max() < rows[1][rows[1] < height].min()


@pytest.mark.parametrize(
    ("name", "content"), [("figures/pictures.json", '{"gallery": 3}'), (FILE, '{"low": 0, "high": 1, "before": 3}')]
)
def test_a_damaged_record_is_named(segmented: Path, name: str, content: str) -> None:
    (segmented / "figures").mkdir()
    (segmented / name).write_text(content)
    with pytest.raises(DataError, match=r"damaged") as error:
        cases_of(segmented, methods_of(segmented))
    assert str(error.value.where).endswith(name)

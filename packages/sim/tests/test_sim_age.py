from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from mdx_sim.age import Visit, simulate, visits
from mdx_sim.ageing import Ageing, ageing, find_landmarks, load_landmarks, thin_cortex, widen_ventricles
from mdx_sim.anatomy import COMPARTMENTS, Anatomy
from mdx_sim.cohort import cohort
from mdx_sim.options import AgeOptions, parse
from mdx_sim.scanners import Scanner
from mdx_sim.studies import AGE_STUDIES, study_scanner
from mdx_sim.subjects import jacobian, named_rng, subject_displacement

SMALL = "age?train=12,5,4&val=4,3,3&test=5&size_mm=6"


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "cohort.csv").open() as stream:
        return list(csv.DictReader(stream))


def numbers(rows: list[dict[str, str]], column: str) -> np.ndarray:
    return np.array([float(row[column]) for row in rows])


@pytest.fixture(scope="session")
def aged() -> Path:
    """Three sites of unequal size, all ages at all sites."""
    return cohort(parse(SMALL))


def test_sites_have_the_sizes_asked_for(aged: Path) -> None:
    found = Counter((row["site"], row["split"]) for row in table(aged))
    assert [found[site, "train"] for site in AGE_STUDIES] == [12, 5, 4]
    assert [found[site, "val"] for site in AGE_STUDIES] == [4, 3, 3]
    assert [found[site, "test"] for site in AGE_STUDIES] == [5, 5, 5]


def test_every_subject_has_one_scan_in_one_split(aged: Path) -> None:
    assert len({row["subject"] for row in table(aged)}) == len(table(aged)) == 46


def test_default_sizes_are_very_unequal_and_tests_are_balanced() -> None:
    options = AgeOptions()
    train = [options.count("train", site) for site in options.sites]
    test = [options.count("test", site) for site in options.sites]
    assert train[0] > 2 * train[1] > 2 * train[2]
    assert len(set(test)) == 1 and sum(test) >= 100


def test_a_site_by_itself_keeps_its_size() -> None:
    assert parse("age?sites=whitehall").count("train", "whitehall") == AgeOptions().train[2]  # type: ignore[attr-defined]


@pytest.mark.parametrize("overlap", [5, 10, 15])
def test_overlap_limits_ages_in_train_and_val_and_not_in_test(overlap: float) -> None:
    plan = visits(AgeOptions.model_validate({"overlap": overlap}))
    ages = {
        (site, learns): [v.age for v in plan if v.site == site and (v.split != "test") == learns]
        for site in ("biobank", "oasis")
        for learns in (True, False)
    }
    assert max(ages["biobank", True]) <= 60 + overlap / 2
    assert min(ages["oasis", True]) >= 60 - overlap / 2
    assert max(ages["biobank", True]) - min(ages["oasis", True]) == pytest.approx(overlap, abs=1.5)
    for site in ("biobank", "oasis"):
        assert min(ages[site, False]) < 42 and max(ages[site, False]) > 78
        assert len(ages[site, False]) >= 50


def test_age_and_site_correlate_with_overlap_only(aged: Path) -> None:
    def means(options: AgeOptions) -> list[float]:
        plan = [v for v in visits(options) if v.split == "train"]
        return [float(np.mean([v.age for v in plan if v.site == site])) for site in ("biobank", "oasis")]

    free, tied = means(AgeOptions()), means(AgeOptions.model_validate({"overlap": 10}))
    assert abs(free[0] - free[1]) < 1
    assert tied[1] - tied[0] == pytest.approx(15, abs=1)


def test_ventricles_grow_and_cortex_shrinks_with_age(aged: Path) -> None:
    rows = table(aged)
    age = numbers(rows, "age")
    assert np.corrcoef(age, numbers(rows, "ventricle_ml"))[0, 1] > 0.7
    assert np.corrcoef(age, numbers(rows, "cortex_ml"))[0, 1] < -0.7


def test_age_is_not_told_exactly_by_the_anatomy(aged: Path) -> None:
    rows = table(aged)
    truth = np.stack([np.ones(len(rows)), numbers(rows, "ventricle_ml"), numbers(rows, "cortex_ml")], axis=1)
    age = numbers(rows, "age")
    fit = truth @ np.linalg.lstsq(truth, age, rcond=None)[0]
    assert 1 < np.abs(fit - age).mean() < 5


def test_walls_move_about_twice_as_fast_after_60() -> None:
    def mean_growth(age: float) -> float:
        return float(np.mean([ageing(age, np.random.default_rng(seed)).growth_mm for seed in range(400)]))

    before, after = mean_growth(50) - mean_growth(40), mean_growth(80) - mean_growth(70)
    assert 1.5 < after / before < 2.5


def test_no_brain_folds_at_any_age(anatomy: Anatomy) -> None:
    landmarks = load_landmarks(anatomy.size_mm)
    oldest_mm = ageing(100, np.random.default_rng(0)).growth_mm
    for number in range(8):
        displacement = subject_displacement(named_rng(0, "subject", number), anatomy)
        widened = widen_ventricles(displacement, anatomy, landmarks, oldest_mm)
        assert jacobian(widened, anatomy.size_mm).min() > 0


def test_what_the_cortex_loses_becomes_fluid(anatomy: Anatomy) -> None:
    cortex = load_landmarks(anatomy.size_mm).cortex
    thinned = thin_cortex(anatomy.fractions, cortex, Ageing(growth_mm=0, thinning=0.2))
    np.testing.assert_allclose(thinned.sum(axis=0), anatomy.fractions.sum(axis=0), atol=1e-6)
    grey, before = (maps[COMPARTMENTS.index("gm")] for maps in (thinned, anatomy.fractions))
    np.testing.assert_allclose(grey[cortex > 0.999], 0.8 * before[cortex > 0.999], atol=1e-5)
    np.testing.assert_array_equal(grey[cortex == 0], before[cortex == 0])


def test_ventricles_of_the_template_are_those_of_a_young_adult() -> None:
    landmarks = find_landmarks(6)
    assert 10 < landmarks.ventricles.sum() * 6**3 / 1000 < 30
    assert landmarks.wall_mm[landmarks.ventricles > 0.9].max() < 0


def test_brains_are_extracted(aged: Path) -> None:
    for row in table(aged)[::7]:
        image = np.asarray(nibabel.load(aged / row["image"]).dataobj)
        assert 1.2 < (image > 0).sum() * 6**3 / 1e6 < 2.2


def test_sites_differ_in_more_than_scale(aged: Path) -> None:
    """Bright parts and outer parts of z-scored brains: their nearest site is their own, in 9 of 10 scans."""
    sites, looks = [], []
    for row in table(aged):
        image = np.asarray(nibabel.load(aged / row["image"]).dataobj, dtype=float)
        brain = image > 0
        z = (image - image[brain].mean()) / image[brain].std()
        depth = ndimage.distance_transform_edt(brain)
        shells = [z[(depth > low) & (depth <= low + 2)].mean() for low in (0, 2, 4)]
        looks.append([*np.percentile(z[brain], [2, 10, 30, 50, 70, 90, 98]), *shells])
        sites.append(row["site"])
    looks, sites = np.array(looks), np.array(sites)
    right = 0
    for i in range(len(looks)):
        others = np.arange(len(looks)) != i
        centres = {site: looks[others & (sites == site)].mean(axis=0) for site in set(sites)}
        right += min(centres, key=lambda site: float(np.linalg.norm(looks[i] - centres[site]))) == sites[i]
    assert right >= 0.9 * len(looks)


def test_without_shift_only_the_protocols_differ() -> None:
    full, none = (study_scanner("oasis", strength).shift for strength in (1, 0))
    assert full == AGE_STUDIES["oasis"].shift
    assert none == Scanner("plain", 3.0, study_scanner("oasis").signal).shift != full


def test_age_cohorts_are_determined_by_their_options(aged: Path, anatomy: Anatomy, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    plan = visits(parse(SMALL))  # type: ignore[arg-type]
    for visit in plan[::15]:
        truth = simulate(visit, anatomy, tmp_path)
        ours, theirs = (np.asarray(nibabel.load(folder / visit.image).dataobj) for folder in (tmp_path, aged))
        np.testing.assert_array_equal(ours, theirs)
        row = next(row for row in table(aged) if row["subject"] == visit.subject)
        assert row["ventricle_ml"] == str(truth["ventricle_ml"])


def test_a_subject_is_older_and_otherwise_the_same(anatomy: Anatomy, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    truths = [simulate(Visit("biobank", "one", age, "train", 1.0, 0), anatomy, tmp_path) for age in (45.0, 75.0)]
    assert truths[1]["ventricle_ml"] > truths[0]["ventricle_ml"] + 3
    assert truths[1]["cortex_ml"] < truths[0]["cortex_ml"] - 30


def test_ages_open_as_a_regression(aged: Path) -> None:
    from mdx.data.config import DataConfig
    from mdx_sim.open import open_sim

    data = open_sim(SMALL, DataConfig())
    assert (data.task.kind, data.task.label) == ("regression", "age")
    assert data.task.sites == ("biobank", "oasis", "whitehall")
    case = data.where(split="train", site="oasis").cases[0]
    assert data.load(case).label("age") == pytest.approx(case.columns["age"])
    other = open_sim(SMALL, DataConfig(source=("biobank",)))
    assert {case.site for case in other.where(role="target").cases} == {"oasis", "whitehall"}

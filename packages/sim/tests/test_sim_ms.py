from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mdx_sim.ageing import load_landmarks
from mdx_sim.anatomy import COMPARTMENTS, Anatomy
from mdx_sim.cohort import cohort
from mdx_sim.imaging import acquire
from mdx_sim.ms import LESIONS, lesion_map, replace_white_matter, simulate, visits
from mdx_sim.options import HEALTHY, ILL, MSOptions, parse
from mdx_sim.physics import TISSUES
from mdx_sim.scanners import PRESETS, SEQUENCES, scanner_of
from mdx_sim.studies import AGE_STUDIES, MS_STUDIES

SMALL = "ms?train=3,4&val=1,2&test=2,2&source_train=2&source_val=1&source_test=1&size_mm=6"


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "cohort.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="session")
def studies() -> Path:
    """A target study and six sources."""
    return cohort(parse(SMALL))


def test_target_study_has_both_classes_in_the_numbers_asked_for(studies: Path) -> None:
    found = Counter((row["split"], row["class"]) for row in table(studies) if row["role"] == "target")
    assert found == {
        ("train", HEALTHY): 3,
        ("train", ILL): 4,
        ("val", HEALTHY): 1,
        ("val", ILL): 2,
        ("test", HEALTHY): 2,
        ("test", ILL): 2,
    }


def test_source_studies_have_one_class_each(studies: Path) -> None:
    classes = {row["site"]: {r["class"] for r in table(studies) if r["site"] == row["site"]} for row in table(studies)}
    assert classes.pop("study1") == {HEALTHY, ILL}
    assert {site for site, found in classes.items() if found == {ILL}} == {"study2", "study3", "study4"}
    assert {site for site, found in classes.items() if found == {HEALTHY}} == {"adni", "hcp_ya", "hcp_aging"}


def test_only_the_first_study_is_target(studies: Path) -> None:
    assert {row["site"] for row in table(studies) if row["role"] == "target"} == {"study1"}
    assert {row["role"] for row in table(studies)} == {"source", "target"}


def test_sources_have_test_cases_of_their_own(studies: Path) -> None:
    assert Counter(
        r["site"] for r in table(studies) if r["split"] == "test" and r["role"] == "source"
    ) == dict.fromkeys(("study2", "study3", "study4", "adni", "hcp_ya", "hcp_aging"), 1)


def test_default_target_tests_are_a_hundred_and_balanced() -> None:
    healthy, ill = MSOptions().test
    assert healthy == ill and healthy + ill >= 100


def test_published_imbalance_can_be_asked_for() -> None:
    plan = visits(parse("ms?train=16,55"))  # type: ignore[arg-type]
    found = Counter(v.diagnosis for v in plan if v.site == "study1" and v.split == "train")
    assert found == {HEALTHY: 16, ILL: 55}


def test_a_target_study_alone_is_a_cohort_for_an_oracle() -> None:
    plan = visits(parse("ms?sites=study1&train=120,120"))  # type: ignore[arg-type]
    assert {v.site for v in plan} == {"study1"}
    assert sum(v.split == "train" for v in plan) == 240


def test_only_the_ill_have_lesions(studies: Path) -> None:
    for row in table(studies):
        count, volume = int(row["lesion_count"]), float(row["lesion_ml"])
        if row["class"] == HEALTHY:
            assert (count, volume, row["lesions"]) == (0, 0, "")
        else:
            assert LESIONS[0] <= count <= LESIONS[1]
            assert 2 < volume < 60
            assert (studies / row["lesions"]).is_file()


@pytest.mark.parametrize(("sequence", "sign"), [("source", -1), ("t2", 1), ("flair", 1)])
def test_lesions_darken_t1_and_brighten_t2_and_flair(anatomy: Anatomy, sequence: str, sign: int) -> None:
    scanner = scanner_of(sequence)
    lesions = lesion_map(8, anatomy, load_landmarks(anatomy.size_mm), np.random.default_rng(0))
    fractions = replace_white_matter(np.concatenate([anatomy.fractions, lesions[None]]))
    ill, healthy = (
        acquire(parts, anatomy.affine, scanner, dict(TISSUES[3.0]), np.random.default_rng(1))
        for parts in (fractions, anatomy.fractions)
    )
    inside = fractions[-1] > 0.5
    assert inside.sum() > 20
    assert sign * (ill / healthy - 1)[inside].mean() > 0.1


@pytest.mark.parametrize("name", [*PRESETS, *AGE_STUDIES, *MS_STUDIES])
def test_lesions_lie_between_grey_and_white_matter_on_t1(name: str) -> None:
    scanner = {**PRESETS, **AGE_STUDIES, **MS_STUDIES}[name]
    grey, lesion, white = (scanner.signal(TISSUES[scanner.field_tesla][t]) for t in ("gm", "lesion", "wm"))
    assert grey < lesion < white


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("field", [1.5, 3.0])
def test_lesions_are_brighter_than_brain_on_t2_and_flair(name: str, field: float) -> None:
    grey, lesion, white = (SEQUENCES[name].signal(TISSUES[field][tissue]) for tissue in ("gm", "lesion", "wm"))
    assert lesion > grey > white


@pytest.mark.parametrize("name", [*AGE_STUDIES, *MS_STUDIES])
def test_protocols_of_the_studies_have_the_grey_white_ratio_of_real_images(name: str) -> None:
    scanner = {**AGE_STUDIES, **MS_STUDIES}[name]
    grey, white, fluid = (scanner.signal(TISSUES[scanner.field_tesla][tissue]) for tissue in ("gm", "wm", "csf"))
    assert 0.6 < grey / white < 0.85
    assert fluid < grey


def test_lesions_lie_near_the_ventricles_in_white_matter(anatomy: Anatomy) -> None:
    landmarks = load_landmarks(anatomy.size_mm)
    maps = [lesion_map(6, anatomy, landmarks, np.random.default_rng(seed)) for seed in range(12)]
    fractions = [replace_white_matter(np.concatenate([anatomy.fractions, map_[None]])) for map_ in maps]
    where = np.sum([parts[-1] for parts in fractions], axis=0)
    brain = anatomy.fractions[:3].sum(axis=0) > 0.5
    assert np.average(landmarks.wall_mm, weights=where) < 0.6 * landmarks.wall_mm[brain].mean()
    white = anatomy.fractions[COMPARTMENTS.index("wm")]
    assert all((parts[-1] <= white + 1e-6).all() for parts in fractions)


def test_a_lesion_takes_the_place_of_white_matter_and_of_nothing_else(anatomy: Anatomy) -> None:
    lesions = np.full((1, *anatomy.fractions.shape[1:]), 0.25, dtype=np.float32)
    replaced = replace_white_matter(np.concatenate([anatomy.fractions, lesions]))
    np.testing.assert_allclose(replaced[0], 0.75 * anatomy.fractions[0], atol=1e-6)
    np.testing.assert_array_equal(replaced[1:5], anatomy.fractions[1:])
    np.testing.assert_allclose(replaced.sum(axis=0), anatomy.fractions.sum(axis=0), atol=1e-6)


def test_without_lesions_the_map_is_empty(anatomy: Anatomy) -> None:
    assert not lesion_map(0, anatomy, load_landmarks(anatomy.size_mm), np.random.default_rng(0)).any()


def test_studies_are_determined_by_their_options(studies: Path, anatomy: Anatomy, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for visit in visits(parse(SMALL))[3::9]:  # type: ignore[arg-type]
        simulate(visit, anatomy, tmp_path)
        for path in filter(None, (visit.image, visit.lesions)):
            ours, theirs = (np.asarray(nibabel.load(folder / path).dataobj) for folder in (tmp_path, studies))
            np.testing.assert_array_equal(ours, theirs)


def test_studies_open_as_a_classification_with_roles(studies: Path) -> None:
    from mdx.data.config import DataConfig
    from mdx_sim.open import open_sim

    data = open_sim(SMALL, DataConfig())
    assert (data.task.kind, data.task.label, data.task.classes) == ("classification", "class", (HEALTHY, ILL))
    assert {case.site for case in data.where(role="target").cases} == {"study1"}
    ill = next(case for case in data.cases if case.columns["class"] == ILL)
    assert data.load(ill).label("class") == 1


def test_lesions_can_be_segmented_instead(studies: Path) -> None:
    from mdx.data.config import DataConfig
    from mdx_sim.open import open_sim

    data = open_sim(SMALL, DataConfig(label="lesions"))
    assert data.task.kind == "segmentation"
    ill = next(case for case in data.cases if case.mask is not None)
    assert data.load(ill).label("mask").sum() > 0

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mdx.data.config import DataConfig
from mdx.interfaces.dataset import Dataset
from mdx_sim.cohort import cohort
from mdx_sim.open import open_sim
from mdx_sim.options import parse

SMALL = "travelling?sites=A,D,E,severe&subjects=3&size_mm=6"


@pytest.fixture(scope="session")
def travelled() -> Path:
    """Three subjects at four sites."""
    return cohort(parse(SMALL))


@pytest.fixture(scope="module")
def data(travelled: Path) -> Dataset:
    return open_sim(SMALL, DataConfig())


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "cohort.csv").open() as stream:
        return list(csv.DictReader(stream))


def in_ras(path: Path) -> np.ndarray:
    return nibabel.as_closest_canonical(nibabel.load(path)).get_fdata()


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_every_subject_was_at_every_site(data: Dataset) -> None:
    assert len(data) == 12
    for case in data.cases:
        twin = data.twin(case, "severe")
        assert twin is not None and twin.subject == case.subject


def test_both_contrasts_are_read_unless_others_are_named(data: Dataset) -> None:
    assert data.task.channels == ("t1", "t2")
    assert data.load(data.cases[0]).image.shape[0] == 2
    assert open_sim(SMALL, DataConfig(image=("t2",))).task.channels == ("t2",)


def test_travelling_subjects_open_as_a_harmonisation(data: Dataset) -> None:
    assert data.task.kind == "harmonisation"


def test_tissue_can_be_segmented_instead(travelled: Path) -> None:
    data = open_sim(SMALL, DataConfig(label="tissue"))
    assert data.task.kind == "segmentation" and len(data.task.classes) == 3
    assert data.load(data.cases[0]).mask.shape[0] == 3


def test_a_subject_has_one_split_at_all_sites(data: Dataset) -> None:
    for subject in {case.subject for case in data.cases}:
        assert len({case.split for case in data.cases if case.subject == subject}) == 1


def test_twins_share_their_anatomy_and_strangers_do_not(travelled: Path) -> None:
    tissue = {(row["subject"], row["site"]): in_ras(travelled / row["tissue"]) == 2 for row in table(travelled)}
    twins = [dice(tissue[s, "A"], tissue[s, "D"]) for s in sorted({s for s, _ in tissue})]
    first, second, third = sorted({s for s, _ in tissue})
    strangers = [dice(tissue[a, "A"], tissue[b, "A"]) for a, b in ((first, second), (second, third), (third, first))]
    assert min(twins) > 0.93
    assert max(strangers) < min(twins) - 0.1


def test_both_contrasts_show_the_same_head(travelled: Path) -> None:
    for row in table(travelled):
        t1, t2, tissue = (in_ras(travelled / row[c]) for c in ("t1", "t2", "tissue"))
        assert t1.shape == t2.shape == tissue.shape
        grey, white, fluid = (np.median(t2[tissue == value]) for value in (1, 2, 3))
        assert fluid > grey > white
        if row["site"] != "severe":
            grey, white, fluid = (np.median(t1[tissue == value]) for value in (1, 2, 3))
            assert white > grey > fluid


def test_sites_look_different(travelled: Path) -> None:
    rows = [row for row in table(travelled) if row["subject"] == table(travelled)[0]["subject"]]
    ratios = []
    for row in rows:
        t2, tissue = (in_ras(travelled / row[c]) for c in ("t2", "tissue"))
        ratios.append(np.median(t2[tissue == 1]) / np.median(t2[tissue == 2]))
    assert max(ratios) - min(ratios) > 0.05


def test_cases_are_named_after_subject_and_site(data: Dataset) -> None:
    assert all(case.id == f"{case.subject}_{case.site}" for case in data.cases)


def test_unregistered_travellers_lie_differently_at_each_site() -> None:
    folder = cohort(parse("travelling?sites=A,C&subjects=1&size_mm=6&registered=false"))
    first, second = (nibabel.load(folder / row["t1"]) for row in table(folder))
    assert not np.allclose(
        nibabel.as_closest_canonical(first).affine, nibabel.as_closest_canonical(second).affine, atol=0.1
    )
    assert nibabel.load(folder / table(folder)[1]["t2"]).affine == pytest.approx(second.affine)

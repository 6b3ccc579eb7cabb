from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdx.errors import DataError
from mdx.evaluation.embeddings import save_embeddings, tsne
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Dataset, Task
from mdx.interfaces.geometry import Geometry

NOWHERE = Geometry(np.eye(4), (1, 1))
TASK = Task("classification", ("ill", "well"), ("image",), 2, ("a", "b"), "class")


def cohort(n: int, test: int) -> Dataset:
    def loader(case: Case, visible: bool):
        raise AssertionError("no image is needed")

    cases = [
        Case(f"c{i}", f"s{i}", "ab"[i % 2], {}, split="test" if i < test else "train", columns={"class": "ill"})
        for i in range(n)
    ]
    return Dataset(TASK, cases, loader)


def predictions(vectors: np.ndarray) -> list[Prediction]:
    return [Prediction(NOWHERE, embedding=v) for v in vectors]


def test_only_test_cases_are_put_in_the_plane(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    save_embeddings(tmp_path / "e.npz", predictions(vectors), cohort(30, test=12))
    with np.load(tmp_path / "e.npz", allow_pickle=False) as kept:
        assert np.isfinite(kept["plane"]).all(axis=1).sum() == 12
        assert np.array_equal(kept["embedding"], vectors)
        assert kept["label"].tolist() == ["ill"] * 30


def test_two_distant_groups_stay_apart_in_the_plane() -> None:
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(0, 1, (20, 10)), rng.normal(9, 1, (20, 10))])
    plane = tsne(features)
    between = np.linalg.norm(plane[:20].mean(axis=0) - plane[20:].mean(axis=0))
    assert between > 2 * plane[:20].std(axis=0).max()


def test_equal_features_and_few_cases_are_drawn_at_one_point() -> None:
    assert not tsne(np.ones((20, 4))).any()
    assert not tsne(np.random.default_rng(2).normal(size=(3, 4))).any()


def test_vectors_of_different_length_are_refused(tmp_path: Path) -> None:
    mixed = [*predictions(np.ones((4, 3))), *predictions(np.ones((4, 2)))]
    with pytest.raises(DataError, match="embeddings of shapes"):
        save_embeddings(tmp_path / "e.npz", mixed, cohort(8, test=4))

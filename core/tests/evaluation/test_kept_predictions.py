from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mdx.config import RunSettings
from mdx.data.config import DataConfig
from mdx.evaluation.kept import KeptPrediction
from mdx.evaluation.segmentation import hard_masks
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.report.truths import MaskPage, page_of
from mdx.workflow.scores import score

SHAPE = (12, 14, 9)
TASK = Task("segmentation", ("a", "b"), ("image",), 3, ("A", "B"), label_values=((1,), (2,)))
GEOMETRY = Geometry(np.eye(4), SHAPE)


@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 9, 11)])
def test_a_kept_prediction_has_the_masks_of_the_whole_one(shape: tuple[int, ...]) -> None:
    probabilities = np.random.default_rng(0).random(shape, dtype=np.float32)
    kept = KeptPrediction(Prediction(GEOMETRY, segmentation=probabilities, details={"donors": [1]}))
    restored = kept.restored()
    assert restored.segmentation is not None
    assert (hard_masks(restored.segmentation) == hard_masks(probabilities)).all()
    assert restored.details == {"donors": [1]} and kept.whole


def test_a_kept_prediction_says_that_an_image_was_left_out() -> None:
    kept = KeptPrediction(Prediction(GEOMETRY, image=np.zeros((1, 3, 3))))
    assert not kept.whole and kept.restored().image is None


def loaded_sample(case: Case, visible: bool) -> Sample:
    rng = np.random.default_rng(int(case.id))
    mask = torch.from_numpy((rng.random((2, *SHAPE)) > 0.7).astype(np.float32))
    image = torch.from_numpy(rng.random((1, *SHAPE), dtype=np.float32))
    return Sample(case, image, GEOMETRY, {"mask": mask})


def predicted(sample: Sample) -> Prediction:
    noise = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(int(sample.case.id)))
    masks = (0.7 * sample.mask + 0.3 * noise).numpy()
    return Prediction(GEOMETRY, segmentation=masks, shown={"restyled": 0.5 * sample.image.numpy()})


def test_pictures_of_a_run_are_drawn_without_predicting_a_case_twice(tmp_path: Path) -> None:
    asked: list[str] = []

    def predict(sample: Sample) -> Prediction:
        asked.append(sample.case.id)
        return predicted(sample)

    cases = [Case(str(i), str(i), "AB"[i % 2], {}, Path("mask"), "test", "target") for i in range(5)]
    data = Dataset(TASK, cases, loaded_sample)
    settings = SimpleNamespace(run=RunSettings(predictions=False), data=DataConfig())
    loaded: Any = SimpleNamespace(settings=settings, task=TASK, predict=predict)
    drawn: dict[str, tuple[Sample, Any]] = {}
    page, draw = page_of({"kind": "segmentation", "classes": TASK.classes}), MaskPage.draw

    def remembered(self: MaskPage, path: Path, sample: Sample, prediction: Prediction, row: Any) -> None:
        drawn[path.name] = sample, row
        draw(self, path, sample, prediction, row)

    hooks: Any = SimpleNamespace(call=lambda *_, **__: [], tell=lambda *_, **__: None, report=print)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MaskPage, "draw", remembered)
        score(loaded, data, tmp_path, hooks)
    assert asked == ["0", "1", "2", "3", "4"]
    index = json.loads((tmp_path / "figures" / "pictures.json").read_text())
    assert index["overlays"] == {path.removeprefix("overlay_").removesuffix(".png"): row["case"]
                                 for path, (_, row) in drawn.items()}  # fmt: skip
    assert index["changes"] == {name: index["overlays"][name] for name in ("median", "worst")}
    assert all((tmp_path / "figures" / f"change_{name}.png").exists() for name in index["changes"])
    assert set(json.loads((tmp_path / "intensities.json").read_text())["after"]) == {"A", "B"}
    assert len(drawn) == 3
    for name, (sample, row) in drawn.items():
        (tmp_path / "again").mkdir(exist_ok=True)
        page.draw(tmp_path / "again" / name, sample, predicted(sample), row)
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "figures" / name).read_bytes()

"""What the paper's protocol asks of the data: a study that validates only, sites of one class, modes that agree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_classes import Fit, make_classes
from PIL import Image
from torch import nn

from mdx.data.config import DataConfig
from mdx.data.open import open_dataset
from mdx.evaluation.cases import predict, score_cases
from mdx.evaluation.classification import ClassificationEvaluator
from mdx_l2i.baselines import Vanilla
from mdx_l2i.cohort import Cohort
from mdx_l2i.config import L2IConfig
from mdx_l2i.networks import make_encoder

SHAPES = {"small_cnn2d": (3, 40, 48), "resnet18_2d": (3, 48, 64), "small_cnn3d": (1, 24, 24, 24)}


def test_a_study_of_the_target_that_only_validates_is_neither_trained_on_nor_tested(tmp_path: Path) -> None:
    """Study 5 of the paper: healthy cases of the target's scanner, for validation alone."""
    rng = np.random.default_rng(0)
    lines = ["image,class,subject,site,split"]
    of_site = {"one": ("train", "val", "test"), "two": ("train", "val", "test"), "five": ("val", "val", "val")}
    for site, splits in of_site.items():
        for i, split in enumerate(splits * 2):
            name = f"{site}{i}.png"
            Image.fromarray(rng.integers(0, 255, (20, 18, 3), np.uint8)).save(tmp_path / name)
            lines.append(f"{name},{'well' if site == 'five' or i % 2 else 'ill'},{site}{i},{site},{split}")
    (tmp_path / "cohort.csv").write_text("\n".join(lines) + "\n")
    data = open_dataset(
        f"csv:{tmp_path / 'cohort.csv'}", DataConfig(label="class", source=("two",), target=("one", "five"))
    )
    cohort = Cohort(data, L2IConfig())  # type: ignore[call-arg]
    assert Counter(case.site for case in cohort.train.cases) == {"one": 2, "two": 2}
    assert Counter(case.site for case in cohort.val.cases) == {"one": 2, "five": 6}
    assert Counter(case.site for case in data.where(split="test").cases) == {"one": 2, "two": 2}


@pytest.mark.parametrize("backbone", SHAPES)
def test_training_and_evaluation_differ_in_dropout_alone(backbone: str) -> None:
    channels, *shape = SHAPES[backbone]
    data = make_classes(dims=len(shape))
    images = torch.randn(3, channels, *shape, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    plain, dropped = (
        make_encoder(channels, data.task.dims, L2IConfig.model_validate({"backbone": backbone, "dropout": dropout}))
        for dropout in (0.0, 0.5)
    )
    with torch.no_grad():
        assert torch.equal(plain.train()(images), plain.eval()(images))
        assert not torch.allclose(dropped.train()(images), dropped.eval()(images))
        for module in dropped.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        assert torch.equal(dropped.train()(images), dropped.eval()(images))


def test_a_site_of_one_class_has_an_accuracy_and_no_auroc(fit: Fit) -> None:
    """``green`` and ``red`` hold a class each: they have an AUROC together and none by themselves."""
    data = make_classes()
    run = fit(Vanilla, data, epochs=1, steps=1)
    evaluator = ClassificationEvaluator(data.task, 100)
    rows, _ = score_cases(data.where(split="test"), [evaluator], lambda s: predict(run.adapter, run.model, s))
    made = evaluator.summarise(pd.DataFrame(rows)).set_index(["metric", "group"])["mean"].dropna()
    assert {("accuracy", f"site={site}") for site in ("blue", "green", "red")} <= set(made.index)
    assert {("auroc", "role=source"), ("auroc", "role=target")} <= set(made.index)
    assert not {("auroc", "site=green"), ("auroc", "site=red")} & set(made.index)

"""What mdx.toml promises: every published number has a row that is run, every variant an adapter and settings."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

import mdx_l2i
from mdx.data.config import DataConfig
from mdx.errors import ConfigError
from mdx.plugins.activation import adapter_types
from mdx.plugins.discovery import find_plugin
from mdx.plugins.manifest import read_manifest
from mdx.workflow.planning import make_plan

FOLDER = Path(mdx_l2i.__file__).parent
MANIFEST = read_manifest(FOLDER / "mdx.toml")
COUNTS = FOLDER / "tables" / "datasets.csv"


def published() -> list[dict[str, str]]:
    with (FOLDER / "tables" / "table1.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_all_69_published_numbers_have_a_row_and_a_metric_that_are_run() -> None:
    table, numbers = MANIFEST.tables["table1"], published()
    assert len(numbers) == 69
    assert {n["row"] for n in numbers} == set(table.keys["row"])
    assert {n["training_set"] for n in numbers} == set(table.keys["training_set"])
    assert {n["metric"] for n in numbers} == set(table.metrics)
    assert all(key.published_only is None for keys in table.keys.values() for key in keys.values())


def test_every_variant_can_be_planned_and_can_alone_reads_no_target_label() -> None:
    for name in MANIFEST.variants:
        plan = make_plan("l2i", variant=name, preset="demo", device="cpu")
        assert plan.target_labels == ("never" if name == "can" else "train")
        adapter_types(find_plugin("l2i"), plan.variant)


def test_the_variants_are_the_rows_of_the_paper() -> None:
    def settings(name: str) -> tuple[object, ...]:
        method = make_plan("l2i", variant=name, preset="paper", data=["csv:x.csv"], device="cpu").settings.method
        names = ("centers", "margin", "radius") if name.startswith("l2i") else ("sampling", "weighting")
        return tuple(getattr(method, name) for name in names)

    assert settings("l2i") == ("learned", 1.9, 0.1)
    assert settings("l2i_fixed") == ("fixed", 1.9, 0.1)
    assert settings("l2i_no_margin") == ("learned", 2.0, 0.0)
    assert settings("vanilla") == ("uniform", "none")
    assert settings("class_aware") == ("cells", "none")
    assert settings("weighted") == ("uniform", "cells")


def test_a_row_takes_no_setting_of_another() -> None:
    for name, setting in {"vanilla": "alpha=2", "l2i": "reversal_epochs=3", "can": "micro_batch=2"}.items():
        with pytest.raises(ConfigError, match="dann"):
            make_plan("l2i", variant=name, preset="demo", device="cpu", baselines=[], assignments=[setting])


def test_the_papers_preset_has_its_input_and_the_defaults_its_settings() -> None:
    plan = make_plan("l2i", preset="paper", data=["csv:x.csv"], device="cpu").settings
    assert isinstance(plan.data, DataConfig)
    assert (plan.data.size, plan.data.lower, plan.data.upper) == ((124, 172, 120), 2, 98)
    method = plan.method
    assert (method.batch_size, method.latent, method.lambda_latent, method.lambda_cen) == (10, 128, 1, 100)
    assert (method.patience, method.monitor, method.weight_decay) == (20, "total", 5e-5)
    of_others = {name: make_plan("l2i", variant=name, preset="paper", data=["csv:x.csv"]).settings.method
                 for name in ("can", "contrastive")}  # fmt: skip
    assert (of_others["can"].cdd_weight, of_others["contrastive"].temperature) == (0.3, 0.07)
    assert (method.backbone, method.dropout, method.epochs, method.select) == (
        "inception_resnet_v1_3d", 0, 1000, "best",
    )  # fmt: skip
    assert (method.lr, method.lr_classifier, method.lr_centers, method.augmentation) == (5e-5, None, 1e-4, True)


def test_the_published_training_set_has_71_target_cases_of_843() -> None:
    with COUNTS.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    n = {row["row"]: int(row["train_healthy"] or 0) + int(row["train_ms"] or 0) for row in rows}
    assert n["study1"] == 71
    assert sum(n.values()) == 843


def test_the_crop_of_the_paper_keeps_the_brain() -> None:
    """The most of the ICBM template's brain that any order of the three numbers keeps; the paper names no axes."""
    from mdx.data.files.geometry import bring_to_size, to_ras
    from mdx.interfaces.geometry import Geometry
    from mdx_prepare.template import packaged_maps

    (t1,), affine = packaged_maps("t1")
    brain, affine, _ = to_ras((t1 > 0).astype(np.float32)[None], affine)
    assert np.allclose(np.abs(np.diag(affine)[:3]), 1)

    def kept(size: tuple[int, ...]) -> float:
        inside, _ = bring_to_size(brain, Geometry(affine, brain.shape[1:]), size, "crop")
        return float(inside.sum() / brain.sum())

    size = make_plan("l2i", preset="paper", data=["csv:t.csv"]).settings.data.size
    assert size is not None
    orders = {order: kept(order) for order in itertools.permutations((124, 120, 172))}
    assert orders[tuple(size)] == max(orders.values()) == pytest.approx(0.894, abs=0.001)
    assert orders[124, 120, 172] == pytest.approx(0.813, abs=0.001)

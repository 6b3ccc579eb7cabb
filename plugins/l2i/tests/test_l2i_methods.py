"""Every row of the table: what it trains on, what it refuses, stopping and going on, and what comes out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_classes import CONFOUNDED, Fit, make_classes
from pydantic import ValidationError
from torch import Tensor

from mdx.errors import ConfigError, DataError, HiddenLabelError, StoppedError
from mdx.evaluation.cases import predict, score_cases
from mdx.evaluation.classification import ClassificationEvaluator
from mdx.interfaces.dataset import Case, Dataset, Sample
from mdx.interfaces.model import Model
from mdx.runs.checkpoint import load_tree
from mdx.training.run import Run
from mdx_adversarial.domains import Domains
from mdx_l2i.adapter import L2I
from mdx_l2i.baselines import DANN, Contrastive, Unlearning, Vanilla
from mdx_l2i.can import CAN, cluster
from mdx_l2i.cohort import Cohort, cell_weights
from mdx_l2i.config import L2IConfig

ROWS: dict[str, tuple[Any, dict[str, Any]]] = {
    "vanilla": (Vanilla, {}), "class_aware": (Vanilla, {"sampling": "cells"}),
    "weighted": (Vanilla, {"weighting": "cells"}), "target_only": (Vanilla, {"train_on": "target"}), "dann": (DANN, {}),
    "unlearning": (Unlearning, {"epochs": 3}), "contrastive": (Contrastive, {}), "l2i": (L2I, {}),
    "l2i_fixed": (L2I, {"centers": "fixed"}), "l2i_no_margin": (L2I, {"margin": 2.0, "radius": 0.0}),
}  # fmt: skip
BOTH_AT_A_SOURCE = {**CONFOUNDED, "red": {"across": (6, 2, 2), "down": (6, 2, 2)}}
"""``can`` learns the classes from the sources, so both must occur there."""


def weights(run: Run) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in run.model.state_dict().items()}


def metrics(run: Run, stage: str = "train") -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["stage"] == stage]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("row", ROWS)
def test_every_row_predicts_probabilities_and_a_latent_vector_of_unit_length(row: str, dims: int, fit: Fit) -> None:
    kind, settings = ROWS[row]
    data = make_classes(dims=dims)
    run = fit(kind, data, **settings)
    made = predict(run.adapter, run.model, data.load(data.where(split="test").cases[0]))
    assert made.classes is not None
    assert made.embedding is not None
    assert made.classes.shape == (2,)
    assert made.classes.sum() == pytest.approx(1, abs=1e-6)
    assert np.linalg.norm(made.embedding) == pytest.approx(1, abs=1e-6)
    assert made.embedding.dtype == np.float32
    assert ("distance_to_center" in made.details) == row.startswith("l2i")


def test_distances_to_the_centres_are_those_of_the_latent_vector(fit: Fit) -> None:
    data = make_classes()
    run = fit(L2I, data)
    made = predict(run.adapter, run.model, data.load(data.cases[0]))
    assert made.embedding is not None
    centers = run.model.centers().detach().numpy()
    named = made.details["distance_to_center"]
    assert list(named) == ["across", "down"]
    assert list(named.values()) == pytest.approx(np.linalg.norm(centers - made.embedding, axis=1).tolist(), abs=1e-6)
    json.dumps(made.details)


@pytest.mark.parametrize("row", ["l2i", "l2i_no_margin", "vanilla", "class_aware", "weighted", "dann", "unlearning"])
def test_three_classes_are_learnt(row: str, fit: Fit) -> None:
    counts = {"blue": dict.fromkeys(("across", "down", "none"), (6, 3, 2)), "green": {"across": (6, 1, 1)},
              "red": {"none": (6, 1, 1)}}  # fmt: skip
    data = make_classes(counts, classes=("across", "down", "none"))
    kind, settings = ROWS[row]
    run = fit(kind, data, **settings)
    made = predict(run.adapter, run.model, data.load(data.cases[0]))
    assert made.classes is not None
    assert made.classes.shape == (3,)


@pytest.mark.parametrize("kind", [DANN, Unlearning])
def test_any_column_may_be_the_nuisance(kind: Any, fit: Fit) -> None:
    run = fit(kind, make_classes(), nuisance="camera", epochs=2)
    assert run.model.head[-1].out_features == 2


@pytest.mark.parametrize("row", ["l2i", "l2i_fixed", "l2i_no_margin"])
def test_a_class_that_the_target_lacks_in_training_is_named(row: str, fit: Fit) -> None:
    kind, settings = ROWS[row]
    counts = {**CONFOUNDED, "blue": {"across": (8, 4, 4), "down": (0, 4, 4)}}
    with pytest.raises(DataError, match="no case of class down among the target training cases"):
        fit(kind, make_classes(counts), **settings)


def test_a_class_that_the_target_has_only_without_labels_is_named(fit: Fit) -> None:
    data = make_classes().without_labels(split="train", role="target")
    with pytest.raises(DataError, match="no case of class across, down among the target training cases"):
        fit(L2I, data)


def test_without_a_target_l2i_is_refused_and_vanilla_is_not(fit: Fit) -> None:
    data = make_classes()
    pooled = Dataset(data.task, [dataclasses.replace(c, role="source") for c in data.cases], data.loader)
    with pytest.raises(DataError, match="none at all"):
        fit(L2I, pooled)
    assert "val/accuracy" in metrics(fit(Vanilla, pooled))[-1]


@pytest.mark.parametrize(("kind", "name"), [(DANN, "dann"), (Unlearning, "unlearning")])
def test_one_site_leaves_nothing_to_unlearn(kind: Any, name: str, fit: Fit) -> None:
    with pytest.raises(DataError, match=f"{name} needs at least two values of 'site'"):
        fit(kind, make_classes().where(site="blue"))


def test_one_site_is_enough_for_l2i_which_says_so(fit: Fit) -> None:
    run = fit(L2I, make_classes().where(site="blue"))
    assert any("no source" in note for note in run.notes)


def test_the_target_only_row_trains_on_no_source(fit: Fit) -> None:
    config = L2IConfig.model_validate({"train_on": "target"})
    cohort = Cohort(make_classes(), config)
    assert {case.site for case in cohort.train.cases} == {"blue"}
    assert not torch.equal(
        weights(fit(Vanilla, make_classes(), train_on="target"))["classifier.weight"],
        weights(fit(Vanilla, make_classes()))["classifier.weight"],
    )


def test_only_the_target_validates() -> None:
    cohort = Cohort(make_classes(), L2IConfig.model_validate({}))
    assert {(case.site, case.split) for case in cohort.val.cases} == {("blue", "val")}


def test_cells_weigh_the_same_and_cases_one_on_average() -> None:
    train = make_classes().where(split="train")
    cohort = Cohort(train, L2IConfig.model_validate({}))
    found = cell_weights(train.cases, "class", Domains(cohort.train))
    assert np.mean(list(found.values())) == pytest.approx(1)
    sums: dict[tuple[str, str], float] = {}
    for case in train.cases:
        cell = (case.site, case.columns["class"])
        sums[cell] = sums.get(cell, 0) + found[case.id]
    assert list(sums.values()) == pytest.approx([40 / 4] * 4)  # 40 cases in 4 cells


class Blind:
    """Loads images; a label of the target is an error."""

    def __init__(self, data: Dataset) -> None:
        self.inner = data.loader

    def __call__(self, case: Case, visible: bool) -> Sample:
        assert not (visible and case.role == "target"), f"the label of {case.id} was asked for"
        return self.inner(case, visible)


def test_can_reads_no_label_of_the_target(fit: Fit) -> None:
    """Hidden labels that raise when they are loaded, and labels that the table lacks, give the same weights."""
    data = make_classes(BOTH_AT_A_SOURCE)
    settings: dict[str, Any] = {"target_labels": "never", "cluster_radius": 1.0, "cluster_least": 1}
    removed = [
        dataclasses.replace(c, columns={**c.columns, "class": None}) if c.role == "target" else c for c in data.cases
    ]
    seen = fit(CAN, Dataset(data.task, data.cases, Blind(data)), **settings)
    inner = data.loader
    by_id = {c.id: c for c in data.cases}
    unseen = fit(
        CAN, Dataset(data.task, removed, lambda c, v: inner(by_id[c.id], v and c.role == "source")), **settings
    )
    assert all(torch.equal(v, weights(unseen)[k]) for k, v in weights(seen).items())


def test_can_leaves_labels_alone_even_where_they_may_be_read(fit: Fit) -> None:
    data = make_classes(BOTH_AT_A_SOURCE)
    fit(CAN, Dataset(data.task, data.cases, Blind(data)), target_labels="train")
    with pytest.raises(AssertionError, match="was asked for"):
        fit(Vanilla, Dataset(data.task, data.cases, Blind(data)))
    with pytest.raises((HiddenLabelError, DataError)):
        fit(L2I, data, target_labels="never")


def test_can_moves_the_encoder_with_the_discrepancy(fit: Fit) -> None:
    data = make_classes(BOTH_AT_A_SOURCE)
    settings: dict[str, Any] = {"cluster_radius": 1.0, "cluster_least": 1, "target_labels": "never"}
    with_, without = (fit(CAN, data, cdd_weight=w, **settings) for w in (0.3, 0.0))
    assert metrics(with_)[-1]["train/classes_kept"] >= 1
    assert not torch.equal(weights(with_)["encoder.backbone.last.weight"],
                           weights(without)["encoder.backbone.last.weight"])  # fmt: skip


def test_can_goes_on_without_the_target_where_no_class_is_sure(fit: Fit) -> None:
    run = fit(CAN, make_classes(BOTH_AT_A_SOURCE), cluster_least=1000, target_labels="never")
    assert {row["train/cdd"] for row in metrics(run)} == {0.0}
    assert {row["train/classes_kept"] for row in metrics(run)} == {0.0}


def test_clusters_take_the_names_of_the_source_classes_they_are_nearest_to() -> None:
    angles = np.array([0.3, 0.4, 0.35, 2.0, 2.1, 1.2])
    target = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    start = np.array([[0.0, 1.0], [1.0, 0.0]])  # class 0 is up, class 1 to the right
    found = cluster(target, start, radius=0.05, least=2)
    assert found.members[1].tolist() == [0, 1, 2]
    assert found.members[0].tolist() == [3, 4]  # the last one is too far from either
    assert 1 not in cluster(target[2:], start, radius=0.05, least=2).members


def test_clusters_that_wandered_take_the_name_that_fits_all_of_them_best() -> None:
    """On a circle, in degrees: the cluster that began at class 0's 145 ends at 107, which is class 1's 120."""
    target, start = (
        np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1)
        for angles in ([95, 95, 110, 130, 195, 205, 205, 225, 230, 240, 305, 350], [145, 120, 150])
    )
    found = cluster(target, start, radius=1.0, least=1)
    assert found.assigned.tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0, 0]


def test_contrast_needs_two_cases_of_each_class_in_a_batch(fit: Fit) -> None:
    with pytest.raises(ConfigError, match="two cases of each of 2 classes"):
        fit(Contrastive, make_classes(), batch_size=3)


@pytest.mark.parametrize("kind", [Contrastive, Unlearning, CAN])
def test_losses_that_look_across_cases_take_no_batch_in_parts(kind: Any, fit: Fit) -> None:
    with pytest.raises(ValidationError, match="micro_batch"):
        fit(kind, make_classes(BOTH_AT_A_SOURCE), micro_batch=4)


@pytest.mark.parametrize("row", ["l2i", "vanilla", "weighted", "dann"])
def test_training_in_parts_is_training_on_the_whole_batch(row: str, fit: Fit) -> None:
    """One epoch of three steps; sums in another order differ by rounding."""
    kind, settings = ROWS[row]
    whole, parts = (
        fit(kind, make_classes(), epochs=1, lr=1e-4, **settings, **more) for more in ({}, {"micro_batch": 3})
    )
    logged = [{k: v for k, v in metrics(run)[-1].items() if k.startswith("train/")} for run in (whole, parts)]
    assert logged[0] == pytest.approx(logged[1], rel=1e-3)


@pytest.mark.parametrize("row", [*ROWS, "can"])
def test_a_run_stopped_inside_its_last_stage_goes_on_bit_identical(
    row: str, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, settings = ROWS.get(row, (CAN, {"target_labels": "never", "cluster_radius": 1.0, "cluster_least": 1}))
    data = make_classes(BOTH_AT_A_SOURCE)
    settings = {**settings, "epochs": 4, "augmentation": row in ("l2i", "can")}
    whole = fit(kind, data, tmp_path / "whole", **settings)
    stop_at = whole.steps - 2
    plain = Run.step

    def stopping(self: Run, *args: Any, **options: Any) -> None:
        self.stop_requested = self.steps >= stop_at
        plain(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "step", stopping)
        with pytest.raises(StoppedError):
            fit(kind, data, tmp_path / "halves", **settings)
    halves = fit(kind, data, tmp_path / "halves", **settings)
    assert weights(whole).keys() == weights(halves).keys()
    assert all(torch.equal(v, weights(halves)[k]) for k, v in weights(whole).items())
    first, second = (r.directory / "metrics.jsonl" for r in (whole, halves))
    assert first.read_text() == second.read_text()


@pytest.mark.parametrize("monitor", ["total", "cls", "cen+latent"])
def test_the_epoch_with_the_lowest_watched_loss_is_kept(monitor: str, fit: Fit) -> None:
    run = fit(L2I, make_classes(), epochs=5, lr=1e-2, monitor=monitor)
    watched = [row[f"val/{monitor}"] for row in metrics(run)]
    assert watched == [row["val/monitored"] for row in metrics(run)]
    assert load_tree(run.directory / "checkpoints" / "best.safetensors")["epoch"] == int(np.argmin(watched))


def test_training_ends_when_patience_runs_out(fit: Fit) -> None:
    run = fit(Vanilla, make_classes(), epochs=40, steps=1, lr=0.3, patience=2)
    watched = [row["val/monitored"] for row in metrics(run)]
    assert len(watched) == int(np.argmin(watched)) + 3 < 40


def test_all_rows_take_as_many_steps(fit: Fit) -> None:
    for kind, settings in ROWS.values():
        run = fit(kind, make_classes(), **{**settings, "epochs": 3, "steps": 2})
        # unlearning's batches of the second stage have three updates each
        updates = 2 + 4 * 3 if kind is Unlearning else 6
        assert run.steps == updates


def test_choosing_the_best_without_validation_cases_is_refused(fit: Fit) -> None:
    with pytest.raises(DataError, match="select=last"):
        fit(L2I, make_classes().where(split=["train", "test"]))


def test_a_finished_run_predicts_without_its_domain_head(fit: Fit) -> None:
    data = make_classes()
    run = fit(DANN, data)
    fresh = DANN(run.adapter.config).build(data.task)
    assert "head" not in fresh
    fresh.load_saved(load_tree(run.directory / "checkpoints" / "final.safetensors")["model"])
    sample = data.load(data.cases[0])
    known, again = (predict(run.adapter, model, sample).classes for model in (run.model, fresh))
    assert known is not None
    assert np.array_equal(known, again)


def test_a_constant_prediction_has_kappa_zero(fit: Fit) -> None:
    data = make_classes()
    run = fit(L2I, data, epochs=1, steps=1)
    model: Model = run.model
    model.classifier.weight.data.zero_()
    model.classifier.bias.data.copy_(torch.tensor([1.0, 0.0]))
    evaluator = ClassificationEvaluator(data.task, 100)
    rows, _ = score_cases(
        data.where(split="test", role="target"), [evaluator], lambda s: predict(run.adapter, model, s)
    )
    import pandas as pd

    summary = evaluator.summarise(pd.DataFrame(rows)).set_index(["metric", "group"])["mean"]
    assert summary["kappa", "role=target"] == 0
    assert summary["accuracy", "role=target"] == 0.5
    assert summary["auroc", "role=target"] == 0.5

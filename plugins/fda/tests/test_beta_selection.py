from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mdx.errors import ConfigError, DataError, HiddenLabelError
from mdx.evaluation.cases import predict
from mdx.evaluation.segmentation import SegmentationEvaluator
from mdx.interfaces.adapter import Reference, networks_of
from mdx.interfaces.dataset import Case, Dataset, Sample
from mdx.runs.checkpoint import load_tree
from mdx.runs.shown import read_shown
from mdx.training.run import Run
from mdx_fda.adapter import FDA
from mdx_fda.config import FDAConfig
from mdx_fda.curves import Curves, best_of

GRID = (0.0, 1.0, 2.0, 3.0)
TINY = {"epochs": 2, "steps": 6, "batch_size": 4, "crop": 24, "lr": 0.05}


def config(**values: object) -> FDAConfig:
    own = {"beta_selection": "per_pair", "radius_grid": GRID, "filters": 2, "n_mst": 2, "training": TINY}
    return FDAConfig.model_validate({**own, **values})


@pytest.fixture
def three_sites(two_sites: Dataset) -> Dataset:
    """A (source), B and C (targets); of the target the labels of val cases are visible, those of train cases not."""
    more = [
        Case(c.id.replace("B", "C"), c.subject.replace("B", "C"), "C", c.images, c.mask, c.split, c.role)
        for c in two_sites.revealed().cases if c.site == "B"
    ]  # fmt: skip
    whole = Dataset(two_sites.task, [*two_sites.revealed().cases, *more], two_sites.loader)
    return whole.without_labels(split="test").without_labels(role="target", split="train")


def fitted(folder: Path, data: Dataset, method: FDA) -> Run:
    torch.manual_seed(0)
    run = Run(folder, method, networks_of(method, data.task), seed=0)
    method.fit(data, run.model, run)
    run.finish()
    return run


@pytest.fixture
def chosen(three_sites: Dataset, tmp_path: Path) -> tuple[FDA, Run]:
    method = FDA(config())
    return method, fitted(tmp_path / "run", three_sites, method)


def test_zero_is_never_chosen_even_if_it_is_best() -> None:
    assert best_of((0.0, 0.01, 0.02, 0.03), (0.9, 0.2, 0.4, 0.3)) == 0.02


def test_of_equally_good_radii_the_smallest_is_chosen() -> None:
    assert best_of((0.0, 1.0, 2.0, 3.0), (0.1, 0.4, 0.7, 0.7)) == 2.0


def test_per_pair_is_never_worse_than_averaged_on_the_validation_cases() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        sites = {name: rng.uniform(size=4).tolist() for name in "BCD"}
        own, mean = (Curves("radius_px", GRID, rule, sites, {}) for rule in ("per_pair", "averaged"))
        for site, scores in sites.items():
            at = dict(zip(GRID, scores, strict=True))
            assert at[own.chosen(site)] >= at[mean.chosen(site)]


def test_averaged_gives_all_sites_the_best_of_the_mean_curve() -> None:
    sites = {"B": [0.0, 0.9, 0.5, 0.1], "C": [0.0, 0.1, 0.5, 0.2]}
    curves = Curves("beta", GRID, "averaged", sites, {})
    assert curves.mean == pytest.approx([0, 0.5, 0.5, 0.15])
    assert {curves.chosen(site) for site in ("A", "B", "C", None)} == {1.0}


def test_sites_weigh_the_same_however_many_cases_they_have() -> None:
    sites = {"B": [0.0, 0.9, 0.5], "C": [0.0, 0.1, 0.6]}
    curves = Curves("beta", (0.0, 1.0, 2.0), "averaged", sites, {"B": 9, "C": 1})
    assert curves.mean == pytest.approx([0, 0.5, 0.55])
    assert curves.chosen("B") == 2.0


def test_a_site_without_a_curve_gets_that_of_the_mean() -> None:
    sites = {"B": [0.0, 0.9, 0.5, 0.1], "C": [0.0, 0.1, 0.6, 0.2]}
    curves = Curves("beta", GRID, "per_pair", sites, {})
    assert [curves.chosen(site) for site in ("A", "B", "C")] == [2.0, 1.0, 2.0]


def test_the_curve_is_what_predicting_the_validation_cases_scores(
    chosen: tuple[FDA, Run], three_sites: Dataset
) -> None:
    method, run = chosen
    assert method.curves is not None
    evaluator = SegmentationEvaluator(three_sites.task)
    for site in "BC":
        (case,) = three_sites.where(site=site, split="val").cases
        sample = three_sites.load(case)
        made = predict(method, run.model, sample)
        radius = method.curves.chosen(site)
        assert made.details["radius_px"] == radius
        score = method.curves.sites[site][GRID.index(radius)]
        assert evaluator.per_case(made, sample)["surface_dice"] == pytest.approx(score)


def test_radii_that_swap_the_same_amplitudes_score_the_same(three_sites: Dataset, tmp_path: Path) -> None:
    method = FDA(config(radius_grid=(0.0, 0.2, 0.9, 2.0)))
    fitted(tmp_path, three_sites, method)
    assert method.curves is not None
    for scores in method.curves.sites.values():
        assert scores[1] == scores[2]


def test_a_grid_in_beta_is_a_share_of_the_shorter_edge(three_sites: Dataset, tmp_path: Path) -> None:
    by_beta, by_radius = FDA(config(radius_grid=None, beta_grid=(0.0, 0.05, 0.1))), FDA(config(radius_grid=(0, 1, 2)))
    for i, method in enumerate((by_beta, by_radius)):
        fitted(tmp_path / str(i), three_sites, method)
    assert by_beta.curves is not None and by_radius.curves is not None
    assert by_beta.curves.setting == "beta"
    assert by_beta.curves.sites == by_radius.curves.sites  # 0.05 and 0.1 of 20 pixels


def test_no_test_case_is_looked_at(three_sites: Dataset, tmp_path: Path) -> None:
    inner, seen = three_sites.loader, set()

    def watched(case: Case, visible: bool) -> Sample:
        seen.add(case.split)
        return inner(case, visible)

    three_sites.loader = watched
    fitted(tmp_path, three_sites, FDA(config()))
    assert seen == {"train", "val"}


def test_a_variant_that_may_not_read_the_labels_says_which_may(three_sites: Dataset, tmp_path: Path) -> None:
    with pytest.raises(HiddenLabelError, match="srsim_mst_pair"):
        fitted(tmp_path, three_sites.without_labels(role="target", split="val"), FDA(config()))


def test_a_target_without_labelled_validation_cases_is_named_before_any_training(
    three_sites: Dataset, tmp_path: Path
) -> None:
    lacking = three_sites.where(id=[c.id for c in three_sites.cases if not (c.site == "C" and c.split == "val")])
    with pytest.raises(DataError, match="C has none"):
        fitted(tmp_path, lacking, FDA(config()))
    assert not (tmp_path / "metrics.jsonl").exists()


def test_no_target_site_is_one_message(three_sites: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no target site"):
        fitted(tmp_path, three_sites.where(role="source"), FDA(config()))


def test_a_grid_without_a_choice_on_small_slices_asks_for_pixels(three_sites: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="swap the same amplitudes on slices of 24 x 20"):
        fitted(tmp_path, three_sites, FDA(config(radius_grid=None)))


@pytest.mark.parametrize("wrong", [(0.0, 1.0), (0.0,), (2.0, 1.0), (1.0, 1.0, 2.0), (-1.0, 1.0, 2.0)])
def test_a_grid_must_ascend_and_leave_a_choice(wrong: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        config(radius_grid=wrong)


def test_a_grid_that_another_would_override_is_refused() -> None:
    with pytest.raises(ValueError, match="set radius_grid=null"):
        config(beta_grid=(0.0, 0.1, 0.2))


def test_a_restored_method_uses_the_radius_that_was_chosen(chosen: tuple[FDA, Run], three_sites: Dataset) -> None:
    method, run = chosen
    tree = load_tree(run.directory / "checkpoints" / "final.safetensors")
    again = FDA(config())
    model = networks_of(again, three_sites.task)
    again.restore(tree["adapter"], model)
    model.load_saved(tree["model"])
    for case in three_sites.where(split="test").cases:
        first, second = (predict(m, net, three_sites.load(case)) for m, net in ((method, run.model), (again, model)))
        np.testing.assert_array_equal(first.segmentation, second.segmentation)
        assert first.details == second.details


def test_a_file_of_no_site_must_be_given_one_where_several_have_their_own(
    chosen: tuple[FDA, Run], three_sites: Dataset
) -> None:
    method, run = chosen
    assert method.curves is not None
    sample = three_sites.load(three_sites.where(site="B").cases[0])
    nowhere = Sample(Case("x", "x", "", {}), sample.image, sample.geometry)
    with pytest.raises(DataError, match="--site B or C"):
        predict(method, run.model, nowhere)
    for site in "BC":
        made = predict(method, run.model, nowhere, Reference(site=site))
        assert made.details["radius_px"] == method.curves.chosen(site)


def test_the_reader_is_told_what_was_chosen_on_which_labels(chosen: tuple[FDA, Run]) -> None:
    told = [note for note in chosen[1].notes if "validation cases chose radius_px = " in note]
    assert [re.search(r"For (\w) the", note)[1] for note in told] == ["B", "C"]  # type: ignore[index]


def test_the_report_is_given_the_curve_of_every_site_and_what_each_chooses(chosen: tuple[FDA, Run]) -> None:
    method, run = chosen
    assert method.curves is not None
    (entry,) = read_shown(run.directory)
    assert entry["title"] == "How beta was chosen"
    assert entry["x"] == list(GRID)
    for name, (site, values) in zip(
        entry["series"], [*method.curves.sites.items(), (None, method.curves.mean)], strict=True
    ):
        assert entry["series"][name] == pytest.approx(values)
        assert entry["chosen"][name] == method.curves.chosen(site)

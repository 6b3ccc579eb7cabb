from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fda_phantoms import phantom
from torch import Tensor

from mdx.errors import DataError, MdxError, PluginError, UsageError
from mdx.evaluation.cases import predict
from mdx.interfaces.adapter import Adapter, Prediction, Reference, networks_of
from mdx.interfaces.dataset import Dataset, Sample
from mdx.runs.checkpoint import load_tree, save_tree
from mdx.training.run import Run
from mdx_fda.adapter import FDA
from mdx_fda.bank import Bank
from mdx_fda.baselines import HistogramMatching, NoAdaptation, Oracle, foreground_quantiles, match_foreground
from mdx_fda.config import FDAConfig
from mdx_fda.fourier import disc, swap_amplitude, swap_region
from mdx_fda.ranking import draw, rank_2_5d, rank_2d, rank_3d
from mdx_fda.restyling import adapt_and_predict, choose_donors
from mdx_segment.inference import predict_volume

TINY = {"epochs": 1, "steps": 2, "batch_size": 2, "crop": 16}


def config(**values: object) -> FDAConfig:
    return FDAConfig.model_validate({"filters": 2, "n_mst": 2, "training": TINY, **values})


def fitted(folder: Path, data: Dataset, method: Adapter[FDAConfig], seed: int = 0) -> Run:
    torch.manual_seed(seed)
    run = Run(folder, method, networks_of(method, data.task), seed=seed)
    method.fit(data, run.model, run)
    run.finish()
    return run


def reloaded(run: Run, data: Dataset, method: Adapter[FDAConfig]) -> tuple[Adapter[FDAConfig], object]:
    """A fresh method, restored from the final checkpoint as core does it."""
    tree = load_tree(run.directory / "checkpoints" / "final.safetensors")
    model = networks_of(method, data.task)
    method.restore(tree["adapter"], model)
    model.load_saved(tree["model"])
    return method, model


def apply_all(method: Adapter[FDAConfig], model: object, data: Dataset) -> list[Prediction]:
    return [predict(method, model, data.load(c)) for c in data.where(split="test").cases]  # type: ignore[arg-type]


def square_net(slices: Tensor) -> Tensor:
    return slices**2


@pytest.fixture
def bank(scans: list[Tensor]) -> Bank:
    return Bank([f"donor{i}" for i in range(len(scans))], scans)


def test_predictions_are_averaged_not_images(bank: Bank) -> None:
    target = phantom(9)
    cfg = config(donors="2d", beta=0.1)
    made, donors, first = adapt_and_predict(target, bank, cfg, square_net)
    restyled = torch.stack([
        swap_amplitude(bank.take(donors.scans[:, i], donors.slices[:, i], (66, 72)), target, 0.1) for i in range(2)
    ])  # fmt: skip
    torch.testing.assert_close(made, square_net(restyled).mean(dim=0), atol=1e-6, rtol=0)
    assert float((made - square_net(restyled.mean(dim=0))).abs().max()) > 1e-3
    torch.testing.assert_close(first, restyled[0], atol=1e-6, rtol=0)


def test_amplitudes_can_be_averaged_instead(bank: Bank) -> None:
    target = phantom(9)
    made, donors, _ = adapt_and_predict(target, bank, config(mst="amplitudes", beta=0.1), square_net)
    sources = torch.stack([bank.take(donors.scans[:, i], donors.slices[:, i], (66, 72)) for i in range(2)])
    expected = square_net(swap_region(sources, target, disc((66, 72), 6.6)))
    torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)
    assert float((made - adapt_and_predict(target, bank, config(beta=0.1), square_net)[0]).abs().max()) > 1e-4


def test_a_radius_in_pixels_replaces_beta(bank: Bank) -> None:
    by_radius = adapt_and_predict(phantom(9), bank, config(beta=0.0, radius_px=6.6), square_net)[0]
    by_beta = adapt_and_predict(phantom(9), bank, config(beta=0.1), square_net)[0]
    torch.testing.assert_close(by_radius, by_beta)


def test_beta_zero_still_rescales_each_slice(bank: Bank) -> None:
    target = phantom(9)
    made, *_ = adapt_and_predict(target, bank, config(beta=0.0, donors="random", n_mst=1), square_net)
    torch.testing.assert_close(made, square_net(target / target.amax(dim=(-2, -1), keepdim=True)), atol=1e-5, rtol=0)


def test_background_slices_pass_unchanged(bank: Bank) -> None:
    target = torch.cat([torch.zeros(2, 1, 66, 72), phantom(9)[2:]])
    made, *_ = adapt_and_predict(target, bank, config(beta=0.1), lambda slices: slices)
    assert torch.equal(made[:2], target[:2])
    assert bool(torch.isfinite(made).all())


@pytest.mark.parametrize("donors", ["3d", "2d", "2.5d", "random"])
def test_every_way_of_choosing_donors_gives_probabilities_on_the_slices(bank: Bank, donors: str) -> None:
    made, chosen, _ = adapt_and_predict(phantom(9), bank, config(donors=donors), square_net)
    assert made.shape == (8, 1, 66, 72)
    assert chosen.scans.shape == (8, 2)


def test_each_way_of_choosing_donors_is_the_one_that_its_name_says(bank: Bank) -> None:
    """No two rankings of this scan are equal, so none can stand in for another."""
    target = phantom(9)
    expected = {
        "3d": rank_3d(target, bank, 3), "2d": rank_2d(target, bank, 3), "2.5d": rank_2_5d(target, bank, 3, 2),
        "random": draw(target, bank, 3, 42),
    }  # fmt: skip
    plain = {name: (donors.scans.tolist(), donors.slices.tolist()) for name, donors in expected.items()}
    assert all(one != other for one, other in itertools.combinations(plain.values(), 2))
    for name in expected:
        found = choose_donors(target, bank, config(donors=name, n_mst=3))
        assert (found.scans.tolist(), found.slices.tolist()) == plain[name], name


def test_channels_are_swapped_each_with_its_own() -> None:
    target, donor = phantom(9, channels=2), phantom(1, channels=2)
    made, *_ = adapt_and_predict(target, Bank(["a"], [donor]), config(beta=0.1), lambda slices: slices)
    expected = swap_amplitude(donor.half().float()[:, 1], target[:, 1], 0.1)
    torch.testing.assert_close(made[:, 1], expected, atol=1e-6, rtol=0)


def test_donors_with_other_channels_are_refused(bank: Bank) -> None:
    with pytest.raises(DataError, match="has 2 channel"):
        adapt_and_predict(phantom(9, channels=2), bank, config(), square_net)


def test_the_network_is_bit_identical_before_and_after_adaptation(two_sites: Dataset, tmp_path: Path) -> None:
    method = FDA(config())
    run = fitted(tmp_path, two_sites, method)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    apply_all(method, run.model, two_sites)
    assert any("running_mean" in name for name in before)
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("bank_kind", ["embed", "reference"])
def test_a_restored_method_predicts_bit_for_bit_alike(two_sites: Dataset, tmp_path: Path, bank_kind: str) -> None:
    method = FDA(config(bank=bank_kind))
    run = fitted(tmp_path, two_sites, method)
    again, model = reloaded(run, two_sites, FDA(config(bank=bank_kind)))
    assert again.needs_data == (bank_kind == "reference")
    if again.needs_data:
        again.attach(two_sites)
    pairs = zip(apply_all(method, run.model, two_sites), apply_all(again, model, two_sites), strict=True)
    for first, second in pairs:
        np.testing.assert_array_equal(first.segmentation, second.segmentation)
        assert first.details == second.details


def test_only_an_embedded_bank_leaves_images_in_the_run(two_sites: Dataset, tmp_path: Path) -> None:
    kept = fitted(tmp_path / "a", two_sites, FDA(config(bank="embed"))).adapter.state()
    named = fitted(tmp_path / "b", two_sites, FDA(config(bank="reference"))).adapter.state()
    assert kept["donors"] == named["donors"] == ["A0", "A1", "A2", "A3"]
    assert [tuple(s.shape) for s in kept["scans"]] == [(3, 1, 24, 20)] * 4
    assert named["scans"] == []


def test_the_report_is_told_that_the_run_holds_images(two_sites: Dataset, tmp_path: Path) -> None:
    run = fitted(tmp_path, two_sites, FDA(config()))
    assert any("holds the images of 4 source scans" in note for note in run.notes)


@pytest.mark.parametrize(("n_mst", "donors", "told"), [(4, "3d", True), (7, "random", True), (3, "3d", False),
                                                        (7, "2.5d", False)])  # fmt: skip
def test_the_report_is_told_of_a_bank_that_leaves_no_choice(
    two_sites: Dataset, tmp_path: Path, n_mst: int, donors: str, told: bool
) -> None:
    run = fitted(tmp_path, two_sites, FDA(config(n_mst=n_mst, donors=donors)))
    assert any(f"no more than the {n_mst} donors" in note for note in run.notes) == told


def test_the_report_is_told_of_scans_that_are_not_registered(two_sites: Dataset, tmp_path: Path) -> None:
    loader = two_sites.loader

    def cropped(case: object, visible: bool) -> object:
        sample = loader(case, visible)  # type: ignore[arg-type]
        return replace(sample, image=sample.image[:, 2:]) if sample.case.id == "B0" else sample

    two_sites.loader = cropped  # type: ignore[assignment]
    run = fitted(tmp_path, two_sites, FDA(config()))
    assert any("relative position" in note for note in run.notes)


def test_registered_scans_leave_no_such_note(two_sites: Dataset, tmp_path: Path) -> None:
    run = fitted(tmp_path, two_sites, FDA(config()))
    assert not any("relative position" in note for note in run.notes)


def test_the_donors_are_recorded_with_the_prediction(two_sites: Dataset, tmp_path: Path) -> None:
    method = FDA(config())
    run = fitted(tmp_path, two_sites, method)
    details = apply_all(method, run.model, two_sites)[0].details
    assert len(details["donors"]) == 2
    assert set(details["donors"]) <= {"A0", "A1", "A2", "A3"}


def test_random_donors_of_a_scan_do_not_depend_on_the_order_of_scans(two_sites: Dataset, tmp_path: Path) -> None:
    method = FDA(config(donors="random", n_mst=1))
    run = fitted(tmp_path, two_sites, method)
    cases = two_sites.where(split="test").cases
    forward = {c.id: predict(method, run.model, two_sites.load(c)).segmentation for c in cases}
    for case in reversed(cases):
        np.testing.assert_array_equal(predict(method, run.model, two_sites.load(case)).segmentation, forward[case.id])


def test_the_networks_of_all_unsupervised_rows_are_the_same(two_sites: Dataset, tmp_path: Path) -> None:
    methods = (FDA(config()), NoAdaptation(config()), HistogramMatching(config()))
    models = [fitted(tmp_path / str(i), two_sites, m).model.state_dict() for i, m in enumerate(methods)]
    for first, second in itertools.pairwise(models):
        assert all(torch.equal(first[name], second[name]) for name in first)


@torch.no_grad()
def probabilities(network: torch.nn.Module, image: Tensor) -> np.ndarray:
    return predict_volume(network.eval(), image).numpy()


def dark(data: Dataset) -> Sample:
    """A target test scan whose slices have maxima far below 1."""
    (case,) = data.where(role="target", split="test").cases
    sample = data.load(case)
    return replace(sample, image=sample.image * 0.4)


def test_without_adaptation_the_network_sees_the_scan_as_it_is(two_sites: Dataset, tmp_path: Path) -> None:
    method = NoAdaptation(config())
    run = fitted(tmp_path, two_sites, method)
    sample = dark(two_sites)
    made = predict(method, run.model, sample).segmentation
    np.testing.assert_array_equal(made, probabilities(run.model.network, sample.image))


def test_the_histogram_row_predicts_what_has_the_sources_histogram(two_sites: Dataset, tmp_path: Path) -> None:
    method = HistogramMatching(config())
    run = fitted(tmp_path, two_sites, method)
    sample = dark(two_sites)
    made = predict(method, run.model, sample).segmentation
    matched = torch.from_numpy(match_foreground(sample.image.numpy(), method.quantiles))
    np.testing.assert_array_equal(made, probabilities(run.model.network, matched))
    assert float(np.abs(made - probabilities(run.model.network, sample.image)).max()) > 1e-3


def test_the_oracle_predicts_targets_with_their_own_network_and_sources_with_the_sources(
    two_sites: Dataset, tmp_path: Path
) -> None:
    visible = two_sites.revealed()
    method = Oracle(config())
    run = fitted(tmp_path, visible, method)
    for site, network, other in (("A", "network", "target0"), ("B", "target0", "network")):
        (case,) = visible.where(site=site, split="test").cases
        sample = visible.load(case)
        made = predict(method, run.model, sample).segmentation
        np.testing.assert_array_equal(made, probabilities(run.model[network], sample.image))
        assert float(np.abs(made - probabilities(run.model[other], sample.image)).max()) > 1e-4


def test_an_image_is_refused_as_reference_and_a_site_changes_nothing(two_sites: Dataset, tmp_path: Path) -> None:
    method = FDA(config())
    run = fitted(tmp_path, two_sites, method)
    sample = dark(two_sites)
    with pytest.raises(UsageError, match="bank of the run"):
        predict(method, run.model, sample, Reference(sample=sample))
    made = [predict(method, run.model, sample, r).segmentation for r in (None, Reference(site="B"))]
    np.testing.assert_array_equal(*made)


def test_applying_before_fitting_is_one_message(two_sites: Dataset) -> None:
    method = FDA(config())
    with pytest.raises(PluginError, match="no donor bank"):
        predict(method, networks_of(method, two_sites.task), two_sites.load(two_sites.cases[0]))


def test_a_donor_that_is_gone_is_named(two_sites: Dataset, tmp_path: Path) -> None:
    run = fitted(tmp_path, two_sites, FDA(config(bank="reference")))
    again, _ = reloaded(run, two_sites, FDA(config(bank="reference")))
    with pytest.raises(MdxError, match="A2"):
        again.attach(two_sites.where(id=["A0", "A1", "A3", "B0"]))


def test_the_state_of_every_row_survives_the_file(two_sites: Dataset, tmp_path: Path) -> None:
    method = HistogramMatching(config())
    run = fitted(tmp_path, two_sites, method)
    save_tree(tmp_path / "state.safetensors", method.state())
    again = HistogramMatching(config())
    again.restore(load_tree(tmp_path / "state.safetensors"), run.model)
    first, second = (apply_all(m, run.model, two_sites)[1].segmentation for m in (method, again))
    np.testing.assert_array_equal(first, second)


def test_matched_foreground_has_the_sources_histogram_and_background_stays() -> None:
    rng = np.random.default_rng(0)
    background = rng.uniform(size=(1, 20, 20, 10)) < 0.4
    source = np.where(background, 0, rng.beta(2, 5, background.shape)).astype(np.float32)
    image = np.where(background, 0, rng.uniform(0.1, 1, background.shape)).astype(np.float32)
    matched = match_foreground(image, foreground_quantiles([source]))
    assert np.array_equal(matched == 0, image == 0)
    steps = [5, 25, 50, 75, 95]
    np.testing.assert_allclose(
        np.percentile(matched[~background], steps), np.percentile(source[~background], steps), atol=0.01
    )


def test_matching_a_flat_volume_gives_numbers() -> None:
    assert np.isfinite(match_foreground(np.zeros((1, 4, 4), np.float32), np.linspace(0, 1, 9)[None])).all()


def test_the_oracle_learns_from_target_labels_that_no_other_row_may_read(two_sites: Dataset, tmp_path: Path) -> None:
    visible = two_sites.revealed()
    method = Oracle(config())
    run = fitted(tmp_path / "seen", visible, method)
    target, source = run.model["target0"].state_dict(), run.model["network"].state_dict()
    assert not all(torch.equal(target[name], source[name]) for name in target)
    with pytest.raises(DataError, match="hidden"):
        fitted(tmp_path / "hidden", two_sites, Oracle(config()))


def test_the_oracle_is_restored_with_a_network_for_each_target_site(two_sites: Dataset, tmp_path: Path) -> None:
    visible = two_sites.revealed()
    method = Oracle(config())
    run = fitted(tmp_path, visible, method)
    again, model = reloaded(run, visible, Oracle(config()))
    pairs = zip(apply_all(method, run.model, visible), apply_all(again, model, visible), strict=True)
    for first, second in pairs:
        np.testing.assert_array_equal(first.segmentation, second.segmentation)


def test_the_oracle_refuses_a_site_that_it_has_no_network_for(two_sites: Dataset, tmp_path: Path) -> None:
    visible = two_sites.revealed()
    method = Oracle(config())
    run = fitted(tmp_path, visible, method)
    sample = visible.load(visible.cases[0])
    with pytest.raises(DataError, match="no network for site 'elsewhere'"):
        method.apply(sample, run.model, Reference(site="elsewhere"))

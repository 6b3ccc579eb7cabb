from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mdx_sim.imaging import tissue_signals
from mdx_sim.physics import T1_SPREAD, TISSUES, Tissue, flair, mprage, site_tissues, spin_echo, spoiled_gradient_echo
from mdx_sim.scanners import PRESETS, SEQUENCES, SIEMENS_3T, scanner_of

NO_DECAY = 1e9


def test_spoiled_gradient_echo_at_90_degrees_is_saturation_recovery() -> None:
    tissue = Tissue(t1_ms=500, t2_ms=NO_DECAY, density=0.5)
    assert spoiled_gradient_echo(tissue, tr_ms=500, te_ms=1, flip_deg=90) == pytest.approx(0.5 * (1 - np.exp(-1)))


def test_spin_echo_halves_twice_at_half_recovery_and_half_decay() -> None:
    tissue = Tissue(t1_ms=1000, t2_ms=100, density=0.8)
    assert spin_echo(tissue, tr_ms=1000 * np.log(2), te_ms=100 * np.log(2)) == pytest.approx(0.8 / 4)


def test_flair_is_dark_where_inversion_nulls_the_tissue() -> None:
    tissue = Tissue(t1_ms=4000, t2_ms=1000, density=1)
    null_ms = 4000 * np.log(2 / (1 + np.exp(-9000 / 4000)))
    assert flair(tissue, tr_ms=9000, te_ms=100, ti_ms=null_ms) == pytest.approx(0, abs=1e-12)


def test_mprage_without_excitation_is_the_textbook_inversion_recovery() -> None:
    tissue = Tissue(t1_ms=1450, t2_ms=NO_DECAY, density=0.82)
    signal = mprage(tissue, tr_ms=2300, te_ms=3, ti_ms=900, flip_deg=1e-4, inversion=1)
    textbook = 0.82 * abs(1 - 2 * np.exp(-900 / 1450) / (1 + np.exp(-2300 / 1450)))
    assert signal / np.sin(np.deg2rad(1e-4)) == pytest.approx(textbook, rel=1e-6)


def test_mprage_refuses_a_train_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        mprage(TISSUES[3.0]["wm"], tr_ms=1200, te_ms=3, ti_ms=900, flip_deg=9)


@pytest.mark.parametrize("name", [n for n, s in PRESETS.items() if s.signal.func is mprage])
def test_mprage_has_the_grey_white_ratio_of_real_images(name: str) -> None:
    signal = PRESETS[name].signal
    tissues = TISSUES[PRESETS[name].field_tesla]
    assert 0.6 < signal(tissues["gm"]) / signal(tissues["wm"]) < 0.8


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("wm_end", [0, 1])
@pytest.mark.parametrize("gm_end", [0, 1])
def test_every_t1_protocol_orders_white_grey_fluid_at_all_ends_of_the_spread(
    name: str, wm_end: int, gm_end: int
) -> None:
    scanner = PRESETS[name]
    tissues, spread = TISSUES[scanner.field_tesla], T1_SPREAD[scanner.field_tesla]
    white = scanner.signal(replace(tissues["wm"], t1_ms=spread["wm"][wm_end]))
    grey = scanner.signal(replace(tissues["gm"], t1_ms=spread["gm"][gm_end]))
    assert white > grey > scanner.signal(tissues["csf"]) > 0


@pytest.mark.parametrize("field", [1.5, 3.0])
def test_t2_orders_fluid_grey_white(field: float) -> None:
    signal, tissues = SEQUENCES["t2"].signal, TISSUES[field]
    assert signal(tissues["csf"]) > signal(tissues["gm"]) > signal(tissues["wm"])


def test_flair_has_grey_above_white_and_no_fluid() -> None:
    signal, tissues = SEQUENCES["flair"].signal, TISSUES[3.0]
    assert signal(tissues["gm"]) > signal(tissues["wm"]) > 20 * signal(tissues["csf"])


def test_a_site_draws_its_own_constants_within_the_spread() -> None:
    tissues = [site_tissues(3.0, np.random.default_rng(seed)) for seed in range(20)]
    times = [t["wm"].t1_ms for t in tissues]
    low, high = T1_SPREAD[3.0]["wm"]
    assert low <= min(times) < max(times) <= high


def test_severity_takes_the_contrast_from_t1_to_proton_density() -> None:
    tissues = TISSUES[3.0]
    sites = ("source", "subtle", "medium", "severe")
    grey = [tissue_signals(scanner_of(site), tissues)["gm"] for site in sites]
    assert grey == sorted(grey)
    assert grey[0] < 0.8 and grey[-1] > 1


def test_without_shift_the_signals_are_the_protocol_s() -> None:
    tissues = TISSUES[3.0]
    signals = tissue_signals(SIEMENS_3T, tissues)
    for name, tissue in tissues.items():
        assert signals[name] == pytest.approx(SIEMENS_3T.signal(tissue) / SIEMENS_3T.signal(tissues["wm"]))

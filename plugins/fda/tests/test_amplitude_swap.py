from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdx.errors import ConfigError, DataError
from mdx_fda.fourier import disc, square, swap_amplitude, swap_region

SHAPES = [(48, 40), (47, 41), (40, 47)]
BETAS = [0.0, 0.005, 0.05, 0.2, 0.6]


def _pair(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1, shape), rng.uniform(0, 0.6, shape)


def _centred(spectrum: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(spectrum)


def test_golden_swap_at_every_beta(shared: Path) -> None:
    golden = np.load(shared / "golden" / "fda_swap.npz")
    for i, beta in enumerate(golden["betas"]):
        pair = golden["source"], golden["target"], float(beta)
        np.testing.assert_allclose(swap_amplitude(*pair), golden["out"][i], atol=1e-5)
        expected = golden["complex_re"][i] + 1j * golden["complex_im"][i]
        np.testing.assert_allclose(swap_amplitude(*pair, "complex"), expected, atol=1e-5)


def test_golden_mean_amplitude_of_three_sources(shared: Path) -> None:
    golden = np.load(shared / "golden" / "fda_swap.npz")
    target = torch.from_numpy(golden["target"])
    made = swap_region(torch.from_numpy(golden["multi_sources"]), target, disc((48, 40), 0.05 * 40))
    np.testing.assert_allclose(made.numpy(), golden["out_avg_amplitude_of_3_sources_beta005"], atol=1e-5)


def test_golden_first_fda_is_the_square_window_and_the_real_part(shared: Path) -> None:
    golden = np.load(shared / "golden" / "fda_yang_original.npz")
    content, style = torch.from_numpy(golden["content"]), torch.from_numpy(golden["style"])
    for share, expected in zip(golden["L"], golden["out"], strict=True):
        made = swap_region(style[None], content, square((20, 28), share * 20), "real")
        np.testing.assert_allclose(made.numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(("beta", "count"), [(0, 0), (0.005, 1), (0.02, 1), (0.03, 5), (0.05, 9), (0.1, 45)])
def test_number_of_swapped_coefficients(beta: float, count: int) -> None:
    assert int(disc((48, 40), beta * 40).sum()) == count


def test_the_disc_is_strict_and_the_square_is_not() -> None:
    assert int(disc((9, 9), 0).sum()) == 0
    assert int(square((9, 9), 0).sum()) == 1
    assert int(disc((9, 9), 1).sum()) == 1
    assert int(square((9, 9), 1).sum()) == 9


@pytest.mark.parametrize("shape", SHAPES)
def test_beta_zero_swaps_nothing_but_still_divides_by_the_maximum(shape: tuple[int, int]) -> None:
    source, target = _pair(shape)
    np.testing.assert_allclose(swap_amplitude(source, target, 0.0, "complex"), target, atol=1e-6)
    np.testing.assert_allclose(swap_amplitude(source, target, 0.0), target / target.max(), atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", BETAS)
def test_phase_is_the_targets_and_amplitude_the_sources_inside_the_disc(shape: tuple[int, int], beta: float) -> None:
    source, target = _pair(shape)
    low = disc(shape, beta * min(shape)).numpy()
    made = _centred(np.fft.fft2(swap_amplitude(source, target, beta, "complex")))
    s, t = _centred(np.fft.fft2(source)), _centred(np.fft.fft2(target))
    np.testing.assert_allclose(np.abs(made)[low], np.abs(s)[low], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.abs(made)[~low], np.abs(t)[~low], rtol=1e-4, atol=1e-4)
    turned = np.angle(made * np.conj(t))[np.abs(made) > 1e-2]
    np.testing.assert_allclose(turned, 0, atol=1e-4)


@pytest.mark.parametrize("beta", BETAS)
def test_a_slice_swapped_with_itself_is_itself_up_to_its_maximum(beta: float) -> None:
    _, target = _pair((47, 41))
    np.testing.assert_allclose(swap_amplitude(target, target, beta), target / target.max(), atol=1e-6)


def test_the_smallest_published_beta_gives_the_sources_mean_and_keeps_the_variance() -> None:
    source, target = _pair((48, 40))
    made = swap_amplitude(source, target, 0.005, "complex").real
    assert made.mean() == pytest.approx(source.mean(), abs=1e-6)
    assert made.var() == pytest.approx(target.var(), abs=1e-6)


def test_modulus_and_real_part_differ_at_larger_beta() -> None:
    source, target = _pair((48, 40))
    modulus, real = (swap_amplitude(source, target * (target > 0.5), 0.6, o) for o in ("abs", "real"))
    assert (real < 0).any()
    np.testing.assert_allclose(modulus, np.abs(real), atol=1e-6)
    clipped = swap_amplitude(source, target * (target > 0.5), 0.6, "real_clip")
    np.testing.assert_array_equal(clipped, real.clip(0, 1))


def test_a_batch_is_its_slices_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    sources, targets = torch.rand(2, 3, 2, 24, 20, generator=generator).unbind()
    together = swap_amplitude(sources, targets, 0.1)
    for i in range(3):
        for c in range(2):
            torch.testing.assert_close(together[i, c], swap_amplitude(sources[i, c], targets[i, c], 0.1))


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_flat_slice_comes_back_unchanged(value: float) -> None:
    flat = np.full((24, 20), value, np.float32)
    np.testing.assert_array_equal(swap_amplitude(_pair((24, 20))[0], flat, 0.1), flat)


def test_autocast_does_not_reach_the_fourier_transform() -> None:
    source, target = (torch.from_numpy(x).float() for x in _pair((48, 40)))
    expected = swap_amplitude(source, target, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        made = swap_amplitude(source.bfloat16(), target, 0.1)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, expected, atol=5e-3, rtol=0)


def test_numpy_gives_numpy_and_torch_gives_torch() -> None:
    source, target = _pair((24, 20))
    assert isinstance(swap_amplitude(source, target, 0.1), np.ndarray)
    assert isinstance(swap_amplitude(torch.from_numpy(source), torch.from_numpy(target), 0.1), torch.Tensor)


def test_slices_of_different_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="no common frequencies"):
        swap_amplitude(np.ones((8, 8)), np.ones((8, 9)), 0.1)


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(ConfigError, match="abs_max"):
        swap_amplitude(*_pair((8, 8)), 0.1, "phase")  # type: ignore[arg-type]

from __future__ import annotations

import pytest
import torch

from mdx_segment.inference import fitting_batch, pad_to_multiple, predict_slices, predict_volume, slices_of, volume_of
from mdx_segment.networks import ResidualUNet2d


@pytest.fixture
def network() -> ResidualUNet2d:
    torch.manual_seed(0)
    return ResidualUNet2d(1, 2, 2).eval()


@pytest.mark.parametrize("shape", [(2, 9, 7), (2, 9, 7, 5)])
def test_slices_and_back_is_the_image(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape)
    assert torch.equal(volume_of(slices_of(image), image), image)


def test_slices_are_along_the_last_axis() -> None:
    image = torch.rand(1, 9, 7, 5)
    assert torch.equal(slices_of(image)[3, 0], image[0, :, :, 3])


def test_padding_is_each_channels_minimum_at_the_far_ends() -> None:
    slices = torch.rand(3, 2, 9, 16) + 1
    padded = pad_to_multiple(slices)
    assert padded.shape == (3, 2, 16, 16)
    assert torch.equal(padded[:, :, :9], slices)
    assert torch.equal(padded[1, 1, 9:], slices[1, 1].min().expand(7, 16))


@pytest.mark.parametrize("shape", [(1, 13, 17, 3), (1, 13, 17)])
@torch.no_grad()
def test_probabilities_are_on_the_grid_of_the_image(network: ResidualUNet2d, shape: tuple[int, ...]) -> None:
    probabilities = predict_volume(network, torch.rand(shape))
    assert probabilities.shape == (2, *shape[1:])
    assert 0 <= float(probabilities.min()) <= float(probabilities.max()) <= 1


@torch.no_grad()
def test_a_slice_is_predicted_alike_whatever_its_neighbours(network: ResidualUNet2d) -> None:
    slices = torch.rand(5, 1, 16, 16)
    together = predict_slices(network, slices, batch_size=5)
    apart = predict_slices(network, slices, batch_size=2)
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=0)


@torch.no_grad()
def test_autocast_gives_float32_probabilities(network: ResidualUNet2d) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        probabilities = predict_slices(network, torch.rand(1, 1, 16, 16))
    assert probabilities.dtype == torch.float32


@pytest.mark.parametrize(
    ("filters", "edge", "expected"),
    # output of the first layer: 4 * filters * edge * edge bytes a slice, of 6 MiB
    [(4, 80, 16), (16, 200, 2), (64, 512, 1)],
)
def test_large_slices_go_through_a_cpu_in_small_batches(filters: int, edge: int, expected: int) -> None:
    slices = torch.empty(20, 1, edge, edge, device="meta")
    assert fitting_batch(ResidualUNet2d(1, 1, filters), slices, 16) == expected


def test_the_batch_of_a_network_without_convolutions_is_the_one_asked_for() -> None:
    assert fitting_batch(torch.nn.Identity(), torch.empty(2, 1, 4000, 4000, device="meta"), 16) == 16


@torch.no_grad()
def test_probabilities_and_masks_do_not_depend_on_the_batch_that_fits() -> None:
    torch.manual_seed(1)
    network, slices = ResidualUNet2d(1, 1, 16).eval(), torch.randn(3, 1, 182, 218)
    assert fitting_batch(network, slices, 16) == 2
    found = predict_slices(network, slices)
    whole = network(pad_to_multiple(slices))[..., :182, :218].sigmoid()
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)
    assert torch.equal(found > 0.5, whole > 0.5)

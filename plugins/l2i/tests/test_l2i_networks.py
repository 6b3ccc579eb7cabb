"""Backbones, centres, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from made_classes import make_classes
from torch import nn

from mdx.errors import ConfigError, DataError
from mdx_l2i.config import L2IConfig
from mdx_l2i.inception import InceptionResNetV1, Residual
from mdx_l2i.networks import Centers, FixedCenters, SmallCNN, make_centers, make_encoder

PUBLISHED = 36_431_842


def config(**settings: object) -> L2IConfig:
    return L2IConfig.model_validate(settings)


def test_inception_resnet_takes_the_papers_input_and_has_about_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = InceptionResNetV1(1, 128)
        assert network(torch.zeros(2, 1, 124, 172, 120)).shape == (2, 128)
    count = sum(p.numel() for p in network.parameters()) + (128 * 2 + 2) + 2 * 128
    assert count == 34_695_138
    assert abs(count - PUBLISHED) < 0.1 * PUBLISHED


def test_residuals_of_inception_resnet_are_scaled_as_in_the_reference() -> None:
    with torch.device("meta"):
        blocks = [block for block in InceptionResNetV1(1, 8).blocks if isinstance(block, Residual)]
    assert [block.scale for block in blocks] == [0.17] * 5 + [0.10] * 10 + [0.20] * 5 + [1.0]
    assert [block.last for block in blocks] == [False] * 20 + [True]


def test_no_backbone_keeps_running_statistics() -> None:
    """Instance norm: batch norm would mix the sites of a batch, and parts of a batch would not add up."""
    made = [
        make_encoder(1, 3, config()), make_encoder(1, 3, config(backbone="small_cnn3d")),
        make_encoder(3, 2, config(backbone="resnet18_2d")), make_encoder(3, 2, config(backbone="small_cnn2d")),
    ]  # fmt: skip
    for encoder in made:
        kinds = {type(m) for m in encoder.modules()}
        assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d}
        assert kinds & {nn.InstanceNorm2d, nn.InstanceNorm3d}
        assert not [key for key in encoder.state_dict() if "running" in key]


@pytest.mark.parametrize(
    ("backbone", "channels", "shape"),
    [("small_cnn", 1, (20, 18, 17)), ("small_cnn3d", 2, (20, 18, 17)), ("small_cnn", 3, (30, 22)),
     ("small_cnn2d", 1, (30, 22)), ("resnet18_2d", 3, (40, 36)), ("resnet18_2d", 1, (40, 36))],
)  # fmt: skip
def test_features_have_unit_length_for_any_input(backbone: str, channels: int, shape: tuple[int, ...]) -> None:
    encoder = make_encoder(channels, len(shape), config(backbone=backbone, latent=16))
    for images in (torch.randn(3, channels, *shape), 1e4 * torch.rand(3, channels, *shape)):
        assert torch.allclose(encoder(images).norm(dim=1), torch.ones(3), atol=1e-6)


def test_the_small_cnns_features_differ_only_once_its_statistics_are_frozen() -> None:
    """Seed 0: the cosine between different images before and after."""
    torch.manual_seed(0)
    network = SmallCNN(1, 2, 16)
    images = torch.rand(8, 1, 40, 40) * torch.linspace(0.2, 2, 8)[:, None, None, None]

    @torch.no_grad()
    def least_cosine() -> float:
        features = nn.functional.normalize(network(images), dim=1)
        return float((features @ features.T).min())

    before = least_cosine()
    with torch.no_grad():
        network.freeze(network.pooled(images))
    assert before > 0.9
    assert least_cosine() < 0.3


def test_frozen_statistics_are_part_of_the_weights_and_do_not_change_in_training() -> None:
    network = SmallCNN(1, 2, 16).train()
    with torch.no_grad():
        network.freeze(network.pooled(torch.rand(4, 1, 40, 40)))
    kept = network.state_dict()["mean"].clone()
    network(torch.rand(4, 1, 40, 40)).sum().backward()
    assert torch.equal(network.state_dict()["mean"], kept)
    assert kept.abs().sum() > 0


@pytest.mark.parametrize(
    ("backbone", "shape", "least"),
    [("small_cnn", (16, 16), "17 along one"), ("resnet18_2d", (32, 32), "33 along one"),
     ("inception_resnet_v1_3d", (106, 80, 80), "75 along each axis and 107 along one")],
)  # fmt: skip
def test_images_that_are_too_small_are_refused_with_the_size_that_would_do(
    backbone: str, shape: tuple[int, ...], least: str
) -> None:
    with torch.device("meta"):
        encoder = make_encoder(1, len(shape), config(backbone=backbone))
        with pytest.raises(DataError, match=least):
            encoder(torch.zeros(1, 1, *shape))


@pytest.mark.parametrize(("backbone", "dims"), [("inception_resnet_v1_3d", 2), ("resnet18_2d", 3), ("small_cnn2d", 3)])
def test_a_backbone_for_other_dimensions_is_refused(backbone: str, dims: int) -> None:
    with pytest.raises(ConfigError, match=rf"for {5 - dims}-D images, these are {dims}-D") as refused:
        make_encoder(1, dims, config(backbone=backbone))
    assert "small_cnn" in refused.value.remedy


def test_fixed_centres_are_opposite_and_have_nothing_to_train() -> None:
    centers = FixedCenters(128)
    first, second = centers()
    assert not list(centers.parameters())
    assert float((first - second).norm()) == pytest.approx(2, abs=1e-6)
    assert first.tolist() == pytest.approx([1 / math.sqrt(128)] * 128)
    assert float(first[0]) == pytest.approx(0.0883883, abs=1e-6)
    assert torch.equal(second, -first)


def test_fixed_centres_of_three_classes_are_refused() -> None:
    counts = {"blue": dict.fromkeys(("across", "down", "none"), (2, 1, 1))}
    data = make_classes(counts, classes=("across", "down", "none"))
    with pytest.raises(ConfigError, match="two classes, the data have 3"):
        make_centers(data.task, config(centers="fixed"))


@pytest.mark.parametrize("normalise", [True, False])
def test_learnt_centres_stay_of_unit_length_over_fifty_steps(normalise: bool) -> None:
    centers = Centers(3, 16, normalise)
    optimizer = torch.optim.Adam(centers.parameters(), lr=0.05, weight_decay=5e-5)
    for _ in range(50):
        optimizer.zero_grad()
        centers()[0].sum().backward()
        optimizer.step()
        if not normalise:
            centers.project()
    assert torch.allclose(centers().norm(dim=1), torch.ones(3), atol=1e-6)


def test_a_margin_that_the_radius_leaves_no_room_for_is_refused() -> None:
    with pytest.raises(ValueError, match="above twice the radius"):
        config(margin=0.2, radius=0.1)

"""The two losses of the latent space: values by hand, and gradients where a norm is 0."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mdx_l2i.losses import center_loss, latent_loss

ACROSS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
OPPOSITE = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
FIRST, SECOND = torch.tensor([0]), torch.tensor([1])


def test_latent_loss_squares_what_the_distance_exceeds_the_radius_by() -> None:
    loss = latent_loss(torch.tensor([[1.0, 0.0]]), SECOND, ACROSS, 0.1)
    assert float(loss) == pytest.approx((math.sqrt(2) - 0.1) ** 2, rel=1e-6)
    assert float(loss) == pytest.approx(1.727157, abs=1e-5)


def test_latent_loss_is_the_mean_over_the_batch() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert float(latent_loss(features, torch.tensor([1, 0]), ACROSS, 0.1)) == pytest.approx(1.727157 / 2, abs=1e-5)


@pytest.mark.parametrize("r", [0.1, 0.0])
def test_a_feature_on_its_centre_costs_nothing_and_has_a_finite_gradient(r: float) -> None:
    features = ACROSS[:1].clone().requires_grad_()
    loss = latent_loss(features, FIRST, ACROSS, r)
    loss.backward()
    assert float(loss.detach()) == 0
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros(1, 2))


@pytest.mark.parametrize(("centers", "expected"), [(ACROSS, 0.117994), (OPPOSITE, 0.0)])
def test_centres_repel_each_other_up_to_the_margin(centers: Tensor, expected: float) -> None:
    loss = center_loss(centers[:1], FIRST, centers, 0.1, 1.9)
    assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_a_target_image_within_the_radius_is_not_drawn_to_its_centre_and_one_outside_is() -> None:
    """Eq. 2's first term; the opposite centres leave the second at 0."""
    for angle, r, expected in ((0.09, 0.1, 0.0), (1.0, 0.1, (2 * math.sin(0.5) - 0.1) ** 2)):
        feature = torch.tensor([[math.cos(angle), math.sin(angle)]])
        assert float(center_loss(feature, FIRST, OPPOSITE, r, 1.9)) == pytest.approx(expected, abs=1e-6)


def test_one_pair_counts_once_in_the_mean_and_twice_in_the_sum() -> None:
    of_each = center_loss(ACROSS, torch.tensor([0, 1]), ACROSS, 0.1, 1.9)
    total = center_loss(ACROSS, torch.tensor([0, 1]), ACROSS, 0.1, 1.9, reduction="sum")
    assert float(of_each) == pytest.approx(0.117994, abs=1e-5)
    assert float(total) == pytest.approx(2 * 0.117994, abs=1e-5)


def test_three_centres_repel_pair_by_pair() -> None:
    centers = F.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), dim=1)
    gaps = [max(1.9 - float((centers[1] - centers[k]).norm()), 0) for k in (0, 2)]
    loss = center_loss(centers[1:2], SECOND, centers, 0.1, 1.9)
    assert float(loss) == pytest.approx(sum(gap**2 / 2 for gap in gaps), rel=1e-5)


def test_centres_that_coincide_have_a_finite_gradient() -> None:
    centers = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    center_loss(ACROSS, torch.tensor([0, 1]), centers, 0.0, 2.0).backward()
    assert centers.grad is not None
    assert torch.isfinite(centers.grad).all()


def test_latent_loss_holds_the_centres() -> None:
    centers = ACROSS.clone().requires_grad_()
    features = torch.tensor([[1.0, 0.0]], requires_grad=True)
    latent_loss(features, SECOND, centers, 0.1).backward()
    assert centers.grad is None
    assert features.grad is not None
    assert features.grad.abs().sum() > 0

"""Supervised contrast and the discrepancy of classes between domains, against numbers made elsewhere or by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mdx.errors import DataError
from mdx_adversarial.losses import contrastive_domain_discrepancy, supervised_contrastive_loss


@pytest.mark.parametrize(
    ("features", "labels", "temperature", "expected"),
    [("f1", "lab1", 0.07, "loss1_t007"), ("f1", "lab1", 0.1, "loss1_t01"), ("f2", "lab2", 0.07, "loss2_t007")],
)
def test_supervised_contrast_matches_the_reference(
    features: str, labels: str, temperature: float, expected: str, shared: Path
) -> None:
    golden = np.load(shared / "golden" / "l2i_supcon.npz")
    loss = supervised_contrastive_loss(torch.tensor(golden[features]), torch.tensor(golden[labels]), temperature)
    assert float(loss) == pytest.approx(float(golden[expected]), rel=1e-5)


def test_supervised_contrast_of_two_pairs_by_hand() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    # each anchor: similarity 1 to its positive and 0 to two others
    expected = -math.log(math.e / (math.e + 2))
    assert float(supervised_contrastive_loss(features, torch.tensor([0, 0, 1, 1]), 1.0)) == pytest.approx(expected)


def test_an_anchor_without_a_positive_is_left_out() -> None:
    features = F.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    assert float(supervised_contrastive_loss(features, torch.tensor([0, 1, 2]), 0.07)) == 0
    pair = supervised_contrastive_loss(features, torch.tensor([0, 0, 1]), 0.07)
    similarity = (features @ features.T) / 0.07
    by_hand = [torch.logsumexp(similarity[i, [j for j in range(3) if j != i]], 0) - similarity[0, 1] for i in (0, 1)]
    assert float(pair) == pytest.approx(float(sum(by_hand) / 2), rel=1e-5)


def test_supervised_contrast_stays_finite_for_opposite_features_at_a_low_temperature() -> None:
    features = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    loss = supervised_contrastive_loss(features, torch.tensor([0, 0, 1, 1]), 1e-3)
    loss.backward()
    assert torch.isfinite(loss)
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_discrepancy_of_single_points_by_hand() -> None:
    """Two classes with one point each: D(s, t) = 2 K - 2 sum_k exp(-1 / 2^k), whatever the (non-zero) distance."""
    source = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    target = torch.tensor([[0.0, 0.0], [0.0, 3.0]])
    apart = 2 * 5 - 2 * sum(math.exp(-(2.0**-power)) for power in (-2, -1, 0, 1, 2))
    cdd, intra, inter = contrastive_domain_discrepancy(source, target, [1, 1], [1, 1])
    # class 0 coincides in both domains, class 1 is apart; of the two pairs of different classes both are apart
    assert float(intra) == pytest.approx((0 + apart) / 2, rel=1e-5)
    assert float(inter) == pytest.approx(apart, rel=1e-5)
    assert float(cdd) == pytest.approx(apart / 2 - apart, rel=1e-5)


def test_discrepancy_of_a_pair_against_a_point_by_hand() -> None:
    """Source {0, 2}, target {1}, one kernel: distances 4, 1, 1, mean 2, so width 2."""
    cdd, intra, inter = contrastive_domain_discrepancy(
        torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]]), [2], [1], kernels=1
    )
    expected = (2 + 2 * math.exp(-2)) / 4 + 1 - 2 * math.exp(-0.5)
    assert float(intra) == pytest.approx(expected, rel=1e-5)
    assert float(inter) == 0
    assert float(cdd) == float(intra)


def test_equal_sets_have_no_intra_discrepancy_and_finite_gradients() -> None:
    source = torch.ones(4, 3, requires_grad=True)
    cdd, intra, _ = contrastive_domain_discrepancy(source, source.detach(), [2, 2], [2, 2])
    cdd.backward()
    assert float(intra.detach()) == pytest.approx(0, abs=1e-6)
    assert source.grad is not None
    assert torch.isfinite(source.grad).all()


def test_descending_the_discrepancy_brings_the_classes_of_the_target_to_those_of_the_source() -> None:
    """Features on the circle, the target's turned by 57 degrees; seed 0, 200 steps of Adam at 0.05."""
    generator = torch.Generator().manual_seed(0)

    def around(*angles: float) -> torch.Tensor:
        turned = torch.cat([torch.randn(8, generator=generator) * 0.1 + angle for angle in angles])
        return torch.stack([turned.cos(), turned.sin()], dim=1)

    source, raw = around(0.0, math.pi), around(1.0, math.pi + 1).requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        contrastive_domain_discrepancy(source, F.normalize(raw, dim=1), [8, 8], [8, 8])[0].backward()
        optimizer.step()
    left = F.normalize(raw.detach(), dim=1).view(2, 8, 2).mean(1) - source.view(2, 8, 2).mean(1)
    assert float(left.norm(dim=1).max()) < 0.1


@pytest.mark.parametrize(("sources", "targets"), [([2, 2], [3]), ([2, 1], [2, 2]), ([4, 0], [2, 2])])
def test_counts_that_do_not_fit_are_refused(sources: list[int], targets: list[int]) -> None:
    with pytest.raises(DataError, match="do not make 4 source and 4 target"):
        contrastive_domain_discrepancy(torch.zeros(4, 2), torch.zeros(4, 2), sources, targets)

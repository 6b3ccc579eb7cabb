"""The confusion loss by hand and against the authors' code."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mdx.errors import ConfigError
from mdx_adversarial.losses import confusion_loss


def test_uniform_probabilities_of_three_domains_cost_ln_3() -> None:
    assert float(confusion_loss(torch.zeros(1, 3))) == pytest.approx(1.0986123, abs=1e-6)
    assert float(confusion_loss(torch.zeros(4, 3))) == pytest.approx(1.0986123, abs=1e-6)
    assert float(confusion_loss(torch.zeros(4, 3), "sum")) == pytest.approx(4.3944492, abs=1e-6)


def test_probabilities_that_name_a_domain_cost_more() -> None:
    logits = torch.tensor([[0.7, 0.2, 0.1]]).log()
    assert float(confusion_loss(logits)) == pytest.approx(1.422899, abs=1e-6)


def test_the_authors_loss_and_gradient_are_reproduced(shared: Path) -> None:
    with np.load(shared / "golden" / "unlearning_confusion_loss.npz") as golden:
        for name in ("uniform1", "uniform4"):
            ours = confusion_loss(torch.from_numpy(golden[name]).double().log(), "sum")
            assert float(ours) == pytest.approx(float(golden[f"{name}_loss"]), abs=1e-6)  # stored in single precision
        p = torch.from_numpy(golden["probs"]).double()
        logits = p.log().requires_grad_()
        loss = confusion_loss(logits, "sum")
        assert float(loss.detach()) == pytest.approx(float(golden["loss"]), abs=1e-6)
        loss.backward()
        # through softmax: d/dz = p * (g - sum(p g)) for the gradient g of the probabilities
        g = torch.from_numpy(golden["grad_probs"]).double()
        through = p * (g - (p * g).sum(dim=1, keepdim=True)) / p.sum(dim=1, keepdim=True)
        torch.testing.assert_close(logits.grad, through, atol=1e-6, rtol=0)


def test_a_probability_of_zero_gives_no_infinity() -> None:
    logits = torch.tensor([[500.0, -500.0]], requires_grad=True)
    assert float(F.softmax(logits, dim=1)[0, 1].detach()) == 0.0
    loss = confusion_loss(logits)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(500.0)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_no_head_is_better_than_an_undecided_one() -> None:
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        assert float(confusion_loss(torch.randn(3, 5, generator=rng))) > math.log(5)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ConfigError, match="'max'"):
        confusion_loss(torch.zeros(1, 2), "max")

"""Gradient reversal and the domain head."""

from __future__ import annotations

import torch

from mdx_adversarial.layers import DomainHead, gradient_reversal


def test_gradient_reversal_leaves_values_alone() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(gradient_reversal(x, 0.3), x)


def test_gradient_reversal_turns_and_scales_the_gradient() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    gradient_reversal(x, 0.25).square().sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.tensor([-0.5, 1.0]))


def test_the_head_has_the_papers_parameters() -> None:
    assert sum(p.numel() for p in DomainHead(96, 2).parameters()) == 3170
    assert sum(p.numel() for p in DomainHead(96, 3).parameters()) == 3203


def test_the_head_gives_logits_and_not_probabilities() -> None:
    torch.manual_seed(0)
    logits = DomainHead(8, 3).eval()(torch.randn(5, 8) * 10)
    assert logits.shape == (5, 3)
    assert (logits < 0).any()

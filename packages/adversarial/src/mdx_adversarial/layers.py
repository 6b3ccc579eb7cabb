"""What stands between the features and the site: a head that names it, and a layer that turns its gradient round."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        return -ctx.scale * grad_outputs[0], None


def gradient_reversal(x: Tensor, scale: float) -> Tensor:
    """``x`` unchanged; its gradient is multiplied by ``-scale``. Source: Ganin et al. 2016, Eq. 7-8."""
    return _Reversal.apply(x, scale)  # type: ignore[no-any-return]


class DomainHead(nn.Sequential):
    """Features (B, features) to logits (B, domains): linear, ReLU, dropout, linear.

    Source: Dinsdale et al. 2020. Their code's Dropout3d drops whole rows of (B, features); this one drops features.
    """

    def __init__(self, features: int, domains: int, hidden: int = 32, dropout: float = 0.2) -> None:
        super().__init__(
            nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, domains)
        )  # fmt: skip


def reversal_scale(progress: float) -> float:
    """2 / (1 + exp(-10 p)) - 1 for progress p in [0, 1]. Source: Ganin et al. 2016, Sect. 5.2."""
    return 2 / (1 + math.exp(-10 * progress)) - 1

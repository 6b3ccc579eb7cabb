"""The two losses that give the latent space its geometry. Source: Wolleb et al. 2022, Eq. 2 and 3."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def latent_loss(features: Tensor, labels: Tensor, centers: Tensor, r: float) -> Tensor:
    """L_latent, the mean over the batch of max(|f - o_y| - r, 0)^2. It moves features only: centres are held.

    Args:
        features: (B, m) of unit length; labels: (B,) int64; centers: (n, m) of unit length.
        r: distance within which a case is not drawn any closer.
    """
    return _excess(features, centers.detach()[labels], r).mean()


def center_loss(
    features: Tensor, labels: Tensor, centers: Tensor, r: float, d: float, reduction: str = "mean"
) -> Tensor:
    """L_cen: of each target image max(|f - o_i| - r, 0)^2 + sum_{k != i} max(d - |o_k - o_i|, 0)^2 / 2.

    Args:
        features: (B, m), one target image of each class in training; labels: (B,); centers: (n, m).
        d: distance from which on two centres do not repel each other.
        reduction: ``mean`` or ``sum`` over the batch.
    """
    # the hinge is on the distance itself; vector_norm has the gradient 0 where that is 0
    distance = torch.linalg.vector_norm(centers[:, None] - centers, dim=2)
    missing = F.relu(d - distance).square() / 2
    repulsion = missing.sum(dim=1) - missing.diagonal()
    each = _excess(features, centers[labels], r) + repulsion[labels]
    return each.sum() if reduction == "sum" else each.mean()


def _excess(features: Tensor, centers: Tensor, r: float) -> Tensor:
    """(B,) squares of how much farther than r the features are from their centres."""
    return F.relu(torch.linalg.vector_norm(features - centers, dim=1) - r).square()

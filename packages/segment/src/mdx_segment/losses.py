"""Losses of binary and multi-label segmentation."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def soft_dice_loss(logits: Tensor, masks: Tensor, epsilon: float = 1e-7) -> Tensor:
    """1 - soft Dice of sigmoid probabilities with squared denominator, for each sample and class, averaged.

    Args:
        logits: (B, K, H, W).
        masks: (B, K, H, W), values 0 and 1.

    Source: Milletari et al., V-Net, 2016; the form with squares that the fda authors use.
    """
    probabilities = logits.float().sigmoid().flatten(2)
    truth = masks.flatten(2)
    shared = (probabilities * truth).sum(dim=2)
    total = (probabilities.square() + truth.square()).sum(dim=2)
    return (1 - 2 * shared / (total + epsilon)).mean()


def bce_dice_loss(logits: Tensor, masks: Tensor, bce_weight: float = 0.4, dice_weight: float = 0.6) -> Tensor:
    """Weighted sum of binary cross-entropy and soft Dice (Zakazov et al. 2022: 0.4 and 0.6).

    Shapes as in ``soft_dice_loss``; each class is a binary problem of its own.
    """
    bce = F.binary_cross_entropy_with_logits(logits.float(), masks)
    return bce_weight * bce + dice_weight * soft_dice_loss(logits, masks)

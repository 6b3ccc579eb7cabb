from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mdx_segment.losses import bce_dice_loss, soft_dice_loss


def test_golden_weighted_sum(shared: Path) -> None:
    golden = np.load(shared / "golden" / "fda_ce_plus_dice.npz")
    logits, target = torch.from_numpy(golden["logits"]), torch.from_numpy(golden["target"])
    assert abs(float(bce_dice_loss(logits, target)) - float(golden["loss"])) < 1e-6


def test_soft_dice_worked_out_by_hand() -> None:
    # probabilities 1/2, truth 1, 0: 1 - 2 * 0.5 / (0.25 + 0.25 + 1) = 1/3
    loss = soft_dice_loss(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]]))
    torch.testing.assert_close(loss, torch.tensor(1 / 3))


def test_each_sample_has_its_own_dice() -> None:
    logits, masks = (
        torch.tensor([9.0, -9, -9, -9]).reshape(2, 1, 1, 2),
        torch.tensor([1.0, 0, 1, 1]).reshape(2, 1, 1, 2),
    )
    each = [soft_dice_loss(logits[i : i + 1], masks[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(soft_dice_loss(logits, masks), sum(each) / 2)


def test_half_precision_logits_give_a_float32_loss() -> None:
    assert bce_dice_loss(torch.zeros(1, 1, 4, 4).bfloat16(), torch.ones(1, 1, 4, 4)).dtype == torch.float32

"""Which donors a slice gets (Zakazov et al. 2022, Sect. 3.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mdx_fda.bank import DonorBank
from mdx_fda.similarity import Features, score


def random_donors(bank: DonorBank, depth: int, n: int, seed: int) -> Tensor:
    """(depth, n, 2) scan and slice: scans drawn without replacement for each slice; the seed is set for each volume."""
    rng = np.random.default_rng(seed)
    n = min(n, len(bank))
    scans = [rng.choice(len(bank), size=n, replace=False) for _ in range(depth)]
    return torch.tensor([[[s, bank.position(int(s), i, depth)] for s in row] for i, row in enumerate(scans)])


def similar_donors_3d(bank: DonorBank, slices: Tensor, n: int) -> Tensor:
    """(S, n, 2) scan and slice: the same scans for every slice, those with the highest mean SR-SIM."""
    depth = len(slices)
    best = _best(_scores(bank, bank.features_of(slices)).mean(dim=0, keepdim=True), n)[0]
    return torch.tensor([[[s, bank.position(s, i, depth)] for s in best.tolist()] for i in range(depth)])


def similar_donors_2d(bank: DonorBank, slices: Tensor, n: int) -> Tensor:
    """(S, n, 2) scan and slice: for each slice the scans with the highest SR-SIM at the same position."""
    depth = len(slices)
    best = _best(_scores(bank, bank.features_of(slices)), n)
    return torch.tensor([[[s, bank.position(s, i, depth)] for s in row] for i, row in enumerate(best.tolist())])


def similar_donors_2_5d(bank: DonorBank, slices: Tensor, n: int, reach: int) -> Tensor:
    """(S, n, 2) scan and slice: as 2d, over the slices at -reach .. reach of every scan in one ranking.

    A scan may appear several times. The first and last ``reach`` slices look at their own position only (authors' code).
    """
    depth = len(slices)
    mine = bank.features_of(slices)
    scores, places = [], []
    for scan in range(len(bank)):
        own, last = torch.tensor(bank.positions(scan, depth)), len(bank.slices[scan]) - 1
        for offset in range(-reach, reach + 1):
            there = own + offset
            index = torch.arange(depth)
            allowed = (index >= reach) & (index < depth - reach) & (there >= 0) & (there <= last)
            allowed |= torch.tensor(offset == 0)
            there = there.clamp(0, last)
            scores.append(score(mine, bank.features[scan][there]).masked_fill(~allowed, -torch.inf))
            places.append(torch.stack([torch.full_like(there, scan), there], dim=-1))
    table, where = torch.stack(scores, dim=1), torch.stack(places, dim=1)
    best = table.sort(dim=1, descending=True, stable=True).indices[:, : min(n, len(bank))]
    return where.gather(1, best[..., None].expand(-1, -1, 2))


def _scores(bank: DonorBank, mine: Features) -> Tensor:
    """(S, K) SR-SIM of each slice with each scan's slice at the same position."""
    depth = len(mine.saliency)
    return torch.stack([score(mine, bank.features[k][bank.positions(k, depth)]) for k in range(len(bank))], dim=1)


def _best(scores: Tensor, n: int) -> Tensor:
    """Indices (..., n) of the highest scores; the first of equals."""
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., :n]

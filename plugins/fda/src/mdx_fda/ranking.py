"""Which donors a target scan gets: the most similar by SR-SIM, or random ones (Zakazov et al. 2022, Sect. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdx_fda.bank import POOLED, Bank, crop_edge, crop_features
from mdx_fda.fourier import is_flat
from mdx_fda.similarity import score


@dataclass(frozen=True)
class Donors:
    """The donors of every slice of a target scan, best first.

    Attributes:
        scans: (S, n) index of the donor scan in the bank.
        slices: (S, n) index of the slice in that scan.
        similarity: (S, n) SR-SIM, of the whole scan where scans were ranked; None for random donors.
    """

    scans: Tensor
    slices: Tensor
    similarity: Tensor | None = None

    def described(self, bank: Bank) -> dict[str, Any]:
        """Plain values for the record of a case; one list where all slices have the same donors."""
        names = [[bank.ids[k] for k in row] for row in self.scans.tolist()]
        scores = None if self.similarity is None else [[round(v, 4) for v in row] for row in self.similarity.tolist()]
        if all(row == names[0] for row in names) and (scores is None or all(row == scores[0] for row in scores)):
            return {"donors": names[0], "similarity": None if scores is None else scores[0]}
        return {"donors": names, "donor_slices": self.slices.tolist(), "similarity": scores}


def rank_3d(target: Tensor, bank: Bank, n: int, candidates: int = 256) -> Donors:
    """The n scans with the highest mean similarity over slices serve every slice of ``target`` (S, C, H, W).

    Flat slices, which no swap changes, are left out of the mean. Of a bank of more than ``candidates`` scans so many
    are compared: see ``narrowed``.
    """
    scores = similarities(target, bank, among=narrowed(target, bank, max(n, candidates), whole=True))
    varied = ~is_flat(target.mean(dim=1))[:, 0, 0]
    best = _best(scores[varied if bool(varied.any()) else slice(None)].mean(dim=0)[None], n)
    scans = best.indices.expand(len(target), -1)
    return Donors(scans, _slices(bank, scans), best.values.expand(len(target), -1))


def rank_2d(target: Tensor, bank: Bank, n: int, candidates: int = 256) -> Donors:
    """The n best scans for each slice of ``target`` (S, C, H, W), at the same position; see ``narrowed``."""
    best = _best(similarities(target, bank, among=narrowed(target, bank, max(n, candidates))), n)
    return Donors(best.indices, _slices(bank, best.indices), best.values)


def rank_2_5d(target: Tensor, bank: Bank, n: int, half_range: int = 2, candidates: int = 256) -> Donors:
    """The n best slices for each slice of ``target`` (S, C, H, W), up to ``half_range`` slices away.

    All candidates are one ranking, so a scan may serve several times. The first and last ``half_range`` slices are
    compared with the same position only (authors' code). See ``narrowed``, which looks at the same position.
    """
    offsets = [0, *(o for step in range(1, half_range + 1) for o in (-step, step))]
    among = narrowed(target, bank, max(n, candidates))
    scores = torch.stack([similarities(target, bank, o, among) for o in offsets], dim=-1)
    scores[:half_range, :, 1:] = -torch.inf
    scores[max(0, len(target) - half_range) :, :, 1:] = -torch.inf
    best = _best(scores.flatten(1), min(n, len(bank)))
    scans = best.indices // len(offsets)
    moved = torch.tensor(offsets)[best.indices % len(offsets)]
    return Donors(scans, _slices(bank, scans) + moved, best.values)


def draw(target: Tensor, bank: Bank, n: int, seed: int) -> Donors:
    """n different random scans for each slice of ``target`` (S, C, H, W), at the same position.

    The generator is set anew for each target scan, so donors do not depend on which scans came before (authors' code).
    """
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(len(bank))[:n] for _ in range(len(target))]
    scans = torch.from_numpy(np.stack(rows))
    return Donors(scans, _slices(bank, scans))


def similarities(target: Tensor, bank: Bank, offset: int = 0, among: Tensor | None = None) -> Tensor:
    """(S, len(bank)) SR-SIM of each slice of ``target`` with the paired slice of each scan, moved by ``offset``.

    -inf where the moved slice lies outside the scan, and where ``among``, (S, len(bank)) bool, leaves it out.
    """
    edge = crop_edge(min(bank.smallest_edge, *target.shape[-2:]))
    own = crop_features(target, edge)
    asked = torch.ones(len(target), len(bank), dtype=torch.bool) if among is None else among
    found = torch.full(asked.shape, -torch.inf)
    for k, pair in enumerate(bank.pairs(len(target))):
        rows, moved = asked[:, k], pair + offset
        rows = rows & (moved >= 0) & (moved < len(bank.scans[k]))
        if bool(rows.any()):
            found[rows, k] = score(own[rows], bank.features(k, edge)[moved[rows]])
    return found


def narrowed(target: Tensor, bank: Bank, most: int, whole: bool = False) -> Tensor | None:
    """(S, len(bank)) bool: for each slice, or for all of them (``whole``), the scans that are compared exactly.

    They are the ``most`` scans whose features, averaged over squares of 4 pixels, are most similar: 1/16 of the work.
    None for a bank that has no more.
    """
    if len(bank) <= most:
        return None
    edge = crop_edge(min(bank.smallest_edge, *target.shape[-2:]))
    own = crop_features(target, edge).pooled(POOLED)
    pairs = bank.pairs(len(target))
    scores = torch.stack([score(own, c[pair]) for c, pair in zip(bank.coarse(edge), pairs, strict=True)], dim=1)
    if whole:
        scores = scores.mean(dim=0, keepdim=True).expand_as(scores)
    return torch.zeros(scores.shape, dtype=torch.bool).scatter_(1, _best(scores, most).indices, True)


def _best(scores: Tensor, n: int) -> Any:
    """The n highest of each row and where they are; of equal ones the first in the bank."""
    ordered = torch.sort(scores, dim=-1, descending=True, stable=True)
    return type(ordered)((ordered.values[..., :n], ordered.indices[..., :n]))


def _slices(bank: Bank, scans: Tensor) -> Tensor:
    """(S, n) the paired slice of each chosen scan."""
    pairs = torch.stack(bank.pairs(len(scans)), dim=1)
    return pairs.gather(1, scans)

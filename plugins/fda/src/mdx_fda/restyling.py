"""The algorithm, for any slice model: choose donors, swap amplitudes, average what the network says of the results."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mdx.errors import DataError
from mdx_fda.bank import Bank
from mdx_fda.config import FDAConfig
from mdx_fda.fourier import disc, square, swap_region
from mdx_fda.ranking import Donors, draw, rank_2_5d, rank_2d, rank_3d

Predict = Callable[[Tensor], Tensor]
WINDOWS = {"disc": disc, "square": square}


def adapt_and_predict(target: Tensor, bank: Bank, config: FDAConfig, predict: Predict) -> tuple[Tensor, Donors, Tensor]:
    """The method, for any slice model: p(t) = mean over donors s of net(F^-1(mask A(s) + (1 - mask) A(t), P(t))).

    Args:
        target: (S, C, H, W) slices of one scan, in [0, 1].
        predict: the source model, slices (S, C, H, W) to probabilities (S, K, H, W).

    Returns:
        probabilities (S, K, H, W), the donors, and the slices (S, C, H, W) restyled by the first donor of each.

    Raises DataError if the donors have other channels. Source: Zakazov et al. 2022, Sect. 3.
    """
    donors = choose_donors(target, bank, config)
    restyled = restyle(target, bank, donors, region_for(target, config), config)
    return mean_prediction(restyled, predict), donors, restyled[0]


def choose_donors(target: Tensor, bank: Bank, config: FDAConfig) -> Donors:
    """The donors of slices (S, C, H, W), ``n_mst`` each, fewer if the bank is smaller."""
    if target.shape[1] != bank.channels:
        raise DataError(f"has {target.shape[1]} channel(s), the donors have {bank.channels}", "give the same contrasts")
    on_cpu = target.cpu()
    match config.donors:
        case "3d":
            return rank_3d(on_cpu, bank, config.n_mst, config.candidates)
        case "2d":
            return rank_2d(on_cpu, bank, config.n_mst, config.candidates)
        case "2.5d":
            return rank_2_5d(on_cpu, bank, config.n_mst, config.half_range, config.candidates)
        case "random":
            return draw(on_cpu, bank, config.n_mst, config.donor_seed)


def region_for(target: Tensor, config: FDAConfig) -> Tensor:
    """(H, W) bool: the frequencies of slices (S, C, H, W) that are swapped."""
    height, width = target.shape[-2:]
    return WINDOWS[config.window]((height, width), config.radius_for(height, width))


def predict_restyled(
    target: Tensor, bank: Bank, donors: Donors, region: Tensor, config: FDAConfig, predict: Predict
) -> Tensor:
    """Mean probabilities (S, K, H, W) of ``target`` with the amplitudes of each of its donors in ``region``."""
    return mean_prediction(restyle(target, bank, donors, region, config), predict)


def restyle(target: Tensor, bank: Bank, donors: Donors, region: Tensor, config: FDAConfig) -> list[Tensor]:
    """``target`` (S, C, H, W) with the amplitudes of each of its donors in ``region``; one if these are averaged."""
    shape = (target.shape[-2], target.shape[-1])
    scans, slices = donors.scans, donors.slices
    if not bool(region.any()):  # nothing is taken from a donor, so all of them give the same slices
        scans, slices = scans[:, :1], slices[:, :1]
    sources = [bank.take(k, j, shape).to(target.device) for k, j in zip(scans.T, slices.T, strict=True)]
    if config.mst == "amplitudes":
        return [swap_region(torch.stack(sources), target, region, config.postprocess)]
    return [swap_region(source[None], target, region, config.postprocess) for source in sources]


def mean_prediction(restyled: list[Tensor], predict: Predict) -> Tensor:
    """(S, K, H, W): what the source model says of each, averaged."""
    return torch.stack([predict(slices) for slices in restyled]).mean(dim=0)

"""A slice network over a whole volume."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from mdx_segment.brought import BroughtNetwork

MULTIPLE = 8
"""Edges of a slice must be multiples of this for a U-Net of three levels."""
CPU_BYTES = 6 * 2**20
"""Of the first layer's output: what is larger the allocator maps and clears anew in every layer of a CPU."""


def slices_of(image: Tensor) -> Tensor:
    """(S, C, H, W) slices of a volume (C, H, W, S) along its last axis, or the one slice of (C, H, W)."""
    return image[None] if image.ndim == 3 else image.permute(3, 0, 1, 2)


def volume_of(slices: Tensor, like: Tensor) -> Tensor:
    """The reverse of ``slices_of`` for an image shaped like ``like``."""
    return slices[0] if like.ndim == 3 else slices.permute(1, 2, 3, 0)


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU for one that has none."""
    held = next(itertools.chain(network.parameters(), network.buffers()), None)
    return torch.device("cpu") if held is None else held.device


def predict_slices(network: nn.Module, slices: Tensor, batch_size: int = 16) -> Tensor:
    """Probabilities (S, K, H, W) of slices (S, C, H, W), on the CPU as float32: the sigmoid of a network's logits.

    Each slice is padded to multiples of 8 with its minimum, and the padding is cut off again (authors' code). A
    network that the user brings has its own multiple and gives probabilities itself. On a CPU fewer than
    ``batch_size`` slices go through at once where that is faster (see ``fitting_batch``).
    """
    brought = isinstance(network, BroughtNetwork)
    multiple = network.contract.multiple if brought else MULTIPLE
    device = device_of(network)
    height, width = slices.shape[-2:]
    done = []
    for batch in slices.split(batch_size if device.type != "cpu" else fitting_batch(network, slices, batch_size)):
        made = network(pad_to_multiple(batch, multiple).to(device))[..., :height, :width].float()
        done.append((made if brought else made.sigmoid()).cpu())
    return torch.cat(done)


def fitting_batch(network: nn.Module, slices: Tensor, most: int) -> int:
    """How many slices (S, C, H, W) at once keep the first convolution's output below ``CPU_BYTES``; at least 1."""
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        return most
    height, width = slices.shape[-2:]
    return max(1, min(most, CPU_BYTES // (4 * first.out_channels * height * width)))


def pad_to_multiple(slices: Tensor, multiple: int = MULTIPLE) -> Tensor:
    """Pad (S, C, H, W) at the far ends, each channel of each slice with its own minimum."""
    height, width = slices.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if not below and not right:
        return slices
    padded = slices.amin(dim=(-2, -1), keepdim=True).repeat(1, 1, height + below, width + right)
    padded[..., :height, :width] = slices
    return padded


def predict_volume(network: nn.Module, image: Tensor, batch_size: int = 16) -> Tensor:
    """Probabilities (K, H, W[, S]) of an image (C, H, W[, S]), slice by slice along the last axis."""
    return volume_of(predict_slices(network, slices_of(image), batch_size), image)

"""A slice network that the user brings, behind the interface of the networks made here."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mdx.errors import ConfigError
from mdx_segment.own_network import BACKGROUND, SliceNetwork

PROBED_EDGE = 64


class BroughtNetwork(nn.Module):
    """The network of an ONNX or TorchScript file: slices (B, C, H, W) to probabilities (B, K, H, W) of the classes.

    Args:
        own: with a module; its contract says which activation is still to be applied, and the order of the classes.
        classes: the task's classes.
    """

    def __init__(self, own: SliceNetwork, classes: tuple[str, ...]) -> None:
        super().__init__()
        if own.module is None:
            raise ConfigError("holds no network but the weights of a run", "give an ONNX or TorchScript file", own.name)
        self.module, self.contract, self.name = own.module, own.contract, own.name
        self.channels = [own.contract.classes.index(name) for name in classes]

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities (B, K, H, W); the background's is left out."""
        made = self.module(x).float()
        if self.contract.activation == "logits":
            made = made.softmax(dim=1) if BACKGROUND in self.contract.classes else made.sigmoid()
        return made[:, self.channels]

    @torch.no_grad()
    def check(self, device: torch.device) -> None:
        """Raises ConfigError where the network does not do on noise what its contract states; seed 0."""
        edge = self.contract.multiple * -(-PROBED_EDGE // self.contract.multiple)
        noise = torch.rand(2, self.contract.channels, edge, edge, generator=torch.Generator().manual_seed(0))
        try:
            made = self.module.eval()(noise.to(device))
        except RuntimeError as error:
            raise ConfigError(
                f"fails on an input of shape {tuple(noise.shape)}: {str(error).strip().splitlines()[-1]}",
                "correct 'channels' and 'multiple' in its contract, or save it with its weights on the CPU",
                self.name,
            ) from error
        expected = (2, len(self.contract.classes), edge, edge)
        if not isinstance(made, Tensor) or tuple(made.shape) != expected:
            found = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise ConfigError(
                f"expected an output of shape {expected}, found {found}",
                "name every output channel in 'classes', the background too; the output must have the input's size",
                self.name,
            )
        activation, total = self.contract.activation, made.sum(dim=1)
        inside = bool(((made >= 0) & (made <= 1)).all())
        sums = activation != "softmax" or bool((total - 1).abs().max() < 1e-3)
        if activation != "logits" and not (inside and sums):
            raise ConfigError(
                f"expected probabilities of a {activation}, found values from {float(made.min()):.3g} to "
                f"{float(made.max()):.3g} that sum to {float(total.min()):.3g} to {float(total.max()):.3g}",
                "state activation 'logits', or the one that the network applies",
                self.name,
            )

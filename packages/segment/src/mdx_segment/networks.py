"""The residual 2-D U-Net that the fda, SpotTUNet and MMTL papers train on one site."""

from __future__ import annotations

from torch import Tensor, nn


class _ResidualBlock(nn.Module):
    """Batch norm, ReLU, 3x3 convolution without bias, twice, added to the input (pre-activation)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.path(x)


def _blocks(channels: int) -> list[nn.Module]:
    return [_ResidualBlock(channels) for _ in range(3)]


def _down(channels: int) -> nn.Sequential:
    """Half the resolution, twice the channels."""
    halve = nn.Conv2d(channels, 2 * channels, 2, stride=2, bias=False)
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), halve, *_blocks(2 * channels))


def _up(channels: int) -> nn.ConvTranspose2d:
    """Twice the resolution, half the channels."""
    return nn.ConvTranspose2d(channels, channels // 2, 2, stride=2, bias=False)


class ResidualUNet2d(nn.Module):
    """A U-Net of three levels whose decoder adds skips instead of concatenating them.

    Input (B, in_channels, H, W) with H and W multiples of 8, output logits (B, out_channels, H, W). With one input and
    one output channel and 16 filters it has 1,561,491 parameters. The logits pass a batch norm (authors' code).

    Source: Zakazov et al., Feather-Light Fourier Domain Adaptation, 2022, Sect. 4, and the authors' code.
    """

    def __init__(self, in_channels: int, out_channels: int, filters: int) -> None:
        super().__init__()
        n = filters
        self.first = nn.Sequential(nn.Conv2d(in_channels, n, 3, padding=1, bias=False), *_blocks(n))
        self.skip0 = nn.Conv2d(n, n, 1)
        self.down1 = _down(n)
        self.skip1 = nn.Conv2d(2 * n, 2 * n, 1)
        self.down2 = _down(2 * n)
        self.skip2 = nn.Conv2d(4 * n, 4 * n, 1)
        self.bottleneck = nn.Sequential(*_down(4 * n), _up(8 * n))
        self.up2 = nn.Sequential(*_blocks(4 * n), _up(4 * n))
        self.up1 = nn.Sequential(*_blocks(2 * n), _up(2 * n))
        self.last = nn.Sequential(
            *_blocks(n), nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, out_channels, 1), nn.BatchNorm2d(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, H, W) of (B, in_channels, H, W)."""
        x0 = self.first(x)
        x1 = self.down1(x0)
        x2 = self.down2(x1)
        y = self.up2(self.bottleneck(x2) + self.skip2(x2))
        y = self.up1(y + self.skip1(x1))
        return self.last(y + self.skip0(x0))

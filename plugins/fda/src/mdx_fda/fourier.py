"""The low-frequency amplitude swap (Zakazov et al. 2022, Sect. 3).

The *target* gets the source's amplitudes and keeps its own phase, and the network is never retrained. FDA as Yang and
Soatto published it (CVPR 2020) goes the other way, and swaps a square.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from mdx.errors import ConfigError, DataError

Output = Literal["abs_max", "abs", "real", "real_clip", "complex"]
Array = TypeVar("Array", np.ndarray, Tensor)
Window = Callable[[tuple[int, int], float], Tensor]


def disc(shape: tuple[int, int], radius_px: float) -> Tensor:
    """(H, W) bool: frequencies nearer than ``radius_px`` to zero frequency, which is at (H // 2, W // 2).

    The bound is strict, so a radius of 0 selects nothing (authors' code).
    """
    rows, columns = _offsets(shape)
    return (rows[:, None].square() + columns.square()).sqrt() < radius_px


def square(shape: tuple[int, int], radius_px: float) -> Tensor:
    """(H, W) bool: the window of Yang and Soatto, floor(radius_px) to each side.

    The bound is inclusive, so that zero frequency is swapped even at a radius of 0.
    """
    rows, columns = _offsets(shape)
    return torch.maximum(rows[:, None].abs(), columns.abs()) <= radius_px // 1


def _offsets(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    height, width = shape
    return (
        torch.arange(height, dtype=torch.float64) - height // 2,
        torch.arange(width, dtype=torch.float64) - width // 2,
    )


def swap_amplitude(
    source: Array,
    target: Array,
    beta: float,
    output: Output = "abs_max",
    *,
    radius_px: float | None = None,
    window: Window = disc,
) -> Array:
    """Give ``target`` the amplitudes of ``source`` at low frequencies, and keep its phase.

    Args:
        source, target: (..., H, W) arrays or tensors; leading axes broadcast.
        beta: radius of the swapped frequencies as a share of the shorter edge.
        output: ``abs_max`` the modulus divided by its maximum over the slice (authors' code), ``abs`` the modulus,
            ``real`` the real part, ``real_clip`` that clipped to [0, 1], ``complex`` the inverse FFT itself.
        radius_px: the radius in pixels of the spectrum, instead of beta * min(H, W).
        window: the shape of the swapped region, ``disc`` or ``square``.

    Returns:
        an array or tensor like the inputs. A flat target slice comes back unchanged: it has no phase to keep.

    Raises DataError for slices of different shapes.
    """
    return swap_mean_amplitude(source[None], target, beta, output, radius_px=radius_px, window=window)


def swap_mean_amplitude(
    sources: Array,
    target: Array,
    beta: float,
    output: Output = "abs_max",
    *,
    radius_px: float | None = None,
    window: Window = disc,
) -> Array:
    """As ``swap_amplitude``, with the mean of the amplitudes of several ``sources`` (n, ..., H, W)."""
    s, t = torch.as_tensor(sources), torch.as_tensor(target)
    height, width = t.shape[-2:]
    if s.shape[-2:] != t.shape[-2:]:
        shapes = f"{tuple(s.shape[-2:])} and {tuple(t.shape[-2:])}"
        raise DataError(f"slices of {shapes} have no common frequencies", "bring them to one shape first")
    radius = beta * min(height, width) if radius_px is None else radius_px
    with torch.autocast(t.device.type, enabled=False):  # there is no FFT of bfloat16
        s, t = (x if x.dtype == torch.float64 else x.float() for x in (s, t))
        low = torch.fft.ifftshift(window((height, width), radius)).to(t.device)
        spectrum = torch.fft.fft2(t)
        amplitude = torch.where(low, torch.fft.fft2(s).abs().mean(dim=0), spectrum.abs())
        swapped = torch.fft.ifft2(torch.polar(amplitude, spectrum.angle()))
        made = _postprocess(swapped, t, output)
    return cast(Array, made.numpy() if isinstance(target, np.ndarray) else made)


def _postprocess(swapped: Tensor, target: Tensor, output: Output) -> Tensor:
    match output:
        case "complex":
            return swapped
        case "real":
            made = swapped.real
        case "real_clip":
            made = swapped.real.clamp(0, 1)
        case "abs":
            made = swapped.abs()
        case "abs_max":
            made = swapped.abs()
            made = made / made.amax(dim=(-2, -1), keepdim=True).clamp_min(torch.finfo(made.dtype).tiny)
        case _:
            raise ConfigError(f"there is no output '{output}'", "use abs_max, abs, real, real_clip or complex")
    return torch.where(is_flat(target), target, made)


def is_flat(slices: Tensor) -> Tensor:
    """(..., 1, 1) bool: whether a slice (..., H, W) has one value only, as background has."""
    return slices.amax(dim=(-2, -1), keepdim=True) == slices.amin(dim=(-2, -1), keepdim=True)

"""The low-frequency amplitude swap (Zakazov et al. 2022, Sect. 3).

The *target* gets the source's amplitudes and keeps its own phase, and the network is never retrained. FDA as Yang and
Soatto published it (CVPR 2020) goes the other way, and swaps a square.
"""

from __future__ import annotations

from typing import Literal, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from mdx.errors import ConfigError, DataError

Output = Literal["abs_max", "abs", "real", "real_clip", "complex"]
Array = TypeVar("Array", np.ndarray, Tensor)


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


def swap_amplitude(source: Array, target: Array, beta: float, output: Output = "abs_max") -> Array:
    """Give ``target`` the amplitudes of ``source`` nearer to zero frequency than beta * min(H, W); keep its phase.

    Args:
        source, target: (..., H, W) arrays or tensors; leading axes broadcast.
        beta: radius of the swapped disc as a share of the shorter edge.
        output: ``abs_max`` the modulus divided by its maximum over the slice (authors' code), ``abs`` the modulus,
            ``real`` the real part, ``real_clip`` that clipped to [0, 1], ``complex`` the inverse FFT itself.

    Returns:
        an array or tensor like the inputs. A flat target slice comes back unchanged: it has no phase to keep.

    Raises DataError for slices of different shapes.
    """
    height, width = target.shape[-2:]
    made = swap_region(
        torch.as_tensor(source)[None], torch.as_tensor(target), disc((height, width), beta * min(height, width)), output
    )
    return cast(Array, made.numpy() if isinstance(target, np.ndarray) else made)


def swap_region(sources: Tensor, target: Tensor, region: Tensor, output: Output = "abs_max") -> Tensor:
    """Give ``target`` (..., H, W) the mean amplitude of ``sources`` (n, ..., H, W) in ``region`` of the spectrum.

    ``region`` is (H, W) bool with zero frequency in the middle, as ``disc`` and ``square`` make it. Outputs and errors
    as in ``swap_amplitude``.
    """
    if sources.shape[-2:] != target.shape[-2:]:
        shapes = f"{tuple(sources.shape[-2:])} and {tuple(target.shape[-2:])}"
        raise DataError(f"slices of {shapes} have no common frequencies", "bring them to one shape first")
    with torch.autocast(target.device.type, enabled=False):  # there is no FFT of bfloat16
        t = target if target.dtype == torch.float64 else target.float()
        s = sources.to(t)
        spectrum = torch.fft.fft2(t)
        low = torch.fft.ifftshift(region).to(t.device)
        amplitude = torch.where(low, torch.fft.fft2(s).abs().mean(dim=0), spectrum.abs())
        swapped = torch.fft.ifft2(torch.polar(amplitude, spectrum.angle()))
        return _postprocess(swapped, t, output)


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

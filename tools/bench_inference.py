"""What the batch and the layout of slices cost on a CPU: CPU time of one thread, medians of alternating turns.

``python tools/bench_inference.py`` predicts slices of the paper's size as ``predict_slices`` batches them and 16 at
once, and takes forward passes and training steps of small and large U-Nets in torch's own layout and in channels-last.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mdx_segment.inference import pad_to_multiple, predict_slices
from mdx_segment.losses import bce_dice_loss
from mdx_segment.networks import ResidualUNet2d

TURNS = 3


def in_turns(title: str, first: Callable[[], object], second: Callable[[], object]) -> None:
    """Print the median CPU seconds of both, after a turn that is not counted, and their ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS + 1):
        for into, action in zip(times, (first, second), strict=True):
            started = time.process_time()
            action()
            into += [time.process_time() - started] if turn else []
    a, b = map(statistics.median, times)
    print(f"{title:<72}{a:8.3f} s{b:8.3f} s{a / b:7.2f}", flush=True)


def step(network: nn.Module, image: Tensor, mask: Tensor) -> None:
    bce_dice_loss(network(image), mask).backward()


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, slices = ResidualUNet2d(1, 1, 16).eval(), torch.randn(16, 1, 182, 218)
    with torch.inference_mode():
        in_turns(
            "16 slices of 182 x 218, 16 filters: all at once, in batches that fit",
            lambda: network(pad_to_multiple(slices)).sigmoid(), lambda: predict_slices(network, slices),
        )  # fmt: skip
    for filters, shape in ((4, (16, 1, 80, 80)), (8, (16, 1, 64, 80)), (16, (2, 1, 184, 224))):
        plain, last = (ResidualUNet2d(1, 1, filters) for _ in range(2))
        last = last.to(memory_format=torch.channels_last)
        image = torch.randn(shape)
        turned, mask = image.contiguous(memory_format=torch.channels_last), (image > 0).float()
        size = f"{filters} filters, {' x '.join(map(str, shape))}: torch's layout, channels-last"
        in_turns(
            f"step, {size}",
            lambda n=plain, x=image, m=mask: step(n, x, m), lambda n=last, x=turned, m=mask: step(n, x, m),
        )  # fmt: skip
        with torch.inference_mode():
            in_turns(f"forward, {size}", lambda n=plain, x=image: n(x), lambda n=last, x=turned: n(x))


if __name__ == "__main__":
    main()

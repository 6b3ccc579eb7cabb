"""What a CUDA device changes: do trainings agree with the CPU's, and what do bf16 and the papers' image sizes cost?

``python tools/bench_gpu.py parity`` trains every variant of every plugin for a few small batches on the CPU and on the
device, from the same weights on the same batches, and prints how far apart the weights end: the distance between the
two, as a share of the way that the CPU's weights went. Adam's first steps have the length of the learning rate whatever
the gradient, so weights whose gradient is all rounding go their own way; SGD's do not. TensorFloat-32, torch's default
for convolutions, is measured on and off.

``python tools/bench_gpu.py speed`` takes the papers' image sizes, batches and networks, and prints the median time of a
step and the peak of the memory in float32 and with bf16.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import torch
from bench_training import METHODS, Measured, cohort, measure, settings_of, variants_of

from mdx.interfaces.dataset import Dataset


def device_options(device: str, precision: str = "32-true") -> argparse.Namespace:
    """Nothing is dropped: each device draws what to drop from a generator of its own."""
    return argparse.Namespace(device=device, precision=precision, no_dropout=True)


def distance(one: Measured, other: Measured) -> float:
    """How far apart two trainings ended, as a share of the way that ``one`` went."""
    held = min(len(one.before), len(one.after))  # networks that are made in ``fit`` have no weights before
    way = (one.after[:held] - one.before[:held]).double().norm()
    return float((one.after - other.after).double().norm() / way)


def allow_tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = False


def parity(plugins: list[str], steps: int) -> None:
    print("distance to the CPU's weights / length of the CPU's way")
    print(f"{'plugin':<12}{'variant':<24}{'float32':>10}{'TF32':>10}{'bf16':>10}{'twice':>10}")
    for plugin in plugins:
        subject = METHODS[plugin]
        size, _, settings = settings_of(subject, full=False, steps=steps)
        data = cohort(subject.kind, size)
        for name in variants_of(plugin):
            on_cpu = measure(plugin, name, data, settings, device_options("cpu"))
            allow_tf32(False)
            exact = measure(plugin, name, data, settings, device_options("cuda"))
            allow_tf32(True)
            rounded = measure(plugin, name, data, settings, device_options("cuda"))
            again = measure(plugin, name, data, settings, device_options("cuda"))
            mixed = measure(plugin, name, data, settings, device_options("cuda", "bf16-mixed"))
            shares = [distance(on_cpu, other) for other in (exact, rounded, mixed)]
            texts = "".join(f"{share:>10.1e}" for share in shares)
            print(f"{plugin:<12}{name:<24}{texts}{distance(rounded, again):>10.1e}", flush=True)


def speed(plugins: list[str], steps: int) -> None:
    for plugin in plugins:
        subject = METHODS[plugin]
        size, batch, settings = settings_of(subject, full=True, steps=steps)
        data = cohort(subject.kind, size)
        print(f"{plugin}: batches of {batch} x {'x'.join(map(str, size))}: float32, bf16, ratio; peaks in GB")
        for name in variants_of(plugin):
            exact, mixed = (measured(plugin, name, data, settings, p) for p in ("32-true", "bf16-mixed"))
            for stage in (exact or mixed or Measured({}, 0, torch.empty(0), torch.empty(0))).stages:
                texts = [f"{found.stages[stage] * 1e3:9.1f} ms" if found else f"{'no memory':>12}"
                         for found in (exact, mixed)]  # fmt: skip
                ratio = f"{exact.stages[stage] / mixed.stages[stage]:5.2f}x" if exact and mixed else ""
                peaks = "".join(f"{found.peak:7.1f}" if found else f"{'-':>7}" for found in (exact, mixed))
                print(f"  {name:<24}{stage:<10}{''.join(texts)}  {ratio:>6}{peaks}", flush=True)


def measured(plugin: str, name: str, data: Dataset, settings: dict[str, Any], precision: str) -> Measured | None:
    """As ``measure``; None if the device's memory does not hold it."""
    torch.cuda.empty_cache()
    try:
        return measure(plugin, name, data, settings, device_options("cuda", precision))
    except torch.OutOfMemoryError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["parity", "speed"])
    parser.add_argument("plugins", nargs="*", default=list(METHODS), help=f"of {', '.join(METHODS)}")
    parser.add_argument("--steps", type=int, default=4, help="batches of an epoch")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device that torch can use")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {os.cpu_count()} cores")
    (parity if options.what == "parity" else speed)(options.plugins, options.steps)


if __name__ == "__main__":
    main()

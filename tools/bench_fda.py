"""What fda costs: donor search against a pairwise loop, the swap's share of apply, a training step against bare torch.

``python tools/bench_fda.py`` makes its own scans of the paper's slice size and exits 1 if a target is missed. Ratios
are of times within one run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from mdx.evaluation.kept import KeptPrediction
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Task
from mdx.interfaces.geometry import Geometry
from mdx.training.run import Run
from mdx_fda.adapter import FDA
from mdx_fda.bank import Bank, crop_edge, crops_at_mass
from mdx_fda.config import FDAConfig
from mdx_fda.fourier import disc, swap_region
from mdx_fda.ranking import rank_2d, rank_3d
from mdx_fda.similarity import sr_sim
from mdx_segment.inference import predict_slices
from mdx_segment.losses import bce_dice_loss

TARGET_SEARCH, TARGET_SWAP, TARGET_STEP = 5.0, 0.05, 1.05
SHAPE = (182, 218)
TASK = Task("segmentation", ("brain",), ("image",), 3, ("A",), label_values=((1,),))


def scan(seed: int, depth: int) -> Tensor:
    rng = np.random.default_rng(seed)
    texture = gaussian_filter(rng.normal(size=(depth, *SHAPE)), (0.5, 3, 3))
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    inside = y**2 + x**2 < 0.7
    image = inside * (texture - texture.min()) / np.ptp(texture)
    return torch.from_numpy(image.astype(np.float32))[:, None]


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def donor_search(scans: int, depth: int) -> tuple[float, float, float]:
    """(pairwise loop, search with an unused bank, search with a used one), in seconds for one target scan."""
    bank = Bank([str(i) for i in range(scans)], [scan(i, depth) for i in range(scans)])
    target = scan(1000, depth)
    edge = crop_edge(min(SHAPE))
    own = crops_at_mass(target[:, 0], edge)

    def pairwise() -> Tensor:
        theirs = [crops_at_mass(s.float()[:, 0], edge) for s in bank.scans]
        return torch.tensor([[sr_sim(own[i], crops[i]) for crops in theirs] for i in range(depth)])

    sr_sim(own[0], own[0])  # makes the constant matrices
    loop_scores: list[Tensor] = []
    loop = seconds(lambda: loop_scores.append(pairwise()))
    first = seconds(lambda: rank_3d(target, bank, 7))
    again = min(seconds(lambda: rank_3d(target, bank, 7)) for _ in range(3))
    ranked = rank_2d(target, bank, scans)
    assert ranked.similarity is not None  # of ranked donors it never is
    found = torch.zeros(depth, scans).scatter(1, ranked.scans, ranked.similarity)
    torch.testing.assert_close(found, loop_scores[0], atol=1e-4, rtol=0)
    return loop, first, again


def narrowed_search(scans: int, depth: int) -> tuple[float, float, float]:
    """(all scans of a used bank compared, 64 of them, share of donors that are the same), for one target scan."""
    bank = Bank([str(i) for i in range(scans)], [scan(i, depth) for i in range(scans)])
    target = scan(1000, depth)
    found = {c: rank_3d(target, bank, 7, candidates=c) for c in (scans, 64)}
    whole, few = (min(seconds(lambda c=c: rank_3d(target, bank, 7, candidates=c)) for _ in range(3)) for c in found)
    exact, near = (set(d.scans[0].tolist()) for d in found.values())
    return whole, few, len(exact & near) / 7


def swap_share(depth: int) -> tuple[float, float, float]:
    """Seconds of the swaps, the whole prediction, and keeping its masks for a picture: one scan, seven donors."""
    method = FDA(FDAConfig.model_validate({}))
    network = method.build(TASK).network.eval()
    target, donors = scan(0, depth), [scan(i, depth) for i in range(1, 8)]
    low = disc(SHAPE, 0.015 * min(SHAPE))
    restyled = [swap_region(d[None], target, low) for d in donors]
    swaps = min(seconds(lambda: [swap_region(d[None], target, low) for d in donors]) for _ in range(3))
    with torch.inference_mode():
        network_s = seconds(lambda: [predict_slices(network, r) for r in restyled])
    # blocks of 16 voxels: a mask of connected parts, not noise
    mask = torch.rand(1, 12, 14, depth).round().repeat_interleave(16, 1).repeat_interleave(16, 2).numpy()
    prediction = Prediction(Geometry(np.eye(4), mask.shape[1:]), segmentation=mask)
    keeping = min(seconds(lambda: KeptPrediction(prediction)) for _ in range(3))
    return swaps, swaps + network_s, keeping


def training_step(steps: int) -> tuple[float, float]:
    """Seconds of a step (bare torch, through Run) on equal networks and batches, taken in turns.

    The machine drifts by more than the difference that is looked for: the ratio is the median over the turns of what
    two neighbouring steps took.
    """
    method = FDA(FDAConfig.model_validate({}))
    torch.manual_seed(0)
    bare = method.build(TASK).network
    model = method.build(TASK)
    model.network.load_state_dict(bare.state_dict())
    image = torch.rand(4, 1, 160, 160)
    mask = (image > 0.5).float()
    options = {"lr": 1e-3, "momentum": 0.9, "nesterov": True}
    times: dict[str, list[float]] = {"bare": [], "run": []}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), method, model)
        run.journal.stream = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the run
        ours = run.optimizer("main", model.network.parameters(), "sgd", **options)
        theirs = torch.optim.SGD(bare.parameters(), **options)

        def bare_step() -> None:
            theirs.zero_grad(set_to_none=True)
            _loss(bare, image, mask).backward()
            theirs.step()

        def run_step() -> None:
            loss = _loss(model.network, image, mask)
            run.step(ours, loss, log={"loss": loss})

        for _ in run.epochs("main", 1):
            for i in range(steps):
                turns = [("bare", bare_step), ("run", run_step)]
                for name, step in turns if i % 2 else reversed(turns):
                    times[name].append(seconds(step))
    bare_median = float(np.median(times["bare"]))
    return bare_median, bare_median * float(np.median(np.divide(times["run"], times["bare"])))


def _loss(network: nn.Module, image: Tensor, mask: Tensor) -> Tensor:
    return bce_dice_loss(network(image), mask)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=45, help="donors in the bank")
    parser.add_argument("--depth", type=int, default=8, help="slices of each scan")
    parser.add_argument("--steps", type=int, default=24, help="training steps of each kind")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; one gives steady ratios")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loop, first, again = donor_search(options.scans, options.depth)
    every, few, same = narrowed_search(4 * options.scans, options.depth)
    swaps, whole, keeping = swap_share(options.depth)
    bare, ours = training_step(options.steps)
    threads = torch.get_num_threads()
    print(f"{options.scans} scans of {options.depth} slices of {SHAPE[0]} x {SHAPE[1]}, {threads} thread(s)")
    rows = [
        ("donor search, bank in use", f"loop {loop:.2f} s, bank {again:.2f} s", loop / again, f">= {TARGET_SEARCH}",
         loop / again >= TARGET_SEARCH),
        ("donor search, first scan", f"loop {loop:.2f} s, bank {first:.2f} s", loop / first, "", True),
        (f"donor search, 64 of {4 * options.scans} scans", f"all {every:.2f} s, narrowed {few:.2f} s, "
         f"{same:.0%} of the donors the same", every / few, "", True),
        ("swap's share of apply", f"swaps {swaps:.2f} s of {whole:.2f} s", swaps / whole, f"<= {TARGET_SWAP}",
         swaps / whole <= TARGET_SWAP),
        ("masks kept for a picture", f"keeping {keeping:.4f} s, predicting {whole:.2f} s", keeping / whole, "", True),
        ("training step / bare torch", f"bare {bare * 1e3:.1f} ms, run {ours * 1e3:.1f} ms", ours / bare,
         f"<= {TARGET_STEP}", ours / bare <= TARGET_STEP),
    ]  # fmt: skip
    for name, measured, ratio, target, good in rows:
        print(f"{name:<28} {measured:<32} ratio {ratio:6.3f}  {target:<8} {'' if good else 'MISSED'}")
    return 0 if all(row[-1] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

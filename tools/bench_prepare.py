"""What ``mdx data prepare`` costs on one head: seconds and the peak of memory of every step, from file to picture.

``python tools/bench_prepare.py [T1.nii.gz ...]`` takes the given scans, or makes a head of 0.9 mm with skull, scalp and
a bias field from the template, and exits 1 if one takes longer than ``--limit`` seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from mdx.data.files.facts import cores
from mdx.errors import MdxError
from mdx_prepare import case
from mdx_prepare.cohort import FOLDERS, prepare_and_record
from mdx_prepare.config import PrepareConfig
from mdx_prepare.origin import Origin
from mdx_prepare.template import packaged_maps

TARGET_S = 60.0
SPACING_MM = 0.9
SKULL_MM, SCALP_MM = 8.0, 15.0
SKULL, SCALP = 0.15, 1.3
NOISE = 0.02


def make_head(path: Path) -> None:
    """The template turned by 8 degrees on voxels of 0.9 mm, in a skull and a bright scalp, under a smooth field."""
    rng = np.random.default_rng(0)
    (t1,), affine = packaged_maps("t1")
    t1 = np.pad(t1, 20)
    affine = affine @ np.array([[1, 0, 0, -20], [0, 1, 0, -20], [0, 0, 1, -20], [0, 0, 0, 1.0]])
    brain = np.asarray(ndimage.binary_fill_holes(t1 > 0))
    distance = np.asarray(ndimage.distance_transform_edt(~brain))
    shells = [distance == 0, distance <= SKULL_MM, distance <= SCALP_MM]
    head = np.select(shells, [t1, np.full_like(t1, SKULL), np.full_like(t1, SCALP)], 0.0)
    angle = np.deg2rad(8.0)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    step = turn * SPACING_MM
    shape = np.ceil(np.array(head.shape) / SPACING_MM).astype(int)
    offset = (np.array(head.shape) - 1) / 2 - step @ ((shape - 1) / 2)
    head = ndimage.affine_transform(head, np.c_[step, offset], output_shape=tuple(shape), order=1)
    slope = np.linspace(-0.2, 0.2, shape[1], dtype=np.float32)[None, :, None]
    head = head * np.exp(slope) + rng.normal(0, NOISE, tuple(shape))
    nib.save(
        nib.Nifti1Image((500 * np.clip(head, 0, None)).astype(np.int16), affine @ np.diag([SPACING_MM] * 3 + [1])), path
    )


def peak_mb(reset: bool = False) -> float:
    """The peak of this process' memory since the last reset, as Linux counts it; nan elsewhere."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return float("nan")
    found = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return int(found.split()[1]) / 1024


def measure(scan: Path, out: Path, threads: int) -> tuple[dict[str, float], dict[str, float], dict | MdxError]:
    """Seconds and MB by step, and the record of the case; runs in a process of its own."""
    peaks: dict[str, float] = {}
    plain = case.Work.timed

    @contextmanager
    def watched(self: case.Work, step: str) -> Iterator[None]:
        if not peaks:
            peaks["read"] = peak_mb(reset=True)
        with plain(self, step):
            yield
        peaks[step] = max(peaks.get(step, 0.0), peak_mb(reset=True))

    case.Work.timed = watched
    for name in FOLDERS:
        (out / name).mkdir(parents=True, exist_ok=True)
    files, config = case.CaseFiles("head", {"image": scan}), PrepareConfig()
    record = prepare_and_record(files, Origin.of(files, config), config, out, threads)
    return ({}, peaks, record) if isinstance(record, MdxError) else (record["seconds"], peaks, record)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="*", type=Path, help="T1s of the head; none: one is made")
    parser.add_argument("--limit", type=float, default=TARGET_S, help="seconds that one head may take")
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        scans = options.scans or [Path(name) / "head.nii.gz"]
        if not options.scans:
            make_head(scans[0])
        for n, scan in enumerate(scans):
            with get_context("spawn").Pool(1) as pool:
                seconds, peaks, record = pool.apply(measure, (scan, Path(name) / str(n), options.threads))
            if isinstance(record, MdxError):
                print(f"{scan.name}: failed: {record}")
                return 1
            shape = " x ".join(map(str, record["inputs"]["image"]["shape"]))
            print(f"{scan.name}: {shape} voxels, {options.threads} threads")
            for step, value in seconds.items():
                peak = peaks.get(step, max(peaks.values()))
                print(f"  {step:<10} {value:7.2f} s {peak:7.0f} MB")
            said = "; ".join(record["suspicions"]) or "nothing suspicious"
            print(f"  template explains {record['registration']['correlation_ratio']:.2f}, "
                  f"brain {record['brain']['ml']:.0f} ml, {said}")  # fmt: skip
            slowest = max(slowest, seconds["all"])
    print("target met" if slowest <= options.limit else f"TARGET MISSED: a head took {slowest:.0f} s")
    return 0 if slowest <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())

"""How fast data come in: a cached loader epoch against an uncached one, tables, a check of many files.

The check of 3,000 small colour pictures is set against reading and decoding them in one thread and nothing else.

``python tools/bench_data.py`` makes its own volumes in a temporary folder and exits 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from mdx.data.batches.sampling import RandomSlices, make_loader
from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.confounding import confounding_table
from mdx.data.files.facts import cores
from mdx.data.files.images import read_image
from mdx.data.open import open_table
from mdx.data.table import read_table

TARGET_RATIO = 5.0
TARGET_TABLE_S = 2.0
ROWS = 100_000


def make_cohort(folder: Path, volumes: int, size: int) -> Path:
    rng = np.random.default_rng(0)
    lines = ["image,mask,subject,site,split"]
    for i in range(volumes):
        image = rng.normal(100, 20, (size, size, size)).astype(np.float32)
        mask = (image > 130).astype(np.uint8)
        for name, values in (("image", image), ("mask", mask)):
            nib.save(nib.Nifti1Image(values, np.diag([-1.0, 1, 1, 1])), folder / f"{name}{i}.nii.gz")
        lines.append(f"image{i}.nii.gz,mask{i}.nii.gz,s{i},site{i % 2},train")
    table = folder / "cohort.csv"
    table.write_text("\n".join(lines))
    return table


def make_pictures(folder: Path, count: int) -> Path:
    """Colour JPEG of 200 x 150 pixels at four sites with seven classes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    lines = ["image,subject,site,class"]
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
        coarse.resize((200, 150)).save(folder / f"p{i}.jpg")
        lines.append(f"p{i}.jpg,s{i},site{i % 4},c{i % 7}")
    table = folder / "pictures.csv"
    table.write_text("\n".join(lines))
    return table


def seconds(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    action()
    return clock() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=12)
    parser.add_argument("--size", type=int, default=96, help="voxels along each edge")
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--draws", type=int, default=160, help="slices of an epoch, in batches of 16")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MDX_CACHE"] = str(folder / "cache")
        table = make_cohort(folder, options.volumes, options.size)

        def epoch(cache: bool) -> None:
            data = open_table(table, DataConfig(cache=cache))
            steps = options.draws // 16
            for _ in make_loader(data, 16, view=RandomSlices(crop=64), steps=steps, seed=0):
                pass

        def whole_pass(cache: bool) -> None:
            for _ in make_loader(open_table(table, DataConfig(cache=cache)), 1, seed=0):
                pass

        checked = seconds(lambda: check(open_table(table, DataConfig()), DataConfig()))
        whole_pass(cache=False)  # imports MONAI
        filling = seconds(lambda: whole_pass(cache=True))
        slices = seconds(lambda: epoch(cache=False)), seconds(lambda: epoch(cache=True))
        wholes = seconds(lambda: whole_pass(cache=False)), seconds(lambda: whole_pass(cache=True))
        pictures = make_pictures(folder, options.pictures)
        shown = open_table(pictures, DataConfig())
        decoding = seconds(lambda: [read_image(case.images["image"]) for case in shown.cases])
        looking = seconds(lambda: check(shown, DataConfig()))
        again = seconds(lambda: check(shown, DataConfig()))
        tabulating = seconds(lambda: confounding_table(shown))
        large = folder / "large.csv"
        rows = (f"i{i}.nii.gz,m{i}.nii.gz,s{i},site{i % 9},{i % 80}" for i in range(ROWS))
        large.write_text("\n".join(["image,mask,subject,site,age", *rows]))
        turns = [
            [seconds(lambda: read_table(large, DataConfig()), time.process_time),
             seconds(lambda: pd.read_csv(large, dtype=str), time.process_time),
             seconds(lambda: [folder / f"i{i}.nii.gz" for i in range(2 * ROWS)], time.process_time)]
            for _ in range(3)
        ]  # fmt: skip
        opening, as_text, paths = map(statistics.median, zip(*turns, strict=True))
    print(f"{options.volumes} volumes of {options.size}^3 with masks, {cores()} cores")
    print(f"check of {2 * options.volumes} files          {checked:8.2f} s")
    print(f"first epoch, filling the cache  {filling:8.2f} s")
    for title, (fresh, cached) in ((f"{options.draws} slices of 64 x 64", slices), ("every volume once", wholes)):
        print(f"{title:<24} uncached {fresh:8.2f} s, cached {cached:7.3f} s, ratio {fresh / cached:6.1f}")
    print(f"check of {options.pictures} pictures          {looking:8.2f} s, again {again:.2f} s; one thread decodes "
          f"them in {decoding:.2f} s")  # fmt: skip
    print(f"their confounding table         {tabulating:8.3f} s")
    print(f"table of {ROWS} rows            {opening:8.2f} s of CPU, {opening / as_text:.0f}x pandas' reading as text, "
          f"{opening / paths:.1f}x making a Path for each of its files")  # fmt: skip
    good = min(slices[0] / slices[1], wholes[0] / wholes[1]) >= TARGET_RATIO and opening <= TARGET_TABLE_S
    print("targets met" if good else f"TARGET MISSED: ratio >= {TARGET_RATIO}, table <= {TARGET_TABLE_S} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

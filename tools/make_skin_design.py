"""A design from HAM10000 in which source of the image and class go together in training and not in the test.

    python tools/make_skin_design.py FOLDER TABLE.csv [--seed 0]

FOLDER has ``metadata.csv`` and ``images``. Classes: ``nevus`` (nv) and ``other`` (mel, bkl). The target is
``vidir_modern``, with few cases of both; ``vidir_molemax`` and ``vienna_dias`` train with nevi alone, ``rosendahl``
with others alone; all are tested with both. One image a lesion (the first, at the first of its sources), drawn
at random; none is in two splits.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

CLASS_OF = {"nv": "nevus", "mel": "other", "bkl": "other"}
TARGET = "vidir_modern"
DESIGN: Mapping[str, Mapping[str, tuple[int, int, int]]] = {
    TARGET: {"nevus": (30, 30, 90), "other": (30, 30, 90)},
    "vidir_molemax": {"nevus": (200, 0, 30), "other": (0, 0, 30)},
    "vienna_dias": {"nevus": (60, 0, 20), "other": (0, 0, 20)},
    "rosendahl": {"nevus": (0, 0, 50), "other": (190, 0, 50)},
}
"""Source -> class -> lesions in train, val and test."""


def lesions(folder: Path) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(source, class) -> (lesion, its first image) of all lesions, sorted."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    seen: set[str] = set()
    with (folder / "metadata.csv").open(encoding="utf-8") as stream:
        for row in sorted(csv.DictReader(stream), key=lambda r: r["image_id"]):
            if row["dx"] in CLASS_OF and row["lesion_id"] not in seen:
                seen.add(row["lesion_id"])
                found[row["dataset"], CLASS_OF[row["dx"]]].append((row["lesion_id"], row["image_id"]))
    return found


def rows(folder: Path, table: Path, seed: int) -> Iterator[dict[str, str]]:
    """The rows of the table; images are named relative to it."""
    rng = np.random.default_rng(seed)
    known = lesions(folder)
    for site, of_class in DESIGN.items():
        for name, numbers in of_class.items():
            drawn = iter(rng.permutation(len(known[site, name]))[: sum(numbers)])
            if len(known[site, name]) < sum(numbers):
                raise SystemExit(
                    f"{site} has {len(known[site, name])} lesions of {name}, the design needs {sum(numbers)}"
                )
            for split, n in zip(("train", "val", "test"), numbers, strict=True):
                for _ in range(n):
                    lesion, image = known[site, name][next(drawn)]
                    path = os.path.relpath(folder / "images" / f"{image}.jpg", table.parent)
                    yield {"image": path, "class": name, "subject": lesion, "site": site, "split": split,
                           "role": "target" if site == TARGET else "source"}  # fmt: skip


def main() -> None:
    """Write the table and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    made = list(rows(given.folder.resolve(), given.table.resolve(), given.seed))
    given.table.parent.mkdir(parents=True, exist_ok=True)
    with given.table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(made[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(made)
    print(f"{given.table}: {len(made)} images of {len({row['subject'] for row in made})} lesions")


if __name__ == "__main__":
    main()

"""A design from HAM10000 in which source of the image and class go together in training and not in the test.

    python tools/make_skin_design.py FOLDER TABLE.csv [--seed 0] [--oracle]

FOLDER has ``metadata.csv`` and ``images``. Classes: ``nevus`` (nv) and ``keratinocytic`` (bkl, akiec, bcc). The target
is ``vidir_modern``, with few training cases of both; ``vidir_molemax`` and ``vienna_dias`` train with nevi alone,
``rosendahl`` with keratinocytic lesions alone; all are tested with both. One image a lesion (the first by name), drawn
at random; none is in two splits. With ``--oracle`` the table has many cases of the target and nothing else: what can
be learnt from these images where nothing is confounded.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

CLASS_OF = {"nv": "nevus", "bkl": "keratinocytic", "akiec": "keratinocytic", "bcc": "keratinocytic"}
TARGET = "vidir_modern"
Design = Mapping[str, Mapping[str, tuple[int, int, int]]]
DESIGN: Design = {
    TARGET: {"nevus": (30, 24, 90), "keratinocytic": (30, 24, 90)},
    "vidir_molemax": {"nevus": (150, 0, 30), "keratinocytic": (0, 0, 30)},
    "vienna_dias": {"nevus": (70, 0, 30), "keratinocytic": (0, 0, 6)},
    "rosendahl": {"nevus": (0, 0, 60), "keratinocytic": (220, 0, 60)},
}
ORACLE: Design = {TARGET: {"nevus": (84, 20, 40), "keratinocytic": (84, 20, 40)}}
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


def rows(folder: Path, table: Path, design: Design, seed: int) -> Iterator[dict[str, str]]:
    """The rows of the table; images are named relative to it."""
    rng = np.random.default_rng(seed)
    known = lesions(folder)
    for site, of_class in design.items():
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
    parser.add_argument("--oracle", action="store_true", help="many cases of the target, no source")
    given = parser.parse_args()
    made = list(rows(given.folder.resolve(), given.table.resolve(), ORACLE if given.oracle else DESIGN, given.seed))
    given.table.parent.mkdir(parents=True, exist_ok=True)
    with given.table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(made[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(made)
    print(f"{given.table}: {len(made)} images of {len({row['subject'] for row in made})} lesions")


if __name__ == "__main__":
    main()

"""The design from HAM10000: source and class go together in training alone, and no lesion is in two splits."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[3] / "tools" / "make_skin_design.py"
Rows = list[dict[str, str]]


def make(folder: Path, out: Path, *options: str) -> Rows:
    table = out / "skin.csv"
    subprocess.run([sys.executable, TOOL, folder, table, *options], check=True, capture_output=True)
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert all((out / row["image"]).resolve().is_file() for row in rows)
    return rows


@pytest.fixture
def folder(shared: Path) -> Path:
    return shared / "data" / "skin_ham10000"


def test_the_source_gives_the_class_away_in_training_and_not_in_the_test(folder: Path, tmp_path: Path) -> None:
    classes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in make(folder, tmp_path):
        classes[row["split"], row["site"]].add(row["class"])
    both = {"nevus", "keratinocytic"}
    sources = ("rosendahl", "vidir_molemax", "vienna_dias")
    assert all(len(classes["train", site]) == 1 for site in sources)
    assert all(classes["test", site] == both for site in (*sources, "vidir_modern"))
    assert all(classes[split, "vidir_modern"] == both for split in ("train", "val"))


@pytest.mark.parametrize("options", [(), ("--oracle",)])
def test_a_lesion_has_one_image_and_is_in_one_split(options: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    rows = make(folder, tmp_path, *options)
    assert max(Counter(row["subject"] for row in rows).values()) == 1
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_another_seed_draws_other_lesions_in_equal_numbers(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, again, other = (
        make(folder, out, "--seed", seed) for out, seed in ((tmp_path, "1"), (tmp_path, "1"), (tmp_path / "other", "2"))
    )
    assert first == again
    assert {row["subject"] for row in first} != {row["subject"] for row in other}
    counts = [Counter((r["site"], r["class"], r["split"]) for r in rows) for rows in (first, other)]
    assert counts[0] == counts[1]

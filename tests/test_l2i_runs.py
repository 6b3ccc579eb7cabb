"""Learn to Ignore from the command line: classes in a table of real files, to the scores and ``mdx apply``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from small_cohort import write_scan

Call = Callable[..., tuple[int, str]]

SMALL = [
    "--set", "data.label=class", "backbone=small_cnn", "width=4", "latent=8", "standardise_pooled=true",
    "augmentation=false", "steps=2", "epochs=2", "patience=null", "run.bootstrap=100", "data.val_fraction=0.25",
    "data.test_fraction=0.25",
]  # fmt: skip


def write_table(folder: Path, dims: int, counts: dict[str, dict[str, int]]) -> Path:
    """Images whose class is a bright corner and whose site is the noise; PNG in colour, or NIfTI."""
    rng = np.random.default_rng(0)
    lines = ["image,class,subject,site"]
    for s, (site, of_class) in enumerate(counts.items()):
        for name, n in of_class.items():
            for i in range(n):
                key = f"{site}{name}{i}"
                values = rng.normal(100, 5 + 10 * s, (22, 20, 18) if dims == 3 else (22, 20, 3))
                values[3:9, 3:9] += 80 * (name == "ill")
                if dims == 3:
                    path = write_scan(folder / "images" / f"{key}.nii.gz", values.astype(np.float32))
                else:
                    path = folder / "images" / f"{key}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path)
                lines.append(f"images/{path.name},{name},{key},{site}")
    table = folder / "classes.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


CONFOUNDED = {"T": {"ill": 12, "well": 12}, "A": {"ill": 12}, "B": {"well": 12}}


def test_a_run_scores_target_and_source_beside_its_baselines(tmp_path: Path, mdx: Call) -> None:
    table = write_table(tmp_path, 2, CONFOUNDED)
    code, printed = mdx(
        "run", "l2i", "--data", f"csv:{table}", *SMALL, "target=T", "--device", "cpu", "--out", tmp_path / "runs"
    )
    assert code == 0, printed
    (run,) = (tmp_path / "runs").iterdir()
    for folder in (run, run / "baselines" / "vanilla", run / "baselines" / "l2i_fixed"):
        rows = json.loads((folder / "summary.json").read_text())
        found = {(row["metric"], row["group"]): row["mean"] for row in rows}
        assert {(m, "role=target") for m in ("accuracy", "kappa", "auroc")} <= set(found)
        assert 0 <= found["site_probe_accuracy", "all"] <= 1
    code, printed = mdx("apply", run, next((tmp_path / "images").iterdir()), "--out", tmp_path / "out")
    assert code == 0, printed
    header = (tmp_path / "out" / "predictions.csv").read_text().splitlines()[0].split(",")
    assert [name for name in header if name.startswith("distance_to_center_")]


def test_a_target_without_a_class_is_named_with_what_to_do(tmp_path: Path, mdx: Call) -> None:
    table = write_table(tmp_path, 2, CONFOUNDED)
    code, printed = mdx(
        "run", "l2i", "--data", f"csv:{table}", *SMALL, "target=A", "--device", "cpu", "--out", tmp_path / "runs"
    )
    assert code == 4
    assert "no case of class well among the target training cases" in printed
    assert "name a study with all classes as target" in printed


def test_no_target_at_all_is_said_as_such(tmp_path: Path, mdx: Call) -> None:
    table = write_table(tmp_path, 2, CONFOUNDED)
    code, printed = mdx("run", "l2i", "--data", f"csv:{table}", *SMALL, "--device", "cpu", "--out", tmp_path / "runs")
    assert code == 4
    assert "there are none at all" in printed


def test_a_dry_run_refuses_what_the_run_would_refuse(tmp_path: Path, mdx: Callable[..., tuple[int, str]]) -> None:
    pixels = np.random.default_rng(0)
    lines = ["image,subject,site,class"]
    for i in range(16):
        Image.fromarray(pixels.integers(0, 255, (32, 32), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,s{i},{'AB'[i % 2]},{'xy'[i // 2 % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    code, printed = mdx("run", "l2i", "--data", f"csv:{tmp_path}/t.csv", "--dry-run")
    assert code == 4, printed
    assert "among the target training cases" in printed
    assert "name a study with all classes as target" in printed

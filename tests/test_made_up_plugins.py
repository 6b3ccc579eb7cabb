"""Made-up plugins run from the command line: what core offers and none of the papers' plugins needs yet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from mdx.runs.checkpoint import load_tree

Cli = Callable[..., tuple[int, str]]
FOLDER = Path(__file__).parent / "plugins"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def last_metrics(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def the_run(folder: Path) -> Path:
    (run,) = folder.iterdir()
    return run


def test_slices_with_neighbours_pairs_of_slices_and_puzzles_are_trained_on(
    cohort: Path, mdx: Cli, tmp_path: Path
) -> None:
    asked = ("run", "pieces", "--data", f"csv:{cohort}", "--set", "every=2", "run.bootstrap=100", "--device", "cpu")
    code, printed = mdx(*asked, "--out", tmp_path / "runs")
    assert code == 0, printed
    run = the_run(tmp_path / "runs")
    found = last_metrics(run)
    assert {"train/order", "train/pair", "train/sites"} <= set(found)
    code, printed = mdx("apply", run, cohort.parent / "images" / "A0.nii.gz", "--out", tmp_path / "applied")
    assert code == 0, printed


def test_slices_too_far_apart_are_refused_with_the_case(cohort: Path, mdx: Cli, tmp_path: Path) -> None:
    code, printed = mdx("run", "pieces", "--data", f"csv:{cohort}", "--set", "apart=6", "--out", tmp_path / "runs")
    assert code == 4
    assert "has 6 slice(s), no two of which are 6 apart" in printed


def few(mdx: Cli, cohort: Path, out: Path, *settings: str, seed: int = 0) -> tuple[int, str]:
    return mdx(
        "run", "few", "--data", f"csv:{cohort}", "--device", "cpu", "--out", out, "--seed", str(seed),
        "--set", "source=A", "target=B", "run.bootstrap=100", *settings,
    )  # fmt: skip


def test_labels_beyond_the_budget_are_hidden_recorded_and_said(cohort: Path, mdx: Cli, tmp_path: Path) -> None:
    asked = ("data.labelled=2", "data.labelled_role=target")
    code, printed = few(mdx, cohort, tmp_path / "runs", *asked)
    assert code == 0, printed
    run = the_run(tmp_path / "runs")
    splits = pd.read_csv(run / "splits.csv").query("split == 'train'")
    assert splits.groupby(["role", "labelled"]).size().to_dict() == {
        ("source", "yes"): 4, ("target", "no"): 2, ("target", "yes"): 2,
    }  # fmt: skip
    notes = json.loads((run / "notes.json").read_text())
    budget = (
        "2 of 4 training subjects of the target keep their labels (data.labelled=2, data.labelled_seed=0): B 2 of 4."
    )
    assert budget in notes
    assert "6 subjects have labels, 8 scans agree." in notes
    assert budget in (run / "report.html").read_text()
    assert pd.read_csv(run / "data.csv")["mask"].notna().all()
    code, printed = few(mdx, cohort, tmp_path / "runs", *asked, "data.labelled_seed=1")
    assert code == 0, printed
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_dry_run_says_the_budget_and_refuses_one_that_is_too_large(cohort: Path, mdx: Cli, tmp_path: Path) -> None:
    asked = ("run", "unlearning", "--dry-run", "--data", f"csv:{ages(cohort)}", "--set", "source=A,B", "data.label=age")
    code, printed = mdx(*asked, "data.labelled=50%")
    assert code == 0, printed
    assert "labelled: 4 of 8 training subjects of the source keep their labels" in printed
    code, printed = mdx(*asked, "data.labelled=9")
    assert code == 4
    assert "9 training subject(s) of the source are to keep their labels, and 8 have one (A 4, B 4)" in printed
    assert mdx(*asked, "data.labelled=0")[0] == 3


def ages(cohort: Path) -> Path:
    """The table with an age in place of the mask."""
    table = pd.read_csv(cohort).drop(columns="mask")
    path = cohort.parent / "ages.csv"
    table.assign(age=[20.5 + 3 * i for i in range(len(table))]).to_csv(path, index=False)
    return path


def test_a_network_starts_from_a_run_or_a_file_and_the_digest_names_the_run(
    cohort: Path, mdx: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert few(mdx, cohort, tmp_path / "first")[0] == 0
    first = the_run(tmp_path / "first")
    code, printed = few(mdx, cohort, tmp_path / "second", f"encoder={first}:encoder", seed=1)
    assert code == 0, printed
    (second,) = (tmp_path / "second").iterdir()
    taken = f"from {first.name}:encoder: 6 weights matched, 0 missing, 0 of another shape, 0 unexpected"
    assert taken in json.loads((second / "notes.json").read_text())
    assert taken in (second / "report.html").read_text()
    assert list(json.loads((second / "provenance.json").read_text())["weights"]) == ["encoder"]

    tensors = load_tree(first / "checkpoints" / "final.safetensors")["model"]
    encoder = {f"backbone.{n.removeprefix('encoder.')}": v for n, v in tensors.items() if n.startswith("encoder.")}
    assert len(encoder) == 7
    save_file(encoder, tmp_path / "net.safetensors")
    monkeypatch.chdir(tmp_path)
    code, printed = few(mdx, cohort, tmp_path / "third", "encoder=net.safetensors", "epochs=1")
    assert code == 0, printed
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "net.safetensors").rename(tmp_path / "elsewhere" / "moved.safetensors")
    code, printed = few(mdx, cohort, tmp_path / "third", "encoder=elsewhere/moved.safetensors", "epochs=1")
    assert code == 0, printed
    assert "this run exists and is finished" in printed
    save_file({name: value + 1 for name, value in encoder.items()}, tmp_path / "net.safetensors")
    code, printed = few(mdx, cohort, tmp_path / "third", "encoder=net.safetensors", "epochs=1")
    assert "this run exists" not in printed


def test_a_run_from_weights_goes_on_in_another_folder_and_not_with_other_weights(
    cohort: Path, mdx: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norm = {"1.bias": 0, "1.weight": 1, "1.running_mean": 0, "1.running_var": 1}
    shapes = {"0.weight": (8, 1, 3, 3), "0.bias": (8,), **dict.fromkeys(norm, (8,))}
    tensors = {name: torch.full(shape, float(norm.get(name, 0.1))) for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "net.safetensors")
    monkeypatch.chdir(tmp_path)
    assert few(mdx, cohort, tmp_path / "runs", "encoder=net.safetensors", "epochs=1")[0] == 0
    run = the_run(tmp_path / "runs")
    for name in ("done", "summary.json", "checkpoints/final.safetensors"):
        (run / name).unlink()
    monkeypatch.chdir(cohort.parent)
    code, printed = mdx("resume", run)
    assert code == 0, printed
    (run / "done").unlink()
    save_file({name: value * 2 for name, value in tensors.items()}, tmp_path / "net.safetensors")
    code, printed = mdx("resume", run)
    assert code == 8
    assert "changed since: the weights that 'encoder' names" in printed
    (tmp_path / "net.safetensors").unlink()
    assert mdx("resume", run)[0] == 3
    assert mdx("apply", run, cohort.parent / "images" / "A0.nii.gz", "--out", tmp_path / "applied")[0] == 0


def test_weights_of_another_network_are_refused_with_the_report(cohort: Path, mdx: Cli, tmp_path: Path) -> None:
    save_file({"0.weight": torch.zeros(8, 1, 3, 3), "0.bias": torch.zeros(8)}, tmp_path / "net.safetensors")
    code, printed = few(mdx, cohort, tmp_path / "runs", f"encoder={tmp_path / 'net.safetensors'}")
    assert code == 3
    assert "only 2 of 6 weights are taken (2 weights matched, 4 missing (1.weight, " in printed
    code, printed = few(mdx, cohort, tmp_path / "other", f"encoder={tmp_path / 'gone.safetensors'}")
    assert code == 3
    assert "there is no such file of weights" in printed
    assert not (tmp_path / "other").exists()


def test_a_window_of_intensities_is_the_same_for_every_scan(cohort: Path, mdx: Cli, tmp_path: Path) -> None:
    window = ("data.intensity=window", "data.lower=20", "data.upper=120")
    code, printed = few(mdx, cohort, tmp_path / "runs", *window)
    assert code == 0, printed
    code, printed = mdx("apply", the_run(tmp_path / "runs"), cohort.parent / "images" / "B0.nii.gz", "--out", tmp_path)
    assert code == 0, printed
    code, printed = few(mdx, cohort, tmp_path / "runs", "data.intensity=window", "data.lower=-100")
    assert code == 3
    assert "intensity=window needs lower and upper, such as data.lower=-1000 data.upper=400 for CT" in printed

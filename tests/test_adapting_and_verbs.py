"""Methods that train on the scan they are applied to, and verbs that plugins bring, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import mdx as library
from mdx.runs.checkpoint import load_tree

Cli = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugins"))


def test_each_scan_is_adapted_to_by_itself_and_the_run_stays_as_it_was(cohort: Path, mdx: Cli, tmp_path: Path) -> None:
    code, printed = mdx("run", "calm", "--data", f"csv:{cohort}", "--set", "source=A", "target=B", "run.bootstrap=100",
                        "--device", "cpu", "--out", tmp_path / "runs")  # fmt: skip
    assert code == 0, printed
    (run,) = (tmp_path / "runs").iterdir()
    loaded = library.load_run(run)
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    files = {path.name: cohort.parent / "images" / path.name for path in (run / "predictions").iterdir()}
    forward = {name: loaded.apply(file).segmentation for name, file in files.items()}
    backward = {name: loaded.apply(file).segmentation for name, file in reversed(files.items())}
    for name, made in forward.items():
        np.testing.assert_array_equal(made, backward[name])  # whichever scan came before
    assert all((before[name] == value).all() for name, value in loaded.model.state_dict().items())
    still = library.load_run(run / "baselines" / "still")
    assert all(
        (value == load_tree(run / "checkpoints" / "final.safetensors")["model"][name]).all()
        for name, value in still.model.state_dict().items()
    )
    assert any(not np.array_equal(still.apply(files[name]).segmentation, made) for name, made in forward.items())  # type: ignore[arg-type]
    code, printed = mdx("apply", run, *files.values(), "--out", tmp_path / "applied")
    assert code == 0, printed
    for name in files:
        made, known = (nib.load(p / name).get_fdata() for p in (tmp_path / "applied", run / "predictions"))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(made, known)


def test_images_of_other_dimensions_than_a_plugin_takes_are_refused(mdx: Cli, tmp_path: Path) -> None:
    rows = ["image,mask,subject,site"]
    for i in range(8):
        values = np.zeros((16, 16), np.uint8)
        values[4:8, i : i + 4] = 200
        Image.fromarray(values).save(tmp_path / f"{i}.png")
        Image.fromarray((values > 0).astype(np.uint8)).save(tmp_path / f"{i}_mask.png")
        rows.append(f"{i}.png,{i}_mask.png,s{i},{'AB'[i % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    code, printed = mdx("run", "calm", "--data", tmp_path / "t.csv", "--dry-run")
    assert code == 4
    assert "calm is for 3-D images, these are 2-D" in printed


def test_a_plugin_brings_verbs_of_its_own(cohort: Path, mdx: Cli) -> None:
    image = cohort.parent / "images" / "A0.nii.gz"
    code, printed = mdx("calm", "brightness", image, "--digits", "2")
    assert code == 0, printed
    assert printed.split() == ["A0.nii.gz", f"{nib.load(image).get_fdata().mean():.2f}"]  # type: ignore[attr-defined]
    assert "brightness" in mdx("show", "calm")[1]
    assert "Print the mean brightness" in mdx("calm", "--help")[1]
    code, printed = mdx("calm", "brightness", cohort.parent / "absent.nii.gz")
    assert code == 4
    assert "there is no such file" in printed


def test_an_unknown_verb_names_the_nearest_of_mdx_and_of_plugins(mdx: Cli) -> None:
    assert "did you mean 'calm'?" in mdx("clam", "brightness")[1]
    code, printed = mdx("fda", "x")
    assert code == 2
    assert "there is no command 'fda'" in printed

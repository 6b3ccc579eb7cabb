"""``--init-from``: methods run with a network that was trained elsewhere."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from small_cohort import OF_THE_SOURCE, TINY
from torch import Tensor, nn

import mdx as library

Cli = Callable[..., tuple[int, str]]
CONTRACT = {
    "channels": 1, "classes": ["1"], "activation": "logits", "intensity": "percentiles", "lower": 1, "upper": 99,
    "spacing_mm": [2, 2, 3], "multiple": 8,
}  # fmt: skip


class Softmax(nn.Module):
    """The probabilities of background and foreground whose foreground is the sigmoid of a logit."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logit = self.network(x)
        return torch.cat([-logit / 2, logit / 2], dim=1).softmax(dim=1)


def save(network: nn.Module, path: Path, **stated: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        extra = {"mdx.json": json.dumps({**CONTRACT, **stated})}
        torch.jit.save(torch.jit.script(network.eval()), path, _extra_files=extra)
    return path


def export(network: nn.Module, path: Path, **stated: object) -> Path:
    """The network as an ONNX file of any batch, height and width, with its contract inside."""
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is deprecated; the other needs one package more
        torch.onnx.export(
            network.eval(), (torch.zeros(2, 1, 64, 64),), str(path), dynamo=False, input_names=["x"],
            output_names=["y"], dynamic_axes={name: {0: "batch", 2: "height", 3: "width"} for name in "xy"},
        )  # fmt: skip
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"mdx.json": json.dumps({**CONTRACT, **stated})})
    onnx.save(model, path)
    return path


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user has said --trust-code."""
    monkeypatch.setenv("MDX_TRUST_CODE", "1")


@pytest.fixture
def network(finished: tuple[Path, Path]) -> nn.Module:
    """The source network of the finished run."""
    return library.load_run(finished[1]).model.network


def run_with(mdx: Cli, table: Path, network: Path, out: Path, *more: str) -> tuple[int, str]:
    tiny = OF_THE_SOURCE if "--variant" in more else TINY
    return mdx(
        "run", "fda", "--data", f"csv:{table}", "--init-from", network, "--set", "source=A", "target=B", *tiny,
        "--device", "cpu", "--out", out, *more,
    )  # fmt: skip


def assert_applies_when_moved(run: Path, table: Path, folder: Path, mdx: Cli) -> None:
    """The run predicts its last test case as it did, from another place and without the user's file."""
    moved = shutil.move(run, folder / "moved")
    case = scores(moved)["case"].iloc[-1]
    code, text = mdx("apply", moved, table.parent / "images" / f"{case}.nii.gz", "--out", folder / "out")
    assert code == 0, text
    written, expected = (nib.load(p / f"{case}.nii.gz").get_fdata() for p in (folder / "out", moved / "predictions"))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(written, expected)


def scores(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "scores.csv")


@pytest.mark.parametrize("kind", ["logits", "softmax"])
def test_every_row_with_the_users_network_scores_what_it_scored_with_the_runs_own(
    finished: tuple[Path, Path], network: nn.Module, tmp_path: Path, mdx: Cli, kind: str
) -> None:
    table, trained = finished
    stated = {"activation": "softmax", "classes": ["background", "1"]} if kind == "softmax" else {}
    path = save(Softmax(network) if kind == "softmax" else network, tmp_path / "net.pt", **stated)
    code, text = run_with(mdx, table, path, tmp_path / "runs", "--baselines", "no_da,single,mst")
    assert code == 0, text
    (run,) = (tmp_path / "runs").iterdir()
    assert not list(run.rglob("metrics.jsonl"))  # nothing was trained
    for own, theirs in ((run, trained), (run / "baselines" / "no_da", trained / "baselines" / "no_da")):
        pd.testing.assert_frame_equal(scores(own), scores(theirs))
    assert sorted(p.name for p in (run / "baselines").iterdir()) == ["mst", "no_da", "single"]


def test_a_run_is_applied_after_the_users_file_has_gone(
    finished: tuple[Path, Path], network: nn.Module, tmp_path: Path, mdx: Cli
) -> None:
    table, _ = finished
    path = save(network, tmp_path / "net.pt")
    assert run_with(mdx, table, path, tmp_path / "runs", "--baselines", "none")[0] == 0
    path.unlink()
    (run,) = (tmp_path / "runs").iterdir()
    assert_applies_when_moved(run, table, tmp_path, mdx)


def test_an_onnx_file_needs_no_trust_and_scores_what_the_run_scored(
    finished: tuple[Path, Path], network: nn.Module, tmp_path: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDX_TRUST_CODE", "0")
    table, trained = finished
    path = export(network, tmp_path / "net.onnx")
    code, text = run_with(mdx, table, path, tmp_path / "runs", "--baselines", "no_da")
    assert code == 0, text
    path.unlink()
    (run,) = (tmp_path / "runs").iterdir()
    for own, theirs in ((run, trained), (run / "baselines" / "no_da", trained / "baselines" / "no_da")):
        pd.testing.assert_frame_equal(scores(own), scores(theirs), rtol=1e-3)
    assert_applies_when_moved(run, table, tmp_path, mdx)


def test_another_file_is_another_run_and_the_same_is_found(
    finished: tuple[Path, Path], network: nn.Module, tmp_path: Path, mdx: Cli
) -> None:
    table, _ = finished
    path = save(network, tmp_path / "net.pt")
    for expected in (1, 1, 2):
        code, text = run_with(mdx, table, path, tmp_path / "runs", "--variant", "no_da", "--baselines", "none")
        assert code == 0, text
        assert len(list((tmp_path / "runs").iterdir())) == expected
        if expected == 1 and "this run exists" in text:
            with torch.no_grad():
                next(network.parameters()).mul_(2)
            save(network, path)
    digests = {json.loads(p.read_text())["init_from"]["digest"] for p in tmp_path.glob("runs/*/provenance.json")}
    assert len(digests) == 2


def test_the_source_network_of_another_run_is_taken_without_training(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli
) -> None:
    table, trained = finished
    code, text = run_with(mdx, table, trained, tmp_path / "runs", "--baselines", "no_da")
    assert code == 0, text
    assert f"not trained here; from {trained.name}: " in text and "0 missing" in text
    (run,) = (tmp_path / "runs").iterdir()
    assert not list(run.rglob("metrics.jsonl"))
    pd.testing.assert_frame_equal(scores(run), scores(trained))


def test_a_run_with_another_network_is_refused_with_the_shapes(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli
) -> None:
    table, trained = finished
    code, text = run_with(mdx, table, trained, tmp_path / "runs", "--baselines", "none", "--set", "filters=2")
    assert code == 3
    assert "do not fit" in text and "such as filters" in text


def test_a_run_on_other_intensities_is_refused(finished: tuple[Path, Path], tmp_path: Path, mdx: Cli) -> None:
    table, trained = finished
    code, text = run_with(mdx, table, trained, tmp_path / "runs", "--set", "data.upper=99.5")
    assert code == 3
    assert "upper: the network expects 99.0, the data have 99.5" in text
    assert not (tmp_path / "runs").exists()


def test_a_run_on_other_classes_is_refused(finished: tuple[Path, Path], tmp_path: Path, mdx: Cli) -> None:
    table, trained = finished
    code, text = run_with(mdx, table, trained, tmp_path / "runs", "--set", "data.classes=foreground")
    assert code == 3
    assert "classes: the network has 1, the data have foreground" in text


def test_a_dry_run_already_says_that_a_network_does_not_fit(
    finished: tuple[Path, Path], network: nn.Module, tmp_path: Path, mdx: Cli
) -> None:
    path = save(network, tmp_path / "net.pt", spacing_mm=[1, 1])
    code, text = run_with(mdx, finished[0], path, tmp_path / "runs", "--dry-run")
    assert code == 3
    assert "the network expects 1 x 1, the scans of site A have 2 x 2 x 3" in text


def test_the_oracle_is_left_out_with_a_reason_and_refused_where_it_was_asked_for(
    finished: tuple[Path, Path], network: nn.Module, tmp_path: Path, mdx: Cli
) -> None:
    path = save(network, tmp_path / "net.pt")
    code, text = run_with(mdx, finished[0], path, tmp_path / "runs", "--dry-run")
    assert code == 0, text
    assert "Left out beside a network of your own: oracle" in text
    for more in (("--variant", "oracle"), ("--baselines", "no_da,oracle")):
        code, text = run_with(mdx, finished[0], path, tmp_path / "runs", *more)
        assert code == 2
        assert "'oracle' trains a network of its own" in text


def test_a_plugin_that_does_not_take_networks_says_so(
    finished: tuple[Path, Path], network: nn.Module, tmp_path: Path, mdx: Cli
) -> None:
    path = save(network, tmp_path / "net.pt")
    code, text = mdx("run", "unlearning", "--init-from", path, "--out", tmp_path / "runs")
    assert code == 2
    assert "unlearning cannot be run with a network of yours" in text


def test_source_scans_need_no_masks_where_nothing_is_trained(
    finished: tuple[Path, Path], network: nn.Module, tmp_path: Path, mdx: Cli
) -> None:
    table, trained = finished
    rows = pd.read_csv(table, dtype=str)
    rows.loc[rows["site"] == "A", "mask"] = ""
    shutil.copytree(table.parent, tmp_path / "cohort")
    rows.to_csv(tmp_path / "cohort" / "cohort.csv", index=False)
    path = save(network, tmp_path / "net.pt")
    code, text = run_with(mdx, tmp_path / "cohort" / "cohort.csv", path, tmp_path / "runs", "--baselines", "none")
    assert code == 0, text
    (run,) = (tmp_path / "runs").iterdir()
    assert "1 of 2 test cases have no 'mask' and are not scored" in (run / "log.txt").read_text()
    expected = scores(trained).query("site == 'B'").reset_index(drop=True)
    pd.testing.assert_frame_equal(scores(run), expected)

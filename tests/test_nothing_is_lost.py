"""An output never replaces an input, another case's output or a foreign file; nor is a test made on trained cases."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_cohort import make_cohort, write_scan

from mdx.data.batches.loading import prediction_paths
from mdx.errors import RefusedError
from mdx.runs.loading import load_run
from mdx.workflow.applying import require_known_site
from mdx.workflow.inputs import case_name

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def ward(finished: tuple[Path, Path], tmp_path: Path) -> Path:
    """A folder with a scan that is read-only."""
    scan = tmp_path / "ward" / "scan.nii.gz"
    scan.parent.mkdir()
    shutil.copy(finished[0].parent / "images" / "B0.nii.gz", scan)
    scan.chmod(0o444)
    return scan


@pytest.mark.parametrize("how", ["folder", "dot", "link to the folder", "link to the scan", "hard link", "force"])
def test_apply_never_replaces_what_it_reads(
    finished: tuple[Path, Path], ward: Path, tmp_path: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    before, given, out, more = ward.read_bytes(), ward, ward.parent, ["--force"] if how == "force" else []
    run = finished[1].resolve()
    if how == "dot":
        monkeypatch.chdir(ward.parent)
        given, out = Path("scan.nii.gz"), Path()
    elif how == "link to the folder":
        out = tmp_path / "link"
        out.symlink_to(ward.parent)
    elif how in ("link to the scan", "hard link"):
        out = tmp_path / "out"
        out.mkdir()
        (out / ward.name).symlink_to(ward) if "link to" in how else (out / ward.name).hardlink_to(ward)
    code, text = mdx("apply", run, given, "--out", out, *more)
    assert code == 2, text
    assert "is what is read: it would be lost" in text
    assert ward.read_bytes() == before


def test_a_foreign_file_is_replaced_with_force_only(
    finished: tuple[Path, Path], ward: Path, tmp_path: Path, mdx: Cli
) -> None:
    theirs = tmp_path / "out" / "scan.nii.gz"
    theirs.parent.mkdir()
    theirs.write_bytes(b"somebody's work")
    code, text = mdx("apply", finished[1], ward, "--out", theirs.parent)
    assert code == 2
    assert f"{theirs}: is there already" in text
    assert theirs.read_bytes() == b"somebody's work"
    assert mdx("apply", finished[1], ward, "--out", theirs.parent, "--force")[0] == 0
    assert theirs.read_bytes() != b"somebody's work"


def test_a_place_that_is_taken_stops_the_call_before_anything_is_written(
    finished: tuple[Path, Path], ward: Path, tmp_path: Path, mdx: Cli
) -> None:
    other = shutil.copy(ward, tmp_path / "other.nii.gz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scan.nii.gz").write_bytes(b"x")
    assert mdx("apply", finished[1], other, ward, "--out", tmp_path / "out")[0] == 2
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["scan.nii.gz"]


@pytest.mark.parametrize(
    ("name", "called"), [("SCAN.NII.GZ", "SCAN"), ("a.b.nii", "a.b"), ("film.JPG", "film"), ("x.nrrd", "x")]
)
def test_a_prediction_is_called_after_its_file(tmp_path: Path, name: str, called: str) -> None:
    assert case_name(tmp_path / name) == called


def test_folders_keep_the_dots_in_their_names(tmp_path: Path) -> None:
    for name in ("1.2.840.1", "1.2.840.2"):
        (tmp_path / name).mkdir()
    assert [case_name(tmp_path / name) for name in ("1.2.840.1", "1.2.840.2")] == ["1.2.840.1", "1.2.840.2"]


def test_upper_case_suffixes_are_written_in_lower_case(finished: tuple[Path, Path], ward: Path, mdx: Cli) -> None:
    loud = shutil.copy(ward, ward.parent / "SCAN.NII.GZ")
    assert prediction_paths(Path(loud), Path("out"), "SCAN")[0] == Path("out/SCAN.nii.gz")
    assert mdx("apply", finished[1], loud, "--out", ward.parent / "out")[0] == 0
    assert {p.name for p in (ward.parent / "out").iterdir()} == {"SCAN.nii.gz", "predictions.csv"}


@pytest.mark.parametrize("path", ["a\0b.nii.gz", "n" * 300 + ".nii.gz"])
def test_a_path_that_cannot_be_is_no_bug(finished: tuple[Path, Path], mdx: Cli, path: str) -> None:
    code, text = mdx("apply", finished[1], path)
    assert code == 4, text


def test_scores_of_a_run_are_not_replaced(finished: tuple[Path, Path], tmp_path: Path, mdx: Cli) -> None:
    before = (finished[1] / "scores.csv").read_bytes()
    code, text = mdx("evaluate", finished[1], "--out", finished[1])
    assert code == 2
    assert "is the directory of a run" in text
    assert (finished[1] / "scores.csv").read_bytes() == before
    (tmp_path / "summary.json").write_text("theirs")
    assert mdx("evaluate", finished[1], "--out", tmp_path)[0] == 2
    assert (tmp_path / "summary.json").read_text() == "theirs"


def _new_cohort(folder: Path) -> Path:
    """Two subjects of another site, with other images than those of the run, which this generator makes too."""
    table = make_cohort(folder, sites=("Z",), subjects=2)
    for i, line in enumerate(table.read_text().splitlines()[1:]):
        image = np.random.default_rng(i).normal(50, 5, (26, 22, 6)).astype(np.float32)
        write_scan(table.parent / line.split(",")[0], image)
    return table


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_an_evaluation_replaces_no_mask_that_it_reads(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli, force: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    table = _new_cohort(out)
    (out / "masks").rename(out / "predictions")
    table.write_text(table.read_text().replace("masks/", "predictions/"))
    masks = {path: path.read_bytes() for path in (out / "predictions").iterdir()}
    code, text = mdx("evaluate", finished[1], "--data", f"csv:{table}", "--out", out, *force)
    assert (code, "is read from, and lies where scores and predictions go" in text) == (2, True), text
    assert {path: path.read_bytes() for path in (out / "predictions").iterdir()} == masks


def test_an_evaluation_goes_into_no_folder_of_other_things(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    code, text = mdx("evaluate", finished[1], "--out", tmp_path)
    assert (code, "holds no evaluation of these data" in text) == (2, True), text


def test_cases_that_trained_a_run_are_left_out_of_its_evaluation_and_named(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli
) -> None:
    table, run = finished
    trained = pd.read_csv(run / "splits.csv").query("split != 'test'")
    code, text = mdx("evaluate", run, "--data", f"csv:{table}", "--out", tmp_path / "all")
    assert code == 0, text
    assert f"warning: {len(trained)} of 12 cases (" in text
    assert "trained this run or chose its weights" in text
    scored = pd.read_csv(tmp_path / "all" / "scores.csv")
    assert not set(scored["case"]) & set(trained["case"])
    assert set(scored["role"]) == {"source", "target"}  # the sites' roles in the run
    assert all(line.count("  ") for line in text.splitlines() if line.startswith("volume_error"))


def test_copies_of_trained_images_under_other_names_are_known(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli
) -> None:
    table, run = finished
    case = pd.read_csv(run / "splits.csv").query("split == 'train'")["case"].iloc[0]
    for kind in ("images", "masks"):
        shutil.copy(table.parent / kind / f"{case}.nii.gz", tmp_path / f"{kind}.nii.gz")
    (tmp_path / "t.csv").write_text("image,mask,subject,site\nimages.nii.gz,masks.nii.gz,somebody,elsewhere\n")
    code, text = mdx("evaluate", run, "--data", f"csv:{tmp_path}/t.csv")
    assert code == 8, text
    assert "all 1 cases, or their subjects, trained this run" in text


def test_new_cases_are_all_scored_and_a_new_site_has_no_role(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli
) -> None:
    other = _new_cohort(tmp_path / "new")
    code, text = mdx("evaluate", finished[1], "--data", f"csv:{other}", "--out", tmp_path / "scores")
    assert code == 0, text
    assert "left out" not in text
    assert pd.read_csv(tmp_path / "scores" / "scores.csv")["role"].isna().all()


def _with_rule(run: Path, folder: Path, rule: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    import dataclasses

    from mdx.plugins import discovery

    plain = discovery._examined

    def changed(plugin: discovery.Plugin) -> discovery.Plugin:
        found = plain(plugin)
        if found.manifest is None or found.manifest.capabilities is None:
            return found
        capabilities = dataclasses.replace(found.manifest.capabilities, unseen_sites=rule)
        return dataclasses.replace(found, manifest=dataclasses.replace(found.manifest, capabilities=capabilities))

    monkeypatch.setattr(discovery, "_examined", changed)
    return run


def test_a_method_for_its_own_sites_refuses_others(
    finished: tuple[Path, Path],
    ward: Path,
    mdx: Cli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = _with_rule(finished[1], ward.parent, "no", monkeypatch)
    for more in ([], ["--site", "NEW"]):
        code, text = mdx("apply", run, ward, "--out", ward.parent / "out", *more)
        assert code == 8, text
        assert "name the site with --site: A, B" in text
    assert not (ward.parent / "out").exists()
    assert mdx("apply", run, ward, "--out", ward.parent / "out", "--site", "B", "--variant", "no_da")[0] == 0
    with pytest.raises(RefusedError):
        require_known_site(load_run(run), "NEW")


def test_a_method_that_asks_for_calibration_warns_at_a_new_site(
    finished: tuple[Path, Path], ward: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _with_rule(finished[1], ward.parent, "calibrate", monkeypatch)
    code, text = mdx("apply", run, ward, "--out", ward.parent / "out", "--site", "NEW", "--variant", "no_da")
    assert code == 0, text
    assert "warning: the site 'NEW' was not in the run" in text
    assert json.loads((run / "provenance.json").read_text())["roles"] == {"A": "source", "B": "target"}


def test_no_command_writes_a_table_over_what_it_reads(
    finished: tuple[Path, Path], tmp_path: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished[0].parent, tmp_path / "d")
    monkeypatch.chdir(tmp_path / "d")
    Path("scores.csv").write_text(Path("cohort.csv").read_text())
    Path("link.csv").symlink_to("images/A0.nii.gz")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for words in (
        ["data", "init", ".", "--join", "cohort.csv", "--out", "cohort.csv"],
        ["data", "init", ".", "--out", "link.csv"],
        ["data", "split", "cohort.csv", "--out", "cohort.csv"],
        ["data", "split", "cohort.csv", "--out", "link.csv"],
        ["evaluate", finished[1], "--data", "csv:scores.csv", "--out", "."],
    ):
        code, text = mdx(*words, "--force")
        assert (code, "is what is read: it would be lost" in text) == (2, True), text
    for verb in (["init", "."], ["split", "cohort.csv"]):
        code, text = mdx("data", *verb, "--out", "cohort.parquet")
        assert (code, "end it in .csv or .tsv" in text) == (2, True), text
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before

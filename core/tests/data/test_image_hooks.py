from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mdx.data.batches.loading import write_prediction
from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.files.images import read_image, write_image, write_mask
from mdx.data.layouts.init import init_table
from mdx.data.open import open_dataset
from mdx.errors import DataError
from mdx.interfaces.adapter import Prediction

HOOKS = """
import numpy as np
from mdx.interfaces.geometry import FileLayout
from mdx.plugins.hooks import hookimpl

@hookimpl
def mdx_image_suffixes():
    return [".npvol"]

@hookimpl
def mdx_read_image(path):
    if path.suffix == ".npbad":
        return np.zeros((3, 3)), FileLayout("nifti", (3, 3), np.eye(4), b"", ".npvol")
    if path.suffix != ".npvol":
        return None
    with path.open("rb") as stream:
        values = np.load(stream)
    return values[None], FileLayout("nifti", values.shape, np.diag([-1.0, 1, 2, 1]), b"", ".npvol")

@hookimpl
def mdx_write_image(path, values, layout):
    if path.suffix != ".npvol":
        return None
    with path.open("wb") as stream:
        np.save(stream, values[0])
    return True
"""


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of volumes in a format that a made-up plugin reads, and a text."""
    package, info = tmp_path / "p/mdx_npvol", tmp_path / "p/mdx_npvol-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (info / "entry_points.txt").write_text("[mdx.plugins]\nnpvol = mdx_npvol:mdx.toml\n")
    (package / "mdx.toml").write_text('api = 1\nname = "npvol"\nsummary = "reads"\nhooks = ["mdx_npvol.hooks"]\n')
    (package / "__init__.py").write_text("")
    (package / "hooks.py").write_text(HOOKS)
    monkeypatch.syspath_prepend(tmp_path / "p")
    monkeypatch.delitem(sys.modules, "mdx_npvol", raising=False)
    monkeypatch.delitem(sys.modules, "mdx_npvol.hooks", raising=False)
    folder = tmp_path / "scans"
    folder.mkdir()
    for i in range(4):
        for name, values in (("", np.random.default_rng(i).normal(size=(6, 5, 4))), ("_mask", np.eye(6, 5)[..., None])):
            with (folder / f"s{i}{name}.npvol").open("wb") as stream:
                np.save(stream, np.broadcast_to(values, (6, 5, 4)).astype(np.float32))
    (folder / "notes.txt").write_text("text")
    return folder


def test_a_plugin_reads_a_format_and_its_volumes_are_turned_to_ras(scans: Path) -> None:
    values, geometry = read_image(scans / "s0.npvol")
    assert values.shape == (1, 6, 5, 4)
    assert (geometry.axcodes, geometry.spacing_mm) == ("LAS", (1, 1, 2))


def test_folders_are_searched_for_its_suffixes_and_the_check_reads_them(scans: Path, tmp_path: Path) -> None:
    result = init_table(scans, tmp_path / "t.csv")
    assert [(c.id, c.mask.name if c.mask else None) for c in result.cases] == [
        (f"s{i}", f"s{i}_mask.npvol") for i in range(4)
    ]  # fmt: skip
    assert result.skipped == [("1 file(s) *.txt", "not an image that mdx reads")]
    data = open_dataset(str(tmp_path / "t.csv"), DataConfig())
    assert data.task.kind == "segmentation"
    assert check(data, DataConfig()).errors == []


def test_predictions_are_written_in_its_format_on_the_file_s_own_grid(scans: Path, tmp_path: Path) -> None:
    config = DataConfig()
    data = open_dataset(f"folder:{scans}", config)
    sample = data.load(data.cases[0])
    (tmp_path / "out").mkdir()
    prediction = Prediction(sample.geometry, segmentation=np.asarray(sample.mask))
    (path,) = write_prediction(prediction, data.task, tmp_path / "out", "s0", config)
    assert path.name == "s0.npvol"
    with path.open("rb") as stream, (scans / "s0_mask.npvol").open("rb") as other:
        assert np.array_equal(np.load(stream), np.load(other))


def test_a_format_that_nobody_writes_is_named(scans: Path, tmp_path: Path) -> None:
    values, geometry = read_image(scans / "s0.npvol")
    with pytest.raises(DataError, match=r"images are not written as '\.xyz'"):
        write_image(tmp_path / "a.xyz", values, geometry)
    with pytest.raises(DataError, match=r"images are not written as '\.dcm'"):
        write_mask(tmp_path / "a.dcm", np.zeros((6, 5, 4), int), geometry)


def test_a_plugin_that_gives_arrays_of_the_wrong_shape_is_named(scans: Path) -> None:
    (scans / "x.npbad").write_text("x")
    with pytest.raises(DataError, match=r"a plugin read it as float64 of shape \(3, 3\)"):
        read_image(scans / "x.npbad")

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from mdx.data.batches.sampling import RandomSlices, make_loader
from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.layouts.init import init_table
from mdx.data.open import open_dataset, open_table
from mdx.errors import DataError
from mdx.workflow.records import absolute_uri

CONFIG = DataConfig()


def test_a_uri_a_bare_path_and_the_table_itself_are_the_same(table: Path) -> None:
    expected = open_table(table, CONFIG).fingerprint()
    assert open_dataset(f"csv:{table}", CONFIG).fingerprint() == expected
    assert open_dataset(str(table), CONFIG).fingerprint() == expected


@pytest.mark.parametrize("uri", ["cvs:cohort.csv", "cohort"])
def test_an_unknown_scheme_says_what_can_be_opened(uri: str) -> None:
    with pytest.raises(DataError, match="names no data that can be opened") as found:
        open_dataset(uri, CONFIG)
    assert "csv:" in str(found.value)


PROVIDER = """
from mdx.data.open import open_table
def read(rest, config):
    return open_table(rest + "/cohort.csv", config)
"""
HOOKS = """
from mdx.data.open import open_table
from mdx.plugins.hooks import hookimpl
@hookimpl
def mdx_open_dataset(scheme, rest, config):
    return open_table(rest + "/cohort.csv", config) if scheme == "hooked" else None
"""


@pytest.mark.parametrize("scheme", ["provided", "hooked"])
def test_a_plugin_opens_its_own_schemes(scheme, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, info = tmp_path / "reader" / "mdx_madeup", tmp_path / "reader" / "mdx_madeup-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (info / "entry_points.txt").write_text("[mdx.plugins]\nmadeup = mdx_madeup:mdx.toml\n")
    (package / "mdx.toml").write_text(
        'api = 1\nname = "madeup"\nsummary = "reads"\nhooks = ["mdx_madeup.hooks"]\n'
        '[provides.datasets]\nprovided = "mdx_madeup.provider:read"\n'
    )
    (package / "__init__.py").write_text("")
    (package / "provider.py").write_text(PROVIDER)
    (package / "hooks.py").write_text(HOOKS)
    monkeypatch.syspath_prepend(tmp_path / "reader")
    expected = open_table(table, CONFIG).fingerprint()
    assert open_dataset(f"{scheme}:{table.parent}", CONFIG).fingerprint() == expected


def test_a_mask_makes_it_a_segmentation_of_the_values_found(table: Path) -> None:
    task = open_table(table, CONFIG).task
    assert (task.kind, task.classes, task.label_values) == ("segmentation", ("1", "2"), ((1,), (2,)))
    assert (task.channels, task.dims, task.sites) == (("image",), 3, ("A", "B", "C"))


def test_any_column_that_names_masks_can_be_the_label(rows, write) -> None:
    table = write([{("lesions" if k == "mask" else k): v for k, v in row.items()} for row in rows])
    data = open_table(table, DataConfig(label="lesions"))
    assert data.task.kind == "segmentation"
    assert data.load(data.cases[0]).mask.shape[0] == 2


@pytest.mark.parametrize(("column", "values", "kind", "classes"), [
    ("class", ["ms", "hc"] * 3, "classification", ("hc", "ms")),
    ("class", [0, 1] * 3, "classification", ("0", "1")),
    ("age", [30.5, 40, 50, 60, 70, 80], "regression", ()),
])  # fmt: skip
def test_other_labels_make_a_classification_or_a_regression(rows, write, column, values, kind, classes) -> None:
    for row, value in zip(rows, values, strict=True):
        row[column] = value
        del row["mask"]
    data = open_table(write(rows), CONFIG)
    assert (data.task.kind, data.task.classes, data.task.label) == (kind, classes, column)
    assert data.load(data.cases[0]).label(column) == (values[0] if column == "age" else classes.index(str(values[0])))


def test_without_any_label_it_is_harmonisation(rows, write) -> None:
    data = open_table(write([{k: v for k, v in row.items() if k != "mask"} for row in rows]), CONFIG)
    assert data.task.kind == "harmonisation"
    assert next(iter(make_loader(data, 2, seed=0))).labelled.tolist() == [False, False]


def test_contrasts_become_channels_by_column(rows, write) -> None:
    table = write([{**row, "t2": f"img{(i + 1) % 6}.nii.gz"} for i, row in enumerate(rows)])
    config = DataConfig(image=("image", "t2"))
    data = open_table(table, config)
    assert data.task.channels == ("image", "t2")
    sample, other = data.load(data.cases[0]), data.load(data.cases[1])
    assert np.array_equal(sample.image[1], other.image[0])


def test_the_fourth_axis_becomes_channels(rows, write, tmp_path: Path) -> None:
    for i in range(6):
        values = np.random.default_rng(i).normal(size=(10, 12, 6, 2)).astype(np.float32)
        nib.save(nib.Nifti1Image(values, np.diag([-1.0, 1, 2, 1])), tmp_path / f"img{i}.nii.gz")
    data = open_table(write(rows), CONFIG)
    assert data.task.channels == ("image[0]", "image[1]")
    assert data.load(data.cases[0]).image.shape == (2, 10, 12, 6)
    assert check(data, CONFIG).errors == []


def test_colour_pictures_with_masks_are_a_two_dimensional_segmentation(tmp_path: Path, write) -> None:
    rows = []
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 255, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"p{i}.png")
        Image.fromarray(np.where(pixels[..., 0] > 99, 255, 0).astype(np.uint8)).save(tmp_path / f"m{i}.png")
        rows.append({"image": f"p{i}.png", "mask": f"m{i}.png", "subject": f"s{i}", "site": "AB"[i % 2]})
    data = open_table(write(rows), CONFIG)
    assert (data.task.dims, data.task.classes, data.task.channels[0]) == (2, ("255",), "image[0]")
    assert check(data, CONFIG).errors == []
    batch = next(iter(make_loader(data, 2, view=RandomSlices(crop=16), seed=0)))
    assert (batch.image.shape, batch.mask.shape) == ((2, 3, 16, 16), (2, 1, 16, 16))


def test_sites_and_roles_are_those_asked_for(table: Path) -> None:
    data = open_table(table, DataConfig(source=("B",), target=("A",)))
    assert data.task.sites == ("A", "B")
    assert {c.role for c in data.where(site="A").cases} == {"target"}


def test_the_split_is_the_same_whatever_the_roles(table: Path) -> None:
    everything = {c.id: c.split for c in open_table(table, CONFIG).cases}
    part = open_table(table, DataConfig(source=("B",), target=("A",)))
    assert all(everything[c.id] == c.split for c in part.cases)


def test_errors_of_roles_name_the_table(table: Path) -> None:
    with pytest.raises(DataError, match=r"cohort\.csv: there is no site 'D'"):
        open_table(table, DataConfig(source=("D",)))


def test_a_missing_first_file_does_not_stop_the_table_from_opening(table: Path) -> None:
    (table.parent / "img0.nii.gz").unlink()
    assert open_table(table, CONFIG).task.dims == 3


def test_real_crops_go_from_folder_to_batches(shared: Path, tmp_path: Path) -> None:
    """131 T1 crops of different shapes from three acquisition groups."""
    out = tmp_path / "hippocampus.csv"
    folder, manifest = shared / "data/hippocampus_msd", shared / "data/manifest.csv"
    result = init_table(folder, out, join=manifest, site_from="acq([ABC])")
    assert len(result.cases) == 131
    assert all(case.mask is not None for case in result.cases)
    config = DataConfig(source=("B",), target=("A", "C"))
    data = open_table(out, config)
    report = check(data, config)
    assert (report.errors, data.task.sites, data.task.classes) == ([], ("A", "B", "C"), ("1", "2"))
    batch = next(iter(make_loader(data.where(split="train", site="B"), 4, view=RandomSlices(crop=48), seed=0)))
    assert batch.image.shape == (4, 1, 48, 48)
    assert batch.mask.shape == (4, 2, 48, 48)
    assert bool(batch.labelled.all())


def test_addresses_are_recorded_absolute_with_their_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("bids:study?suffix=T1w,FLAIR") == f"bids:{tmp_path}/study?suffix=T1w,FLAIR"
    assert absolute_uri("sim:brain?sites=source") == "sim:brain?sites=source"


def test_another_label_than_the_mask_makes_another_task_of_a_table_with_masks(rows, write) -> None:
    table = write([{**row, "class": "ab"[i % 2], "age": 40 + i % 2} for i, row in enumerate(rows)])
    kinds = [open_table(table, DataConfig(label=label)).task.kind for label in ("mask", "class", "age")]
    assert kinds == ["segmentation", "classification", "regression"]

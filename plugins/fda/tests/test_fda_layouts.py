from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.layouts.init import init_table
from mdx.data.open import open_dataset
from mdx.errors import DataError

SCANS = ("CC0001_philips_15_55_M", "CC0002_philips_15_56_F", "CC0060_philips_3_43_F", "CC0121_ge_15_61_m",
         "CC0240_siemens_3_51_F")  # fmt: skip


def save(path: Path, seed: int, mask: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(100, 9, (6, 5, 4)).astype(np.float32)
    stored = (values > 100).astype(np.uint8) if mask else values
    nib.save(nib.Nifti1Image(stored, np.diag([-1.0, 1, 1, 1])), path)


@pytest.fixture
def distributed(tmp_path: Path) -> Path:
    folder = tmp_path / "CC359"
    for i, name in enumerate(SCANS):
        save(folder / "Original" / f"{name}.nii.gz", i)
        save(folder / "Silver-standard" / f"{name}_ss.nii.gz", i, mask=True)
    save(folder / "STAPLE" / f"{SCANS[0]}_staple.nii.gz", 0, mask=True)
    save(folder / "Original" / "test.nii.gz", 9)
    return folder


def test_the_distributed_collection_gives_sites_ages_sexes_and_masks(distributed: Path, tmp_path: Path) -> None:
    result = init_table(distributed, tmp_path / "t.csv")
    assert "read in the layout 'cc359'" in result.messages[0]
    assert [(c.id, c.site) for c in result.cases] == [
        ("CC0001", "ph15"), ("CC0002", "ph15"), ("CC0060", "ph3"), ("CC0121", "ge15"), ("CC0240", "sm3"),
    ]  # fmt: skip
    assert result.cases[3].columns == {"age": "61", "sex": "M"}
    assert all(c.mask is not None and c.mask.name.endswith("_ss.nii.gz") for c in result.cases)
    assert dict(result.skipped) == {
        "Original/test.nii.gz": "its name is not CC0000_vendor_field_age_sex",
        "STAPLE/CC0001_philips_15_55_M_staple.nii.gz": "a mask of another kind (?mask=staple takes it)",
    }


def test_the_consensus_masks_are_taken_where_they_are_asked_for(distributed: Path, tmp_path: Path) -> None:
    result = init_table(f"cc359:{distributed}?mask=staple", tmp_path / "t.csv")
    assert [c.mask is not None for c in result.cases] == [True, False, False, False, False]
    assert "4 of 5 scans have no mask *_staple" in result.messages
    with pytest.raises(DataError, match="no masks of the kind 'manual'"):
        init_table(f"cc359:{distributed}?mask=manual", tmp_path / "u.csv")


def test_the_collection_opens_by_its_address(distributed: Path) -> None:
    config = DataConfig(source=("ph15",), target=("ge15",))
    data = open_dataset(f"cc359:{distributed}", config)
    assert (data.task.kind, data.task.sites) == ("segmentation", ("ge15", "ph15"))
    assert check(data, config).errors == []


def test_the_form_of_the_authors_is_read_through_its_meta_csv(tmp_path: Path) -> None:
    folder = tmp_path / "authors"
    lines = ["id,MRI,brain_mask,fold,tomograph_model,tesla_value,x,y,z"]
    for i, (vendor, tesla) in enumerate((("siemens", "1.5"), ("philips", "15"), ("ge", "3"), ("ge", "3"))):
        if i < 3:
            save(folder / "images" / f"CC{i}.nii.gz", i)
            save(folder / "masks" / f"CC{i}.nii.gz", i, mask=True)
        lines.append(f"CC{i},/home/a/data/images/CC{i}.nii.gz,masks/CC{i}.nii.gz,{i},{vendor},{tesla},1,1,1")
    (folder / "meta.csv").write_text("\n".join(lines))
    result = init_table(folder, tmp_path / "t.csv")
    assert [(c.id, c.site, c.columns["fold"]) for c in result.cases] == [
        ("CC0", "sm15", "0"), ("CC1", "ph15", "1"), ("CC2", "ge3", "2"),
    ]  # fmt: skip
    assert result.cases[0].images["image"] == folder / "images/CC0.nii.gz"
    assert result.skipped == [("CC3", "there is no file /home/a/data/images/CC3.nii.gz")]

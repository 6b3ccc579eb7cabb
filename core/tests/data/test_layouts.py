from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.layouts.init import init_table
from mdx.data.layouts.layout import layouts, read_layout, recognise, split_address
from mdx.data.open import open_dataset
from mdx.errors import DataError, UsageError


def tree(folder: Path, names: Iterable[str]) -> Path:
    """Tiny volumes; names with label or seg hold 0, 1 and 2."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(i).normal(100, 9, (6, 5, 4)).astype(np.float32)
        if "label" in name or "seg" in name.lower():
            values = np.zeros((6, 5, 4), np.uint8)
            values[1:3, 1:3, 1:3], values[3, 3, 3] = 1, 2
        nib.save(nib.Nifti1Image(values, np.diag([-1.0, 1, 2, 1])), path)
    return folder


@pytest.fixture
def msd(tmp_path: Path) -> Path:
    names = [f"{part}/hippocampus_{n:03d}.nii.gz" for n in range(4) for part in ("imagesTr", "labelsTr")]
    folder = tree(tmp_path / "Task04", [*names, "imagesTr/hippocampus_009.nii.gz", "imagesTs/hippocampus_010.nii.gz"])
    (folder / "dataset.json").write_text(json.dumps({
        "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "Anterior", "2": "Posterior"}
    }))  # fmt: skip
    return folder


def test_a_decathlon_task_is_recognised_and_its_labels_are_named(msd: Path, tmp_path: Path) -> None:
    result = init_table(msd, tmp_path / "t.csv")
    assert "read in the layout 'msd'" in result.messages[0]
    assert [c.id for c in result.cases] == [f"hippocampus_00{n}" for n in range(4)]
    assert "values of the masks: 1 Anterior, 2 Posterior" in result.messages
    assert dict(result.skipped) == {"imagesTr/hippocampus_009": "it has no label",
                                    "1 file(s) in imagesTs/": "their labels are not published"}  # fmt: skip


def test_sites_are_found_in_any_layout_by_a_table_or_an_expression(msd: Path, tmp_path: Path) -> None:
    by_name = init_table(msd, tmp_path / "a.csv", site_from=r"_00([0-9])")
    assert [c.site for c in by_name.cases] == ["0", "1", "2", "3"]
    (tmp_path / "m.csv").write_text("subject,scanner\n" + "".join(f"hippocampus_00{n},s{n % 2}\n" for n in range(4)))
    joined = init_table(msd, tmp_path / "b.csv", join=tmp_path / "m.csv")
    assert [c.site for c in joined.cases] == ["s0", "s1", "s0", "s1"]
    assert "of m.csv: site from 'scanner'" in joined.messages


def test_nnunet_files_of_one_channel_become_named_columns(tmp_path: Path) -> None:
    names = [f"imagesTr/p{n}_000{c}.nii.gz" for n in range(3) for c in range(2)]
    folder = tree(tmp_path / "d", [*names[:-1], *(f"labelsTr/p{n}.nii.gz" for n in range(3))])
    (folder / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "T2 w", "1": "ADC"}, "labels": {"background": 0, "gland": 1}, "file_ending": ".nii.gz"
    }))  # fmt: skip
    result = init_table(folder, tmp_path / "t.csv")
    assert [list(c.images) for c in result.cases] == [["t2_w", "adc"]] * 2
    assert ("imagesTr/p2", "it has no adc") in result.skipped
    assert "values of the masks: 1 gland" in result.messages


def test_a_damaged_dataset_json_is_named(msd: Path, tmp_path: Path) -> None:
    (msd / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json: cannot be read"):
        init_table(msd, tmp_path / "t.csv")


def test_the_prostate_collection_has_a_site_a_folder_and_numbers_that_repeat(tmp_path: Path) -> None:
    names = [f"{s}/Case0{n}{end}.nii.gz" for s, seg in (("RUNMC", "_segmentation"), ("BMC", "_Segmentation"))
             for n in range(2) for end in ("", seg)]  # fmt: skip
    folder = tree(tmp_path / "prostate", [*names, "HK/Case07.nii.gz", "HK/Case08_segmentation.nii.gz"])
    result = init_table(folder, tmp_path / "t.csv")
    assert [(c.id, c.site) for c in result.cases] == [
        ("RUNMC_Case00", "RUNMC"), ("RUNMC_Case01", "RUNMC"), ("BMC_Case00", "BMC"), ("BMC_Case01", "BMC"),
    ]  # fmt: skip
    assert dict(result.skipped) == {"HK/Case07.nii.gz": "it has no segmentation",
                                    "HK/Case08_segmentation.nii.gz": "a mask without an image"}  # fmt: skip
    data = open_dataset(f"prostate:{folder}", DataConfig(classes="foreground"))
    assert (data.task.sites, data.task.classes) == (("BMC", "RUNMC"), ("foreground",))
    assert check(data, DataConfig(classes="foreground")).errors == []


IXI = ["T1/IXI002-Guys-0828-T1.nii.gz", "T1/IXI012-HH-1211-T1.nii.gz", "T2/IXI002-Guys-0828-T2.nii.gz",
       "T1/IXI035-IOP-0873-T1.nii.gz"]  # fmt: skip


def test_ixi_takes_sites_from_names_and_ages_from_its_table(tmp_path: Path) -> None:
    folder = tree(tmp_path / "ixi", [*IXI, "T1/other.nii.gz"])
    (folder / "IXI.csv").write_text(
        '"IXI_ID","SEX_ID (1=m, 2=f)","HEIGHT","WEIGHT","AGE"\n2,2,164,58,35.8\n12,1,175,0,38.78\n'
        "35,1,180,80,40\n35,1,180,80,41\n"
    )
    result = init_table(folder, tmp_path / "t.csv")
    assert [(c.subject, c.site) for c in result.cases] == [("IXI002", "Guys"), ("IXI012", "HH"), ("IXI035", "IOP")]
    assert result.cases[0].columns == {"age": "35.8", "sex": "f", "height_cm": "164", "weight_kg": "58"}
    assert result.cases[1].columns["weight_kg"] is None
    assert result.cases[2].columns["age"] is None
    assert ("IXI035", "its 2 rows in IXI.csv differ: left empty") in result.skipped
    assert ("T1/other.nii.gz", "its name is not IXI000-SITE-0000-CONTRAST") in result.skipped


def test_ixi_contrasts_become_columns_and_a_sheet_must_be_saved_as_csv(tmp_path: Path) -> None:
    folder = tree(tmp_path / "ixi", IXI)
    (folder / "IXI.xls").write_bytes(b"\xd0\xcf")
    result = init_table(f"ixi:{folder}?suffix=T1,T2", tmp_path / "t.csv")
    assert [(c.subject, list(c.images)) for c in result.cases] == [("IXI002", ["t1", "t2"])]
    assert ("IXI012-HH-1211", "it has no T2") in result.skipped
    assert any("IXI.xls is not read: save it as IXI.csv" in m for m in result.messages)


def test_a_layout_can_be_refused_and_an_unknown_one_is_named(msd: Path, tmp_path: Path) -> None:
    plain = init_table(msd, tmp_path / "a.csv", layout="none")
    assert "imagesTs" not in str([reason for _, reason in plain.skipped])
    assert len(plain.cases) == 6
    with pytest.raises(UsageError, match="there is no layout 'mds'\n  -> did you mean 'msd'"):
        init_table(msd, tmp_path / "b.csv", layout="mds")


def test_a_folder_that_two_layouts_claim_is_a_question(msd: Path) -> None:
    tree(msd, ["IXI002-Guys-0828-T1.nii.gz"])
    with pytest.raises(UsageError, match="is in the layout of ixi and of msd"):
        recognise(msd)


LAYOUT = """
from mdx.data.layouts.layout import InitResult
from mdx.interfaces.dataset import Case
class Pairs:
    summary = "pairs"
    options = {"site": "the site of all"}
    def recognises(self, folder):
        return (folder / "PAIRS").exists()
    def read(self, folder, options):
        found = sorted(folder.glob("*.nii.gz"))
        return InitResult([Case(p.name[:2], p.name[:2], options.get("site", "x"), {"image": p}) for p in found])
"""


def test_a_plugin_brings_a_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, info = tmp_path / "p/mdx_pairs", tmp_path / "p/mdx_pairs-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (info / "entry_points.txt").write_text("[mdx.plugins]\npairs = mdx_pairs:mdx.toml\n")
    (package / "mdx.toml").write_text(
        'api = 1\nname = "pairs"\nsummary = "reads"\n[provides.layouts]\npairs = "mdx_pairs.layout:Pairs"\n'
    )
    (package / "__init__.py").write_text("")
    (package / "layout.py").write_text(LAYOUT)
    monkeypatch.syspath_prepend(tmp_path / "p")
    folder = tree(tmp_path / "in", ["p1.nii.gz", "p2.nii.gz"])
    (folder / "PAIRS").touch()
    assert recognise(folder) == "pairs"
    assert [c.id for c in read_layout("pairs", folder, {}).cases] == ["p1", "p2"]
    assert open_dataset(f"pairs:{folder}?site=oslo", DataConfig()).task.sites == ("oslo",)
    assert "pairs" in layouts()


def test_options_stand_behind_a_question_mark_and_may_hold_expressions() -> None:
    assert split_address("/a b/c?site_from=([A-C]+)&on=x%26y") == ("/a b/c", {"site_from": "([A-C]+)", "on": "x&y"})
    with pytest.raises(DataError, match="'T1w' is no option"):
        split_address("/a?T1w")


def test_an_address_of_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: is no folder"):
        open_dataset(f"bids:{tmp_path}/none", DataConfig())

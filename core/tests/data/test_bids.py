from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bids_study import arrange

from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.layouts.init import init_table
from mdx.data.layouts.layout import InitResult
from mdx.data.open import open_dataset, open_table
from mdx.errors import DataError, UsageError

Study = Callable[..., InitResult]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Write a study of empty files (name -> text, or None for an image) and read it with options."""

    def make(files: Mapping[str, Any], query: str = "", **options: Any) -> InitResult:
        folder = tmp_path / "study"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content) if content else "")
        return init_table(f"bids:{folder}{query}", tmp_path / "t.csv", overwrite=True, **options)

    return make


def images(*names: str, datatype: str = "anat") -> dict[str, None]:
    """Paths of images from their names: sub-01_ses-2_T1w -> sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz."""
    made = {}
    for name in names:
        folders = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
        made["/".join([*folders, datatype, f"{name}.nii.gz"])] = None
    return made


def files_of(result: InitResult) -> list[str]:
    return [next(iter(case.images.values())).name.removesuffix(".nii.gz") for case in result.cases]


def test_participants_give_site_class_age_and_sex(study: Study) -> None:
    table = (
        "participant_id\tAge\tgender\tscanner\tdiagnosis\tiq\nsub-01\t30\tF\tge\tms\t100\nsub-02\tn/a\tM\tsie\thc\t90\n"
    )
    result = study({**images("sub-01_T1w", "sub-02_T1w"), "participants.tsv": table})
    first, second = result.cases
    assert (first.id, first.subject, first.site) == ("sub-01", "01", "ge")
    assert first.columns == {"class": "ms", "age": "30", "sex": "F", "iq": "100"}
    assert second.columns["age"] is None
    assert any("site is its column 'scanner', class is its column 'diagnosis'" in m for m in result.messages)


def test_sessions_are_cases_of_one_subject_and_their_own_facts_go_before(study: Study) -> None:
    result = study({
        **images("sub-01_ses-a_T1w", "sub-01_ses-b_T1w"),
        "participants.tsv": "participant_id\tage\tsite\nsub-01\t30\tge\n",
        "sub-01/sub-01_sessions.tsv": "session_id\tage\nses-b\t33\n",
    })  # fmt: skip
    assert [(c.id, c.subject, c.columns["session"], c.columns["age"]) for c in result.cases] == [
        ("sub-01_ses-a", "01", "a", "30"), ("sub-01_ses-b", "01", "b", "33"),
    ]  # fmt: skip


def test_the_commonest_contrast_is_taken_and_the_others_are_listed(study: Study) -> None:
    result = study(images("sub-01_T1w", "sub-02_T1w", "sub-01_FLAIR"))
    assert files_of(result) == ["sub-01_T1w", "sub-02_T1w"]
    assert result.skipped == [("sub-01/anat/sub-01_FLAIR.nii.gz", "a FLAIR, which is not taken (?suffix=)")]
    assert any("T1w (2), FLAIR (1); T1w is taken" in m for m in result.messages)


def test_several_contrasts_become_columns_and_incomplete_sessions_are_left_out(study: Study) -> None:
    result = study(images("sub-01_T1w", "sub-02_T1w", "sub-01_FLAIR"), "?suffix=FLAIR,T1w")
    assert [list(case.images) for case in result.cases] == [["flair", "t1w"]]
    assert result.skipped == [("sub-02/anat/sub-02_T1w.nii.gz", "its session has no FLAIR")]


@pytest.mark.parametrize(("query", "taken"), [
    ("", "sub-01_run-2_T1w"), ("?run=10", "sub-01_run-10_T1w"), ("?acq=high", "sub-01_acq-high_T1w"),
])  # fmt: skip
def test_of_several_images_one_is_taken_by_the_rule(study: Study, query: str, taken: str) -> None:
    """Fewest entities besides the run, then the lowest run as a number."""
    result = study(images("sub-01_run-10_T1w", "sub-01_run-2_T1w", "sub-01_acq-high_T1w"), query)
    assert files_of(result) == [taken]
    assert len(result.skipped) == 2


def test_the_lesion_mask_of_the_session_is_taken_but_never_a_brain_mask_by_itself(study: Study) -> None:
    files = {
        **images("sub-01_ses-1_T1w", "sub-01_ses-2_T1w"),
        "derivatives/lst/sub-01/ses-1/anat/sub-01_ses-1_label-lesion_mask.nii.gz": None,
        "derivatives/prep/sub-01/ses-1/anat/sub-01_ses-1_desc-brain_mask.nii.gz": None,
        "derivatives/prep/sub-01/ses-1/anat/sub-01_ses-1_space-MNI152_dseg.nii.gz": None,
        "derivatives/prep/sub-01/ses-1/anat/sub-01_ses-1_label-GM_probseg.nii.gz": None,
    }
    result = study(files)
    assert [c.mask.name if c.mask else None for c in result.cases] == ["sub-01_ses-1_label-lesion_mask.nii.gz", None]
    assert any("masks: lst: label-lesion_mask; 1 of 2 cases have none" in m for m in result.messages)
    reasons = dict(result.skipped)
    assert reasons["derivatives/prep/sub-01/ses-1/anat/sub-01_ses-1_space-MNI152_dseg.nii.gz"] == (
        "a mask: it lies in space-MNI152, its image in its own"
    )
    asked = study(files, "?desc=brain")
    assert asked.cases[0].mask is not None
    assert asked.cases[0].mask.name == "sub-01_ses-1_desc-brain_mask.nii.gz"


def test_of_several_kinds_of_masks_none_is_taken_until_one_is_chosen(study: Study) -> None:
    files = {
        **images("sub-01_T1w"),
        "derivatives/a/sub-01/anat/sub-01_dseg.nii.gz": None,
        "derivatives/b/sub-01/sub-01_label-lesion_mask.nii.gz": None,
    }
    result = study(files)
    assert result.cases[0].mask is None
    assert any("several kinds of masks, none was taken: a: dseg (1); b: label-lesion_mask (1)" in m
               for m in result.messages)  # fmt: skip
    for query, name in (("?derivatives=a", "sub-01_dseg.nii.gz"), ("?label=lesion", "sub-01_label-lesion_mask.nii.gz")):
        mask = study(files, query).cases[0].mask
        assert mask is not None
        assert mask.name == name
    assert study(files, "?derivatives=none").cases[0].mask is None


def test_the_mask_of_another_run_is_not_taken(study: Study) -> None:
    mask = "derivatives/a/sub-01/anat/sub-01_run-2_dseg.nii.gz"
    result = study({**images("sub-01_run-1_T1w"), mask: None})
    assert result.cases[0].mask is None
    assert (mask, "a mask: its image is not run-2") in result.skipped


def test_a_mask_beside_its_image_is_taken_too(study: Study) -> None:
    mask = study({**images("sub-01_T1w"), "sub-01/anat/sub-01_T1w_dseg.nii.gz": None}).cases[0].mask
    assert mask is not None
    assert mask.name == "sub-01_T1w_dseg.nii.gz"


def test_sidecars_name_the_scanner_and_the_nearest_wins(study: Study) -> None:
    result = study({
        **images("sub-01_T1w", "sub-02_T1w", "sub-03_T1w"),
        "T1w.json": {"Manufacturer": "Siemens", "MagneticFieldStrength": 3},
        "sub-02/sub-02_T1w.json": {"ManufacturersModelName": "Trio Tim"},
        "sub-03/anat/sub-03_T1w.json": {"Manufacturer": "GE", "MagneticFieldStrength": 1.5, "InstitutionName": "X"},
        "sub-03/anat/sub-03_FLAIR.json": {"Manufacturer": "of another suffix"},
        "sub-03/sub-03_acq-x_T1w.json": {"Manufacturer": "of another acquisition"},
    })  # fmt: skip
    assert [c.site for c in result.cases] == ["Siemens_3T", "Siemens_Trio-Tim_3T", "GE_1.5T"]
    assert any("participants.tsv has no site" in m for m in result.messages)


def test_the_institution_is_read_only_where_it_is_asked_for(study: Study) -> None:
    files = {**images("sub-01_T1w"), "T1w.json": {"Manufacturer": "GE", "InstitutionName": "St Elsewhere"},
             "participants.tsv": "participant_id\tsite\nsub-01\tA\n"}  # fmt: skip
    assert study(files).cases[0].site == "A"
    assert study(files, "?site_tags=InstitutionName").cases[0].site == "St-Elsewhere"


def test_what_is_left_out_is_listed_with_the_reason(study: Study, tmp_path: Path) -> None:
    dangling = tmp_path / "study/sub-01/anat/sub-01_T2w.nii.gz"
    dangling.parent.mkdir(parents=True)
    dangling.symlink_to(tmp_path / "annex")
    result = study({
        **images("sub-01_T1w", "sub-02_T1w"), **images("sub-01_bold", datatype="func"),
        "sub-01/anat/sub-01-odd_name.nii.gz": None,
        "sub-02/anat/sub-02_T1w.json": "{broken",
        "participants.tsv": "participant_id\tage\nsub-01\t3\nsub-09\t4\n",
    })  # fmt: skip
    assert dict(result.skipped) == {
        "sub-01/anat/sub-01_T2w.nii.gz": "a link to a file that is not here (git-annex, DataLad: get it first)",
        "sub-01/anat/sub-01-odd_name.nii.gz": "its name does not follow BIDS",
        "1 file(s) in func/": "not in anat/",
        "sub-09": "in participants.tsv, but has no image that is taken",
        "sub-02/anat/sub-02_T1w.json": "the sidecar is no JSON object",
    }
    assert any("1 subject(s) are not in participants.tsv: sub-02" in m for m in result.messages)


@pytest.mark.parametrize(("query", "kind", "message"), [
    ("?sufix=T1w", UsageError, "did you mean 'suffix'"),
    ("?suffix=T1", DataError, "did you mean 'T1w'"),
    ("?acq=low", DataError, r"no image has acq-low\n  -> the images have: acq-high"),
    ("?label=lesion", DataError, "no mask of an image has label-lesion"),
    ("?derivatives=x", DataError, "there is no pipeline 'x'"),
    ("?site=sites", DataError, "did you mean 'site'"),
    ("?datatype=dwi", DataError, "holds no images in sub-\\*/dwi/"),
])  # fmt: skip
def test_an_option_that_matches_nothing_is_named(study: Study, query: str, kind: type, message: str) -> None:
    files = {**images("sub-01_acq-high_T1w"), "participants.tsv": "participant_id\tsite\nsub-01\tA\n"}
    with pytest.raises(kind, match=message):
        study(files, query)


def test_a_folder_in_bids_is_recognised_and_layout_none_refuses(tmp_path: Path) -> None:
    path = tmp_path / "in/sub-01/anat/sub-01_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    result = init_table(tmp_path / "in", tmp_path / "a.csv")
    assert result.cases[0].id == "sub-01"
    assert "read in the layout 'bids'" in result.messages[0]
    assert init_table(tmp_path / "in", tmp_path / "b.csv", layout="none").cases[0].id == "sub-01_T1w"


def test_opening_the_address_is_opening_the_table_that_init_writes(shared: Path, tmp_path: Path, capsys) -> None:
    """Real scans of five people, one seen twice, arranged as BIDS."""
    folder = arrange(shared / "data/brain_mr", tmp_path / "study")
    address = f"bids:{folder}?derivatives=none"
    config = DataConfig(label="age")
    data = open_dataset(address, config)
    assert "7 cases, " in capsys.readouterr().err
    result = init_table(address, tmp_path / "t.csv")
    assert open_table(tmp_path / "t.csv", config).fingerprint() == data.fingerprint()
    assert (data.task.kind, data.task.sites) == ("regression", ("Philips_1.5T", "Siemens_3T"))
    splits = {case.id: case.split for case in data.cases}
    assert splits["sub-long01_ses-1"] == splits["sub-long01_ses-2"]
    assert [c.columns["age"] for c in data.where(subject="long01").cases] == [34, 35]
    assert sum("another T1w of its session" in reason for _, reason in result.skipped) == 3
    assert check(data, config).errors == []


def test_real_contrasts_and_lesions_load_as_channels_and_masks(shared: Path, tmp_path: Path) -> None:
    folder = arrange(shared / "data/brain_mr", tmp_path / "study")
    config = DataConfig(classes="foreground")
    data = open_dataset(f"bids:{folder}?suffix=T1w,FLAIR&label=lesion", config)
    assert (data.task.kind, data.task.channels) == ("segmentation", ("t1w", "flair"))
    sample = data.load(data.where(subject="cross07").cases[0])
    assert len(sample.image) == 2
    lesion = sample.mask[0] > 0
    assert 500 < int(lesion.sum()) < 50_000
    assert sample.image[1][lesion].mean() > sample.image[1][sample.image[1] > 0].mean() + 0.1  # bright on FLAIR
    grids = [problem for problem in check(data, config).errors if "grid" in problem.what]
    assert {problem.case for problem in grids} == {"sub-long01_ses-1", "sub-long01_ses-2"}
    assert np.isfinite(sample.image).all()

"""Two contrasts that only the address names are found again when the run is applied to files."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_cohort import OF_THE_SOURCE, make_cohort

from mdx.data.files.images import read_mask


@pytest.mark.slow
def test_a_run_on_two_contrasts_of_a_bids_study_is_applied_to_two_files(tmp_path: Path, mdx) -> None:
    cohort = make_cohort(tmp_path / "cohort").parent
    study = tmp_path / "study"
    lines = ["participant_id\tsite"]
    for image in sorted((cohort / "images").iterdir()):
        name = image.name.removesuffix(".nii.gz")
        for suffix in ("T1w", "FLAIR"):
            target = study / f"sub-{name}/anat/sub-{name}_{suffix}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(image)
        mask = study / f"derivatives/manual/sub-{name}/anat/sub-{name}_label-ball_mask.nii.gz"
        mask.parent.mkdir(parents=True)
        mask.symlink_to(cohort / "masks" / image.name)
        lines.append(f"sub-{name}\t{name[0]}")
    (study / "participants.tsv").write_text("\n".join(lines) + "\n")
    code, text = mdx(
        "run", "fda", "--variant", "no_da", "--data", f"bids:{study}?suffix=T1w,FLAIR", *OF_THE_SOURCE,
        "source=A", "target=B", "--baselines", "", "--device", "cpu", "--out", tmp_path / "runs",
    )  # fmt: skip
    assert code == 0, text
    (run,) = (tmp_path / "runs").iterdir()
    scan = cohort / "images" / "B0.nii.gz"
    code, text = mdx("apply", run, scan, "--out", tmp_path / "one")
    assert code == 2
    assert "names 1 file(s), the run needs 2: t1w, flair" in text
    code, text = mdx("apply", run, f"{scan},{scan}", "--out", tmp_path / "two")
    assert code == 0, text
    assert read_mask(tmp_path / "two" / "B0.nii.gz")[0].shape == read_mask(cohort / "masks" / "B0.nii.gz")[0].shape

"""A study in BIDS, arranged from real scans of the shared folder by links."""

from __future__ import annotations

import json
from pathlib import Path


def link(source: Path, target: Path) -> None:
    """A link at ``target``, with the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


def arrange(brain_mr: Path, folder: Path) -> Path:
    """Two MS patients (one seen twice) with lesion masks as derivatives, an IXI subject and three slabs, each twice.

    participants.tsv leaves out the scanner, which the sidecars name, and names one person without images.
    """
    folder.mkdir(parents=True)
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "arranged", "BIDSVersion": "1.9.0"}))
    people = ("long01\t34\tF\tms", "cross07\t41\tM\tms", "ixi012\t38\tM\thc", "gone\t50\tF\thc")
    lines = ["participant_id\tage\tsex\tgroup", *(f"sub-{person}" for person in people)]
    lines += [f"sub-slab{n}\tn/a\tn/a\thc" for n in ("02", "06", "07")]
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n")
    (folder / "T1w.json").write_text(json.dumps({"Manufacturer": "Siemens", "MagneticFieldStrength": 3}))
    (folder / "FLAIR.json").write_text(json.dumps({"Manufacturer": "Siemens", "MagneticFieldStrength": 3}))
    lesions = folder / "derivatives" / "lesions"
    visits = brain_mr / "openms_longitudinal_1p5T" / "patient01"
    for ses in ("1", "2"):  # the second visit has no T2: its link leads nowhere, as in a DataLad clone
        for contrast, suffix in (("T1W", "T1w"), ("T2W", "T2w"), ("FLAIR", "FLAIR")):
            name = f"sub-long01/ses-{ses}/anat/sub-long01_ses-{ses}_{suffix}.nii.gz"
            link(visits / f"study{ses}_{contrast}.nii.gz", folder / name)
        for suffix in ("T1w", "FLAIR"):
            sidecar = folder / f"sub-long01/ses-{ses}/anat/sub-long01_ses-{ses}_{suffix}.json"
            sidecar.write_text(json.dumps({"Manufacturer": "Philips", "MagneticFieldStrength": 1.5}))
    (folder / "sub-long01" / "sub-long01_sessions.tsv").write_text("session_id\tage\nses-1\t34\nses-2\t35\n")
    link(visits / "gt.nii.gz", lesions / "sub-long01/ses-1/anat/sub-long01_ses-1_label-lesion_mask.nii.gz")
    cross = brain_mr / "openms_cross_3T_mni"
    for contrast, suffix in (("T1", "T1w"), ("T2", "T2w"), ("FLAIR", "FLAIR")):
        link(cross / f"patient07_{contrast}.nii.gz", folder / f"sub-cross07/anat/sub-cross07_{suffix}.nii.gz")
    link(cross / "patient07_lesion_consensus.nii.gz", lesions / "sub-cross07/anat/sub-cross07_label-lesion_mask.nii.gz")
    ixi = brain_mr / "ixi_2mm"
    link(ixi / "IXI012-HH-1211_T1.nii.gz", folder / "sub-ixi012/anat/sub-ixi012_T1w.nii.gz")
    link(ixi / "IXI012-HH-1211_DLMUSE.nii.gz", folder / "derivatives/dlmuse/sub-ixi012/anat/sub-ixi012_dseg.nii.gz")
    for number in ("02", "06", "07"):
        name = f"sub-slab{number}/anat/sub-slab{number}"
        link(brain_mr / f"ptbp_slabs/ptbp_{number}_T1.nii.gz", folder / f"{name}_run-1_T1w.nii.gz")
        link(brain_mr / f"ptbp_slabs/ptbp_{number}_T1.nii.gz", folder / f"{name}_run-2_T1w.nii.gz")
    (folder / "sub-cross07" / "func").mkdir()
    link(cross / "patient07_T1.nii.gz", folder / "sub-cross07/func/sub-cross07_task-rest_bold.nii.gz")
    return folder

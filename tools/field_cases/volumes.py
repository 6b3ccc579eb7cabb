"""Situations of volumes: predictions beside scans, values of masks, absent classes, odd headers."""

from __future__ import annotations

import shutil
import struct

import nibabel as nib
import numpy as np
from field_cases import made
from field_cases.bench import Bench, situation
from field_cases.plugin import installed


@situation(
    "1", "Predictions go into the folder of the scans, and two scans have one name",
    "tests/test_nothing_is_lost.py::test_apply_never_replaces_what_it_reads",
    "tests/test_nothing_is_lost.py::test_a_foreign_file_is_replaced_with_force_only",
    "tests/test_nothing_is_lost.py::test_folders_keep_the_dots_in_their_names",
)  # fmt: skip
def predictions_among_scans(bench: Bench) -> None:
    scans = [bench.place / site / "t1.nii.gz" for site in ("ward", "other")]
    for scan, number in zip(scans, (0, 1), strict=True):
        scan.parent.mkdir()
        shutil.copy(bench.shared.table.parent / f"images/B{number}.nii.gz", scan)
    before = scans[0].read_bytes()
    scans[0].chmod(0o444)
    bench.refused(bench.mdx("apply RUN ward/t1.nii.gz --out ward"), 2, "it would be lost")
    bench.refused(bench.mdx("apply RUN ward/t1.nii.gz --out ward --force"), 2, "it would be lost")
    bench.must("the scan's bytes are what they were", scans[0].read_bytes() == before)
    bench.went(bench.mdx("apply RUN ward/t1.nii.gz --out made"), "ward/t1.nii.gz -> made/t1.nii.gz")
    first = (bench.place / "made" / "t1.nii.gz").read_bytes()
    bench.refused(bench.mdx("apply RUN other/t1.nii.gz --out made"), 2, "is there already")
    bench.must("the first prediction is what it was", (bench.place / "made" / "t1.nii.gz").read_bytes() == first)


@situation(
    "3", "Masks are 0 and 1 at one site, 0 and 255 at the other",
    "core/tests/data/test_mask_values.py::test_another_coding_at_a_site_is_an_error_that_names_values_and_sites",
)  # fmt: skip
def two_codings(bench: Bench) -> None:
    made.volumes(bench.place, mask=lambda site, i, m: m * (255 if site == "B" else 1))
    said = "the mask value 1 is only at A, 255 only at B"
    bench.refused(bench.mdx("data check t.csv"), 4, said)
    run = "run fda --data csv:t.csv --set source=A target=B training.epochs=1 training.steps=1 --device cpu"
    bench.refused(bench.mdx(run), 4, said)
    bench.must("nothing was run", not list(bench.place.glob("runs/*/done")))
    bench.went(bench.mdx("data check t.csv --set data.classes=foreground"), "0 errors")


@situation(
    "5", "A class is absent from most cases, and a network marks nothing",
    "core/tests/report/test_alarms.py::test_a_class_that_neither_has_is_no_part_of_the_mean",
    "core/tests/report/test_alarms.py::test_a_network_that_marks_nothing_is_named_with_its_site",
    "core/tests/report/test_alarms.py::test_what_is_undefined_is_counted_under_the_table",
)  # fmt: skip
def an_absent_class(bench: Bench) -> None:
    def rare(site: str, i: int, mask: np.ndarray) -> np.ndarray:
        return np.where((mask > 0) & (np.indices(mask.shape)[0] < 8) & (i == 0), 2, mask).astype(np.uint8)

    made.volumes(bench.place, n=5, mask=rare)
    with installed(bench.place / "site", "nothing"):
        call = bench.mdx("run nothing --data csv:t.csv --set source=A target=B data.test_fraction=0.6 --out runs")
    bench.went(call, "marks nothing in any of the")
    (scores,) = bench.place.glob("runs/*/scores.csv")
    rows = made.read(scores)
    bench.must("a case without the class has no dice of it", any(row["dice_2"] == "" for row in rows))
    bench.must("the mean dice of every case is 0", all(float(row["dice"]) == 0 for row in rows))


@situation(
    "13", "One NIfTI with an odd header lies among good ones",
    "core/tests/data/test_odd_files.py::test_an_odd_header_is_named_with_its_file",
    "core/tests/data/test_odd_files.py::test_one_odd_file_does_not_end_the_check_of_the_others",
)  # fmt: skip
def odd_headers(bench: Bench) -> None:
    made.volumes(bench.place)
    plain = nib.Nifti1Image(made.ball(99)[0], np.eye(4)).to_bytes()
    odd = {
        "no_magic": (344, "4s", b"\0\0\0\0"), "type_7": (70, "h", 7), "type_26996": (70, "h", 26996),
        "slope_2_inter_nan": (112, "2f", 2.0, float("nan")), "slope_2_inter_inf": (112, "2f", 2.0, float("inf")),
        "offset_minus_16": (108, "f", -16.0), "nine_axes": (40, "h", 9),
    }  # fmt: skip
    rows = [f"A{i}.nii.gz,A{i}_mask.nii.gz,A{i},A" for i in range(4)]
    for k, (name, (offset, kind, *values)) in enumerate(odd.items()):
        content = bytearray(plain)
        struct.pack_into(f"<{kind}", content, offset, *values)
        (bench.place / f"{name}.nii").write_bytes(content)
        rows.append(f"{name}.nii,B{k % 4}_mask.nii.gz,{name},B")
    (bench.place / "odd.csv").write_text("\n".join(["image,mask,subject,site", *rows]) + "\n")
    call = bench.mdx("data check odd.csv")
    bench.must("exit code 4", call.code == 4)
    errors = [line for line in call.text.splitlines() if line.startswith("error: ")]
    for name in odd:
        bench.must(f"{name} is named", any(f"{name}.nii: " in line for line in errors))
    call.has("no_magic.nii: ", "type_7.nii: ", "nine_axes.nii: ", " errors, ")


@situation(
    "15", "Masks were saved from floats: their 1 is 1.00000006",
    "core/tests/data/test_meaning_of_pixels.py::"
    "test_a_mask_that_a_scaled_file_holds_is_read_as_the_labels_that_were_meant",
)  # fmt: skip
def scaled_masks(bench: Bench) -> None:
    made.volumes(bench.place)
    for path in bench.place.glob("*_mask.nii.gz"):
        header = nib.Nifti1Header()
        header.set_data_dtype(np.uint8)
        labels = np.asarray(nib.load(path).dataobj).astype(float)  # type: ignore[attr-defined]
        nib.save(nib.Nifti1Image(labels, np.diag([2.0, 2, 3, 1]), header), path)
    stored = nib.load(path).get_fdata()  # type: ignore[attr-defined]
    bench.must("the file's own 1 is not exactly 1", stored.max() != 1)
    bench.went(bench.mdx("data check t.csv"), "8 cases, 16 files: 0 errors")

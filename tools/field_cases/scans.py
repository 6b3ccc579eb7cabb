"""Situations of DICOM, and of runs whose data were copied, moved or changed."""

from __future__ import annotations

import shutil

import numpy as np
from field_cases import made
from field_cases.bench import Bench, settings, situation

PLACES = [(-10.0, -20.0, 30 + 2.0 * i) for i in range(6)]
FRAMES = np.random.default_rng(0).integers(0, 1000, (6, 8, 7)).astype(np.int16)


@situation(
    "6", "Enhanced MR: frames out of order, two time points, a missing frame, a rescale slope a frame",
    "core/tests/data/test_dicom.py::test_an_enhanced_file_is_the_series_of_its_frames_whatever_their_order",
    "core/tests/data/test_dicom.py::test_frames_that_make_no_volume_are_refused_and_folders_say_so",
    "core/tests/data/test_dicom.py::test_each_frame_has_its_own_rescale",
)  # fmt: skip
def enhanced_frames(bench: Bench) -> None:
    from dicom_files import write_enhanced

    from mdx.data.files.images import read_image

    order, slopes = [4, 1, 5, 0, 3, 2], [1.0, 2.0, 3.0, 0.5, 6.0, 4.0]
    scans = bench.place / "scans"
    write_enhanced(scans / "whole" / "e.dcm", FRAMES, PLACES)
    write_enhanced(scans / "shuffled" / "e.dcm", FRAMES[order], [PLACES[i] for i in order])
    write_enhanced(scans / "slopes" / "e.dcm", FRAMES, PLACES, slopes=slopes)
    write_enhanced(scans / "times" / "e.dcm", FRAMES, PLACES[:3] * 2)
    write_enhanced(scans / "gap" / "e.dcm", FRAMES[:5], PLACES[:2] + PLACES[3:])
    call = bench.mdx("data init scans --out t.csv")
    bench.went(call, "3 cases", "times/e.dcm: the 6 slices are no volume: 3 of them lie where another one does",
               "gap/e.dcm: the 5 slices are no volume: 1 slice(s) are missing")  # fmt: skip
    bench.went(bench.mdx("data check t.csv"), "3 cases, 3 files: 0 errors")
    whole, shuffled, scaled = (read_image(scans / name / "e.dcm") for name in ("whole", "shuffled", "slopes"))
    bench.must("shuffled frames are put in order", np.array_equal(whole[0], shuffled[0]))
    bench.must("slices are 2 mm apart", whole[1].spacing_mm[2] == shuffled[1].spacing_mm[2] == 2)
    bench.must("each frame has its own slope", np.allclose(scaled[0], whole[0] * np.array(slopes) - 1))


@situation(
    "19", "The only DICOM series of a folder cannot be used",
    "core/tests/data/test_dicom.py::test_a_series_that_is_refused_alone_in_a_folder_is_told_with_its_reason",
)  # fmt: skip
def a_series_alone(bench: Bench) -> None:
    from dicom_files import write_series

    write_series(bench.place / "gap" / "s", FRAMES, leave_out=(2,))
    write_series(bench.place / "tilt" / "s", FRAMES, step=(0.0, 0.7, 2.5))
    bench.refused(bench.mdx("data init gap --out t.csv"), 4, "s: the 5 slices are no volume: 1 slice(s) are missing")
    bench.refused(bench.mdx("data init tilt --out t.csv"), 4, "sheared by a tilted gantry")
    bench.refused(bench.mdx("data check folder:tilt"), 4, "sheared by a tilted gantry")


@situation(
    "20", "The data of an unfinished run were copied, moved, or changed",
    "tests/test_stops.py::test_equal_content_with_new_times_and_another_place_goes_on",
    "tests/test_stops.py::test_data_that_have_moved_are_said_to_have",
    "tests/test_stops.py::test_what_has_changed_is_named_when_a_run_cannot_go_on",
    "tests/test_stops.py::test_an_unfinished_run_with_the_same_settings_is_pointed_at",
)  # fmt: skip
def new_times(bench: Bench) -> None:
    bench.shared.unfinished(bench.place)
    shutil.copytree("cohort", "copy", copy_function=shutil.copyfile)
    shutil.rmtree("cohort")
    resume = f"resume unfinished/{bench.shared.run.name}"
    bench.refused(bench.mdx(resume), 4, "if the data have moved")
    run = f"run fda --data csv:copy/cohort.csv {' '.join(settings())} --out unfinished"
    bench.went(bench.mdx(run), "report: ")
    bench.must("it went on with the run that was there", len(list(bench.place.glob("unfinished/*"))) == 1)
    shutil.rmtree("unfinished")
    shutil.rmtree("copy")
    bench.shared.unfinished(bench.place)
    image, _ = made.ball(5)
    from small_cohort import write_scan

    write_scan(bench.place / "cohort/images/A0.nii.gz", np.resize(image, (26, 22, 6)))
    bench.refused(bench.mdx(resume), 8, "changed case(s): A0")
    bench.went(bench.mdx(run.replace("copy/", "cohort/")), "has the same settings and other data")

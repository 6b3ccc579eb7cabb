"""Situations of tables and folders: repeated keys, links, cells, two people with one number."""

from __future__ import annotations

import shutil

from field_cases import made
from field_cases.bench import Bench, situation

L2I = "--set data.label=class target=A backbone=small_cnn data.val_fraction=0.25 data.test_fraction=0.25"


@situation(
    "2", "participants.tsv has a row for each session; a joined table names a file twice",
    "core/tests/data/test_keys_and_links.py::test_a_table_with_a_row_for_each_session_gives_each_its_own_facts",
    "core/tests/data/test_keys_and_links.py::"
    "test_a_participant_twice_without_a_session_is_refused_by_name_and_lines",
    "core/tests/data/test_keys_and_links.py::test_a_joined_key_that_repeats_with_other_values_is_refused_by_name",
)  # fmt: skip
def repeated_keys(bench: Bench) -> None:
    from small_cohort import write_scan

    study = bench.place / "study"
    study.mkdir()
    (study / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    rows = []
    for n in (1, 2):
        for visit, age, site in (("1", 30 + n, "A"), ("2", 40 + n, "B")):
            name = f"sub-{n:02d}_ses-{visit}_T1w.nii.gz"
            write_scan(study / f"sub-{n:02d}/ses-{visit}/anat/{name}", made.ball(10 * n + int(visit))[0])
            rows.append([f"sub-{n:02d}", f"ses-{visit}", age, site])
    made.table(study / "participants.tsv", ["participant_id", "session_id", "age", "site"], rows, "\t")
    bench.went(bench.mdx("data init study --out long.csv"), "4 cases of 2 subjects", "site A: 2", "site B: 2")
    found = [(row["site"], row["age"]) for row in made.read(bench.place / "long.csv")]
    bench.must("each session has its own age and site", found == [("A", "31"), ("B", "41"), ("A", "32"), ("B", "42")])
    made.table(study / "participants.tsv", ["participant_id", "age", "site"], [r[:1] + r[2:] for r in rows], "\t")
    bench.refused(bench.mdx("data init study --out twice.csv"), 4, "participants.tsv: names 'sub-01' 2 times")
    write_scan(bench.place / "scans" / "a.nii.gz", made.ball(0)[0])
    made.table(bench.place / "m.csv", ["path", "site", "class"],
               [["a.nii.gz", "A", "benign"], ["a.nii.gz", "B", "malignant"]])  # fmt: skip
    bench.refused(bench.mdx("data init scans --join m.csv --out j.csv"), 4, "m.csv: names 'a.nii.gz' 2 times")


@situation(
    "10", "A site is a link to another disk; a BIDS anat folder is a link",
    "core/tests/data/test_keys_and_links.py::test_links_to_folders_are_followed_and_loops_named",
    "core/tests/data/test_keys_and_links.py::test_linked_subjects_and_sessions_of_a_study_are_read",
)  # fmt: skip
def links(bench: Bench) -> None:
    made.volumes(bench.place / "disk2" / "B", n=3, sites="B")
    made.volumes(bench.place / "scans" / "A", n=3, sites="A")
    (bench.place / "scans" / "B").symlink_to(bench.place / "disk2" / "B")
    (bench.place / "scans" / "B" / "back").symlink_to(bench.place / "scans")
    call = bench.mdx("data init scans --out t.csv")
    bench.went(call, "6 cases of 6 subjects, 6 masks", "site A: 3", "site B: 3", "B/back: a link that leads back")
    anat = bench.place / "disk2" / "anat"
    anat.mkdir()
    shutil.copy(bench.place / "scans/A/A0.nii.gz", anat / "sub-01_T1w.nii.gz")
    (bench.place / "study" / "sub-01").mkdir(parents=True)
    (bench.place / "study" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    (bench.place / "study" / "sub-01" / "anat").symlink_to(anat)
    bench.went(bench.mdx("data init study --out bids.csv"), "1 cases of 1 subjects")


@situation(
    "11", "A class is called None, a site NA",
    "core/tests/data/test_cells.py::test_a_word_of_a_class_stays_that_word",
    "core/tests/data/test_cells.py::test_a_site_may_be_called_na",
    "core/tests/data/test_cells.py::test_cases_without_a_class_are_counted",
)  # fmt: skip
def words_that_look_empty(bench: Bench) -> None:
    made.cells(bench.place, "class", [("None", "Mass")[i // 2 % 2] for i in range(24)], ("NA", "EU"))
    call = bench.mdx("data check t.csv")
    bench.went(call, "None", "NA ", "'None' is a class of its own (12 cases)", "24 cases, 24 files: 0 errors")
    bench.went(bench.mdx(f"run l2i --data csv:t.csv --dry-run {L2I.replace('target=A', 'target=NA')}"), "NA train")
    made.cells(bench.place, "class", [("", "Mass", "none")[i // 2 % 3] for i in range(24)])
    bench.went(bench.mdx("data check t.csv"), "8 of 24 cases have no class")


@situation(
    "12", "A/001 and B/001 are two people",
    "core/tests/data/test_keys_and_links.py::test_two_people_with_one_number_are_two_subjects",
    "core/tests/data/test_keys_and_links.py::test_a_subject_at_two_sites_of_a_table_is_a_question",
)  # fmt: skip
def one_number_two_people(bench: Bench) -> None:
    from small_cohort import write_scan

    for k, (site, i) in enumerate((s, i) for s in "AB" for i in (1, 2, 3)):
        for kind, values in zip(("images", "labels"), made.ball(k), strict=True):
            write_scan(bench.place / "scans" / site / kind / f"{i:03d}.nii.gz", values)
    call = bench.mdx("data init scans --out t.csv")
    bench.went(call, "6 cases of 6 subjects", "taken for different people, A_001 and B_001")
    bench.must("nothing says that they may be one", "may be one person" not in call.text)


@situation(
    "16", "One age is 89+; ages are written 045Y, 045 or 45,5",
    "core/tests/data/test_cells.py::test_a_cell_that_is_no_age_is_named_with_its_line",
    "core/tests/data/test_cells.py::test_ages_of_dicom_decimal_commas_and_leading_zeros_are_numbers",
)  # fmt: skip
def odd_ages(bench: Bench) -> None:
    ages = [20 + 3 * i for i in range(16)]
    made.cells(bench.place, "age", ["89+" if i == 5 else age for i, age in enumerate(ages)])
    bench.refused(bench.mdx("data check t.csv --set data.label=age"), 4, "line 7: age '89+' is no number")
    run = "run unlearning --data csv:t.csv --dry-run --set source=A,B data.label=age"
    bench.refused(bench.mdx(run), 4, "line 7: age '89+' is no number")
    for form, mean in (("{:03d}Y", "42.5"), ("{:03d}", "42.5"), ("{},5", "43")):
        made.cells(bench.place, "age", [form.format(age) for age in ages])
        call = bench.mdx("data check t.csv --set data.label=age")
        bench.went(call, "0 errors, 0 warnings")
        bench.must(
            f"'{form.format(45)}': the mean at the two sites is around {mean}", _mean_age(call.text, float(mean))
        )


def _mean_age(text: str, wanted: float) -> bool:
    rows = [line.split() for line in text.splitlines() if line.startswith(("A ", "B "))]
    means = [float(row[-1]) for row in rows]
    return len(means) == 2 and abs(sum(means) / 2 - wanted) < 0.01


@situation(
    "17", "An age of -999 or -4 means that it is not known",
    "core/tests/data/test_cells.py::test_numbers_that_stand_for_nothing_are_warned_of",
)  # fmt: skip
def codes_for_missing(bench: Bench) -> None:
    made.cells(bench.place, "age", [{3: -999, 8: -4}.get(i, 20 + 3 * i) for i in range(16)])
    call = bench.mdx("data check t.csv --set data.label=age")
    bench.went(call, "2 value(s) of age look like codes for missing ones: s03: -999, s08: -4", "0 errors, 1 warnings")


@situation(
    "21", "Small ones: ~, blank rows, class 1_1, a comma in a site's name, .NII.GZ, sep=;, one subject a site",
    "core/tests/data/test_keys_and_links.py::test_a_table_is_found_in_the_home_folder",
    "core/tests/data/test_cells.py::test_lines_are_those_of_the_file_whatever_is_blank",
    "core/tests/data/test_cells.py::test_names_that_look_like_numbers_are_no_numbers",
    "core/tests/config/test_config.py::test_an_item_with_a_comma_stands_in_quotes",
    "core/tests/data/test_cells.py::test_the_separator_that_excel_names_is_used",
    "tests/test_nothing_is_lost.py::test_upper_case_suffixes_are_written_in_lower_case",
)  # fmt: skip
def small_ones(bench: Bench) -> None:
    import os

    before, os.environ["HOME"] = os.environ.get("HOME", ""), str(bench.place)
    try:
        made.cells(bench.place, "class", [("1_1", "2_1")[i // 2 % 2] for i in range(16)])
        bench.went(bench.mdx("data check csv:~/t.csv"), "1_1  2_1")
    finally:
        os.environ["HOME"] = before
    path = made.cells(bench.place, "class", ["x", "y"] * 8)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "", ",,,", *lines[1:8], ",,,", "08.png,,A,x", *lines[9:]]) + "\n")
    bench.refused(bench.mdx("data check t.csv"), 4, "line 12: 'subject' is empty")
    path = made.cells(bench.place, "class", [("x", "y")[i // 2 % 2] for i in range(24)], ("Koeln, Uni", "Bonn"))
    l2i = L2I.replace("target=A", "'target=\"Koeln, Uni\"'")
    bench.went(bench.mdx(f"run l2i --data csv:t.csv --dry-run {l2i}"), "Koeln, Uni train")
    path.write_text("sep=;\n" + path.read_text().replace('"Koeln, Uni"', "Koeln").replace(",", ";"))
    bench.went(bench.mdx("data check t.csv"), "24 cases, 24 files: 0 errors")
    shutil.copy(bench.shared.table.parent / "images/B0.nii.gz", bench.place / "SCAN.NII.GZ")
    bench.went(bench.mdx("apply RUN SCAN.NII.GZ --out made"), "SCAN.NII.GZ -> made/SCAN.nii.gz")
    (bench.place / "alone").mkdir()
    made.volumes(bench.place / "alone", n=1)
    run = "run fda --data csv:alone/t.csv --set source=A target=B --device cpu"
    bench.refused(bench.mdx(run), 4, "there is no test case with a mask")

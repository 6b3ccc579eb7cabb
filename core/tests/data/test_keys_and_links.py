"""Keys that repeat, two people with one number, links: nothing is taken for something else or lost unsaid."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.layouts.init import find_cases
from mdx.data.layouts.layout import read_layout
from mdx.data.open import open_dataset, open_table
from mdx.errors import DataError, UsageError

Cli = Callable[..., tuple[int, str]]
COUNT = iter(range(10_000))


def scan(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(next(COUNT)).normal(size=(4, 5, 6)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


def study(folder: Path, sessions: bool = True, names: tuple[str, ...] = ("01", "02")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    for name in names:
        for visit in ("1", "2") if sessions else ("",):
            inside = folder / f"sub-{name}" / (f"ses-{visit}/anat" if visit else "anat")
            scan(inside / f"sub-{name}{f'_ses-{visit}' if visit else ''}_T1w.nii.gz")
    return folder


def people(folder: Path, *rows: str) -> None:
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")


def test_a_table_with_a_row_for_each_session_gives_each_its_own_facts(tmp_path: Path) -> None:
    people(study(tmp_path), "participant_id\tsession_id\tage\tsite", "sub-01\tses-1\t31\tA", "sub-01\tses-2\t41\tB",
           "sub-02\t1\t32\tA", "sub-02\t2\t42\tB")  # fmt: skip
    cases = read_layout("bids", tmp_path, {}).cases
    assert [(c.id, c.site, c.columns["age"]) for c in cases] == [
        ("sub-01_ses-1", "A", "31"), ("sub-01_ses-2", "B", "41"), ("sub-02_ses-1", "A", "32"),
        ("sub-02_ses-2", "B", "42"),
    ]  # fmt: skip


def test_a_participant_twice_without_a_session_is_refused_by_name_and_lines(tmp_path: Path) -> None:
    people(study(tmp_path, sessions=False), "participant_id\tage", "sub-01\t31", "sub-02\t32", "sub-01\t41")
    with pytest.raises(
        DataError, match=r"participants\.tsv: names 'sub-01' 2 times, with different age \(lines 2, 4\)"
    ):
        read_layout("bids", tmp_path, {})


def test_equal_rows_are_one(tmp_path: Path) -> None:
    people(study(tmp_path, sessions=False), "participant_id\tage", "sub-01\t31", "sub-01\t31", "sub-02\t32")
    assert [c.columns["age"] for c in read_layout("bids", tmp_path, {}).cases] == ["31", "32"]


def test_a_session_twice_is_refused(tmp_path: Path) -> None:
    table = study(tmp_path) / "sub-01" / "sub-01_sessions.tsv"
    table.write_text("session_id\tage\nses-1\t31\nses-1\t33\nses-2\t41\n")
    with pytest.raises(DataError, match=r"names 'ses-1' 2 times"):
        read_layout("bids", tmp_path, {})


def test_ids_that_lost_their_zeros_are_found_and_said(tmp_path: Path) -> None:
    people(study(tmp_path, sessions=False, names=("001", "002")), "participant_id\tage\tsite", "1\t31\tA", "2\t32\tB")
    result = read_layout("bids", tmp_path, {})
    assert [(c.subject, c.site) for c in result.cases] == [("001", "A"), ("002", "B")]
    assert any("without leading zeros: '1' is taken for '001'" in message for message in result.messages)
    assert not result.skipped


def test_ages_in_months_become_years(tmp_path: Path) -> None:
    people(study(tmp_path, sessions=False), "participant_id\tage", "sub-01\t18", "sub-02\tn/a")
    (tmp_path / "participants.json").write_text(json.dumps({"age": {"Units": "months"}}))
    assert [c.columns["age"] for c in read_layout("bids", tmp_path, {}).cases] == ["1.5", None]


@pytest.mark.parametrize(("column", "key"), [("path", "A/1.nii.gz"), ("subject", "1")])
def test_a_joined_key_that_repeats_with_other_values_is_refused_by_name(tmp_path: Path, column: str, key: str) -> None:
    scan(tmp_path / "d" / "A" / "1.nii.gz")
    (tmp_path / "m.csv").write_text(f"{column},site,class\n{key},X,benign\n{key},Y,malignant\n")
    with pytest.raises(DataError, match=rf"m\.csv: names '{key}' 2 times, with different class, site \(lines 2, 3\)"):
        find_cases(None, tmp_path / "d", {}, {"join": tmp_path / "m.csv"})


def test_a_joined_number_without_its_zeros_is_found(tmp_path: Path) -> None:
    scan(tmp_path / "d" / "007.nii.gz")
    (tmp_path / "m.csv").write_text("subject,site\n7,X\n8,Y\n")
    (case,) = find_cases(None, tmp_path / "d", {}, {"join": tmp_path / "m.csv"}).cases
    assert case.site == "X"


def test_two_people_with_one_number_are_two_subjects(tmp_path: Path) -> None:
    for site in "AB":
        for n in (1, 2):
            scan(tmp_path / site / "images" / f"00{n}.nii.gz")
    result = find_cases(None, tmp_path, {})
    assert sorted(c.subject for c in result.cases) == ["A_001", "A_002", "B_001", "B_002"]
    assert any("2 name(s) occur at several sites, such as 001 (A, B): taken for different people" in m
               for m in result.messages)  # fmt: skip
    assert not any("may be one person" in m for m in result.messages)
    again = find_cases(None, tmp_path, {}, {"subject_from": r"(\d+)\.nii"})
    assert sorted({c.subject for c in again.cases}) == ["001", "002"]


def test_a_subject_at_two_sites_of_a_table_is_a_question(tmp_path: Path) -> None:
    lines = ["image,subject,site", *(f"{scan(tmp_path / f'{s}{i}.nii.gz')},{i},{s}" for s in "AB" for i in range(3))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    notes = [n.what for n in check(open_table(tmp_path / "t.csv", DataConfig()), DataConfig()).notes]
    assert "3 subject(s) are at several sites: 0 (A, B), 1 (A, B), 2 (A, B)" in notes


def test_links_to_folders_are_followed_and_loops_named(tmp_path: Path) -> None:
    for site in "AB":
        for n in range(2):
            scan(tmp_path / "store" / site / f"{site}{n}.nii.gz")
    top = tmp_path / "scans"
    top.mkdir()
    (top / "A").symlink_to(tmp_path / "store" / "A")
    (top / "B").symlink_to(tmp_path / "store" / "B")
    (tmp_path / "store" / "B" / "back").symlink_to(top / "B")
    (top / "gone").symlink_to(tmp_path / "nowhere")
    result = find_cases(None, top, {})
    assert sorted((c.site, c.id) for c in result.cases) == [("A", "A0"), ("A", "A1"), ("B", "B0"), ("B", "B1")]
    assert ("B/back", "a link that leads back to a folder above it") in result.skipped


def test_linked_subjects_and_sessions_of_a_study_are_read(tmp_path: Path) -> None:
    store = study(tmp_path / "store", sessions=False, names=("03", "04"))
    top = study(tmp_path / "study", sessions=False)
    (top / "sub-03").symlink_to(store / "sub-03")
    (top / "sub-04").mkdir()
    (top / "sub-04" / "anat").symlink_to(store / "sub-04" / "anat")
    assert [c.subject for c in read_layout("bids", top, {}).cases] == ["01", "02", "03", "04"]


def test_no_regular_file_is_left_out_by_name(tmp_path: Path) -> None:
    scan(tmp_path / "a.nii.gz")
    os.mkfifo(tmp_path / "b.nii.gz")
    assert ("b.nii.gz", "no regular file") in find_cases(None, tmp_path, {}).skipped


def test_a_hidden_folder_is_counted(tmp_path: Path) -> None:
    scan(tmp_path / "a.nii.gz")
    scan(tmp_path / ".old" / "b.nii.gz")
    assert ("1 file(s) in folders with a leading dot", "hidden") in find_cases(None, tmp_path, {}).skipped


def test_an_expression_that_never_ends_is_given_up(tmp_path: Path) -> None:
    scan(tmp_path / ("a" * 60 + "!.nii.gz"))
    with pytest.raises(UsageError, match="takes more than 1 s"):
        find_cases(None, tmp_path, {}, {"site_from": "(a|aa)+$"})


@pytest.mark.parametrize("text", ["(", "a{9999999999}", "(?P<x>", "[" * 5000])
def test_what_is_no_expression_is_said(tmp_path: Path, text: str) -> None:
    scan(tmp_path / "a.nii.gz")
    with pytest.raises(UsageError, match="is no regular expression"):
        find_cases(None, tmp_path, {}, {"site_from": text})


def test_a_table_is_found_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "t.csv").write_text(f"image,subject,site\n{scan(tmp_path / 'a.nii.gz')},a,A\n")
    assert len(open_dataset("csv:~/t.csv", DataConfig())) == 1


@pytest.mark.parametrize("path", ["a\0b", "n" * 300])
@pytest.mark.parametrize("verb", ["init", "check", "prepare"])
def test_a_path_that_cannot_be_is_no_bug(mdx: Cli, tmp_path: Path, verb: str, path: str) -> None:
    code, text = mdx("data", verb, path, "--out", tmp_path / "o")
    assert code in (2, 4), text


@pytest.mark.parametrize("scheme", ["folder", "bids", "csv"])
def test_no_split_and_no_role_is_added_to_what_is_prepared(tmp_path: Path, scheme: str) -> None:
    from mdx_prepare.cohort import open_cases

    place = study(tmp_path / "d", sessions=False)
    address = f"{scheme}:{place}"
    if scheme == "csv":
        (tmp_path / "t.csv").write_text(f"image,subject,site\n{scan(tmp_path / 'a.nii.gz')},a,A\n")
        address = f"csv:{tmp_path / 't.csv'}"
    cases, _ = open_cases(address, DataConfig())
    assert cases
    assert {(case.split, case.role) for case in cases} == {(None, None)}


def test_of_files_that_differ_in_their_suffix_one_is_taken_and_the_other_named(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz", "b_0000.nii", "b_0000.nii.gz", "c.nii"):
        scan(tmp_path / name)
    result = find_cases(None, tmp_path, {})
    assert sorted(p.name for case in result.cases for p in case.images.values()) == [
        "a.nii.gz",
        "b_0000.nii.gz",
        "c.nii",
    ]
    assert ("a.nii", "a file of that name is taken (a.nii.gz)") in result.skipped


def test_files_of_one_name_in_the_folders_of_their_patients_are_of_these_patients(tmp_path: Path) -> None:
    for place in ("A/p1", "A/p2", "A/p3/early", "A/p3/late", "B/p1", "B/p7"):
        scan(tmp_path / place / "images" / "t1.nii.gz")
    result = find_cases(None, tmp_path, {})
    assert sorted(c.subject for c in result.cases) == ["A_p1", "B_p1", "p2", "p3", "p3", "p7"]
    assert any("such as t1: their subjects are the folders (p1, p2, p3, ...)" in m for m in result.messages)


def test_studies_of_two_sites_in_one_folder_have_people_of_their_own(tmp_path: Path) -> None:
    for site in "AB":
        study(tmp_path / site, sessions=False)
    result = find_cases(None, tmp_path, {})
    assert sorted(c.subject for c in result.cases) == ["A_01", "A_02", "B_01", "B_02"]
    assert any("taken for different people, A_01 and B_01" in m for m in result.messages)


def test_what_a_link_of_a_study_leads_to_nowhere_is_named(tmp_path: Path) -> None:
    study(tmp_path, sessions=False)
    for name in ("participants.tsv", "sub-03", "sub-01/anat/sub-01_T1w.json"):
        (tmp_path / name).symlink_to(tmp_path / ".git" / "annex" / "nothing")
    skipped = {name for name, why in read_layout("bids", tmp_path, {}).skipped if why.startswith("a link to a file")}
    assert skipped == {"participants.tsv", "sub-03", "sub-01/anat/sub-01_T1w.json"}


@pytest.mark.parametrize(
    ("column", "names", "said"),
    [
        ("site", ("Siemens", "siemens"), "the sites 'Siemens' and 'siemens' are written nearly alike"),
        ("site", ("K\u00f6ln", "Ko\u0308ln"), r"the sites 'Ko\u0308ln' and 'K\xf6ln' are written nearly alike"),
        ("subject", ("P01", "p1"), "1 pair(s) of subjects of a site are written nearly alike, such as 'P01' and 'p1'"),
        ("subject", ("10", "1"), None),
    ],
)
def test_names_that_are_written_nearly_alike_are_doubted(
    tmp_path: Path, column: str, names: tuple[str, str], said: str | None
) -> None:
    rows = [{"image": scan(tmp_path / f"{i}.nii.gz"), "subject": f"s{i}", "site": "A"} for i in range(4)]
    rows[1][column], rows[2][column] = names
    lines = ["image,subject,site", *(",".join(map(str, row.values())) for row in rows)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    config = DataConfig()
    found = [w.what for w in check(open_table(tmp_path / "t.csv", config), config).warnings if "alike" in w.what]
    assert found == ([said] if said else [])

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import pytest

from mdx.cli.app import run_cli


def test_a_folder_becomes_a_table_that_passes(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = table.parent / "made.csv"
    assert run_cli(["data", "init", str(table.parent), "--out", str(out), "--site-from", "img(.)"]) == 0
    assert "6 cases of 6 subjects" in capsys.readouterr().out
    assert run_cli(["data", "check", str(out)]) == 0


def test_check_exits_with_4_and_names_the_case(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (table.parent / "img2.nii.gz").unlink()
    assert run_cli(["data", "check", str(table)]) == 4
    assert "error: s2:" in capsys.readouterr().out


def test_check_counts_every_warning_that_it_prints_and_so_does_its_page(
    rows, write, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [{k: v for k, v in row.items() if k != "mask"} for row in rows]
    many = [{**kept[i % 6], "subject": f"p{i}", "site": "AB"[i % 2], "class": ["ms", "hc"][i % 2]} for i in range(20)]
    write(many)
    page = tmp_path / "page.html"
    run_cli(["data", "check", str(tmp_path / "cohort.csv"), "--page", str(page)])
    printed = capsys.readouterr().out
    assert "warning: class and site go together" in printed
    assert f" errors, {printed.count('warning: ')} warnings." in page.read_text()
    assert f" errors, {printed.count('warning: ')} warnings" in printed


def test_check_prints_json(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["data", "check", f"csv:{table}", "--json", "--set", "classes=foreground"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["errors"], found["cases"]) == ([], 6)
    assert found["confounding"]["measure"] == "eta squared"
    assert [site["cases"] for site in found["sites"]] == [2, 2, 2]


def test_an_unknown_setting_exits_with_3(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["data", "check", str(table), "--set", "data.sorce=A"]) == 3
    assert "did you mean 'data.source'" in capsys.readouterr().err


def test_split_writes_the_table_with_its_splits(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["data", "split", str(table)]) == 0
    assert "split" in (table.parent / "cohort_split.csv").read_text().splitlines()[0]
    assert "site A: 1 train, 0 val, 1 test" in capsys.readouterr().out
    assert run_cli(["data", "split", str(table)]) == 2


def test_init_prints_the_sites_the_classes_and_what_was_left_out(tmp_path: Path, capsys) -> None:
    for name in ("ge/ill/a.png", "ge/well/b.png", "sie/ill/c.png", "sie/notes.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"")
    code = run_cli(["data", "init", str(tmp_path / "in"), "--class-from", "folder", "--out", str(tmp_path / "o.csv")])
    printed = capsys.readouterr().out
    assert code == 0
    assert "  site ge: 2\n  site sie: 1\n  classes: ill 2, well 1\n" in printed
    assert "skipped: 1 file(s) *.txt: not an image that mdx reads" in printed


def test_init_takes_a_layout_by_name_and_an_address_with_options(tmp_path: Path, capsys) -> None:
    anat = tmp_path / "study/sub-01/anat"
    anat.mkdir(parents=True)
    for suffix in ("T1w", "FLAIR"):
        (anat / f"sub-01_{suffix}.nii.gz").write_bytes(b"")
    out = tmp_path / "o.csv"
    assert run_cli(["data", "init", f"bids:{tmp_path}/study?suffix=FLAIR", "--out", str(out)]) == 0
    assert "sub-01_FLAIR" in out.read_text()
    assert run_cli(["data", "init", str(tmp_path / "study"), "--layout", "none", "--out", str(out), "--force"]) == 0
    assert "2 cases" in capsys.readouterr().out
    assert run_cli(["data", "init", str(tmp_path / "study"), "--layout", "bidz", "--out", str(out), "--force"]) == 2
    assert "did you mean 'bids'" in capsys.readouterr().err


def test_check_shows_each_site_and_what_comes_next(rows, write, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / rows[1]["image"]
    image = nib.load(path)
    nib.save(nib.Nifti1Image(1000 * image.get_fdata(), image.affine), path)
    table = write([{**rows[0], "site": "dim"}, {**rows[1], "site": "bright"}])
    run_cli(["data", "check", str(table), "--page", str(tmp_path / "page.html"), "--set", "classes=foreground"])
    printed = capsys.readouterr().out
    shape = " x ".join(map(str, image.shape))
    assert len([line for line in printed.splitlines() if shape in line and line.startswith(("dim ", "bright "))]) == 2
    assert "times as bright as 'dim'" in printed
    assert printed.splitlines()[-1].startswith(f"next: mdx run fda --data {table} --set classes=foreground source=")
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png") == 2
    assert "times as bright" in page


def test_a_page_replaces_no_table_that_is_read(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = table.read_bytes()
    assert run_cli(["data", "check", f"csv:{table}", "--page", str(table), "--force"]) == 2
    assert table.read_bytes() == before
    assert str(table) in capsys.readouterr().err

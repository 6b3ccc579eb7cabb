"""DICOM files that are cut off or hold no image are named, and never make a volume shorter without a word."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import write_enhanced, write_series

from mdx.data.config import DataConfig
from mdx.data.files.facts import FileFacts, read_facts
from mdx.data.files.images import read_image
from mdx.data.layouts.init import find_cases
from mdx.data.open import open_dataset
from mdx.errors import DataError

FRAMES = np.random.default_rng(0).integers(0, 1000, (5, 8, 6)).astype(np.int16)
PLACES = [(-10.0, -20.0, 30 + 2.5 * i) for i in range(5)]


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


@pytest.mark.parametrize("length", [-40, 700, 150, 0])
def test_a_cut_file_beside_a_whole_one_is_named(tmp_path: Path, length: int) -> None:
    write_enhanced(tmp_path / "d" / "whole.dcm", FRAMES, PLACES)
    cut(write_enhanced(tmp_path / "d" / "cut.dcm", FRAMES, PLACES), length)
    result = find_cases(None, tmp_path, {})
    assert len(result.cases) == 1
    assert result.skipped == [("d/cut.dcm", "is truncated or damaged")]


@pytest.mark.parametrize("which", [0, 2, 4])
@pytest.mark.parametrize("length", [-40, 600, 300, 50, 0])
def test_a_series_with_a_cut_slice_is_refused_by_the_name_of_the_file(tmp_path: Path, which: int, length: int) -> None:
    folder = write_series(tmp_path / "d" / "s", FRAMES)
    victim = sorted(folder.iterdir())[which]
    cut(victim, length)
    with pytest.raises(DataError, match=rf"{victim.name}: is truncated or damaged, and it (may belong|belongs) to"):
        read_image(folder)
    with pytest.raises(DataError, match=rf"s/{victim.name}: is truncated or damaged"):
        find_cases(None, tmp_path / "d", {})


def test_a_report_and_pixels_of_floating_point_are_left_out_with_their_reason(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", FRAMES)
    report = pydicom.dcmread(next(folder.iterdir()))
    del report.PixelData, report.Rows, report.Columns
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = pydicom.uid.BasicTextSRStorage
    report.save_as(folder / "report.dcm")
    real = pydicom.dcmread(write_enhanced(tmp_path / "x.dcm", FRAMES, PLACES))
    real.FloatPixelData, real.BitsAllocated = real.pixel_array.astype("<f4").tobytes(), 32
    del real.PixelData, real.BitsStored, real.HighBit, real.PixelRepresentation
    real.save_as(folder / "real.dcm")
    (tmp_path / "x.dcm").unlink()
    result = find_cases(None, tmp_path, {})
    assert len(result.cases) == 1
    assert sorted(result.skipped) == [
        ("s/real.dcm", "holds pixels of floating point, which are not read"),
        ("s/report.dcm", "DICOM of the kind Basic Text SR Storage, which is no image"),
    ]
    assert read_image(folder)[0].shape[-1] == 5


def test_the_file_is_named_whose_frames_make_no_volume(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "d" / "a.dcm", FRAMES, [*PLACES[:4], PLACES[0]])
    with pytest.raises(DataError, match=r"d/a\.dcm: the 5 slices are no volume"):
        find_cases(None, tmp_path, {})


def test_frames_that_are_no_slices_are_left_out_of_the_table(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "d" / "cine.dcm", FRAMES, PLACES, sop="1.2.840.10008.5.1.4.1.1.3.1")
    with pytest.raises(DataError, match=r"d/cine\.dcm: holds 5 frames that are no slices of a volume"):
        find_cases(None, tmp_path, {})


def test_several_series_in_the_given_folder_itself_are_rows(tmp_path: Path) -> None:
    write_series(tmp_path / "top", FRAMES)
    write_enhanced(tmp_path / "top" / "e.dcm", FRAMES, PLACES)
    assert [c.id for c in open_dataset(f"folder:{tmp_path / 'top'}", DataConfig()).cases] == ["top-1", "top-3"]


def test_a_rescale_of_the_whole_enhanced_file_holds_for_frames_without_their_own(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "a.dcm", FRAMES, PLACES)
    plain = read_image(path)[0]
    file = pydicom.dcmread(path)
    file.RescaleSlope, file.RescaleIntercept = 3, 5
    file.save_as(path)
    assert np.allclose(read_image(path)[0], 3 * plain + 5)


def test_a_slice_that_an_older_one_of_equal_size_replaces_is_read_again(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", FRAMES)
    older = write_series(tmp_path / "t", FRAMES[::-1]) / "im898.dcm"
    os.utime(older, (1, 1))

    def digest() -> str:
        facts = read_facts([folder], "image")[folder]
        assert isinstance(facts, FileFacts)
        return facts.digest

    before, victim = digest(), folder / "im898.dcm"
    changed = pydicom.dcmread(victim)
    changed.PixelData = bytes(len(changed.PixelData))
    changed.save_as(older)
    assert older.stat().st_size == victim.stat().st_size
    os.utime(older, (1, 1))
    shutil.copy2(older, victim)
    assert digest() != before

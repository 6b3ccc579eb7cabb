"""DICOM tags that say nothing of the pixels they come with, or something odd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import write_enhanced, write_series

from mdx.data.files.images import read_image
from mdx.errors import DataError


@pytest.fixture
def volume() -> np.ndarray:
    """(slices, rows, columns) of different lengths."""
    return np.random.default_rng(0).integers(0, 1000, (5, 8, 6)).astype(np.int16)


PLACES = [(-10.0, -20.0, 30 + 2.5 * i) for i in range(5)]


def retag(path: Path, tag: str, value: Any) -> None:
    """Put a value into a file that no writer would."""
    import pydicom
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    dataset = pydicom.dcmread(path)
    if isinstance(value, int):
        setattr(dataset, tag, value)
    else:
        place, raw = Tag(tag_for_keyword(tag) or 0), value.encode() + b" " * (len(value) % 2)
        dataset._dict[place] = RawDataElement(place, dictionary_VR(place), len(raw), raw, 0, False, True)
    dataset.save_as(path, enforce_file_format=False)


ODD_TAGS: list[tuple[str, Any]] = [
    ("RescaleSlope", "0"), ("RescaleSlope", "nan"), ("RescaleSlope", "abc"), ("RescaleSlope", "2\\3"),
    ("RescaleIntercept", "nan"), ("RescaleIntercept", "abc"), ("PixelSpacing", "0\\0"), ("PixelSpacing", "-1\\1"),
    ("PixelSpacing", "0.75"), ("PixelSpacing", "nan\\nan"), ("PixelSpacing", "1e9\\1e9"), ("PixelSpacing", ""),
    ("Rows", 0), ("Rows", 7), ("Columns", 4), ("BitsAllocated", 8), ("BitsAllocated", 12), ("BitsAllocated", 64),
    ("BitsStored", 0), ("BitsStored", 20), ("PixelRepresentation", 2), ("SamplesPerPixel", 0), ("SamplesPerPixel", 2),
    ("PhotometricInterpretation", "PURPLE"), ("PhotometricInterpretation", "RGB"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("tag", "value"), ODD_TAGS)
def test_a_series_with_a_tag_that_says_nothing_of_its_pixels_is_refused(
    tmp_path: Path, volume: np.ndarray, tag: str, value: Any
) -> None:
    """ITK takes 1 for such a slope, a spacing of 1 mm, leaves a slice out, or reads beyond the pixels."""
    for all_of_them in (False, True):
        folder = write_series(tmp_path / str(all_of_them), volume)
        for file in sorted(folder.iterdir())[: None if all_of_them else 1]:
            retag(file, tag, value)
        with pytest.raises(DataError) as refused:
            read_image(folder)
        words = (tag, "BitsStored", "bytes of pixels", "no volume", "without DICOM images")
        assert any(word in str(refused.value) for word in words)


def test_frames_with_a_rescale_that_is_none_are_refused(tmp_path: Path, volume: np.ndarray) -> None:
    slopes = [*[1.0] * (len(PLACES) - 1), 0.0]  # in the first frame, GDCM would not open the file
    with pytest.raises(DataError, match="RescaleSlope"):
        read_image(write_enhanced(tmp_path / "e.dcm", volume, PLACES, slopes=slopes))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("tag", "value"), [("RescaleSlope", ""), ("RescaleSlope", "-2"), ("NumberOfFrames", "0")])
def test_a_tag_that_is_odd_but_means_something_is_taken_at_its_word(
    tmp_path: Path, volume: np.ndarray, tag: str, value: str
) -> None:
    folder = write_series(tmp_path / "s", volume)
    plain = read_image(folder)[0]
    for file in folder.iterdir():
        retag(file, tag, value)
    np.testing.assert_array_equal(read_image(folder)[0], plain * (-2 if value == "-2" else 1))


def test_one_slice_that_is_white_where_it_is_zero_among_others_is_refused(tmp_path: Path, volume: np.ndarray) -> None:
    folder = write_series(tmp_path / "s", volume)
    first = min(folder.iterdir())
    retag(first, "PhotometricInterpretation", "MONOCHROME1 ")
    with pytest.raises(DataError, match="PhotometricInterpretation is MONOCHROME"):
        read_image(folder)

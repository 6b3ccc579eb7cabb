from __future__ import annotations

import csv
import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import write_enhanced, write_file, write_series

from mdx.data.batches.loading import write_prediction
from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.files.dicom import find_series
from mdx.data.files.facts import file_key
from mdx.data.files.images import header_of, read_image, read_mask, write_image, write_mask
from mdx.data.layouts.init import find_cases, init_table
from mdx.data.open import open_dataset, open_table
from mdx.errors import DataError
from mdx.interfaces.adapter import Prediction


@pytest.fixture
def volume() -> np.ndarray:
    """(slices, rows, columns) of different lengths."""
    return np.random.default_rng(0).integers(0, 1000, (5, 8, 6)).astype(np.int16)


def test_a_series_is_read_as_simpleitk_and_nibabel_read_it(tmp_path: Path, volume: np.ndarray) -> None:
    folder = write_series(tmp_path / "s", volume)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    sitk.WriteImage(reader.Execute(), str(tmp_path / "itk.nii.gz"))
    values, geometry = read_image(folder)
    expected, of_nifti = read_image(tmp_path / "itk.nii.gz")
    assert np.array_equal(values, expected)
    assert np.allclose(geometry.affine, of_nifti.affine, atol=1e-5)
    assert (geometry.axcodes, geometry.spacing_mm) == ("LPS", (0.5, 0.75, 2.5))
    assert header_of(folder) == (3, 1)


def test_voxels_lie_where_their_position_says_with_left_and_right_turned(tmp_path: Path, volume: np.ndarray) -> None:
    """Patient position (-10, -20, 30) mm LPS of slice 0, row 0, column 0 is (10, 20, 30) mm RAS."""
    values, geometry = read_image(write_series(tmp_path / "s", volume))
    voxel = np.linalg.solve(geometry.affine, [10, 20, 30, 1]).round(3)
    assert values[(0, *voxel[:3].astype(int))] == volume[0, 0, 0]
    other = geometry.affine @ [*(voxel[:3] - [1, 2, -3]), 1]
    assert np.allclose(other[:3], [10 - 0.5, 20 - 2 * 0.75, 30 + 3 * 2.5])
    assert values[(0, *(voxel[:3] - [1, 2, -3]).astype(int))] == volume[3, 2, 1]


def test_oblique_slices_keep_their_direction(tmp_path: Path, volume: np.ndarray) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    row, column = (c, s, 0.0), (0.0, 0.0, -1.0)
    normal = np.cross(row, column)
    folder = write_series(tmp_path / "s", volume, orientation=(*row, *column), step=tuple(3.0 * normal))
    values, geometry = read_image(folder)
    layout = geometry.layout
    assert layout is not None
    assert np.allclose(layout.affine[:3, 0], np.array([-c, -s, 0]) * 0.5, atol=1e-5)
    assert np.allclose(layout.affine[:3, 2], np.array([-1, -1, 1]) * 3 * normal, atol=1e-5)
    assert sorted(values.shape[1:]) == [5, 6, 8]


def test_slope_and_intercept_of_a_slice_are_applied(tmp_path: Path) -> None:
    hounsfield = (np.arange(3 * 4 * 4).reshape(3, 4, 4) * 20 - 1000).astype(np.int16)
    folder = write_series(tmp_path / "s", hounsfield, Modality="CT", RescaleSlope="2", RescaleIntercept="-1000")
    assert read_image(folder)[0].min() == -1000
    assert read_image(folder)[0].max() == 47 * 20 - 1000


@pytest.mark.parametrize(("change", "message"), [
    ({"leave_out": (2,)}, r"the 4 slices are no volume: 1 slice\(s\) are missing \(2.5 mm apart\)"),
    ({"step": (0.0, 0.9, 2.5)}, "sheared by a tilted gantry"),
    ({"step": (0.0, 0.0, 0.0)}, "4 of them lie where another one does"),
])  # fmt: skip
def test_slices_that_make_no_volume_are_refused(tmp_path: Path, volume: np.ndarray, change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_image(write_series(tmp_path / "s", volume, **change))


def test_uneven_distances_and_mixed_orientations_are_refused(tmp_path: Path, volume: np.ndarray) -> None:
    uneven = write_series(tmp_path / "u", volume)
    write_series(tmp_path / "far", volume[:1], origin=(-10, -20, 44))
    (tmp_path / "far" / "im900.dcm").rename(uneven / "far.dcm")
    with pytest.raises(DataError, match=r"unevenly spaced \(2.5 to 4 mm\)"):
        read_image(uneven)
    localizer = write_series(tmp_path / "l", volume)
    write_series(tmp_path / "sagittal", volume, orientation=(0, 1, 0, 0, 0, -1), step=(2.5, 0, 0))
    for path in (tmp_path / "sagittal").iterdir():
        path.rename(localizer / f"sagittal_{path.name}")
    with pytest.raises(DataError, match="2 orientations, as a localizer has"):
        read_image(localizer)


def test_several_series_in_a_folder_are_listed_and_one_is_chosen_by_number(tmp_path: Path, volume: np.ndarray) -> None:
    folder = write_series(tmp_path / "s", volume, SeriesDescription="T1")
    write_series(tmp_path / "t", volume + 1, uid="1.2.4", SeriesNumber="7", SeriesDescription="FLAIR")
    for path in (tmp_path / "t").iterdir():
        path.rename(folder / f"flair_{path.name}")
    (folder / "readme.txt").write_text("not an image")
    with pytest.raises(DataError, match=r"holds 2 series: #3 \(MR T1, 5 file\(s\)\), #7 \(MR FLAIR, 5 file\(s\)\)"):
        read_image(folder)
    assert read_image(Path(f"{folder}#7"))[0].max() == volume.max() + 1
    assert file_key(Path(f"{folder}#7")) != file_key(Path(f"{folder}#3"))
    with pytest.raises(DataError, match="holds 2 series"):
        read_image(Path(f"{folder}#8"))
    assert [s.key for s in find_series(folder)] == ["3", "7"]


def test_one_slice_is_not_a_volume_and_the_message_says_so(tmp_path: Path, volume: np.ndarray) -> None:
    folder = write_series(tmp_path / "s", volume)
    with pytest.raises(DataError, match=r"one slice of a series, not a volume\n  -> give the folder"):
        read_image(folder / "im900.dcm")


def test_a_film_is_a_plain_image_and_monochrome1_is_inverted(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    plain = write_file(tmp_path / "plain.dcm", pixels, Modality="DX", SeriesInstanceUID="1.5")
    values, geometry = read_image(plain)
    assert np.array_equal(values[0], pixels)
    assert (geometry.axcodes, header_of(plain)) == ("", (2, 1))
    content = plain.read_bytes()
    assert content.count(b"MONOCHROME2 ") == 1
    (tmp_path / "inverse.dcm").write_bytes(content.replace(b"MONOCHROME2 ", b"MONOCHROME1 "))
    assert np.array_equal(read_image(tmp_path / "inverse.dcm")[0][0], 255 - pixels)


def test_colour_films_have_three_channels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    film = write_file(tmp_path / "photo", pixels, Modality="XC", SeriesInstanceUID="1.5")
    assert np.array_equal(read_image(film)[0], np.moveaxis(pixels, -1, 0))


def test_predictions_for_a_series_are_nifti_on_its_grid(tmp_path: Path, volume: np.ndarray) -> None:
    folder = write_series(tmp_path / "s", volume)
    values, geometry = read_image(folder)
    write_image(tmp_path / "copy.nii.gz", values, geometry)
    labels = (values[0] > 500).astype(np.uint8)
    write_mask(tmp_path / "mask.nii.gz", labels, geometry)
    again, grid = read_image(tmp_path / "copy.nii.gz")
    assert np.array_equal(again, values)
    assert np.allclose(grid.affine, geometry.affine, atol=1e-5)
    assert grid.axcodes == "LPS"
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz")[0], labels)


def test_a_table_names_series_and_nothing_written_holds_a_tag(tmp_path: Path, volume: np.ndarray) -> None:
    rows = []
    for i in range(4):
        write_series(tmp_path / f"p{i}", volume + i, uid=f"1.9.{i}", InstitutionName="St Elsewhere")
        rows.append({"image": f"p{i}", "subject": f"s{i}", "site": "AB"[i % 2], "age": 40 + i})
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    config = DataConfig()
    data = open_table(tmp_path / "t.csv", config)
    sample = data.load(data.cases[0])
    assert (data.task.dims, data.task.channels, sample.image.shape) == (3, ("image",), (1, 6, 8, 5))
    image = np.asarray(sample.image)
    (path,) = write_prediction(Prediction(sample.geometry, image=image), data.task, tmp_path / "out", "c", config)
    assert path.name == "c_image.nii.gz"
    assert nib.load(path).shape == (6, 8, 5)  # type: ignore[attr-defined]
    kept = gzip.decompress(path.read_bytes()) + repr(sample).encode()
    assert all(word not in kept for word in (b"Doe", b"Elsewhere", b"1.9.0"))


@pytest.fixture
def archive(tmp_path: Path, volume: np.ndarray) -> Path:
    """Two patients of two scanners, one of them with two series in one folder, a localizer, a film and a report."""
    top = tmp_path / "archive"
    scanner = {"Manufacturer": "SIEMENS", "ManufacturerModelName": "TrioTim", "MagneticFieldStrength": "3",
               "InstitutionName": "St Elsewhere"}  # fmt: skip
    write_series(top / "a/one", volume, uid="1.1", PatientID="MRN-1", SeriesDescription="T1", **scanner)
    write_series(top / "b/x", volume + 1, uid="1.2", PatientID="MRN-2", Manufacturer="GE", SeriesNumber="2")
    write_series(tmp_path / "more", volume + 2, uid="1.3", PatientID="MRN-2", Manufacturer="GE", SeriesNumber="5")
    for path in (tmp_path / "more").iterdir():
        path.rename(top / "b/x" / f"more_{path.name}")
    write_series(top / "loc", volume[:2], uid="1.4", step=(0, 0, 0), PatientID="MRN-1")
    write_file(top / "film/x1.dcm", volume[0].astype(np.uint16), Modality="DX", PatientID="MRN-3",
               SeriesInstanceUID="1.5")  # fmt: skip
    return top


def test_a_folder_of_dicom_becomes_a_row_a_series(archive: Path, tmp_path: Path) -> None:
    result = init_table(archive, tmp_path / "t.csv")
    rows = [(str(next(iter(c.images.values())).relative_to(archive)), c.site) for c in result.cases]
    assert rows == [("a/one", "SIEMENS_TrioTim_3T"), ("b/x#2", "GE"), ("b/x#5", "GE"), ("film/x1.dcm", "site1")]
    subjects = [c.subject for c in result.cases]
    assert subjects[1] == subjects[2]
    assert len(set(subjects)) == 3
    assert [name for name, _ in result.skipped] == ["loc"]
    assert "lie where another one does" in result.skipped[0][1]
    text = (tmp_path / "t.csv").read_text()
    assert "MRN" not in text
    assert "Elsewhere" not in text


def test_tags_that_are_asked_for_become_sites_and_columns(archive: Path, tmp_path: Path) -> None:
    address = f"folder:{archive}/a?site_tags=InstitutionName&tags=Modality,SeriesDescription"
    (case,) = init_table(address, tmp_path / "t.csv").cases
    assert (case.site, case.columns) == ("St-Elsewhere", {"Modality": "MR", "SeriesDescription": "T1"})
    with pytest.raises(DataError, match="the tag 'PatientName' is not read"):
        init_table(f"folder:{archive}/a?tags=PatientName", tmp_path / "u.csv")


def test_series_of_a_folder_are_checked_and_told_apart(archive: Path) -> None:
    data = open_dataset(f"folder:{archive}/b", DataConfig())
    assert [c.id for c in data.cases] == ["x-2", "x-5"]
    assert check(data, DataConfig()).errors == []
    raw = open_dataset(f"folder:{archive}/b", DataConfig(intensity="none"))
    first, second = (raw.load(case).image for case in raw.cases)
    assert np.array_equal(first + 1, second)


def test_a_compressed_transfer_syntax_is_read(tmp_path: Path) -> None:
    pixels = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint16) * 7
    film = write_file(tmp_path / "f.dcm", pixels, compressed=True, Modality="DX", SeriesInstanceUID="1.5")
    assert b"1.2.840.10008.1.2.4." in film.read_bytes()  # a syntax of the JPEG family
    assert np.array_equal(read_image(film)[0][0], pixels)


@pytest.mark.parametrize("enhanced", [True, False])
def test_frames_are_slices_only_in_enhanced_files(tmp_path: Path, volume: np.ndarray, enhanced: bool) -> None:
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing((0.5, 0.75, 2.5))
    image.SetOrigin((-10, -20, 30))
    image.SetMetaData("0008|0060", "MR" if enhanced else "US")
    image.SetMetaData("0008|0016", f"1.2.840.10008.5.1.4.1.1.{'4.1' if enhanced else '3.1'}")
    path = tmp_path / "frames.dcm"
    sitk.WriteImage(image, str(path))
    if not enhanced:
        with pytest.raises(DataError, match="holds 5 frames that are no slices of a volume"):
            read_image(path)
        return
    values, geometry = read_image(path)
    voxel = np.linalg.solve(geometry.affine, [10, 20, 30, 1]).round(3).astype(int)
    assert values[(0, *voxel[:3])] == volume[0, 0, 0]
    assert (geometry.spacing_mm, header_of(path)) == ((0.5, 0.75, 2.5), (3, 1))


PLACES = [(-10.0, -20.0, 30 + 2.5 * i) for i in range(5)]


def test_an_enhanced_file_is_the_series_of_its_frames_whatever_their_order(tmp_path: Path, volume: np.ndarray) -> None:
    series = read_image(write_series(tmp_path / "classic", volume))
    order = [3, 0, 4, 1, 2]
    shuffled = read_image(write_enhanced(tmp_path / "e.dcm", volume[order], [PLACES[i] for i in order]))
    assert np.array_equal(shuffled[0], series[0])
    assert np.allclose(shuffled[1].affine, series[1].affine)
    assert shuffled[1].spacing_mm == (0.5, 0.75, 2.5)


def test_each_frame_has_its_own_rescale(tmp_path: Path, volume: np.ndarray) -> None:
    slopes = [1.0, 2.0, 3.0, 0.5, 6.0]
    plain = read_image(write_enhanced(tmp_path / "a.dcm", volume, PLACES))[0]
    scaled = read_image(write_enhanced(tmp_path / "b.dcm", volume, PLACES, slopes=slopes))[0]
    assert np.allclose(scaled, plain * np.array(slopes) - 1)
    shared = read_image(write_enhanced(tmp_path / "c.dcm", volume, PLACES, shared_slope=4.0))[0]
    assert np.allclose(shared, plain * 4 + 1)


def test_frames_without_a_rescale_have_their_real_world_values(tmp_path: Path, volume: np.ndarray) -> None:
    real_world = [1.0, 2.0, 3.0, 0.5, 6.0]
    plain = read_image(write_enhanced(tmp_path / "a.dcm", volume, PLACES))[0]
    scaled = read_image(write_enhanced(tmp_path / "b.dcm", volume, PLACES, real_world=real_world))[0]
    assert np.allclose(scaled, plain * np.array(real_world) + 2)
    both = write_enhanced(tmp_path / "c.dcm", volume, PLACES, real_world=real_world, shared_slope=4.0)
    assert np.allclose(read_image(both)[0], plain * 4 + 1)  # the rescale is what a classic file says


@pytest.mark.parametrize("more", [1, -1])
def test_frames_beyond_those_of_the_header_are_refused_and_missing_ones_too(
    tmp_path: Path, volume: np.ndarray, more: int
) -> None:
    import pydicom

    path = write_enhanced(tmp_path / "a.dcm", volume, PLACES)
    file = pydicom.dcmread(path)
    frame = len(file.PixelData) // len(volume)
    file.PixelData = file.PixelData + b"\0" * frame if more > 0 else file.PixelData[:-frame]
    file.save_as(path)
    with pytest.raises(DataError, match="its header says"):
        read_image(path)


def test_white_stored_as_zero_is_inverted_in_frames_too(tmp_path: Path, volume: np.ndarray) -> None:
    plain = read_image(write_enhanced(tmp_path / "a.dcm", volume, PLACES))[0]
    white = read_image(write_enhanced(tmp_path / "b.dcm", volume, PLACES, photometric="MONOCHROME1"))[0]
    assert np.array_equal(white, 65535 - plain)


@pytest.mark.parametrize(("positions", "message"), [
    ([*PLACES[:2], PLACES[0], PLACES[1], PLACES[2]], "lie where another one does"),
    ([*PLACES[:3], (-10.0, -20.0, 40.0), (-10.0, -20.0, 42.5)], "slice.s. are missing"),
    ([(x + 2 * i, y, z) for i, (x, y, z) in enumerate(PLACES)], "tilted gantry"),
    ([(x, y, 30.0 + i * i) for i, (x, y, z) in enumerate(PLACES)], "unevenly spaced"),
])  # fmt: skip
def test_frames_that_make_no_volume_are_refused_and_folders_say_so(
    tmp_path: Path, volume: np.ndarray, positions: list[tuple[float, float, float]], message: str
) -> None:
    path = write_enhanced(tmp_path / "d" / "e.dcm", volume, positions)
    with pytest.raises(DataError, match=rf"e\.dcm: the 5 slices are no volume: .*{message}"):
        read_image(path)
    with pytest.raises(DataError, match=message):
        find_cases(None, tmp_path / "d", {})


def test_a_series_that_is_refused_alone_in_a_folder_is_told_with_its_reason(tmp_path: Path, volume: np.ndarray) -> None:
    write_series(tmp_path / "d", volume, leave_out=(2,))
    with pytest.raises(DataError, match=r"holds no images that can be used:(.|\n)*1 slice\(s\) are missing"):
        find_cases(None, tmp_path / "d", {})


@pytest.mark.parametrize("signed", [False, True])
def test_white_stored_as_zero_in_twelve_bits_is_inverted(tmp_path: Path, signed: bool) -> None:
    import pydicom

    pixels = np.arange(48, dtype=np.int16).reshape(6, 8) * 40 - (900 if signed else 0)
    path = write_file(tmp_path / "film.dcm", np.zeros((6, 8), np.uint16), Modality="CR")
    file = pydicom.dcmread(path)
    file.PhotometricInterpretation, file.BitsStored, file.HighBit = "MONOCHROME1", 12, 11
    file.PixelRepresentation, file.PixelData = int(signed), pixels.tobytes()
    file.save_as(path)
    assert np.array_equal(read_image(path)[0][0], (-1 if signed else 4095) - pixels)

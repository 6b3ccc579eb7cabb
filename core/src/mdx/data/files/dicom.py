"""DICOM: a folder of slices is one volume, a film is a plain image; read by SimpleITK (GDCM).

What is kept of a file are its voxels and its grid. No tag is carried into a geometry, so none reaches a run
directory or a prediction: predictions for a series are NIfTI on its grid, those for a film are PNG. The rescale slope
and intercept of each slice are applied, the display window is not; MONOCHROME1, where 0 is white, comes inverted from
GDCM, so that larger is brighter everywhere.
"""

from __future__ import annotations

import hashlib
import locale
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdx.data.files.dicom_frames import read_frames, stored_values
from mdx.data.files.dicom_headers import (
    require_no_torn_slice,
    require_sound_frames,
    require_sound_headers,
    require_whole_series,
    torn_file,
)
from mdx.data.files.dicom_space import Slice, in_space
from mdx.data.files.formats import damaged, no_such_file, reading, require_bearable, suffix_of
from mdx.errors import DataError, nearest
from mdx.files import folder_and_part
from mdx.interfaces.geometry import FileLayout

TAGS = {
    "SOPClassUID": "0008|0016", "Modality": "0008|0060", "Manufacturer": "0008|0070", "InstitutionName": "0008|0080",
    "StationName": "0008|1010", "SeriesDescription": "0008|103e", "ManufacturerModelName": "0008|1090",
    "PatientID": "0010|0020", "PatientSex": "0010|0040", "PatientAge": "0010|1010", "RepetitionTime": "0018|0080",
    "EchoTime": "0018|0081", "MagneticFieldStrength": "0018|0087", "ProtocolName": "0018|1030",
    "SeriesInstanceUID": "0020|000e", "SeriesNumber": "0020|0011", "ImagePositionPatient": "0020|0032",
    "ImageOrientationPatient": "0020|0037", "NumberOfFrames": "0028|0008", "BitsAllocated": "0028|0100",
    "PixelRepresentation": "0028|0103",
}  # fmt: skip
LOCALE = locale.setlocale(locale.LC_ALL)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Series:
    """The files of one SeriesInstanceUID in one folder; ``key`` tells it from the others there."""

    key: str
    files: tuple[Slice, ...]

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of its first file."""
        return self.files[0].tags

    def __str__(self) -> str:
        text = " ".join(filter(None, (self.tags.get("Modality"), self.tags.get("SeriesDescription"))))
        return f"#{self.key} ({text + ', ' if text else ''}{len(self.files)} file(s))"


def is_dicom_file(path: Path) -> bool:
    """By its suffix, or where it has none that is known, by the letters DICM after the preamble."""
    suffix = suffix_of(path)
    if suffix:
        return suffix in (".dcm", ".ima")
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_dicom(path: Path) -> bool:
    """Whether ``path`` is a folder (or ``folder#series``) or a file that is read here."""
    return folder_and_part(path) is not None or is_dicom_file(path)


def find_series(folder: Path) -> list[Series]:
    """The series whose files lie directly in ``folder``; files that are not DICOM images are passed over."""
    by_uid: dict[str, list[Slice]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and (found := _header(path)) is not None:
            by_uid[found.tags.get("SeriesInstanceUID", "")].append(found)
    numbers = Counter(files[0].tags.get("SeriesNumber", "") for files in by_uid.values())
    found = [
        Series(number if (number := files[0].tags.get("SeriesNumber", "")) and numbers[number] == 1
               else hashlib.sha256(uid.encode()).hexdigest()[:8], tuple(files))
        for uid, files in by_uid.items()
    ]  # fmt: skip
    return sorted(found, key=lambda s: (len(s.key), s.key))


def torn_files(folder: Path, series: Sequence[Series]) -> dict[Path, tuple[str, str]]:
    """What ``torn_file`` says of the DICOM files of a folder that are in none of its series."""
    taken = {file.path for of in series for file in of.files}
    rest = (path for path in sorted(folder.iterdir()) if path not in taken and not path.name.startswith("."))
    return {path: torn_file(path) for path in rest if path.is_file() and is_dicom_file(path)}


def decode_dicom(path: Path) -> tuple[np.ndarray, FileLayout, str]:
    """A series as (C, X, Y, Z), a film as (C, rows, columns); how it lies in space; the stored type.

    Raises DataError for a folder with several series, and for a series that is no volume: slices missing, at equal
    positions, unevenly spaced, sheared (a tilted gantry), of different orientations or sizes.
    """
    files = _chosen(path)
    if len(files) == 1 and files[0].is_film:
        return _film(files[0])
    return _volume(path, files)


def dicom_header_of(path: Path) -> tuple[int, int]:
    """Number of spatial dimensions and of channels."""
    files = _chosen(path)
    return (2 if files[0].is_film else 3), files[0].channels


def _chosen(path: Path) -> tuple[Slice, ...]:
    inside = folder_and_part(path)
    if inside is None:
        if not path.is_file():
            raise no_such_file(path)
        found = _header(path)
        if found is None:
            raise DataError("is no DICOM image", "leave it out, or give the image that it describes", path)
        if found.frames == 1 and not found.is_film and not found.is_enhanced:
            raise DataError("is one slice of a series, not a volume", "give the folder that holds all its slices", path)
        return (found,)
    folder, key = inside
    series = everything = find_series(folder)
    if not series:
        raise DataError("is a folder without DICOM images", "give an image file, or a folder with one series", path)
    if key:
        series = [s for s in series if s.key == key] or series
    if len(series) > 1:
        hint = nearest(key, [s.key for s in series]) if key else f"such as {folder.name}#{series[0].key}"
        raise DataError(
            f"holds {len(series)} series: {', '.join(map(str, series[:8]))}",
            f"name one of them after a '#', {hint}; 'mdx data init' writes a row for each", path,
        )  # fmt: skip
    if key and series[0].key != key:
        raise DataError(f"has no series '{key}'", f"there is only {series[0]}", folder)
    files = series[0].files
    require_no_torn_slice(path, [f.path for f in files], torn_files(folder, everything))
    if len(files) > 1 and any(f.is_film for f in files):
        raise DataError(
            f"holds {len(files)} images without a position in space: films, not slices of a volume",
            "give each file in a row of its own; 'mdx data init' does so", path,
        )  # fmt: skip
    return files


def _header(path: Path) -> Slice | None:
    import SimpleITK as sitk  # noqa: N813 (the name its own pages use)

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    finally:
        _restore_locale()
    keys = set(reader.GetMetaDataKeys())
    tags = {name: text for name, tag in TAGS.items() if tag in keys and (text := _text(reader.GetMetaData(tag)))}
    if "SOPClassUID" not in tags or 0 in reader.GetSize():
        return None  # a report, a structure set: GDCM opens their headers too
    return Slice(path, tuple(int(n) for n in reader.GetSize()), reader.GetNumberOfComponents(), tags)


def _text(raw: str) -> str:
    return raw.encode(errors="replace").decode().strip(" \0")


def _film(film: Slice) -> tuple[np.ndarray, FileLayout, str]:
    require_bearable(film.path, (*film.size[:2], film.channels))
    try:
        values = _read([film], film.channels)[0]  # (rows, columns[, channels])
    except DataError:
        values = _of_pydicom(film)  # GDCM refuses some that are whole, such as signed MONOCHROME1 of 12 bits
        if values is None:
            raise
    values = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    layout = FileLayout("image", tuple(values.shape[1:]), np.eye(4), b"", ".png", colour=len(values) == 3)
    return values, layout, _stored_type(film)


def _of_pydicom(film: Slice) -> np.ndarray | None:
    """(rows, columns) of a grey film with its rescale; None where it cannot be read either."""
    import pydicom

    try:
        dataset = pydicom.dcmread(film.path)
        values = stored_values(dataset, 1, film.path)
    except Exception:  # it is the first reader's error that is told
        return None
    if values is None or film.channels != 1:
        return None
    return values[0] * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))


def _volume(path: Path, files: Sequence[Slice]) -> tuple[np.ndarray, FileLayout, str]:
    if len(files) == 1:
        _require_slices(path, files[0])
        return _enhanced(path, files[0])
    ordered = in_space(path, files)
    require_bearable(path, (len(ordered), *ordered[0].size[:2], ordered[0].channels))
    require_sound_headers(path, [file.path for file in ordered])
    inside = folder_and_part(path)
    if inside is not None:
        require_whole_series(path, inside[0], [file.path for file in ordered])
    image = _series_image(ordered, files[0].channels, path)
    values = _array(image)  # (slices, rows, columns[, channels])
    values = np.moveaxis(values, (2, 1, 0), (0, 1, 2))
    values = values[None] if values.ndim == 3 else np.moveaxis(values, -1, 0)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    shape = tuple(values.shape[1:]) + ((len(values),) if len(values) > 1 else ())
    layout = FileLayout("nifti", shape, LPS_TO_RAS @ affine, b"", ".nii.gz", colour=len(values) == 3)
    return values, layout, _stored_type(ordered[0])


def _enhanced(path: Path, file: Slice) -> tuple[np.ndarray, FileLayout, str]:
    """The frames of an enhanced file as (1, X, Y, Z), in the order of their positions and each with its own rescale.

    Raises DataError where they make no volume, as slices of a series may not, and where they are scaled and compressed
    in a way that cannot be undone here.
    """
    found = read_frames(file.path)
    require_sound_frames(path, found.slopes, found.intercepts, found.spacing)
    frames = [
        Slice(file.path, (*file.size[:2], 1), file.channels,
              {"ImagePositionPatient": position, "ImageOrientationPatient": orientation, "frame": str(i)})
        for i, (position, orientation) in enumerate(zip(found.positions, found.orientations, strict=True))
    ]  # fmt: skip
    ordered = in_space(path, frames)
    values = found.values
    if values is None:
        if found.is_scaled:
            raise DataError(
                f"its frames have a rescale of their own and are compressed as {found.compression}",
                "decompress it first (gdcmconv --raw)", path,
            )  # fmt: skip
        values = _read([file], 1)
    scaled = values * found.slopes[:, None, None] + found.intercepts[:, None, None]
    scaled = scaled[[int(f.tags["frame"]) for f in ordered]].astype(np.float32)
    along = ordered[0].orientation
    first, last = ordered[0].position, ordered[-1].position
    assert along is not None  # in_space looks at these
    assert first is not None
    assert last is not None
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = along[:3] * found.spacing[1], along[3:] * found.spacing[0]
    step = (last - first) / (len(ordered) - 1) if len(ordered) > 1 else np.cross(along[:3], along[3:]) * found.thickness
    affine[:3, 2], affine[:3, 3] = step, first
    volume = np.moveaxis(scaled, (2, 1, 0), (0, 1, 2))[None]
    layout = FileLayout("nifti", tuple(volume.shape[1:]), LPS_TO_RAS @ affine, b"", ".nii.gz")
    return volume, layout, _stored_type(file)


def _require_slices(path: Path, file: Slice) -> None:
    """Raise DataError for a file by itself that is one slice, or whose frames are no slices."""
    if file.is_enhanced:
        return
    if file.frames < 2:
        raise DataError("is one slice, not a volume", "give the folder that holds all slices of the series", path)
    raise DataError(f"holds {file.frames} frames that are no slices of a volume", "save single frames as images", path)


def look_at_volume(path: Path, files: Sequence[Slice], torn: Mapping[Path, tuple[str, str]]) -> None:
    """Raise DataError where the files of a series, or the frames of one file, make no volume.

    ``torn``: what ``torn_files`` found beside them.
    """
    if len(files) > 1:
        require_no_torn_slice(path, [file.path for file in files], torn)
        in_space(path, files)
        return
    _require_slices(path, files[0])
    with reading(path):
        _enhanced(path, files[0])


def _series_image(files: Sequence[Slice], channels: int, where: Path) -> Any:
    import SimpleITK as sitk  # noqa: N813 (the name its own pages use)

    reader = sitk.ImageSeriesReader()
    reader.GlobalWarningDisplayOff()  # what ITK would warn of has been checked
    reader.SetImageIO("GDCMImageIO")
    # float32: each slice has its own rescale, and the type of the first need not hold the others
    reader.SetOutputPixelType(sitk.sitkFloat32 if channels == 1 else sitk.sitkVectorFloat32)
    reader.SetFileNames([str(f.path) for f in files])
    return _execute(reader, where)


def _read(files: Sequence[Slice], channels: int) -> np.ndarray:
    return _array(_series_image(files, channels, files[0].path))


def _array(image: Any) -> np.ndarray:
    import SimpleITK as sitk  # noqa: N813 (the name its own pages use)

    return sitk.GetArrayFromImage(image)


def _execute(reader: Any, where: Path) -> Any:
    try:
        return reader.Execute()
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        raise damaged(where, last) from error
    finally:
        _restore_locale()


def _restore_locale() -> None:
    """ITK sets the locale of the whole process while it parses numbers; with threads it can stay changed."""
    if locale.setlocale(locale.LC_ALL) != LOCALE:
        locale.setlocale(locale.LC_ALL, LOCALE)


def _stored_type(first: Slice) -> str:
    return f"{'int' if first.tags.get('PixelRepresentation') == '1' else 'uint'}{first.tags.get('BitsAllocated', '16')}"

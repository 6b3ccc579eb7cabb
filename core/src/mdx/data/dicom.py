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
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mdx.data.formats import damaged, no_such_file, suffix_of
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
ENHANCED = {f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2.1", "2.2", "4.1", "4.4", "128.1", "130")}
"""Storage classes whose frames are the slices of a volume: enhanced CT, MR and PET, and those converted from them."""
UNEVEN = 0.02
"""Distances of neighbouring slices may differ by this part of their median."""
LOCALE = locale.setlocale(locale.LC_ALL)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Slice:
    """A file of a series: its size (columns, rows, frames), channels, and the tags of ``TAGS`` that it has."""

    path: Path
    size: tuple[int, ...]
    channels: int
    tags: Mapping[str, str]

    @cached_property
    def position(self) -> np.ndarray | None:
        """(3,) mm, LPS."""
        return _numbers(self.tags.get("ImagePositionPatient", ""), 3)

    @cached_property
    def orientation(self) -> np.ndarray | None:
        """(6,) directions of a row and of a column, LPS."""
        return _numbers(self.tags.get("ImageOrientationPatient", ""), 6)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.size[2]) if len(self.size) > 2 else 1

    @property
    def is_film(self) -> bool:
        """Whether the image has no position in space: an X-ray, a photograph, a screen capture."""
        return self.position is None and self.frames == 1


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
        if found.frames == 1 and not found.is_film:
            raise DataError("is one slice of a series, not a volume", "give the folder that holds all its slices", path)
        return (found,)
    folder, key = inside
    series = find_series(folder)
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


def _numbers(text: str, count: int) -> np.ndarray | None:
    try:
        values = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        return None
    return values if len(values) == count and np.isfinite(values).all() else None


def _film(film: Slice) -> tuple[np.ndarray, FileLayout, str]:
    values = _read([film], film.channels)[0]  # (rows, columns[, channels])
    values = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    layout = FileLayout("image", tuple(values.shape[1:]), np.eye(4), b"", ".png", colour=len(values) == 3)
    return values, layout, _stored_type(film)


def _volume(path: Path, files: Sequence[Slice]) -> tuple[np.ndarray, FileLayout, str]:
    import SimpleITK as sitk  # noqa: N813 (the name its own pages use)

    if len(files) == 1:
        if files[0].frames < 2:
            raise DataError("is one slice, not a volume", "give the folder that holds all slices of the series", path)
        if files[0].tags.get("SOPClassUID") not in ENHANCED:
            raise DataError(
                f"holds {files[0].frames} frames that are no slices of a volume", "save single frames as images", path
            )
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(files[0].path))
        reader.SetOutputPixelType(sitk.sitkFloat32)
        ordered, image = files, _execute(reader, path)
    else:
        ordered = in_space(path, files)
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


def in_space(path: Path, files: Sequence[Slice]) -> list[Slice]:
    """The slices in the order of their positions along the normal. Raises DataError where they make no volume."""

    def wrong(what: str, remedy: str) -> DataError:
        return DataError(f"the {len(files)} slices are no volume: {what}", remedy, path)

    split = "keep one of them in the folder, or convert the series to NIfTI (dcm2niix)"
    if any(f.frames > 1 or f.position is None or f.orientation is None for f in files):
        raise wrong("some have no position or orientation in space", split)
    for name, kinds in (("sizes", {f.size for f in files}), ("numbers of channels", {f.channels for f in files})):
        if len(kinds) > 1:
            raise wrong(f"they have {len(kinds)} different {name}", split)
    orientations = np.stack([f.orientation for f in files if f.orientation is not None])
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        n = len(np.unique(orientations.round(2), axis=0))
        raise wrong(f"they have {n} orientations, as a localizer has", "leave this series out, or split it")
    normal = np.cross(orientations[0][:3], orientations[0][3:])
    positions = np.stack([f.position for f in files if f.position is not None])
    order = np.argsort(positions @ normal, kind="stable")
    steps = np.diff(positions[order], axis=0)
    gaps = steps @ normal
    usual = float(np.median(gaps))
    if (gaps <= max(1e-3, 0.1 * usual)).any():
        n = int((gaps <= max(1e-3, 0.1 * usual)).sum())
        raise wrong(f"{n} of them lie where another one does (several echoes, phases or time points)", split)
    if np.abs(gaps - usual).max() > max(1e-3, UNEVEN * usual):
        absent = int(np.rint(gaps / usual - 1).clip(0).sum())
        if absent and np.abs(gaps - usual * np.rint(gaps / usual)).max() <= max(1e-3, UNEVEN * usual):
            raise wrong(f"{absent} slice(s) are missing ({usual:.4g} mm apart)", "export the series again")
        raise wrong(
            f"they are unevenly spaced ({gaps.min():.4g} to {gaps.max():.4g} mm)", "resample it to an even grid first"
        )
    if np.linalg.norm(steps - gaps[:, None] * normal, axis=1).max() > max(1e-3, UNEVEN * usual):
        raise wrong("they are sheared by a tilted gantry", "correct the tilt first (dcm2niix does)")
    return [files[i] for i in order]


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

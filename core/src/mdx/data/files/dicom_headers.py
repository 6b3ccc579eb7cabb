"""What the headers of a series must hold before its pixels are believed: ITK replaces what it cannot use by 1 or 0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdx.errors import DataError

LARGEST_MM = 1000.0
GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
ALIKE = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation", "PixelSpacing")
CHOICES = {"SamplesPerPixel": (1, 3), "BitsAllocated": (8, 16, 32), "PixelRepresentation": (0, 1)}
AGAIN = "export the series again, or correct the tag; 'mdx data init' lists what a folder holds"


def require_sound_headers(path: Path, files: Sequence[Path]) -> None:
    """Raise DataError that names the file and the tag that make a volume of these slices wrong.

    Looked at: sizes and bit depths that are none, fewer or more stored values than they say, a rescale or a spacing
    that is no number, tags that must be the same for all slices, and files of the same series that cannot be read.
    """
    headers = [_header(file) for file in files]
    for file, header in zip(files, headers, strict=True):
        for what in _faults(header):
            raise DataError(f"{file.name}: {what}", AGAIN, path)
    for tag in ALIKE:
        values = [str(header.get(tag, "")) for header in headers]
        for file, value in zip(files, values, strict=True):
            if value != values[0]:
                raise DataError(f"{file.name}: {tag} is {value}, of {files[0].name} it is {values[0]}", AGAIN, path)


def torn_file(path: Path) -> tuple[str, str]:
    """Why a DICOM file that could not be read is no image, and its series where it is a part of one.

    The series is ``?`` where the file ends before it says so, and empty for reports, plans and their like.
    """
    header = _header(path)
    storage = header.get("SOPClassUID") or getattr(getattr(header, "file_meta", None), "MediaStorageSOPClassUID", None)
    if storage is not None and "Image Storage" not in storage.name:
        return f"DICOM of the kind {storage.name}, which is no image", ""
    if {"FloatPixelData", "DoubleFloatPixelData"} & set(header.dir() if storage is not None else ()):
        return "holds pixels of floating point, which are not read", ""
    whole = "PixelData" in header and "SharedFunctionalGroupsSequence" not in header
    what = next(_faults(header), None) if whole else None
    return what or "is truncated or damaged", str(header.get("SeriesInstanceUID") or "?")


def require_no_torn_slice(path: Path, files: Sequence[Path], torn: Mapping[Path, tuple[str, str]]) -> None:
    """Raise DataError that names a torn file which is, or may be, a slice of a series of several files."""
    own = str(_header(files[0]).get("SeriesInstanceUID", "")) if len(files) > 1 and torn else ""
    for other, (what, uid) in torn.items() if own else ():
        if uid in (own, "?"):
            belongs = "belongs" if uid == own else "may belong"
            raise DataError(f"{other.name}: {what}, and it {belongs} to the same series", AGAIN, path)


def require_whole_series(path: Path, folder: Path, files: Sequence[Path]) -> None:
    """Raise DataError that names a file of the same series whose pixels cannot be read: a slice would be missing."""
    uid = str(_header(files[0]).get("SeriesInstanceUID", ""))
    for other in sorted(set(folder.iterdir()) - set(files)) if uid else ():
        header = _header(other) if other.is_file() else {}
        if "PixelData" in header and str(header.get("SeriesInstanceUID", "")) == uid:
            what = next(_faults(header), "its header cannot be used")
            raise DataError(f"{other.name}: {what}, and it belongs to the same series", AGAIN, path)


def require_sound_frames(path: Path, slopes: np.ndarray, intercepts: np.ndarray, spacing: Sequence[float]) -> None:
    """The same of the frames of an enhanced file."""
    if not np.isfinite(slopes).all() or (slopes == 0).any() or not np.isfinite(intercepts).all():
        raise DataError("a frame's RescaleSlope or RescaleIntercept is no number to scale with", AGAIN, path)
    if len(spacing) != 2 or not all(0 < v <= LARGEST_MM for v in spacing):
        raise DataError(f"PixelSpacing is {list(spacing)}, not two lengths in mm", AGAIN, path)


def _header(path: Path) -> Any:
    """The dataset without its pixels, of which the length is known; nothing for what is no DICOM file."""
    import pydicom

    try:
        return pydicom.dcmread(path, defer_size=1024)
    except Exception:  # no DICOM file; one that is an image has been read by GDCM
        return {}


def _faults(header: Any) -> Iterator[str]:
    for tag in ("Rows", "Columns"):
        if not isinstance(header.get(tag), int) or header.get(tag) < 1:
            yield f"{tag} is {header.get(tag)}"
    for tag, allowed in CHOICES.items():
        if header.get(tag) not in allowed:
            yield f"{tag} is {header.get(tag)}, not one of {', '.join(map(str, allowed))}"
    stored, allocated = header.get("BitsStored", 0), header.get("BitsAllocated", 0)
    if not 1 <= (stored or 0) <= (allocated or 0):
        yield f"BitsStored is {stored} of {allocated} allocated"
    slope, intercept = _numbers(header, "RescaleSlope"), _numbers(header, "RescaleIntercept")
    if slope is None or (slope and (len(slope) != 1 or slope[0] == 0)):
        yield f"RescaleSlope is {_text(header, 'RescaleSlope')}"
    if intercept is None or len(intercept) > 1:
        yield f"RescaleIntercept is {_text(header, 'RescaleIntercept')}"
    spacing = _numbers(header, "PixelSpacing")
    if spacing is None or len(spacing) != 2 or not all(0 < v <= LARGEST_MM for v in spacing):
        yield f"PixelSpacing is {_text(header, 'PixelSpacing') or 'missing'}, not two lengths in mm"
    colours, samples = str(header.get("PhotometricInterpretation", "")), header.get("SamplesPerPixel")
    if samples != (1 if colours in GREY else 3 if colours == "RGB" or colours.startswith("YBR_") else None):
        yield f"PhotometricInterpretation is '{colours}' with {samples} sample(s) per pixel"
    yield from _length(header)


def _length(header: Any) -> Iterator[str]:
    """Whether as many bytes are stored as the header says; of compressed pixels nothing is known."""
    syntax = getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", None)
    if "PixelData" not in header or syntax is None or syntax.is_encapsulated or syntax.is_deflated:
        return
    shape = [header.get(tag) for tag in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")]
    if not all(isinstance(n, int) for n in shape):
        return
    wanted = math.prod(shape) // 8 * int(header.get("NumberOfFrames") or 1)
    held = getattr(header.get_item("PixelData"), "length", None)
    if held is not None and held not in (wanted, wanted + wanted % 2):
        yield f"holds {held} bytes of pixels, not {wanted}"


def _numbers(header: Any, tag: str) -> list[float] | None:
    """The finite values of a tag; an empty list where it is absent or empty, None where one is no such number."""
    if tag not in header:
        return []
    text = _text(header, tag)
    try:
        values = [float(part) for part in text.split("\\")] if text else []
    except ValueError:
        return None
    return values if all(math.isfinite(v) for v in values) else None


def _text(header: Any, tag: str) -> str:
    """A tag as it stands in the file."""
    raw: Any = getattr(header.get_item(tag), "value", None)
    if isinstance(raw, bytes):
        return raw.decode(errors="replace").strip(" \0")
    if raw is None or isinstance(raw, str):
        return raw or ""
    return "\\".join(map(str, raw)) if hasattr(raw, "__iter__") else str(raw)

"""Enhanced multi-frame DICOM: where each frame lies and how its values are scaled, read by pydicom.

ITK takes the frames in the order of the file, with the rescale of the first for all; here they get the checks of a
series of single slices, and each its own slope and intercept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdx.data.files.formats import require_bearable
from mdx.errors import DataError


@dataclass(frozen=True)
class Frames:
    """The frames of a file in its own order.

    Attributes:
        positions, orientations: of each frame, as DICOM writes them: ``x\\y\\z`` mm and six cosines, LPS; empty texts
            where a frame has none.
        spacing: mm between rows and between columns.
        thickness: mm along the normal, which a single frame needs.
        slopes, intercepts: (n,) of each frame.
        values: (n, rows, columns) as stored; None where no decoder for the compression is installed.
    """

    positions: tuple[str, ...]
    orientations: tuple[str, ...]
    spacing: tuple[float, float]
    thickness: float
    slopes: np.ndarray
    intercepts: np.ndarray
    values: np.ndarray | None
    compression: str

    @property
    def is_scaled(self) -> bool:
        """Whether stored values are not yet the measured ones."""
        return bool((self.slopes != 1).any() or (self.intercepts != 0).any())


def read_frames(path: Path) -> Frames:
    """The frames of an enhanced file. Raises DataError for colour and for frames of different pixel spacings."""
    import pydicom

    dataset = pydicom.dcmread(path)
    count = int(dataset.get("NumberOfFrames", 1))
    require_bearable(path, (count, int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel", 1))))
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise DataError("holds a volume in colour", "save its slices as images, or as NIfTI", path)
    shared = _first(dataset.get("SharedFunctionalGroupsSequence"))
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(own) != count:
        raise DataError(f"holds {count} frames and says where {len(own)} of them lie", "export the series again", path)

    def each(group: str, tag: str, absent: Any) -> list[Any]:
        return [_value(frame, shared, group, tag, absent) for frame in own]

    spacings = sorted({tuple(float(v) for v in s) for s in each("PixelMeasuresSequence", "PixelSpacing", ())})
    if len(spacings) != 1 or len(spacings[0]) != 2:
        raise DataError(f"has frames of {len(spacings)} pixel spacings", "split it, or export the series again", path)
    measures = each("PixelMeasuresSequence", "SpacingBetweenSlices", None)[0]
    slope, offset = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")  # for all, as some write it
    slopes = each("PixelValueTransformationSequence", "RescaleSlope", slope)
    offsets = each("PixelValueTransformationSequence", "RescaleIntercept", offset)
    if all(value is None for value in (*slopes, *offsets)):  # measured values may be said in another way
        slopes = each("RealWorldValueMappingSequence", "RealWorldValueSlope", None)
        offsets = each("RealWorldValueMappingSequence", "RealWorldValueIntercept", None)
    thickness = measures or each("PixelMeasuresSequence", "SliceThickness", None)[0] or 1.0
    return Frames(
        positions=tuple(map(_text, each("PlanePositionSequence", "ImagePositionPatient", ()))),
        orientations=tuple(map(_text, each("PlaneOrientationSequence", "ImageOrientationPatient", ()))),
        spacing=(spacings[0][0], spacings[0][1]),
        thickness=float(thickness),
        slopes=np.array([1.0 if v is None else float(v) for v in slopes]),
        intercepts=np.array([0.0 if v is None else float(v) for v in offsets]),
        values=stored_values(dataset, count, path),
        compression=dataset.file_meta.TransferSyntaxUID.name,
    )


def stored_values(dataset: Any, count: int, path: Path) -> np.ndarray | None:
    """(count, rows, columns) numbers as stored, larger is brighter; None where pydicom has no decoder that reads them.

    GDCM, which knows other compressions, is asked then, and names what it cannot read either.

    Raises DataError for a file that holds other pixels than its header says.
    """
    try:
        values = np.asarray(dataset.pixel_array)
    except (NotImplementedError, RuntimeError):  # no decoder for the compression, or each of them has failed
        return None
    except ValueError as error:
        said = f"{count} frames of {dataset.Rows} x {dataset.Columns}"
        raise DataError(f"holds other pixels than its header says ({said})", "export the series again", path) from error
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if values.size != count * rows * columns:
        raise DataError(
            f"holds {values.size} pixels, its header says {count} frames of {rows} x {columns}",
            "export the series again", path,
        )  # fmt: skip
    values = values.reshape(count, rows, columns)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":  # 0 is white
        highest = 2 ** int(dataset.BitsStored) - 1
        return -1 - values if int(dataset.get("PixelRepresentation", 0)) else highest - values
    return values


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else {}


def _value(frame: Any, shared: Any, group: str, tag: str, absent: Any) -> Any:
    """A tag of a functional group of the frame, or else of the group that all frames share."""
    for place in (frame, shared):
        found: Mapping[str, Any] = _first(place.get(group))
        if found and found.get(tag) is not None:
            return found.get(tag)
    return absent


def _text(numbers: Any) -> str:
    return "\\".join(str(float(v)) for v in numbers)

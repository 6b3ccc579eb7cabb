"""DICOM files for the tests, written by SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
KEYS = {
    "Modality": "0008|0060", "Manufacturer": "0008|0070", "ManufacturerModelName": "0008|1090",
    "MagneticFieldStrength": "0018|0087", "InstitutionName": "0008|0080", "SeriesDescription": "0008|103e",
    "PatientID": "0010|0020", "PatientName": "0010|0010", "SeriesInstanceUID": "0020|000e", "SeriesNumber": "0020|0011",
    "StudyInstanceUID": "0020|000d", "RescaleIntercept": "0028|1052", "RescaleSlope": "0028|1053",
    "PhotometricInterpretation": "0028|0004", "SOPInstanceUID": "0008|0018", "ImagePositionPatient": "0020|0032",
    "ImageOrientationPatient": "0020|0037",
}  # fmt: skip


def write_file(
    path: Path, values: np.ndarray, spacing: tuple[float, float] = (0.5, 0.75), *, compressed: bool = False, **tags: str
) -> Path:
    """One file of (rows, columns) or (rows, columns, 3) whole numbers; compressed is lossless JPEG 2000."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values, isVector=values.ndim == 3)
    image.SetSpacing(spacing)
    for name, value in tags.items():
        image.SetMetaData(KEYS[name], value)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    writer.SetUseCompression(compressed)
    writer.SetFileName(str(path))
    writer.Execute(image)
    return path


def write_series(
    folder: Path,
    volume: np.ndarray,
    *,
    origin: tuple[float, float, float] = (-10.0, -20.0, 30.0),
    step: tuple[float, float, float] = (0.0, 0.0, 2.5),
    orientation: tuple[float, ...] = AXIAL,
    leave_out: tuple[int, ...] = (),
    uid: str = "1.2.3",
    **tags: str,
) -> Path:
    """(slices, rows, columns) as one file a slice; names run against the positions."""
    tags = {"Modality": "MR", "SeriesNumber": "3", "PatientID": "P1", "PatientName": "Doe^Jane", **tags}
    for i, plane in enumerate(volume):
        if i in leave_out:
            continue
        position = np.array(origin) + i * np.array(step)
        write_file(
            folder / f"im{900 - i}.dcm", plane, SeriesInstanceUID=uid, StudyInstanceUID="1.2",
            SOPInstanceUID=f"{uid}.{i + 1}",
            ImagePositionPatient="\\".join(f"{v:.6f}" for v in position),
            ImageOrientationPatient="\\".join(map(str, orientation)), **tags,
        )  # fmt: skip
    return folder


def write_enhanced(
    path: Path,
    frames: np.ndarray,
    positions: list[tuple[float, float, float]],
    *,
    orientation: tuple[float, ...] = AXIAL,
    slopes: list[float] | None = None,
    photometric: str = "MONOCHROME2",
    shared_slope: float | None = None,
    real_world: list[float] | None = None,
    sop: str = "1.2.840.10008.5.1.4.1.1.4.1",
) -> Path:
    """(n, rows, columns) uint16 as one enhanced file whose frames lie where ``positions`` say, in that order."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = sop, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = sop, meta.MediaStorageSOPInstanceUID, "MR"
    file.PatientID, file.StudyInstanceUID, file.SeriesInstanceUID, file.SeriesNumber = "P1", "1.2", generate_uid(), 1
    file.Rows, file.Columns = frames.shape[1:]
    file.NumberOfFrames, file.SamplesPerPixel, file.PhotometricInterpretation = len(frames), 1, photometric
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
    file.PixelData = frames.astype("<u2").tobytes()

    def group(**values: object) -> Sequence:
        item = Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        return Sequence([item])

    shared = Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=[0.75, 0.5], SliceThickness=9.0)
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=list(orientation))
    if shared_slope is not None:
        shared.PixelValueTransformationSequence = group(RescaleSlope=shared_slope, RescaleIntercept=1)
    file.SharedFunctionalGroupsSequence = Sequence([shared])
    own = []
    for i, position in enumerate(positions):
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=list(position))
        if slopes is not None:
            frame.PixelValueTransformationSequence = group(RescaleSlope=slopes[i], RescaleIntercept=-1)
        if real_world is not None:
            frame.RealWorldValueMappingSequence = group(RealWorldValueSlope=real_world[i], RealWorldValueIntercept=2.0)
        own.append(frame)
    file.PerFrameFunctionalGroupsSequence = Sequence(own)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(str(path), enforce_file_format=True)
    return path

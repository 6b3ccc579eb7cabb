"""A trained run takes a folder of DICOM slices, and gives NIfTI on its grid without a tag in it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from dicom_files import write_series

from mdx.data.files.images import read_image, read_mask


def test_a_series_is_predicted_and_no_tag_reaches_what_is_written(
    finished: tuple[Path, Path], tmp_path: Path, mdx
) -> None:
    volume = np.random.default_rng(0).integers(0, 900, (6, 24, 20)).astype(np.int16)
    series = write_series(tmp_path / "scan", volume, uid="1.2.77", PatientID="MRN-5", InstitutionName="St Elsewhere")
    code, text = mdx("apply", finished[1], series, "--out", tmp_path / "out")
    assert code == 0, text
    labels, grid = read_mask(tmp_path / "out" / "scan.nii.gz")
    values, own = read_image(series)
    assert labels.shape == values.shape[1:]
    assert np.allclose(grid.affine, own.affine, atol=1e-4)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    written = b"".join(gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in files)
    assert len(written) > labels.size
    assert all(word not in written for word in (b"MRN-5", b"Elsewhere", b"1.2.77", b"Doe"))


def test_a_folder_without_images_is_named(finished: tuple[Path, Path], tmp_path: Path, mdx) -> None:
    (tmp_path / "empty").mkdir()
    code, text = mdx("apply", finished[1], tmp_path / "empty", "--out", tmp_path / "out")
    assert code == 4
    assert "holds no images" in text

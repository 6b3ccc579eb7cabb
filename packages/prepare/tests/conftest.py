"""A head whose truth is known, made once, and a small scan that needs no template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_head import WHITE_MATTER, Head, affine_movement, smooth_field, with_skull
from PIL import Image

from mdx.cli.app import run_cli
from mdx_prepare.template import Template, load_template
from mdx_prepare.volumes import affine_of, array_of, like, resample, write_volume


@pytest.fixture(scope="session")
def template() -> Template:
    return load_template(None)


@pytest.fixture(scope="session")
def head(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Head:
    """A T1 with a strong bias field and 2 % noise (seed 0)."""
    move = affine_movement(template)
    skull = with_skull()
    clean = resample(skull, skull, move.GetInverse(), "linear")
    brain = resample(template.brain, skull, move.GetInverse(), "nearest")
    field = smooth_field(clean.GetSize(), 0.6)
    noise = np.random.default_rng(0).normal(0, 0.02 * WHITE_MATTER, clean.GetSize())
    scan = like(np.abs(array_of(clean) * field + noise).astype(np.float32), clean)
    folder = tmp_path_factory.mktemp("head")
    write_volume(folder / "t1.nii.gz", array_of(scan), affine_of(scan), 1)
    write_volume(folder / "brain.nii.gz", array_of(brain).astype(np.uint8), affine_of(scan), 1)
    return Head(scan, clean, field, brain, move, folder / "t1.nii.gz", folder / "brain.nii.gz")


@pytest.fixture(scope="session")
def prepared(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The known head and a picture, prepared on voxels of 3 mm with white matter at 1."""
    folder = tmp_path_factory.mktemp("prepared")
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(folder / "picture.png")
    (folder / "cohort.csv").write_text(
        f"image,mask,subject,site,age\n{head.path},{head.brain_path},s1,A,40\npicture.png,,s2,B,50\n"
    )
    code = run_cli([
        "data", "prepare", str(folder / "cohort.csv"), "--out", str(folder / "out"), "--spacing", "3",
        "--intensity", "wm-peak",
    ])  # fmt: skip
    assert code == 4
    return folder / "out"


@pytest.fixture
def small_scan(tmp_path: Path) -> Path:
    """A ball of 60 mm that no template is needed for."""
    grid = np.indices((24, 24, 24)) - 12
    ball = (np.linalg.norm(grid, axis=0) < 8).astype(np.float32)
    values = 100 * ball + np.random.default_rng(1).normal(0, 3, ball.shape).astype(np.float32)
    path = tmp_path / "ball.nii.gz"
    write_volume(path, values.astype(np.float32), np.diag([4.0, 4, 4, 1]), 1)
    return path

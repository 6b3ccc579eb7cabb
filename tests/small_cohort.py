"""A small cohort of real NIfTI files, and the settings of a run that takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

# as small as a run can be that still learns where the ball is
TINY = [
    "--set", "filters=4", "training.epochs=3", "training.steps=12", "training.batch_size=4", "training.lr=0.1",
    "training.crop=32", "n_mst=2", "run.bootstrap=100",
]  # fmt: skip

OF_THE_SOURCE = [word for word in TINY if not word.startswith("n_mst")]
"""Of variants that have no donors."""


def write_scan(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    import nibabel as nib

    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2, 3, 1]) if affine is None else affine), path)
    return path


def make_cohort(folder: Path, sites: tuple[str, ...] = ("A", "B"), subjects: int = 6) -> Path:
    """A table of small volumes: a bright ball in noise, darker at the second site; the path of the table."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in (26, 22, 6)], indexing="ij"), axis=-1)
    lines = ["image,mask,subject,site"]
    for s, site in enumerate(sites):
        for i in range(subjects):
            centre = np.array([13, 11, 3]) + rng.uniform(-2, 2, 3) * [1, 1, 0.2]
            ball = (((grid - centre) / [7, 6, 4]) ** 2).sum(axis=-1) < 1
            image = (ball * (100 - 30 * s) + rng.normal(20, 4 + 2 * s, ball.shape)).astype(np.float32)
            name = f"{site}{i}.nii.gz"
            write_scan(folder / "images" / name, image)
            write_scan(folder / "masks" / name, ball.astype(np.uint8))
            lines.append(f"images/{name},masks/{name},{site}{i},{site}")
    table = folder / "cohort.csv"
    table.write_text("\n".join(lines) + "\n")
    return table

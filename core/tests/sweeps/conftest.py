from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from slope_plugin import PLUGIN


@pytest.fixture
def slope(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The made-up plugin, installed; and a cache that holds nothing yet."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def ages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of ten subjects at each of three sites: the mean of an image is its subject's age, less so at B and C."""
    folder = tmp_path_factory.mktemp("ages")
    rng = np.random.default_rng(0)
    lines = ["image,subject,site,age"]
    for s, site in enumerate("ABC"):
        for i in range(10):
            age = 20 + 6 * i
            image = np.full((4, 4, 4), age * (1 - 0.1 * s) / 10) + rng.normal(0, 0.05, (4, 4, 4))
            nib.save(nib.Nifti1Image(image.astype(np.float32), np.eye(4)), folder / f"{site}{i}.nii.gz")
            lines.append(f"{site}{i}.nii.gz,{site}{i},{site},{age}")
    (folder / "ages.csv").write_text("\n".join(lines) + "\n")
    return folder / "ages.csv"

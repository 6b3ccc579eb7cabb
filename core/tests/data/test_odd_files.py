"""One odd file is named with what is wrong and never ends the look at the others, whatever its bytes are."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import damage
import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from mdx.data.checks import check
from mdx.data.config import DataConfig
from mdx.data.files.facts import read_facts
from mdx.data.files.images import header_of, read_image
from mdx.data.open import open_table
from mdx.errors import ConfigError, DataError

GOOD = {"magic of a pair"}  # nibabel reads it as what it is


@pytest.mark.parametrize("name", [name for name in damage.ODD_HEADERS if name not in GOOD])
def test_an_odd_header_is_named_with_its_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "odd.nii"
    path.write_bytes(damage.ODD_HEADERS[name])
    for read in (read_image, lambda p: read_facts([p], "mask")[p]):
        try:
            found = read(path)
        except DataError as error:
            found = error
        assert isinstance(found, DataError)
        assert str(found).startswith(f"{path}: ")


@pytest.mark.parametrize("make", [damage.bombs, damage.no_files])
def test_no_file_takes_memory_or_time_that_its_image_is_not_worth(
    tmp_path: Path, make: Callable[[Path], Iterator[Path]]
) -> None:
    for path in make(tmp_path):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for read in (read_image, header_of):
            if read is header_of and path.name == "behind.nii.gz":
                continue  # its header is right
            with pytest.raises(DataError, match=path.name):
                read(path)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < 300, f"{path.name}: {grown:.0f} MB"


def test_the_limit_of_a_file_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nib.save(nib.Nifti1Image(damage.CUBE, np.eye(4)), tmp_path / "a.nii.gz")
    monkeypatch.setenv("MDX_MAX_VALUES", "100")
    with pytest.raises(DataError, match=r"claims 6 x 7 x 8 values, the limit is 100(.|\n)*MDX_MAX_VALUES"):
        read_image(tmp_path / "a.nii.gz")
    monkeypatch.setenv("MDX_MAX_VALUES", "many")
    with pytest.raises(ConfigError, match="MDX_MAX_VALUES is 'many'"):
        read_image(tmp_path / "a.nii.gz")


def test_one_odd_file_does_not_end_the_check_of_the_others(tmp_path: Path) -> None:
    lines = ["image,subject,site"]
    for i, content in enumerate([damage.nifti_bytes(), *list(damage.ODD_HEADERS.values())[:3], damage.nifti_bytes()]):
        (tmp_path / f"{i}.nii").write_bytes(content)
        lines.append(f"{i}.nii,s{i},A")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    report = check(open_table(tmp_path / "t.csv", DataConfig()), DataConfig())
    assert [problem.case for problem in report.errors] == ["s1", "s2", "s3"]
    assert all(f"{i}.nii" in report.errors[i - 1].what for i in (1, 2, 3))


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("originals")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    nib.save(nib.Nifti1Image(damage.CUBE, np.eye(4)), folder / "a.nii")
    nib.save(nib.Nifti1Image(damage.CUBE, np.eye(4)), folder / "b.nii.gz")
    Image.fromarray(pixels).save(folder / "c.png")
    Image.fromarray(pixels).save(folder / "d.jpg")
    tifffile.imwrite(folder / "e.tif", pixels, compression="zlib")
    tifffile.imwrite(folder / "f.tif", pixels, compression="lzw", photometric="rgb")
    return sorted(folder.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_named_and_nothing_else_happens(originals: list[Path], tmp_path: Path) -> None:
    broken = [path for original in originals for path in damage.damaged_copies(original, tmp_path, seed=1, count=30)]
    facts = read_facts(broken, "image")
    refused = {path: found for path, found in facts.items() if isinstance(found, DataError)}
    assert len(facts) == len(broken) == 180
    assert len(refused) > 60
    assert not [path for path, error in refused.items() if path.name not in str(error) or not error.remedy]

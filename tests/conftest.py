"""A small cohort of real NIfTI files and one finished run on it, shared by the tests that cross packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_cohort import TINY, make_cohort

from mdx.cli.app import run_cli


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """A fresh copy of the small cohort, free to be damaged."""
    return make_cohort(tmp_path / "cohort")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(table, run directory) of a small run of fda with two baselines."""
    folder = tmp_path_factory.mktemp("finished")
    table = make_cohort(folder / "cohort")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDX_CACHE", str(folder / "cache"))  # another worker's equal run would lend it its training
        code = run_cli([
            "run", "fda", "--data", f"csv:{table}", "--set", "source=A", "target=B", *TINY, "--baselines",
            "no_da,oracle", "--device", "cpu", "--out", str(folder / "runs"),
        ])  # fmt: skip
    assert code == 0
    (run,) = (folder / "runs").iterdir()
    return table, run

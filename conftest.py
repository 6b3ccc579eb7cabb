"""Fixtures shared by every test of the workspace."""

from __future__ import annotations

import os

# before torch is imported: small tensors gain nothing from threads, and lose much where cores are shared
os.environ.setdefault("OMP_NUM_THREADS", "1")

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and golden vectors; tests that need it skip loudly where it is absent."""
    folder = Path(os.environ.get("MDX_SHARED", ROOT.parent / "shared")).resolve()
    if not folder.is_dir():
        warnings.warn(f"MDX_SHARED: no folder {folder}: tests on real data are SKIPPED", stacklevel=1)
        pytest.skip("the shared folder of real data is absent (set MDX_SHARED)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's own cache."""
    before = os.environ.get("MDX_CACHE")
    if before is None:
        os.environ["MDX_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["MDX_CACHE"]


@pytest.fixture
def mdx(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command line in this process: (exit code, everything it printed)."""

    def call(*argv: str | Path) -> tuple[int, str]:
        from mdx.cli.app import run_cli

        capsys.readouterr()
        code = run_cli([str(a) for a in argv])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call

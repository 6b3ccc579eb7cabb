"""The made-up plugin ``slope`` of the sweeps, installed for the time of a block: for fixtures that outlive a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "core" / "tests" / "sweeps" / "plugin"


@contextmanager
def slope_in(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """Install it, with a cache in ``folder`` that holds nothing of other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUGIN))
        patch.setenv("MDX_CACHE", str(folder / "cache"))
        yield patch

from __future__ import annotations

from pathlib import Path

import pytest

from mdx_sim.anatomy import Anatomy, load_anatomy
from mdx_sim.cohort import cohort
from mdx_sim.options import parse
from mdx_sim.scanners import LETTERS

SIZE_MM = 6.0


@pytest.fixture(scope="session")
def anatomy() -> Anatomy:
    return load_anatomy(SIZE_MM)


@pytest.fixture(scope="session")
def registered() -> Path:
    """A cohort of two subjects at every kind of site."""
    return cohort(parse(f"brain?sites=source,severe,t2,{','.join(LETTERS)}&subjects=2&size_mm={SIZE_MM:g}"))


@pytest.fixture(scope="session")
def unregistered() -> Path:
    return cohort(parse(f"brain?sites=6&subjects=2&size_mm={SIZE_MM:g}&registered=false&labels=tissue"))

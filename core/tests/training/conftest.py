from __future__ import annotations

from pathlib import Path

import pytest

from mdx.training.run import Run


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up method, trained without a stop."""
    import made_up

    folder = tmp_path_factory.mktemp("uninterrupted")
    made_up.train(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of two networks, driven by hand."""
    import made_up

    return made_up.bare(tmp_path)

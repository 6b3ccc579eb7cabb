from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up method, trained without a stop."""
    import made_up

    folder = tmp_path_factory.mktemp("uninterrupted")
    made_up.train(folder)
    return folder

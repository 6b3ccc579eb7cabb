"""Two real processes with gloo train one model: encoder, classifier and centres."""

from __future__ import annotations

from pathlib import Path

import pytest
import two_ignorers

from mdx.testing import assert_one_training, two_processes


@pytest.mark.slow
def test_two_processes_monitor_the_same_values_and_end_with_the_same_networks(tmp_path: Path) -> None:
    assert_one_training(*two_processes(two_ignorers.work, tmp_path))

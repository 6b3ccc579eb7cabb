"""A small fixed part of ``tools/situations.py``; the whole is in docs/situations.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_every_situation_is_on_the_page_and_the_tests_that_it_names_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from situations import ordered

    page = (ROOT / "docs" / "situations.md").read_text()
    found = ordered()
    assert [s.number for s in found] == [*map(str, range(1, 22)), *(f"bug {n}" for n in range(1, 16))]
    assert not [test for s in found for test in s.absent_tests()]
    assert not [s.number for s in found if f"### {s.number}. {s.title}\n" not in page or not s.tests]


def test_situations_are_rebuilt_and_looked_at() -> None:
    command = [sys.executable, str(ROOT / "tools" / "situations.py"), "--only", "2,12,17"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 of 3 as they must be" in done.stderr
    assert "2 value(s) of age look like codes for missing ones" in done.stdout

"""``mdx data`` has verbs that packages bring: one that is missing or broken harms no other."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import pytest

from mdx.cli import data
from mdx.errors import PluginError
from mdx.plugins import discovery


@pytest.fixture
def lend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Let ``mdx data`` find other verbs than the installed ones."""

    def install(**verbs: object) -> None:
        def broken() -> object:
            raise PluginError("'mdx_x.verbs:check' cannot be imported: it is torn", "reinstall mdx-x")

        found = {name: broken if verb is None else lambda verb=verb: verb for name, verb in verbs.items()}
        monkeypatch.setattr(discovery, "provided", lambda group: found if group == "data_verbs" else {})
        importlib.reload(data)

    yield install
    monkeypatch.undo()
    importlib.reload(data)


def test_a_verb_whose_package_is_not_installed_says_which(lend, mdx) -> None:
    lend()
    code, printed = mdx("data", "prepare", "table.csv", "--out", "x")
    assert code == 5
    assert "mdx-prepare" in printed


def test_a_broken_verb_is_refused_and_the_others_work(lend, mdx) -> None:
    lend(weigh=None)
    assert mdx("data", "weigh", "t.csv") == (
        5, "error: 'mdx_x.verbs:check' cannot be imported: it is torn\n  -> reinstall mdx-x\n",
    )  # fmt: skip
    assert mdx("data", "check", "--help")[0] == 0


def test_nobody_replaces_a_verb_of_core(lend, mdx) -> None:
    def check() -> None:
        """Another check."""
        raise AssertionError

    lend(check=check)
    assert "Another check" not in mdx("data", "check", "--help")[1]

"""What the command line says to people who come from other tools."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mdx import __version__

Cli = Callable[..., tuple[int, str]]


@pytest.mark.parametrize(("word", "called"), [("train", "run"), ("predict", "apply"), ("test", "evaluate"),
                                              ("init", "data init"), ("check", "data check")])  # fmt: skip
def test_words_of_other_tools_are_answered_with_the_command(mdx: Cli, word: str, called: str) -> None:
    code, printed = mdx(word, "fda")
    assert code == 2
    assert f"it is called 'mdx {called}' here" in printed


def test_a_setting_that_stands_alone_is_told_where_it_belongs(mdx: Cli) -> None:
    code, printed = mdx("run", "fda", "--variant", "no_da", "training.epochs=4", "--dry-run")
    assert code == 2
    assert "--set training.epochs=4" in printed


@pytest.mark.parametrize("words", [("run", "fda", "--data", "overlap=x.csv"), ("sweep", "fda", "--grid", "n_mst=1,2"),
                                   ("run", "fda", "--set", "n_mst=1", "filters=4")])  # fmt: skip
def test_assignments_that_belong_to_an_option_do_not_stand_alone(mdx: Cli, words: tuple[str, ...]) -> None:
    assert "stands alone" not in mdx(*words, "--data", "csv:none.csv", "--dry-run")[1]


def test_a_setting_within_a_group_is_found_by_its_own_name(mdx: Cli) -> None:
    code, printed = mdx("run", "fda", "--data", "csv:none.csv", "--set", "epochs=4")
    assert (code, "did you mean 'training.epochs'" in printed) == (3, True)


@pytest.mark.parametrize("words", [("-h",), ("run", "-h"), ("data", "check", "-h")])
def test_help_is_short_to_ask_for(mdx: Cli, words: tuple[str, ...]) -> None:
    code, printed = mdx(*words)
    assert code == 0
    assert printed.startswith("Usage: ")


def test_the_version_too(mdx: Cli) -> None:
    assert mdx("-V") == (0, f"mdx {__version__}\n")

"""What the command line says to people who come from other tools."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from mdx import __version__
from mdx.cli.app import run_cli

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


def test_each_command_is_said_in_one_line_of_80_columns(mdx: Cli) -> None:
    lines = mdx("--help")[1].partition("Commands:\n")[2].splitlines()
    assert len(lines) == 13
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.endswith("...")]


@pytest.mark.parametrize(("words", "found"), [
    ("mdx reprod", "reproduce"), ("mdx run unl", "unlearning"), ("mdx reproduce fda t", "table1"),
    ("mdx run fda --variant srsim_m", "srsim_mst"), ("mdx sweep l2i --variants can,van", "can,vanilla"),
])  # fmt: skip
def test_a_shell_completes_commands_plugins_and_rows(words: str, found: str, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("_MDX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert run_cli([]) == 0
    assert found in capsys.readouterr().out.splitlines()


def test_a_reader_that_leaves_a_pipe_early_is_no_failure() -> None:
    code = "import sys; from mdx.cli.app import run_cli; sys.exit(run_cli(['show', 'fda']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as shown:
        assert shown.stdout is not None
        shown.stdout.close()
    assert shown.returncode == 0

"""What a command says of how far it is, and the heartbeat of a run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from mdx import console, progress
from mdx.progress.displays import Bar, Lines, Nothing, display
from mdx.progress.heartbeat import FILE, Heartbeat, read_heartbeat
from mdx.progress.now import Now
from mdx.progress.teller import Teller


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """It is."""
        return True


class Clock:
    """A time that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def teller(clock: Clock) -> Teller:
    return Teller(Lines(), clock)


def train(teller: Teller, clock: Clock, first: int, last: int, epochs: int, loss: float = 0.5) -> None:
    """Epochs of ten seconds in two batches."""
    teller.stage("source", epochs, first, lambda: loss)
    for epoch in range(first, last + 1):
        teller.epoch(epoch, epochs)
        for batch in range(2):
            teller.advance(batch, 2, "batch")
            clock.now += 5


def test_a_resumed_stage_goes_on_counting_and_its_time_is_that_of_the_epochs_since(
    teller: Teller, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    teller.method("mst", 2, 6)
    train(teller, clock, first=12, last=16, epochs=50)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "mst (2 of 6), source: epoch 12/50, loss 0.5"
    assert lines[1:] == [
        "mst (2 of 6), source: epoch 14/50, loss 0.5, about 6:10 left of source",
        "mst (2 of 6), source: epoch 16/50, loss 0.5, about 5:50 left of source",
    ]


def test_the_time_of_the_whole_run_is_said_once_a_method_was_measured(teller: Teller, clock: Clock) -> None:
    teller.method("fda", 1, 4)
    train(teller, clock, 1, 3, 3)
    assert not teller.now.whole
    clock.now += 30
    teller.method_ended()
    teller.method("oracle", 2, 4)
    teller.phase("page")
    assert (teller.now.left_s, teller.now.whole) == (180.0, True)
    teller.method_ended(120.0)  # another process had done it
    teller.method("none", 3, 4)
    teller.phase("page")
    assert teller.now.left_s == 180.0


def test_an_inner_loop_of_an_epoch_leaves_the_epoch_in_place(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdx.progress.teller._state.teller", teller)
    teller.stage("source", 4, 2, lambda: None)
    teller.advance(7, 9, "batch")
    seen = [teller.now.line() for _ in progress.each([1, 2], "choosing beta")]
    assert seen == ["source: epoch 2/4, choosing beta 0/2", "source: epoch 2/4, choosing beta 1/2"]
    assert teller.now.parts == ["epoch 2/4", "batch 7/9"]


def test_the_heartbeat_holds_where_the_run_is_and_is_replaced_every_few_seconds(
    teller: Teller, clock: Clock, tmp_path: Path
) -> None:
    teller.into(tmp_path)
    teller.method("mst", 2, 6)
    train(teller, clock, 3, 3, 12)
    facts = json.loads((tmp_path / FILE).read_text())
    expected = {
        "method": "mst",
        "index": 2,
        "methods": 6,
        "phase": "source",
        "epoch": 3,
        "epochs": 12,
        "done": 1,
        "loss": 0.5,
    }
    assert facts.items() >= expected.items()
    found = read_heartbeat(tmp_path)
    assert found is not None
    assert found[0]["line"].startswith("mst (2 of 6), source: epoch 3/12, batch 1/2")
    assert [p.name for p in tmp_path.iterdir()] == [FILE]
    (tmp_path / FILE).write_text("{")
    assert read_heartbeat(tmp_path) is None


def test_a_heartbeat_that_cannot_be_written_ends_nothing(teller: Teller, tmp_path: Path) -> None:
    teller.into(tmp_path / "gone")
    teller.phase("page")


def test_what_is_shown_fits_where_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(display(), Lines)
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(display(), Bar)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display(), Lines)
    with console.telling_as("quiet"):
        assert isinstance(display(), Nothing)


def test_the_bar_of_a_terminal_is_one_line_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    for name, value in {"TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    bar = Bar()
    bar.show(Now("mst", 2, 6, "source", 3, 12, 14, 50, "batch", 0.31, 130.0, True), 0.2, True)
    console.note("note: above it")
    bar.close()
    written = terminal.getvalue()
    assert "mst 2/6 · source · epoch 3/12 · batch 14/50 · loss 0.31" in written
    assert "about 2:10 left" in written
    assert "note: above it" in written
    assert written.endswith("\x1b[2K")


def test_a_process_that_is_not_to_tell_anything_is_silent_about_items_too(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.telling(False):
        assert list(progress.each([1, 2], "predicting")) == [1, 2]
    assert capsys.readouterr().err == ""
    assert list(progress.each([1, 2], "predicting")) == [1, 2]
    assert "predicting" in capsys.readouterr().err


def test_a_loss_without_bound_ends_no_heartbeat(tmp_path: Path) -> None:
    Heartbeat(tmp_path).write(Now(loss=float("inf")), 0.0)
    found = read_heartbeat(tmp_path)
    assert found is not None
    assert found[0].get("loss") is None

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from mdx.plugins.manager import HookCaller
from mdx_loggers import hooks


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Name of each curve -> (step, value), from the records of all event files: length, checksum, event, checksum."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, pytest.approx(value.simple_value)))
    return found


def a_run(folder: Path) -> None:
    said: list[str] = []
    told = HookCaller(said.append)
    told.register(hooks, "loggers")
    told.tell("mdx_run_started", directory=folder, config={})
    for step in (10, 20):
        told.tell("mdx_step", stage="source", step=step, losses={"dice": 1 / step})
    told.tell("mdx_metrics", stage="source", epoch=0, metrics={"val/loss": 0.5})
    summary = [{"metric": "dice", "group": "site=B", "mean": 0.75}, {"metric": "dice", "group": "site=C", "mean": None}]
    told.tell("mdx_run_finished", directory=folder, summary=summary)
    assert said == []


def test_losses_metrics_and_scores_are_curves_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDX_LOGGERS", "tensorboard")
    a_run(tmp_path)
    assert curves(tmp_path / "tensorboard") == {
        "steps/dice": [(10, 0.1), (20, 0.05)], "source/val/loss": [(0, 0.5)], "test_dice/site_B": [(0, 0.75)]
    }  # fmt: skip


@pytest.mark.parametrize(("asked", "rank"), [("", "0"), ("tensorboard", "1")])
def test_nothing_is_written_unasked_or_by_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, rank: str
) -> None:
    monkeypatch.setenv("MDX_LOGGERS", asked)
    monkeypatch.setenv("RANK", rank)
    a_run(tmp_path)
    assert list(tmp_path.iterdir()) == []

"""What a method has the report show: one entry a title, whatever was stopped and done again."""

from __future__ import annotations

from pathlib import Path

import made_up
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mdx.errors import PluginError
from mdx.interfaces.model import Model
from mdx.runs.shown import read_shown
from mdx.training.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, made_up.MadeUp(made_up.MadeUpConfig()), Model(net=nn.Linear(2, 2)))


def test_an_entry_takes_the_place_of_the_one_of_its_title(run: Run) -> None:
    for share in (0.25, np.float64(0.5)):
        run.table("pool", [{"stage": "one", "cases": 3, "share": share}])
        run.curve("speed", [0, 1], {"layer 1": [1.0, float("nan")]}, chosen={"layer 1": 1})
    first, second = read_shown(run.directory)
    assert first["rows"] == [{"stage": "one", "cases": 3, "share": 0.5}]
    assert (second["title"], second["series"], second["chosen"]) == ("speed", {"layer 1": [1.0, None]}, {"layer 1": 1})


def test_pictures_are_png_files_by_caption(run: Run) -> None:
    grey, colour = torch.tensor([[0.0, 0.5], [1.0, 2.0]]), np.full((3, 4, 3), 7, np.uint8)
    for _ in range(2):
        run.picture("before & after", {"before": grey, "after": colour})
    run.picture("alone", grey)
    files = read_shown(run.directory)[0]["files"]
    assert np.array_equal(np.asarray(Image.open(run.directory / files["before"])), [[0, 128], [255, 255]])
    assert np.array_equal(np.asarray(Image.open(run.directory / files["after"])), colour)
    assert len(list((run.directory / "figures").iterdir())) == 3


def test_what_cannot_be_drawn_is_refused(run: Run) -> None:
    with pytest.raises(PluginError, match="a has 1 values for 2 points"):
        run.curve("speed", [0, 1], {"a": [1.0]})
    with pytest.raises(PluginError, match="is no picture"):
        run.picture("channels first", torch.zeros(3, 8, 8))
    assert read_shown(run.directory) == []

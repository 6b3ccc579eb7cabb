from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from mdx.errors import DataError, PluginError, ResourceError
from mdx.runs.checkpoint import load_tree, save_tree


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = {
        "a": [1, 2.5, None, True, "text"],
        "tuple": (0.9, 0.999),
        "state": {0: {"step": torch.tensor(3.0)}, 7: {"m": torch.arange(6).reshape(2, 3).T}},
        "array": np.arange(4, dtype=np.int16),
        "scalar": np.float64(2.0),
        "empty": {},
        "nested": {"": 1},
    }
    save_tree(tmp_path / "c.safetensors", tree)
    back = load_tree(tmp_path / "c.safetensors")
    assert back["a"] == tree["a"]
    assert back["tuple"] == (0.9, 0.999)
    assert torch.equal(back["state"][7]["m"], tree["state"][7]["m"])
    assert back["state"][0]["step"].shape == ()
    assert back["array"].dtype == np.int16
    assert back["empty"] == {}
    assert back["nested"] == {"": 1}


def test_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"PosixPath at 'tree\.where'"):
        save_tree(tmp_path / "c.safetensors", {"where": Path("x")})


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_tree(path, {"x": torch.ones(3)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(ResourceError, match="free disk space"):
            save_tree(path, {"x": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.equal(load_tree(path)["x"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00garbage!")
    with pytest.raises(DataError, match="damaged"):
        load_tree(path)

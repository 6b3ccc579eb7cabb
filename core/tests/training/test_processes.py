"""Two real processes with gloo end with the same weights, a bare parameter among them."""

from __future__ import annotations

from pathlib import Path

import made_up
import pair_of_networks
import pytest
import torch

from mdx.testing import two_processes


@pytest.mark.slow
def test_two_processes_agree_on_all_weights_late_ones_too_and_see_different_cases(
    tmp_path: Path,
) -> None:
    first, second = two_processes(pair_of_networks.work, tmp_path)
    for name, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][name]), name
    assert "late.weight" in first["model"]
    assert not torch.equal(first["model"]["bare.scale"], torch.ones(4))
    assert first["seen"] != second["seen"]
    assert len(first["outputs"]) == 8
    assert torch.equal(first["outputs"], second["outputs"])
    unused = first["model"]["unused.weight"]
    torch.manual_seed(0)
    made = pair_of_networks.TwoNetworks(made_up.MadeUpConfig()).build(None)
    assert torch.equal(unused, made.unused.weight), "a network that no loss used must not decay"


@pytest.mark.slow
def test_the_first_process_decides_which_epoch_is_best_and_when_to_stop(tmp_path: Path) -> None:
    first, second = two_processes(pair_of_networks.disagree, tmp_path)
    assert first["monitored"] == second["monitored"] == [0.0, -1.0, -2.0, -3.0]


@pytest.mark.slow
def test_two_processes_take_a_shared_stage_from_the_cache_whichever_looks_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))
    alone = pair_of_networks.share(tmp_path / "alone")
    first, second = two_processes(pair_of_networks.take_from_the_cache, tmp_path)
    for name, weights in alone.model.state_dict().items():
        assert torch.equal(first["model"][name], weights)
        assert torch.equal(second["model"][name], weights)

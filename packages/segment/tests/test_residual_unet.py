from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdx_segment.networks import ResidualUNet2d


def test_golden_forward_pass(shared: Path) -> None:
    golden = np.load(shared / "golden" / "fda_unet2d.npz")
    network = ResidualUNet2d(1, 1, 2).eval()
    weights = [golden[name] for name in golden.files if name.startswith("p:")]  # in order of definition
    network.load_state_dict({
        name: torch.from_numpy(w) for name, w in zip(network.state_dict(), weights, strict=True)
    })  # fmt: skip
    with torch.no_grad():
        logits = network(torch.from_numpy(golden["x"]))
    np.testing.assert_allclose(logits.numpy(), golden["y"], atol=1e-5)


def test_it_has_the_papers_number_of_parameters() -> None:
    assert sum(p.numel() for p in ResidualUNet2d(1, 1, 16).parameters()) == 1_561_491


@pytest.mark.parametrize("shape", [(8, 8), (16, 40)])
def test_logits_have_the_size_of_the_slice_and_a_channel_a_class(shape: tuple[int, int]) -> None:
    assert ResidualUNet2d(2, 3, 2)(torch.zeros(2, 2, *shape)).shape == (2, 3, *shape)

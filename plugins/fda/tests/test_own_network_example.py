"""The example of the README, run as it is printed there."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch

from mdx.data.config import DataConfig
from mdx.interfaces.dataset import Dataset
from mdx.runs.provenance import digest_of_network
from mdx_segment.brought import BroughtNetwork
from mdx_segment.inference import predict_slices
from mdx_segment.own_network import SliceNetwork

README = Path(__file__).parents[1] / "README.md"


class SmallUNet(torch.nn.Module):
    """Two levels, softmax over background and one class."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.down = torch.nn.Conv2d(4, 8, 2, stride=2)
        self.up = torch.nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.last = torch.nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.first(x).relu()
        return self.last(skip + self.up(self.down(skip).relu())).softmax(dim=1)


@pytest.mark.parametrize("kind", ["onnx", "pt"])
def test_a_network_saved_as_the_readme_says_is_read_and_predicts(
    two_sites: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("MDX_TRUST_CODE", "1" if kind == "pt" else "0")
    example = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert example is not None
    code = example[1].replace('"background", "1"', '"background", "disc"')
    script = re.search(r"`(torch\.jit\.save\(.*?\))`\)", README.read_text())
    assert script is not None
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = SmallUNet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(f"{code}\n{script[1]}", {"network": network})
    path = tmp_path / f"net.{kind}"
    own = SliceNetwork.read(path, digest_of_network(path), two_sites, DataConfig.model_validate({}))
    brought = BroughtNetwork(own, two_sites.task.classes)
    brought.check(torch.device("cpu"))
    slices = torch.rand(2, 1, 40, 30)
    with torch.no_grad():
        padded = torch.nn.functional.pad(slices, (0, 2, 0, 8))
        padded[..., 40:, :] = padded[..., :, 30:] = slices.amin(dim=(-2, -1), keepdim=True)
        expected = network.eval()(padded)[:, 1:, :40, :30]
        torch.testing.assert_close(predict_slices(brought, slices), expected, atol=1e-6, rtol=0)

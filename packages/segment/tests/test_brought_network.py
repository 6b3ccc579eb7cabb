from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mdx.errors import ConfigError
from mdx_segment.brought import BroughtNetwork
from mdx_segment.inference import predict_slices
from mdx_segment.networks import ResidualUNet2d
from mdx_segment.own_network import Contract, SliceNetwork

CPU = torch.device("cpu")


def brought(module: nn.Module, task_classes: tuple[str, ...] = ("a",), **stated: Any) -> BroughtNetwork:
    contract = {"channels": 1, "classes": ["a"], "activation": "logits", "intensity": "percentiles",
                "spacing_mm": None, "multiple": 8, **stated}  # fmt: skip
    return BroughtNetwork(SliceNetwork("net.pt", "", Contract.model_validate(contract), module=module), task_classes)


class Planes(nn.Module):
    """Constant planes with the given values."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.register_buffer("values", torch.tensor(values))

    def forward(self, x: Tensor) -> Tensor:
        return self.values[None, :, None, None].expand(len(x), -1, *x.shape[2:])


def test_logits_of_one_class_become_what_a_network_made_here_gives() -> None:
    torch.manual_seed(0)
    network = ResidualUNet2d(1, 1, 2).eval()
    slices = torch.rand(3, 1, 20, 28)
    with torch.no_grad():
        torch.testing.assert_close(predict_slices(brought(network), slices), predict_slices(network, slices))


def test_logits_with_a_background_pass_a_softmax_and_the_background_is_left_out() -> None:
    network = brought(Planes(0.0, 1.0, 3.0), ("a", "b"), classes=["background", "b", "a"])
    made = network(torch.zeros(1, 1, 8, 8))[0, :, 0, 0]
    expected = torch.tensor([0.0, 1.0, 3.0]).softmax(0)
    torch.testing.assert_close(made, expected[[2, 1]])


@pytest.mark.parametrize(
    ("activation", "classes", "values"), [("sigmoid", ["a"], (0.7,)), ("softmax", ["background", "a"], (0.3, 0.7))]
)
def test_probabilities_pass_as_they_are(activation: str, classes: list[str], values: tuple[float, ...]) -> None:
    network = brought(Planes(*values), activation=activation, classes=classes)
    network.check(CPU)
    made = predict_slices(network, torch.zeros(2, 1, 9, 9))
    torch.testing.assert_close(made, torch.full((2, 1, 9, 9), 0.7))


def test_slices_are_padded_to_the_multiple_of_the_contract() -> None:
    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[2] % 12 == 0 and x.shape[3] % 12 == 0
            return x

    made = predict_slices(brought(Picky(), multiple=12), torch.zeros(2, 1, 13, 24))
    assert made.shape == (2, 1, 13, 24)


@pytest.mark.parametrize(
    ("module", "stated", "message"),
    [
        (nn.Conv2d(3, 1, 1), {}, r"fails on an input of shape \(2, 1, 64, 64\)"),
        (nn.Conv2d(1, 2, 1), {}, r"expected an output of shape \(2, 1, 64, 64\), found \(2, 2, 64, 64\)"),
        (nn.Conv2d(1, 1, 3), {}, r"found \(2, 1, 62, 62\)"),
        (Planes(-2.0), {"activation": "sigmoid"}, "expected probabilities of a sigmoid, found values from -2"),
        (Planes(0.7, 0.7), {"activation": "softmax", "classes": ["background", "a"]}, "sum to 1.4"),
    ],
)
def test_a_network_that_does_not_do_what_it_states_is_refused(
    module: nn.Module, stated: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        brought(module, **stated).check(CPU)


def test_a_network_without_parameters_is_used_on_the_cpu() -> None:
    made = predict_slices(brought(nn.Identity()), torch.zeros(1, 1, 8, 8))
    torch.testing.assert_close(made, torch.full((1, 1, 8, 8), 0.5))

from __future__ import annotations

import pytest
import torch
from torch import nn

from mdx.errors import PluginError
from mdx.interfaces.model import Model


def test_networks_are_reached_by_name() -> None:
    model = Model(encoder=nn.Linear(2, 3))
    assert model.encoder is model["encoder"]


@pytest.mark.parametrize("name", ["keys", "a.b", "training", "site head"])
def test_a_name_that_module_dict_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(PluginError, match="cannot be named"):
        Model({name: nn.Linear(1, 1)})


def test_a_network_added_later_takes_the_weights_that_wait_for_it() -> None:
    saved = Model(a=nn.Linear(2, 2), later=nn.Linear(3, 1))
    model = Model(a=nn.Linear(2, 2))
    model.load_saved(saved.state_dict())
    model["later"] = nn.Linear(3, 1)
    assert torch.equal(model.later.weight, saved.later.weight)
    assert torch.equal(model.a.bias, saved.a.bias)


def test_weights_of_another_shape_are_an_error_that_names_the_network() -> None:
    with pytest.raises(PluginError, match="'a'"):
        Model(a=nn.Linear(2, 2)).load_saved(Model(a=nn.Linear(2, 5)).state_dict())


def test_a_model_is_not_called() -> None:
    with pytest.raises(PluginError, match="call one of its networks"):
        Model(a=nn.Linear(2, 2))()

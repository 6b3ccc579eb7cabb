from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from mdx.errors import PluginError
from mdx.plugins.hooks import hookimpl
from mdx.plugins.manager import HookCaller


def observer(**functions: Any) -> ModuleType:
    module = ModuleType("observer")
    for name, function in functions.items():
        setattr(module, name, hookimpl(function))
    return module


def test_an_observer_that_raises_is_reported_once_and_dropped() -> None:
    said: list[str] = []
    seen: list[str] = []

    def broken(stage: str) -> None:
        raise ValueError("observer bug")

    caller = HookCaller(said.append)
    caller.register(observer(mdx_stage_finished=broken), "broken")
    caller.register(observer(mdx_stage_finished=lambda stage: seen.append(stage)), "good")
    caller.tell("mdx_stage_finished", stage="one")
    caller.tell("mdx_stage_finished", stage="two")
    assert seen == ["one", "two"]
    assert len(said) == 1
    assert "observer bug" in said[0]


def test_a_hook_that_does_not_exist_is_refused() -> None:
    with pytest.raises(PluginError, match="mdx_no_such_hook"):
        HookCaller(print).register(observer(mdx_no_such_hook=lambda: None), "odd")


def test_the_first_optimiser_that_a_plugin_makes_is_used() -> None:
    caller = HookCaller(print)
    caller.register(observer(mdx_make_optimizer=lambda name: name if name == "mine" else None), "mine")
    assert caller.call("mdx_make_optimizer", name="mine", params=[], options={}) == "mine"
    assert caller.call("mdx_make_optimizer", name="theirs", params=[], options={}) is None

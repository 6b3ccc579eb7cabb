from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mdx.errors import DataError, PluginError
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
    mine = SimpleNamespace(step=None, param_groups=[])
    caller = HookCaller(print)
    caller.register(observer(mdx_make_optimizer=lambda name: mine if name == "mine" else None), "mine")
    assert caller.call("mdx_make_optimizer", name="mine", params=[], options={}) is mine
    assert caller.call("mdx_make_optimizer", name="theirs", params=[], options={}) is None


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    "broken", [raising(ValueError("bug")), raising(SystemExit(0)), lambda: 5, lambda: "text", lambda: [3]]
)
def test_a_hook_that_fails_or_answers_nonsense_is_named_and_the_others_are_heard(broken: Callable[[], Any]) -> None:
    said: list[str] = []
    caller = HookCaller(said.append)
    caller.register(observer(mdx_image_suffixes=lambda: [".nrrd"]), "good")
    caller.register(observer(mdx_image_suffixes=broken), "odd:mdx_odd.hooks")
    assert caller.call("mdx_image_suffixes") == [[".nrrd"]]
    assert [line.split(" failed")[0] for line in said] == ["mdx_image_suffixes of odd:mdx_odd.hooks"]


def test_a_reader_that_fails_does_not_keep_the_next_from_answering() -> None:
    data = SimpleNamespace(task=None, cases=(), where=None)
    caller = HookCaller(lambda sentence: None)
    caller.register(observer(mdx_open_dataset=lambda scheme: data if scheme == "mine" else None), "good")
    caller.register(observer(mdx_open_dataset=lambda scheme: 1 / 0), "odd")
    assert caller.call("mdx_open_dataset", scheme="mine", rest="", config=None) is data
    with pytest.raises(PluginError, match="mdx_open_dataset of odd failed"):
        caller.call("mdx_open_dataset", scheme="nobodys", rest="", config=None)


def test_what_a_reader_says_of_a_file_reaches_the_user() -> None:
    caller = HookCaller(print)
    caller.register(observer(mdx_read_image=raising(DataError("is cut off", "copy it again", "a.nrrd"))), "mine")
    with pytest.raises(DataError, match=r"a\.nrrd: is cut off"):
        caller.call("mdx_read_image", path=None)


def test_an_observer_that_ends_the_process_is_dropped() -> None:
    said: list[str] = []
    caller = HookCaller(said.append)
    caller.register(observer(mdx_run_started=lambda directory: sys.exit(0)), "quitter")
    caller.tell("mdx_run_started", directory=None, config={})
    assert "quitter" in said[0]

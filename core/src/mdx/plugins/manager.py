"""The pluggy manager: registers hook modules and keeps observers from harming a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pluggy

from mdx.errors import PluginError
from mdx.plugins.activation import load
from mdx.plugins.discovery import Plugin, discover
from mdx.plugins.hooks import Hooks

_OBSERVED = ("mdx_run_", "mdx_stage_", "mdx_case_", "mdx_checkpoint_", "mdx_step", "mdx_metrics")
OBSERVERS = frozenset(name for name in vars(Hooks) if name.startswith(_OBSERVED))


class HookCaller:
    """Calls hooks. An observer that raises is reported once and dropped for the rest of the run.

    Args:
        report: called with one sentence when an observer is dropped or a plugin's hooks cannot be imported.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self.report = report
        self.manager = pluggy.PluginManager("mdx")
        self.manager.add_hookspecs(Hooks)

    def register(self, implementation: object, name: str) -> None:
        """Register hook implementations; PluginError if one does not fit its specification."""
        try:
            self.manager.register(implementation, name)
            self.manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"a hook does not fit: {error}", "compare it with mdx.plugins.hooks", name) from error

    def call(self, hook: str, **arguments: Any) -> Any:
        """The results of a hook that answers something; its errors reach the caller."""
        return getattr(self.manager.hook, hook)(**arguments)

    def tell(self, hook: str, **arguments: Any) -> None:
        """Tell the observers; none of them can stop what they are told about."""
        if hook not in OBSERVERS:
            raise ValueError(f"{hook} is not an observer")
        for implementation in list(self.manager.get_plugins()):
            others = [p for p in self.manager.get_plugins() if p is not implementation]
            caller = self.manager.subset_hook_caller(hook, remove_plugins=others)
            try:
                caller(**arguments)
            except Exception as error:
                name = self.manager.get_name(implementation)
                self.manager.unregister(implementation)
                self.report(f"the observer {name} failed in {hook} and is dropped: {type(error).__name__}: {error}")


def installed_hooks(report: Callable[[str], None], plugins: Mapping[str, Plugin] | None = None) -> HookCaller:
    """A caller with the hooks of every working plugin; a plugin whose hooks cannot be imported is reported."""
    caller = HookCaller(report)
    for plugin in (discover() if plugins is None else plugins).values():
        for module in plugin.manifest.hooks if plugin.manifest else ():
            try:
                caller.register(load(module, plugin), f"{plugin.name}:{module}")
            except PluginError as error:
                report(str(error))
    return caller

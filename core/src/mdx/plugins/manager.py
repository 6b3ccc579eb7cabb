"""The pluggy manager: registers hook modules and keeps observers from harming a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pluggy

from mdx.errors import MdxError, PluginError
from mdx.plugins.activation import load
from mdx.plugins.discovery import Plugin, discover
from mdx.plugins.hooks import Hooks

_OBSERVED = ("mdx_run_", "mdx_stage_", "mdx_case_", "mdx_checkpoint_", "mdx_step", "mdx_metrics")
OBSERVERS = frozenset(name for name in vars(Hooks) if name.startswith(_OBSERVED))


def _all(values: object, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and all(map(fits, values))


def _has(*names: str) -> Callable[[object], bool]:
    return lambda value: all(hasattr(value, name) for name in names)


# hook -> what it must answer, in words, and whether an answer is that; core checks images and predictions itself
ANSWERS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "mdx_image_suffixes": ("a list of texts", lambda v: _all(v, lambda s: isinstance(s, str))),
    "mdx_evaluators": (
        "a list of evaluators", lambda v: _all(v, _has("metrics", "per_case", "population", "summarise")),
    ),
    "mdx_report_sections": (
        "a list of (title, HTML)", lambda v: _all(v, lambda s: len(s) == 2 and all(isinstance(t, str) for t in s)),
    ),
    "mdx_doctor": ("a list of (what, fine, detail)", lambda v: _all(v, lambda s: len(s) == 3)),
    "mdx_open_dataset": ("a Dataset", _has("task", "cases", "where")),
    "mdx_make_optimizer": ("an Optimizer", _has("step", "param_groups")),
}  # fmt: skip


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
        """What the implementations of a hook answer: all of them, or the first that answers where the spec says so.

        One that fails, or answers with something of another shape, is reported and left out of this call. Raises
        MdxErrors of implementations as they are, and a PluginError where one answer is wanted, nobody gave it and some
        failed.
        """
        caller = getattr(self.manager.hook, hook)
        first = caller.spec.opts["firstresult"]
        answers: list[Any] = []
        failures: list[str] = []
        for implementation in reversed(caller.get_hookimpls()):
            try:
                given = self._alone(hook, implementation.plugin)(**arguments)
            except MdxError:
                raise
            except (Exception, SystemExit) as error:
                given, wrong = None, f"{type(error).__name__}: {error}"
            else:
                given = ([] if given is None else [given]) if first else given
                wrong = next(filter(None, (_wrong(hook, answer) for answer in given)), "")
            if wrong:
                failures.append(f"{hook} of {implementation.plugin_name} failed and is left out: {wrong}")
                self.report(failures[-1])
                continue
            answers += given or ()
            if first and answers:
                return answers[0]
        if first and failures:
            raise PluginError("; ".join(failures), "mend or uninstall the plugin")
        return None if first else answers

    def tell(self, hook: str, **arguments: Any) -> None:
        """Tell the observers; none of them can stop what they are told about."""
        if hook not in OBSERVERS:
            raise ValueError(f"{hook} is not an observer")
        for implementation in list(self.manager.get_plugins()):
            try:
                self._alone(hook, implementation)(**arguments)
            except (Exception, SystemExit) as error:
                name = self.manager.get_name(implementation)
                self.manager.unregister(implementation)
                self.report(f"the observer {name} failed in {hook} and is dropped: {type(error).__name__}: {error}")

    def _alone(self, hook: str, implementation: object) -> Any:
        """The caller of one plugin's implementation of a hook."""
        others = [p for p in self.manager.get_plugins() if p is not implementation]
        return self.manager.subset_hook_caller(hook, remove_plugins=others)


def _wrong(hook: str, answer: object) -> str:
    """What is wrong with an answer; empty where nothing is, or nothing is asked of it."""
    words, fits = ANSWERS.get(hook, ("", lambda _: True))
    return "" if fits(answer) else f"it answers {answer!r:.80}, not {words}"


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

"""Trying imports where they can do no harm: in a child process that may die, hang or print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from mdx.errors import MdxError

LONGEST_S = 180.0
FRAME = "\x1e"  # a character that no import prints


class Tried(NamedTuple):
    """What came of one target: ``fine``, and the version, device or reason in words.

    ``checks`` are those of a plugin's own (``mdx_doctor``): (what, fine, detail).
    """

    target: str
    fine: bool
    detail: str
    checks: Sequence[tuple[str, bool, str]] = ()


def try_imports(targets: Sequence[str], longest_s: float = LONGEST_S) -> list[Tried]:
    """Each of ``library:NAME``, ``plugin:NAME`` and ``accelerator`` tried in a child process.

    A target that ends the child, or keeps it for longer than ``longest_s``, is named; the rest go on in a new child.
    """
    left, found = list(targets), []
    while left:
        answers, end = _ask_child(left, longest_s)
        found += answers
        left = left[len(answers) :]
        if left:
            found.append(Tried(left.pop(0), False, end))
    return found


def _ask_child(targets: Sequence[str], longest_s: float) -> tuple[list[Tried], str]:
    """The answers of one child, and how it ended."""
    command = [sys.executable, "-c", "from mdx.cli.imports import answer; answer()", *targets]
    # the child looks where this process looks, whatever has been added to the path since it began
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)}
    answers: list[Tried] = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=surroundings
    ) as child:
        assert child.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            child.kill()

        watch = threading.Timer(longest_s, give_up)
        watch.start()
        for line in child.stdout:
            _, mark, text = line.decode("utf-8", "replace").partition(FRAME)
            if mark:
                answers.append(Tried(*json.loads(text)))
                watch.cancel()
                watch = threading.Timer(longest_s, give_up)
                watch.start()
        watch.cancel()
        code = child.wait()
    if late.is_set():
        return answers, f"its import had not ended after {longest_s:.0f} s"
    return answers, f"its import ended the process ({f'signal {-code}' if code < 0 else f'exit code {code}'})"


def answer() -> None:
    """The child: one line for each target on the command line."""
    for target in sys.argv[1:]:
        checks: list[tuple[str, bool, str]] = []
        try:
            fine, detail = True, _try(target, checks)
        except (Exception, SystemExit) as error:
            ours = isinstance(error, MdxError)
            fine, detail = False, str(error) if ours else f"{type(error).__name__}: {error}"
        sys.stdout.write(f"{FRAME}{json.dumps([target, fine, detail, checks])}\n")
        sys.stdout.flush()


def _try(target: str, checks: list[tuple[str, bool, str]]) -> str:
    kind, _, name = target.partition(":")
    if kind == "accelerator":
        return _accelerator()
    if kind == "library":
        return _import_library(name)
    return _import_plugin(name, checks)


def _import_library(name: str) -> str:
    """Import the modules of a distribution; its version."""
    from importlib.metadata import packages_distributions, version

    def plain(text: str) -> str:
        return text.lower().replace("-", "_")

    modules = [module for module, of in packages_distributions().items() if plain(name) in map(plain, of)]
    like_it = [module for module in modules if plain(module) == plain(name)]
    for module in like_it or [m for m in modules if m.isidentifier() and not m.startswith("_")] or [plain(name)]:
        import_module(module)
    return version(name)


def _accelerator() -> str:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{torch.cuda.get_device_name()}, {memory:.0f} GiB"
    return f"none, {torch.get_num_threads()} threads on the CPU"


def _import_plugin(name: str, checks: list[tuple[str, bool, str]]) -> str:
    """Import everything that a plugin's manifest names and gather its own checks; its version.

    Raises PluginError for the first thing that cannot be imported.
    """
    from mdx.plugins.activation import adapter_types, load
    from mdx.plugins.discovery import discover
    from mdx.plugins.manager import HookCaller

    plugin = discover()[name]
    manifest = plugin.manifest
    assert manifest is not None  # a broken manifest is told without importing anything
    if manifest.adapter:
        for variant in [None, *manifest.variants.values()]:
            adapter_types(plugin, variant)
    for named in manifest.provides.values():
        for target in named.values():
            load(target, plugin)
    caller = HookCaller(lambda sentence: checks.append(("hooks", False, sentence)))
    for module in manifest.hooks:
        caller.register(load(module, plugin), f"{name}:{module}")
    for group in caller.call("mdx_doctor"):
        checks.extend((str(what), bool(fine), str(detail)) for what, fine, detail in group)
    return plugin.version

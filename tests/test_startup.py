"""Listing, help and showing a plugin stay light: no torch, monai or numpy is imported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "monai", "numpy", "pandas", "pydantic", "mdx_fda", "mdx_sim", "mdx_segment")
CODE = """
import json, sys
from mdx.cli.app import run_cli
code = run_cli({argv!r})
print("\\n" + json.dumps([code, [m for m in {heavy!r} if m in sys.modules]]))
"""


@pytest.mark.parametrize("argv", [["list"], ["list", "--json"], ["--help"], ["--version"]])
def test_listing_and_help_import_nothing_heavy(argv: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(argv=argv, heavy=HEAVY)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []], done.stdout + done.stderr


@pytest.mark.parametrize("plugin", ["fda", "unlearning", "l2i"])
def test_showing_a_plugin_imports_its_settings_and_nothing_heavy(plugin: str) -> None:
    heavy = ("torch", "monai", "numpy", "pandas", "scipy", f"mdx_{plugin}.adapter")
    code = CODE.format(argv=["show", plugin, "--json"], heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []], done.stdout + done.stderr
    assert '"key": "batch_size"' in done.stdout

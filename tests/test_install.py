"""What a user gets from the built packages: core and what fda needs, no other plugin, and a run that works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from small_cohort import TINY, make_cohort

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_fda_from_wheels_in_an_empty_environment_runs_and_brings_no_other_plugin(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    assert uv is not None, "uv is not on the path"
    dist, env = tmp_path / "dist", tmp_path / "env"

    def call(*command: str | Path) -> str:
        clean = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, env=clean)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call(uv, "build", "--all-packages", "--wheel", "--out-dir", dist, ROOT)
    call(uv, "venv", "--python", "3.11", env)
    call(uv, "pip", "install", "--python", env / "bin" / "python", "--find-links", dist, "--constraint",
         ROOT / "tools" / "constraints.txt", "mdx-fda")  # fmt: skip
    mdx = env / "bin" / "mdx"
    listed = {p["name"]: p for p in json.loads(call(mdx, "list", "--json"))}
    assert set(listed) == {"fda", "sim"}, "sim provides the demo's data; no other plugin may come along"
    assert all(p["error"] is None for p in listed.values())
    table = make_cohort(tmp_path / "cohort")
    call(mdx, "run", "fda", "--data", f"csv:{table}", "--set", "source=A", "target=B", *TINY, "--baselines", "no_da",
         "--device", "cpu", "--out", tmp_path / "runs")  # fmt: skip
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "report.html").exists()

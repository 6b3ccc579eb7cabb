"""The verbs that look at things."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

Cli = Callable[..., tuple[int, str]]


def test_show_names_every_variant_preset_and_setting_with_its_default(mdx: Cli) -> None:
    code, text = mdx("show", "fda", "--json")
    assert code == 0
    facts = json.loads(text)
    assert {"srsim_mst", "no_da", "single", "mst", "histogram", "oracle"} <= set(facts["variants"])
    settings = {row["key"]: row for row in facts["settings"]}
    assert settings["beta"]["default"] == 0.015
    assert settings["n_mst"]["default"] == 7
    assert {"data.source", "run.device", "optimizer.name", "training.epochs"} <= set(settings)
    assert all(row["description"] for row in settings.values())


def test_doctor_finds_this_installation_fit(mdx: Cli) -> None:
    code, text = mdx("doctor", "--json")
    findings = {row["what"]: row for row in json.loads(text)}
    assert findings["plugin fda"]["fine"]
    assert findings["torch"]["fine"]
    assert code == (0 if all(row["fine"] for row in findings.values()) else 8)


def test_a_list_in_a_pipe_is_plain_text() -> None:
    done = subprocess.run([sys.executable, "-m", "mdx", "list"], capture_output=True, text=True, check=True)
    assert "fda" in [line.split()[0] for line in done.stdout.splitlines()]
    assert "\x1b" not in done.stdout


def test_the_paper_of_a_plugin_is_printed_as_bibtex(mdx: Cli) -> None:
    code, printed = mdx("show", "fda", "--bibtex")
    assert code == 0
    assert printed.startswith("@inproceedings{zakazov2022fda,\n  author = {Ivan Zakazov and Vladimir Shaposhnikov and ")
    assert "doi = {10.1007/978-3-031-16852-9_9}," in printed
    assert mdx("show", "sim", "--bibtex")[0] == 5

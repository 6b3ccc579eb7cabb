"""One broken plugin never takes the others down, and is named with the cause."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_plugins import HEAD, HOOK, HOOKED, install, install_odd_code, install_odd_manifests

from mdx.plugins.discovery import discover, provided

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_every_odd_manifest_is_named_with_its_fault_and_the_others_are_listed(site: Path, mdx: Cli) -> None:
    expected = install_odd_manifests(site)
    code, printed = mdx("list", "--json")
    assert code == 0
    listed = {row["name"]: row["error"] for row in json.loads(printed)}
    wrong = {name: listed[name] for name, said in expected.items() if said not in (listed[name] or "")}
    assert not wrong
    assert all(f"mdx-{name} 1.2" in listed[name] for name in expected)
    assert listed["fda"] is None


def test_the_other_plugins_work_beside_odd_manifests(site: Path, mdx: Cli, tmp_path: Path) -> None:
    install_odd_manifests(site)
    assert mdx("show", "fda")[0] == 0
    assert mdx("run", "fda", "--dry-run", "--preset", "demo", "--data", "nothing:here")[0] == 4
    code, printed = mdx("data", "init", tmp_path / "nowhere", "--out", tmp_path / "t.csv")
    assert code == 2, printed


def test_doctor_survives_what_it_diagnoses_and_names_each(
    site: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = install_odd_code(site)
    (tmp_path / "file").write_text("in the way of the cache")
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "file"))
    expected["cache"] = str(tmp_path / "file")
    code, printed = mdx("doctor", "--json")
    assert code == 8
    findings = json.loads(printed)
    bad = {name: [f["detail"] for f in findings if not f["fine"] and name in str(f)] for name in expected}
    assert not {name: said for name, said in expected.items() if not any(said in text for text in bad[name])}
    fine = {f["what"] for f in findings if f["fine"]}
    assert {"torch", "monai", "plugin fda", "plugin l2i"} <= fine


def test_doctor_looks_at_everything_where_torch_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    done = subprocess.run(
        [sys.executable, "-m", "mdx", "doctor", "--json"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 8, done.stderr
    found = {f["what"]: f["fine"] for f in json.loads(done.stdout)}
    assert not found["torch"] and not found["plugin fda"]
    assert found["numpy"] and found["cache"]


def test_a_second_plugin_of_a_name_is_refused_and_both_are_named(site: Path, mdx: Cli) -> None:
    install(site, "fda", HEAD.format(name="fda"), package="mdx_other")
    info = next(site.glob("*.dist-info"))
    info.rename(site / "better_fda-9.9.dist-info")
    code, printed = mdx("run", "fda", "--dry-run")
    assert code == 5
    assert "better-fda 9.9 (mdx_other:mdx.toml)" in printed
    assert "mdx-fda 0.1.0 (mdx_fda:mdx.toml)" in printed
    assert mdx("show", "l2i")[0] == 0


def test_the_same_distribution_twice_on_the_path_is_one_plugin(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    again.mkdir()
    for folder in (site, again):
        install(folder, "twice", HEAD.format(name="twice"))
    monkeypatch.syspath_prepend(str(again))
    assert discover()["twice"].error is None


def test_a_dataset_that_two_plugins_bring_is_refused_by_name_and_others_open(site: Path) -> None:
    for name in ("left", "right"):
        install(site, name, HEAD.format(name=name) + f'[provides.datasets]\nours = "mdx_{name}.code:open"\n')
    with pytest.raises(Exception, match=r"mdx-left 1\.2 .* and mdx-right 1\.2"):
        provided("datasets")["ours"]()
    assert callable(provided("datasets")["sim"]())


def test_a_plugin_cannot_replace_a_layout_of_mdx(site: Path) -> None:
    from mdx.data.layouts.bids import Bids
    from mdx.data.layouts.layout import layouts

    install(site, "thief", HEAD.format(name="thief") + '[provides.layouts]\nbids = "mdx_thief.code:Mine"\n')
    assert isinstance(layouts()["bids"](), Bids)


def test_a_layout_that_fails_is_named_and_the_folder_is_read(site: Path, mdx: Cli, tmp_path: Path) -> None:
    from PIL import Image

    install(site, "bad", HEAD.format(name="bad") + '[provides.layouts]\nbad = "mdx_bad.code:Bad"\n', "Bad = 1 / 0")
    for n in range(2):
        Image.new("L", (8, 8), n).save(tmp_path / f"scan{n}.png")
    code, printed = mdx("data", "init", tmp_path, "--out", tmp_path / "t.csv")
    assert code == 0, printed
    assert "the layout 'bad' of a plugin cannot be asked and is left out" in printed
    assert "mdx-bad 1.2" in printed


def test_a_hooks_module_that_ends_the_process_does_not_end_a_command(site: Path, mdx: Cli, tmp_path: Path) -> None:
    install(site, "quit", HOOKED.format(name="quit"), "import sys; sys.exit(0)")
    body = HOOK.format(signature="mdx_image_suffixes()", body="import sys; sys.exit(0)")
    install(site, "stopper", HOOKED.format(name="stopper"), body)
    code, printed = mdx("data", "init", tmp_path / "site", "--out", tmp_path / "t.csv")
    assert code == 4, printed  # a folder without images


def test_an_error_in_a_plugins_own_code_is_told_as_the_plugins(site: Path, mdx: Cli, tmp_path: Path) -> None:
    install(
        site, "slip", HEAD.format(name="slip") + '[provides.datasets]\nslip = "mdx_slip.code:open_it"\n',
        "def open_it(rest, config):\n    return {}[rest]\n",
    )  # fmt: skip
    code, printed = mdx("data", "check", "slip:x")
    assert code == 5
    assert "the plugin 'slip' (mdx-slip 1.2) failed in code.py line 2: KeyError: 'x'" in printed


def test_a_package_that_core_needs_and_cannot_import_is_named(site: Path, mdx: Cli) -> None:
    install(
        site, "need", HEAD.format(name="need") + '[provides.datasets]\nneed = "mdx_need.code:open_it"\n',
        "def open_it(rest, config):\n    import a_library_that_is_not_there\n",
    )  # fmt: skip
    code, printed = mdx("data", "check", "need:x")
    assert code == 5
    assert "a_library_that_is_not_there cannot be imported" in printed

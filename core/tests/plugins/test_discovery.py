from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mdx.errors import PluginError
from mdx.plugins.discovery import discover, find_plugin

MANIFEST = """
api = {api}
name = "{name}"
summary = "made for a test"
adapter = "{package}.adapter:Method"
config = "{package}.config:Config"
[capabilities]
task = "segmentation"
"""


def install(folder: Path, name: str, manifest: str, code: str = "raise RuntimeError('imported')") -> None:
    """A distribution as pip leaves it: a package, its manifest, and dist-info with an entry point."""
    package = f"mdx_{name}"
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(code)
    (folder / package / "mdx.toml").write_text(manifest)
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mdx-{name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[mdx.plugins]\n{name} = {package}:mdx.toml\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_plugin_that_cannot_be_imported_is_listed_and_not_imported(site: Path) -> None:
    install(site, "crash", MANIFEST.format(api=1, name="crash", package="mdx_crash"))
    plugin = discover()["crash"]
    assert plugin.manifest is not None
    assert plugin.manifest.summary == "made for a test"
    assert "mdx_crash" not in sys.modules


def test_discovery_finds_what_importlib_metadata_finds(site: Path) -> None:
    from importlib.metadata import entry_points

    install(site, "extra", MANIFEST.format(api=1, name="extra", package="mdx_extra"))
    assert set(discover()) == {e.name for e in entry_points(group="mdx.plugins")}


def test_a_broken_plugin_names_distribution_version_and_entry_point(site: Path) -> None:
    install(site, "torn", "api = 1\nname = ")
    with pytest.raises(PluginError, match=r"mdx-torn 1\.2 \(entry point torn = mdx_torn:mdx\.toml\)"):
        find_plugin("torn")


@pytest.mark.parametrize(("api", "side"), [(99, "upgrade mdx-core"), (0, "upgrade the plugin")])
def test_another_interface_version_says_which_side_to_upgrade(site: Path, api: int, side: str) -> None:
    install(site, "other", MANIFEST.format(api=api, name="other", package="mdx_other"))
    with pytest.raises(PluginError, match=side):
        find_plugin("other")


def test_every_fault_of_a_manifest_is_named_at_once(site: Path) -> None:
    text = MANIFEST.format(api=1, name="faulty", package="mdx_faulty")
    install(site, "faulty", text + 'target_labels = "sometimes"\n[surprise]\n[variants.a]\ncolour = "red"\n')
    error = str(discover()["faulty"].error)
    assert "sometimes" in error
    assert "surprise" in error
    assert "colour" in error


def test_one_broken_plugin_leaves_the_others_usable(site: Path) -> None:
    install(site, "bad", "not toml at all [")
    install(site, "good", MANIFEST.format(api=1, name="good", package="mdx_good"))
    assert find_plugin("good").manifest is not None


def test_an_unknown_name_is_answered_with_the_nearest(site: Path) -> None:
    install(site, "harmony", MANIFEST.format(api=1, name="harmony", package="mdx_harmony"))
    with pytest.raises(PluginError, match="did you mean 'harmony'"):
        find_plugin("harmoni")


def test_a_package_without_a_method_cannot_be_run(site: Path) -> None:
    install(site, "reader", 'api = 1\nname = "reader"\nsummary = "reads"\n[provides.datasets]\nx = "mdx_reader:open"\n')
    with pytest.raises(PluginError, match="not a method"):
        find_plugin("reader")


def test_an_import_error_names_the_package_and_the_cause(site: Path) -> None:
    from mdx.plugins.activation import adapter_types

    install(
        site, "halt", MANIFEST.format(api=1, name="halt", package="mdx_halt"), code="import does_not_exist_anywhere"
    )
    with pytest.raises(PluginError, match=r"does_not_exist_anywhere(.|\n)*reinstall mdx-halt"):
        adapter_types(find_plugin("halt"), None)

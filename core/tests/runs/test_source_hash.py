from __future__ import annotations

from pathlib import Path

import pytest

from mdx.runs.provenance import source_hash


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A method of two modules, the package that it imports, and one that it does not."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, code in (("method", "from mdx_blocks_made_up import x"), ("blocks", "x = 1"), ("other", "y = 1")):
        folder = tmp_path / f"mdx_{name}_made_up"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "code.py").write_text(code)
    return tmp_path


def fresh_hash() -> str:
    from mdx.runs import provenance

    provenance._package_source.cache_clear()
    return source_hash("mdx_method_made_up")


def test_the_hash_of_a_method_changes_with_its_own_source_and_with_that_of_what_it_imports(packages: Path) -> None:
    hashes = [fresh_hash()]
    for name in ("method", "blocks"):
        path = packages / f"mdx_{name}_made_up" / "code.py"
        path.write_text(path.read_text() + "\n")
        hashes.append(fresh_hash())
    assert len(set(hashes)) == 3


def test_what_else_is_imported_has_no_part_in_the_hash(packages: Path) -> None:
    before = fresh_hash()
    __import__("mdx_other_made_up")
    assert fresh_hash() == before


def test_the_hash_is_of_what_was_imported_whatever_happens_to_the_files_meanwhile(packages: Path) -> None:
    before = fresh_hash()
    (packages / "mdx_method_made_up" / "code.py").write_text("changed = True")
    assert source_hash("mdx_method_made_up") == before

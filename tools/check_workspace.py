"""Check that every list of the root pyproject.toml that names members of the workspace names all; ``--write`` does it.

A new plugin is a folder in ``plugins/`` with a pyproject.toml, and this. What a package tells its readers (readme,
licence, authors, words to find it by) and the versions of other members that it goes with are looked at too.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 120


def members(folder: str) -> dict[str, str]:
    """Name of each distribution in ``folder`` -> the module that it brings."""
    found = {}
    for path in sorted((ROOT / folder).glob("pyproject.toml" if folder == "core" else "*/pyproject.toml")):
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
        name = facts["project"]["name"]
        own = facts.get("tool", {}).get("uv", {}).get("build-backend", {}).get("module-name")
        found[name] = own or name.replace("-", "_")
    return found


def lists(core: dict[str, str], packages: dict[str, str], plugins: dict[str, str]) -> dict[tuple[str, str], list[str]]:
    """(table, or name of the contract; key) -> its entries."""
    everything = core | packages | plugins
    shared, methods = list(packages.values()), list(plugins.values())
    return {
        ("[project]", "dependencies"): list(everything),
        ("[tool.importlinter]", "root_packages"): list(everything.values()),
        ("Core imports no package and no plugin", "forbidden_modules"): [*shared, *methods],
        ("Packages import no plugin", "source_modules"): shared,
        ("Packages import no plugin", "forbidden_modules"): methods,
        ("No plugin imports another", "modules"): methods,
        ("Plugins use the public modules of core", "source_modules"): methods,
        ("[tool.ruff.lint.isort]", "known-first-party"): list(everything.values()),
    }


def written(key: str, entries: list[str]) -> str:
    """A list of TOML, on one line where it fits."""
    quoted = [f'"{entry}"' for entry in entries]
    line = f"{key} = [{', '.join(quoted)}]"
    return line if len(line) <= WIDTH else "\n".join([f"{key} = [", *(f"    {entry}," for entry in quoted), "]"])


def brought_up_to_date(text: str) -> str:
    """The root's pyproject.toml with every member in every list."""
    core, packages, plugins = members("core"), members("packages"), members("plugins")
    wanted = lists(core, packages, plugins)
    made: list[str] = []
    place, skipping = "", False
    for line in _whole_lists(text):
        key = line.partition(" = ")[0]
        if line.startswith("["):
            place, skipping = line, line == "[tool.uv.sources]"
            made.append(line)
            if skipping:
                made += [f"{name} = {{ workspace = true }}" for name in (*core, *packages, *plugins)]
            continue
        if skipping and line:
            continue
        skipping = False
        if key == "name" and place == "[[tool.importlinter.contracts]]":
            place = line.split('"')[1]
        made.append(written(key, wanted[place, key]) if (place, key) in wanted else line)
    return "\n".join(made) + "\n"


def _whole_lists(text: str) -> Iterator[str]:
    """The lines of the file; a list over several lines is one."""
    held: list[str] = []
    for line in text.splitlines():
        held.append(line)
        if held[0].endswith("= [") and line != "]":
            continue
        yield "\n".join(held)
        held = []
    yield from held


NEEDED = ("description", "readme", "license", "license-files", "authors", "keywords", "classifiers", "requires-python")


def lacking() -> Iterator[str]:
    """What a member does not say of itself, or says otherwise than the root."""
    licence = (ROOT / "LICENSE").read_bytes()
    for path in (ROOT / "core" / "pyproject.toml", *sorted(ROOT.glob("p*/*/pyproject.toml"))):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        where = path.parent.relative_to(ROOT)
        yield from (f"{where}: no {key}" for key in NEEDED if not project.get(key))
        if not (path.parent / project.get("readme", "README.md")).is_file():
            yield f"{where}: there is no README.md"
        if not (path.parent / "LICENSE").is_file() or (path.parent / "LICENSE").read_bytes() != licence:
            yield f"{where}: LICENSE is not that of the root"
        for need in project.get("dependencies", []):
            if need.startswith("mdx-") and not (">=" in need and "<" in need):
                yield f"{where}: {need} has no bounds, such as >=0.1,<0.2"


def main() -> int:
    """Exit 1 and say what to do where a list has drifted or a member says too little."""
    missing = list(lacking())
    if missing:
        sys.stderr.write("\n".join(missing) + "\n")
        return 1
    path = ROOT / "pyproject.toml"
    now = path.read_text(encoding="utf-8")
    wanted = brought_up_to_date(now)
    if "--write" in sys.argv:
        path.write_text(wanted, encoding="utf-8")
        return 0
    if now == wanted:
        return 0
    sys.stderr.write(
        "pyproject.toml does not name every member of the workspace: "
        "run 'uv run python tools/check_workspace.py --write'\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""What a run was made with: versions, source, machine, and the digest that names it."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mdx.errors import UsageError
from mdx.files import plain
from mdx.runs.folders import final_checkpoint

# code that draws, prints or schedules has no part in a result
NOT_IN_RESULTS = ("cli", "console.py", "progress", "report", "sweeps", "testing")
OWN_IMPORT = re.compile(r"^\s*(?:from|import)\s+(mdx_\w+)", re.MULTILINE)
LIBRARIES = ("torch", "monai", "numpy", "nibabel", "pandas", "scipy", "safetensors")


def source_hash(*packages: str) -> str:
    """A hash of the source of core, of ``packages``, and of every ``mdx_*`` package that these import.

    What else the process has imported has no part in it: the second run of a process is named as the first would be.
    """
    found: dict[str, str] = {}
    waiting = ["mdx", *packages]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name], imported = _package_source(name)
            waiting += imported
    return hashlib.sha256("".join(found[name] for name in sorted(found)).encode()).hexdigest()


@cache  # what runs is what was imported, whatever happens to the files meanwhile
def _package_source(name: str) -> tuple[str, tuple[str, ...]]:
    """The hash of a package, and the names of the ``mdx_*`` packages that it imports."""
    digest = hashlib.sha256(name.encode())
    imported: set[str] = set()
    spec = find_spec(name)
    if spec is not None and spec.origin is not None:
        place = Path(spec.origin).parent
        for path in sorted(place.rglob("*.py")) if spec.submodule_search_locations else [Path(spec.origin)]:
            relative = path.relative_to(place)
            if name != "mdx" or relative.parts[0] not in NOT_IN_RESULTS:
                source = path.read_bytes()
                digest.update(str(relative).encode())
                digest.update(source)
                imported.update(OWN_IMPORT.findall(source.decode(errors="replace")))
    return digest.hexdigest(), tuple(sorted(imported - {name}))


def digest_of_network(path: Path) -> str:
    """A hash of what ``--init-from`` names: of a file and what lies beside it, or of a run's settings and weights.

    Raises UsageError if there is neither.
    """
    if path.is_dir():
        parts = [final_checkpoint(path), path / "config.yaml"]
    elif path.is_file():
        parts = [path, *([path.with_suffix(".json")] if path.with_suffix(".json").is_file() else [])]
    else:
        raise UsageError(
            "there is no such run or file", "give a run directory, net.safetensors, net.onnx or net.pt", path
        )
    digest = hashlib.sha256()
    for part in parts:
        with part.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def digest_of(*parts: Any) -> str:
    """Eight hexadecimal digits of a hash of plain values."""
    return hashlib.sha256(json.dumps(plain(list(parts)), sort_keys=True).encode()).hexdigest()[:8]


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def machine() -> dict[str, Any]:
    """The machine in words; no host or user name."""
    import torch

    facts: dict[str, Any] = {"platform": platform.platform(terse=True), "processor": platform.machine()}
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
        facts["tf32"] = {
            "convolutions": torch.backends.cudnn.allow_tf32,
            "matrix products": torch.backends.cuda.matmul.allow_tf32,
        }
    return facts

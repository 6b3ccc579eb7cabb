"""What a run was made with: versions, source, machine, and the digest that names it."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mdx.files import plain

# code that draws and prints has no part in a result
NOT_IN_RESULTS = ("cli", "report")
LIBRARIES = ("torch", "monai", "numpy", "nibabel", "pandas", "scipy", "lightning-fabric", "safetensors")


def source_hash() -> str:
    """A hash of the source of core and of every ``mdx_*`` package that is imported."""
    names = sorted({m.split(".")[0] for m in sys.modules if m == "mdx" or m.startswith("mdx_")})
    return hashlib.sha256("".join(_package_hash(name) for name in names).encode()).hexdigest()


@cache  # what runs is what was imported, whatever happens to the files meanwhile
def _package_hash(name: str) -> str:
    digest = hashlib.sha256(name.encode())
    file = getattr(sys.modules[name], "__file__", None)
    if file is not None:
        root = Path(file).parent
        for path in sorted(root.rglob("*.py")):
            relative = path.relative_to(root)
            if name != "mdx" or relative.parts[0] not in NOT_IN_RESULTS:
                digest.update(str(relative).encode())
                digest.update(path.read_bytes())
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
    return facts

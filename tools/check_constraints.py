"""Check that tools/constraints.txt holds what the lock resolves to; ``--write`` brings it up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).parent / "constraints.txt"
EXPORT = ["uv", "export", "--quiet", "--no-hashes", "--no-emit-workspace", "--no-annotate", "--no-header", "--frozen"]


def resolved() -> str:
    """The versions of uv.lock as pip constraints."""
    return subprocess.run(EXPORT, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Exit 1 and say what to do where the file has drifted."""
    now = resolved()
    if "--write" in sys.argv:
        FILE.write_text(now, encoding="utf-8")
        return 0
    if FILE.read_text(encoding="utf-8") == now:
        return 0
    sys.stderr.write(
        "tools/constraints.txt differs from the lock: run 'uv run python tools/check_constraints.py --write'\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())

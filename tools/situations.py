"""Situations of other people's data, and bugs that users met, rebuilt and tried through the command line.

``python tools/situations.py`` builds each in a temporary folder, shows what is typed and printed, and looks at what
must be true then; it exits 1 and names those where it is not. ``--only 3,6,bug4`` chooses; ``--out
docs/situations.md`` writes the page.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from field_cases import bugs, pictures, scans, tables, volumes  # noqa: E402, F401  (they register themselves)
from field_cases.bench import SITUATIONS, Bench, Shared, Situation, as_markdown, inside  # noqa: E402

HEAD = """# Situations of other people's data, and bugs that users met

Each was got wrong once. `tools/situations.py --out docs/situations.md` rebuilds all of them with small files, types the
commands below, looks at what must be true then, and writes this page; it exits 1 where something is not so. RUN is a
small finished run of fda.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="numbers with commas, such as 3,6,bug4")
    parser.add_argument("--out", type=Path, help="write the page there; else it is printed")
    arguments = parser.parse_args()
    chosen = [s for s in ordered() if not arguments.only or s.number.replace(" ", "") in arguments.only.split(",")]
    if not chosen:
        parser.error(f"there is no situation {arguments.only}")
    sections, wrong = tried(chosen)
    page = "\n".join([HEAD, *sections])
    if arguments.out:
        arguments.out.write_text(page)
    else:
        print(page)
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} as they must be", file=sys.stderr)
    for name, reasons in wrong.items():
        print(f"WRONG {name}: {'; '.join(reasons)}", file=sys.stderr)
    return 1 if wrong else 0


def ordered() -> list[Situation]:
    """The situations by number, then the bugs by theirs."""
    return sorted(SITUATIONS, key=lambda s: ("bug" in s.number, int(s.number.removeprefix("bug "))))


def tried(chosen: list[Situation]) -> tuple[list[str], dict[str, list[str]]]:
    """The section of each situation, and what is wrong with those that are not as they must be."""
    sections: list[str] = []
    wrong: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        os.environ["MDX_CACHE"] = f"{name}/cache"
        shared = Shared(Path(name) / "shared")
        for of in chosen:
            began = time.monotonic()
            place = Path(name) / of.number.replace(" ", "")
            bench = Bench(place, shared)
            with inside(place):
                faults = built(of, bench)
            sections.append(as_markdown(of, bench))
            faults += [what for what, true in bench.met if not true]
            faults += [f"there is no test {test}" for test in of.absent_tests()]
            if faults:
                wrong[of.number] = faults
            print(f"{of.number}: {'WRONG' if faults else 'ok'} ({time.monotonic() - began:.1f} s)", file=sys.stderr)
    return sections, wrong


def built(of: Situation, bench: Bench) -> list[str]:
    """Build a situation; what ended it, if something did."""
    try:
        of.build(bench)
    except Exception as error:
        traceback.print_exc()
        return [f"ended by {type(error).__name__}: {error}"]
    return []


if __name__ == "__main__":
    sys.exit(main())

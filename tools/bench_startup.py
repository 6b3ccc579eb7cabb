"""What ``mdx --help``, ``list`` and ``show`` cost against a bare typer program of the same run, in CPU time."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 15
LIMIT, LIMIT_OF_SHOW = 1.8, 3.0
BARE = """
import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def one(name: str = typer.Option("x", help="A name.")) -> None:
    typer.echo(name)


@app.command()
def two() -> None:
    typer.echo("two")


app()
"""


def seconds(command: list[str]) -> float:
    """CPU time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print the table; exit 1 if a ratio is above the limit."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE, encoding="utf-8")
        pairs = {
            "mdx --help": (["-m", "mdx", "--help"], [str(bare), "--help"]),
            "mdx list": (["-m", "mdx", "list"], [str(bare), "one"]),
            "mdx list --json": (["-m", "mdx", "list", "--json"], [str(bare), "one"]),
            "mdx show fda": (["-m", "mdx", "show", "fda"], [str(bare), "one"]),
        }
        failed = False
        print(f"{'command':<18}{'mdx s':>8}{'bare s':>8}{'ratio':>7}")
        for name, (mine, theirs) in pairs.items():
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(ROUNDS):  # interleaved, so that a slow moment of the machine meets both
                for into, command in zip(times, (mine, theirs), strict=True):
                    into.append(seconds([sys.executable, *command]))
            a, b = statistics.median(times[0]), statistics.median(times[1])
            failed |= a / b > (LIMIT_OF_SHOW if "show" in name else LIMIT)
            print(f"{name:<18}{a:8.3f}{b:8.3f}{a / b:7.2f}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

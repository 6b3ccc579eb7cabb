"""How long ``mdx --help`` and ``mdx list`` take, against a bare typer program of the same run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 15
LIMIT = 1.8
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
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    """Print the table; exit 1 if a ratio is above the limit."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE, encoding="utf-8")
        pairs = {
            "mdx --help": (["-m", "mdx", "--help"], [str(bare), "--help"]),
            "mdx list": (["-m", "mdx", "list"], [str(bare), "one"]),
            "mdx list --json": (["-m", "mdx", "list", "--json"], [str(bare), "one"]),
        }
        failed = False
        print(f"{'command':<18}{'mdx s':>8}{'bare s':>8}{'ratio':>7}")
        for name, (mine, theirs) in pairs.items():
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(ROUNDS):  # interleaved, so that a slow moment of the machine meets both
                for into, command in zip(times, (mine, theirs), strict=True):
                    into.append(seconds([sys.executable, *command]))
            a, b = statistics.median(times[0]), statistics.median(times[1])
            failed |= a / b > LIMIT
            print(f"{name:<18}{a:8.3f}{b:8.3f}{a / b:7.2f}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

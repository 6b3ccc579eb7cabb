"""What a situation is made with: a folder of its own, the command line in this process, and what must be true after."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
SHOWN, WIDEST = 4, 300


@dataclass
class Call:
    """A command as typed, how it ended, what it printed, and which of that is shown."""

    typed: str
    code: int
    text: str
    lines: list[str] = field(default_factory=list)

    def has(self, *parts: str) -> bool:
        """Whether each part was printed; the lines that hold one are shown."""
        for part in parts:
            line = next((line.strip() for line in self.text.splitlines() if part in line), None)
            if line is not None and line not in self.lines and len(self.lines) < SHOWN:
                self.lines.append(line)
        return all(part in self.text for part in parts)


@dataclass(frozen=True)
class Situation:
    """A situation and how it is built; ``tests`` are ``file::name`` of what pins it in the suite."""

    number: str
    title: str
    tests: tuple[str, ...]
    build: Callable[[Bench], None]

    def absent_tests(self) -> list[str]:
        """The tests that are named and not there."""
        return [test for test in self.tests if not _is_there(*test.split("::"))]


SITUATIONS: list[Situation] = []


def situation(number: str, title: str, *tests: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Register the function that builds a situation."""

    def register(build: Callable[[Bench], None]) -> Callable[[Bench], None]:
        SITUATIONS.append(Situation(number, title, tests, build))
        return build

    return register


class Bench:
    """A folder that is also the working directory; calls and expectations are kept in ``calls`` and ``met``."""

    def __init__(self, place: Path, shared: Shared) -> None:
        self.place, self.shared = place, shared
        self.calls: list[Call] = []
        self.met: list[tuple[str, bool]] = []

    def mdx(self, typed: str) -> Call:
        """Carry out ``mdx TYPED`` in this process; RUN stands for the shared finished run."""
        from mdx.cli.app import run_cli

        words = [str(self.shared.run) if word == "RUN" else word for word in shlex.split(typed)]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = run_cli(words)
        call = Call(self.shortened(f"mdx {typed}"), code, self.shortened(printed.getvalue()))
        self.calls.append(call)
        return call

    def process(self, typed: str, words: list[str], **options: Any) -> Call:
        """The same in a process of its own, for what concerns a process; shown as ``typed``."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, **options)
        call = Call(typed, done.returncode, self.shortened(done.stdout + done.stderr))
        self.calls.append(call)
        return call

    def shortened(self, text: str) -> str:
        """A text without the folders of this machine."""
        text = text.replace(str(self.shared.run.parent), "runs").replace(self.shared.run.name, "RUN")
        for folder in (self.place, self.shared.place, Path(sys.prefix), REPOSITORY):
            text = text.replace(f"{folder.resolve()}/", "").replace(str(folder.resolve()), ".")
        return re.sub(r"\d{4}-\d\d-\d\d_\w+?_[0-9a-f]{8}", "RUN", text)

    def must(self, what: str, true: object) -> None:
        """Note something that must be true now, and whether it is."""
        self.met.append((what, bool(true)))

    def refused(self, call: Call, code: int, *parts: str) -> None:
        """Note that a call must have ended with ``code`` and printed all of ``parts``."""
        self.must(f"exit code {code}", call.code == code)
        for part in parts:
            self.must(f"says '{part}'", call.has(part))

    def went(self, call: Call, *parts: str) -> None:
        """Note that a call must have ended well and printed all of ``parts``."""
        self.refused(call, 0, *parts)


class Shared:
    """What several situations use: one finished run of fda with a baseline, made when first asked for."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @cached_property
    def table(self) -> Path:
        """The table of the cohort that the run was made on."""
        from small_cohort import make_cohort

        return make_cohort(self.place / "cohort")

    @cached_property
    def run(self) -> Path:
        """The directory of the run."""
        from mdx.cli.app import run_cli

        words = ["run", "fda", "--data", f"csv:{self.table}", *settings(), "--out", str(self.place / "runs")]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
            code = run_cli(words)
        if code:
            raise RuntimeError(errors.getvalue())
        (run,) = (self.place / "runs").iterdir()
        return run

    def unfinished(self, folder: Path) -> tuple[Path, Path]:
        """(table, run) of copies in ``folder`` whose baseline has not been scored."""
        cohort = Path(shutil.copytree(self.table.parent, folder / "cohort"))
        run = Path(shutil.copytree(self.run, folder / "unfinished" / self.run.name))
        facts = (run / "provenance.json").read_text().replace(str(self.table), str(cohort / self.table.name))
        (run / "provenance.json").write_text(facts)
        for name in ("done", "baselines/no_da/summary.json"):
            (run / name).unlink()
        return cohort / self.table.name, run


def settings() -> list[str]:
    """The settings of the shared run."""
    from small_cohort import TINY

    return ["--set", "source=A", "target=B", *TINY, "--baselines", "no_da", "--device", "cpu"]


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a new folder."""
    before = Path.cwd()
    folder.mkdir(parents=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def as_markdown(of: Situation, bench: Bench) -> str:
    """A situation as a section of the page."""
    lines = [f"### {of.number}. {of.title}", ""]
    for call in bench.calls:
        shown = [line if len(line) <= WIDEST else f"{line[: WIDEST - 3]}..." for line in call.lines]
        lines += ["```", f"$ {call.typed}", *shown, f"exit {call.code}", "```"]
    wrong = [what for what, true in bench.met if not true]
    checked = [what for what, _ in bench.met if not what.startswith(("says ", "exit code "))]
    lines += ["", f"Looked at: {'; '.join(['the exit codes and lines above', *checked])}."]
    lines += [f"**Not so: {'; '.join(wrong)}.**"] if wrong else []
    return "\n".join([*lines, "", "In the test suite:", *(f"- `{test}`" for test in of.tests), ""])


def _is_there(file: str, name: str) -> bool:
    path = REPOSITORY / file
    return path.is_file() and re.search(rf"^def {name}\b", path.read_text(), re.MULTILINE) is not None

"""Commands on inputs, run directories and manifests that are damaged in random ways; part of ``tools/torture.py``.

Each trial is a forked process: what it printed, how it ended, how long it took and its peak of memory are looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LONGEST, MOST = 60, 2.0
"""Seconds and GB that a trial may take."""
UNFIT = (b"", b"{", b"null", b"[]", b'"text"', b"[[1]]", b"{}", b"\xff\xfe\0", b"[" * 50_000, b"<html>404</html>")
ODD_VALUES = ("3", "-1", '"text"', "[]", "[1]", "{}", "true", "1e400", "[[[]]]", '""', "2020-01-01")


@dataclass(frozen=True)
class Trial:
    """A command, what is damaged, and the words of which a refusal must hold one."""

    kind: str
    words: list[str]
    damage: str
    culprits: tuple[str, ...]
    path: Path | None = None


def damaged(count: int, seed: int) -> int:
    """Carry out ``count`` trials, a third of each kind; how many went wrong."""
    from small_cohort import TINY, make_cohort

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.environ["MDX_CACHE"] = str(place / "cache")
        table = make_cohort(place / "cohort")
        subprocess.run(
            [sys.executable, "-m", "mdx", "run", "fda", "--data", f"csv:{table}", "--set", "source=A", "target=B",
             *TINY, "run.threads=1", "--baselines", "no_da", "--device", "cpu", "--out", str(place / "runs")],
            check=True, capture_output=True,
        )  # fmt: skip
        load_all()
        (run,) = (place / "runs").iterdir()
        rng = np.random.default_rng(seed)
        makers: list[Callable[[int], Trial]] = [
            lambda i: damaged_file(place / f"file{i}", table, run, rng),
            lambda i: damaged_run(place / f"run{i}", run, table, rng),
            lambda i: damaged_manifest(place / f"site{i}", table, rng),
        ]
        ends: Counter[str] = Counter()
        faults = 0
        for i in range(count):
            os.environ["MDX_CACHE"] = str(place / f"cache{i}")  # a cached value of the undamaged file would hide it
            trial = makers[i % len(makers)](i)
            wrong, code = outcome(trial, place / "output.txt")
            ends[f"{trial.kind}, exit {code}"] += 1
            faults += bool(wrong)
            for line in wrong:
                print(f"  {i} {trial.kind}: {' '.join(trial.words[:2])}, {trial.damage}: {line}", flush=True)
            for folder in (f"file{i}", f"run{i}", f"site{i}", f"cache{i}"):
                shutil.rmtree(place / folder, ignore_errors=True)
    print(
        f"damage: {count - faults} of {count} as they should be; "
        + ", ".join(f"{n} {e}" for e, n in sorted(ends.items()))
    )
    return faults


def load_all() -> None:
    """Import what commands need, once, without starting a thread: those of the parent do not live in its children."""
    import monai.transforms
    import torch

    import mdx.report.run
    import mdx.workflow.applying

    torch.set_num_threads(1)
    assert monai.transforms and mdx.workflow.applying and mdx.report.run


def outcome(trial: Trial, output: Path) -> tuple[list[str], int]:
    """What is wrong with how a command ended, and its exit code."""
    from mdx.cli.app import run_cli

    began = time.monotonic()
    child = os.fork()
    if child == 0:
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(stream, descriptor)
        if trial.path is not None:
            sys.path.insert(0, str(trial.path))
        signal.alarm(LONGEST)
        code = 70
        try:
            code = run_cli(trial.words)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 70
        except BaseException as error:
            print(f"Traceback, uncaught {type(error).__name__}: {error}")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    text = output.read_text(errors="replace")
    peak = used.ru_maxrss / 2**20
    wrong = []
    if code < 0:
        wrong.append(f"hung for {LONGEST} s" if code == -signal.SIGALRM else f"ended by signal {-code}")
    if code in (1, 70) or "Traceback" in text:
        wrong.append(f"exit code {code}: {text.strip()[-300:]}")
    if peak > MOST:
        wrong.append(f"took {peak:.1f} GB")
    if code > 1 and not any(word in text for word in trial.culprits):
        wrong.append(f"exit code {code}, and none of {', '.join(trial.culprits)} is named: {text.strip()[-300:]}")
    if time.monotonic() - began > LONGEST:
        wrong.append("took too long")
    return wrong, code


def mutated(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Bytes with one damage, and its name."""
    kind = rng.choice(["cut", "bits at the start", "bits", "zeros", "unfit", "longer", "swapped"])
    broken = bytearray(content)
    n = max(len(broken), 1)
    if kind == "cut":
        broken = broken[: rng.integers(0, n)]
    elif kind in ("bits", "bits at the start") and broken:
        for at in rng.integers(0, n if kind == "bits" else min(n, 400), rng.integers(1, 8)):
            broken[at] ^= 1 << rng.integers(0, 8)
    elif kind == "zeros":
        start = int(rng.integers(0, n))
        broken[start : start + 64] = bytes(min(64, n - start))
    elif kind == "unfit":
        broken = bytearray(UNFIT[rng.integers(len(UNFIT))])
    elif kind == "longer":
        broken += rng.bytes(int(rng.integers(1, 5000)))
    else:
        half = n // 2
        broken = broken[half:] + broken[:half]
    return bytes(broken), str(kind)


def damaged_file(folder: Path, table: Path, run: Path, rng: np.random.Generator) -> Trial:
    """An image, mask or table that is read by ``data check``, ``apply`` or ``evaluate``."""
    shutil.copytree(table.parent, folder)
    suffix = str(rng.choice([".nii.gz", ".nii", ".png", ".jpg", ".tif", ".csv", "mask"]))
    if suffix in (".nii.gz", "mask", ".csv"):
        victim = {".nii.gz": folder / "images" / "B1.nii.gz", "mask": folder / "masks" / "B1.nii.gz",
                  ".csv": folder / "cohort.csv"}[suffix]  # fmt: skip
        words = ["data", "check", str(folder / "cohort.csv")]
        if suffix == ".nii.gz" and rng.random() < 0.3:
            words = ["apply", str(run), str(victim), "--out", str(folder / "out")]
        elif suffix != ".csv" and rng.random() < 0.3:
            words = ["evaluate", str(run), "--data", f"csv:{folder / 'cohort.csv'}", "--out", str(folder / "out")]
    else:
        victim = folder / f"odd{suffix}"
        write_picture(victim)
        (folder / "other.csv").write_text(f"image,subject,site\n{victim.name},a,A\n{victim.name},b,B\n")
        words = ["data", "check", str(folder / "other.csv")]
    content, damage = mutated(victim.read_bytes(), rng)
    victim.write_bytes(content)
    rows = [f"{site}{i}" for site in "AB" for i in range(6)] if suffix == ".csv" else ["B1"]
    return Trial("file", words, f"{victim.name}, {damage}", (victim.name, "cohort.csv", "other.csv", *rows))


def write_picture(path: Path) -> None:
    import nibabel as nib
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    if path.suffix == ".nii":
        nib.save(nib.Nifti1Image(pixels.astype(np.int16), np.eye(4)), path)
    else:
        Image.fromarray(pixels).save(path)


def damaged_run(folder: Path, run: Path, table: Path, rng: np.random.Generator) -> Trial:
    """A file of a finished run, damaged or gone, and a command that reads the run."""
    copied = folder / run.name
    shutil.copytree(run, copied)
    files = sorted(p for p in copied.rglob("*") if p.is_file())
    victim = files[rng.integers(len(files))]
    if rng.random() < 0.15:
        victim.unlink()
        damage = "gone"
    elif victim.suffix == ".json" and rng.random() < 0.5:
        damage = odd_json(victim, rng)
    else:
        content, damage = mutated(victim.read_bytes(), rng)
        victim.write_bytes(content)
    scan = str(table.parent / "images" / "B1.nii.gz")
    words = [
        ["report", str(copied)], ["runs", str(folder)], ["runs", str(folder), "--json"],
        ["apply", str(copied), scan, "--out", str(folder / "out")],
        ["compare", str(copied), "--out", str(folder / "page")],
        ["evaluate", str(copied), "--out", str(folder / "scores")], ["resume", str(copied)],
    ][rng.integers(7)]  # fmt: skip
    where = victim.relative_to(copied)
    return Trial("run", words, f"{where}, {damage}", (victim.name, victim.stem, copied.name))


def odd_json(path: Path, rng: np.random.Generator) -> str:
    """Put a value of another type somewhere into a JSON file."""
    tree = json.loads(path.read_text())
    places = list(slots(tree))
    odd: Any = [None, 3, "text", [], [[1]], {}, True, 1e300, -1][rng.integers(9)]
    if not places:
        path.write_text(json.dumps(odd))
        return f"holds {odd!r}"
    holder, key = places[rng.integers(len(places))]
    holder[key] = odd
    path.write_text(json.dumps(tree))
    return f"{key} is {odd!r}"


def slots(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(
        tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else []
    ):
        yield tree, key
        yield from slots(value)


def damaged_manifest(folder: Path, table: Path, rng: np.random.Generator) -> Trial:
    """A plugin whose manifest is that of fda, with one line or a few bytes changed, beside those that are whole."""
    from odd_plugins import install

    import mdx_fda

    text = (Path(mdx_fda.__file__).parent / "mdx.toml").read_text().replace('name = "fda"', 'name = "odd"', 1)
    lines = text.splitlines()
    if rng.random() < 0.75:
        places = [i for i, line in enumerate(lines) if " = " in line and not line.startswith("#")]
        at = places[rng.integers(len(places))]
        value = ODD_VALUES[rng.integers(len(ODD_VALUES))]
        lines[at] = f"{lines[at].partition(' = ')[0]} = {value}"
        manifest, damage = "\n".join(lines).encode(), lines[at]
    else:
        manifest, damage = mutated(text.encode(), rng)
    folder.mkdir()
    install(folder, "odd", manifest)
    planned = ["run", "odd", "--dry-run", "--data", f"csv:{table}"]  # the demo's own data would be simulated first
    words = [["list"], ["list", "--json"], ["show", "odd"], ["show", "fda"], planned,
             ["reproduce", "odd", "table1", "--dry-run"]][rng.integers(6)]  # fmt: skip
    return Trial("manifest", words, damage, ("odd",), folder)

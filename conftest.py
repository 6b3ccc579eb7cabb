"""Fixtures shared by every test of the workspace."""

from __future__ import annotations

import os

# before torch is imported: small tensors gain nothing from threads, and lose much where cores are shared
os.environ.setdefault("OMP_NUM_THREADS", "1")

import warnings
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and golden vectors; tests that need it skip loudly where it is absent."""
    folder = Path(os.environ.get("MDX_SHARED", ROOT.parent / "shared")).resolve()
    if not folder.is_dir():
        warnings.warn(f"MDX_SHARED: no folder {folder}: tests on real data are SKIPPED", stacklevel=1)
        pytest.skip("the shared folder of real data is absent (set MDX_SHARED)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's own cache; all workers share one, so that nothing is simulated twice."""
    before = os.environ.get("MDX_CACHE")
    if before is None:
        base = tmp_path_factory.getbasetemp()
        folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"
        folder.mkdir(exist_ok=True)
        os.environ["MDX_CACHE"] = str(folder)
    yield
    if before is None:
        del os.environ["MDX_CACHE"]


@pytest.fixture
def mdx(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command line in this process: (exit code, everything it printed)."""

    def call(*argv: str | Path) -> tuple[int, str]:
        from mdx.cli.app import run_cli

        capsys.readouterr()
        code = run_cli([str(a) for a in argv])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers for the whole suite; none for a part, which would wait for two imports of torch instead of one."""
    return 2 if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


# --- who runs what: long files first, and methods of one file apart --------------------------------------------------


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests: what comes last is short, and no worker waits long for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As ``--dist loadfile``, but that each method of the life cycle is a file of its own."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrMethod(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            return f"{file} {test.partition('[')[2].split(' ')[0]}" if file.endswith(LIFE_CYCLE) else file

    return ByFileOrMethod(config, log) if config.getvalue("dist") == "loadfile" else None


LIFE_CYCLE = "test_life_cycle.py"


# --- what the suite costs: processor seconds by folder, those of child processes included ----------------------------

_spent: dict[str, float] = defaultdict(float)


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Start the clock of a test."""
    item.stash[_STARTED] = _processor_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note what a phase of a test has cost, in the worker that ran it."""
    report = yield
    now = _processor_seconds()
    report.user_properties.append(("processor_s", now - item.stash[_STARTED]))
    item.stash[_STARTED] = now
    return report


_STARTED = pytest.StashKey[float]()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add a phase to its folder, in the process that hears of all."""
    folder = "/".join(report.nodeid.split("/")[:2]).split("::")[0]
    _spent[folder] += dict(report.user_properties).get("processor_s", 0.0)  # type: ignore[arg-type]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the account of the whole suite."""
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and _spent:
        terminalreporter.section("processor seconds by folder")
        for folder, seconds in sorted(_spent.items(), key=lambda pair: -pair[1]):
            terminalreporter.line(f"{seconds:8.1f}  {folder}")

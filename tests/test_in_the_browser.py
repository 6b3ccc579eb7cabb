"""Every page looked at in a real browser: narrow and wide, light and dark.

The pictures are kept in ``MDX_SCREENSHOTS``, or in the folder of the test run; where, is printed. Without a browser
these tests skip and say so.
"""

from __future__ import annotations

import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, Seen, find_browser
from scored_runs import write_run
from slope_plugin import slope_in
from small_cohort import write_scan

from mdx.cli.app import run_cli
from mdx.report.case_pictures import PicturesOfCases
from mdx.report.case_table import case_table
from mdx.report.pages import TEMPLATES, write_page
from mdx.report.text import methods_of
from mdx.runs.folders import read_scores

WIDTHS, SCHEMES = (360, 1200), ("light", "dark")  # the narrowest telephone still in use, and a laptop
CONTRAST = 4.5  # WCAG 2.2, 1.4.3, level AA, for text of any size
Views = dict[tuple[int, str], Seen]
Look = Callable[[str, Path], Views]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        warnings.warn("no Chromium on this machine: the tests that look at pages are SKIPPED", stacklevel=1)
        pytest.skip("no browser (install Debian's chromium, or set MDX_BROWSER)")
    made = Browser(path, tmp_path_factory.mktemp("browser"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def look(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """Open a page at every width and in every scheme."""
    asked = os.environ.get("MDX_SCREENSHOTS")
    folder = Path(asked) if asked else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def call(name: str, page: Path) -> Views:
        return {
            (width, scheme): browser.look(page, width, scheme, folder / f"{name}-{width}-{scheme}.png")
            for width, scheme in itertools.product(WIDTHS, SCHEMES)
        }

    yield call
    sys.stderr.write(f"\nscreenshots: {folder}\n")


@pytest.fixture(scope="module")
def run(finished: tuple[Path, Path], look: Look) -> Views:
    return look("run", finished[1] / "report.html")


@pytest.fixture(scope="module")
def comparison(look: Look, tmp_path_factory: pytest.TempPathFactory) -> Views:
    folder, rng = tmp_path_factory.mktemp("comparison"), np.random.default_rng(0)
    base = rng.normal(0.8, 0.05, 24)
    for variant, gain in (("no_da", 0.0), ("mst", 0.01), ("srsim_mst_2d_pair", 0.04), ("oracle", 0.08)):
        for seed in range(3):
            scores = base + gain + rng.normal(0, 0.02, 24)
            write_run(
                folder / "runs" / f"{variant}_{seed}", variant, {"surface_dice": scores, "dice": scores + 0.05},
                seed=seed, target_labels="train" if variant == "oracle" else "never",
            )  # fmt: skip
    assert run_cli(["compare", str(folder / "runs"), "--out", str(folder / "out")]) == 0
    return look("comparison", folder / "out" / "comparison.html")


@pytest.fixture(scope="module")
def ages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with ages.csv, and a made-up method for it that fits a line in no time."""
    folder, rng = tmp_path_factory.mktemp("ages"), np.random.default_rng(0)
    lines = ["image,subject,site,age"]
    for s, site in enumerate(("A", "B", "a_hospital_with_a_long_name")):
        for i in range(10):
            age = 20 + 6 * i
            image = np.full((4, 4, 4), age * (1 - 0.1 * s) / 10) + rng.normal(0, 0.05, (4, 4, 4))
            write_scan(folder / f"{site}{i}.nii.gz", image.astype(np.float32), np.eye(4))
            lines.append(f"{site}{i}.nii.gz,{site}{i},{site},{age}")
    (folder / "ages.csv").write_text("\n".join(lines) + "\n")
    with slope_in(folder) as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def swept(ages: Path) -> Path:
    """A sweep over pairs and two variants, one of which fails."""
    code = run_cli([
        "sweep", "slope", "--data", "csv:ages.csv", "--preset", "small", "--pairs", "all",
        "--variants", "line,broken", "--out", str(ages / "sweep"),
    ])  # fmt: skip
    assert code == 1
    return ages / "sweep"


@pytest.fixture(scope="module")
def sweep(swept: Path, look: Look) -> Views:
    return look("sweep", swept / "sweep.html")


@pytest.fixture(scope="module")
def regression(swept: Path, look: Look) -> Views:
    return look("regression", sorted((swept / "runs").glob("*/report.html"))[0])


@pytest.fixture(scope="module")
def reproduction(ages: Path, look: Look) -> Views:
    assert run_cli(["reproduce", "slope", "table1", "--seeds", "2", "--out", str(ages / "table1")]) == 0
    return look("reproduction", ages / "table1" / "reproduction.html")


@pytest.fixture(scope="module")
def preparation(look: Look, tmp_path_factory: pytest.TempPathFactory) -> Views:
    folder = tmp_path_factory.mktemp("preparation")
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (28, 32, 28)], indexing="ij"))
    head = np.where((grid**2).sum(axis=0) < 0.8, 100.0, 5.0) + 20 * grid[2]
    lines = ["image,subject,site"]
    for k in range(4):
        write_scan(folder / f"{k}.nii.gz", (head * (1 + k)).astype(np.float32), np.diag([6.0, 6, 6, 1]))
        lines.append(f"{k}.nii.gz,s{k},{'AB'[k % 2]}")
    table = folder / "cohort.csv"
    table.write_text("\n".join(lines) + "\n")
    code = run_cli(["data", "prepare", str(table), "--out", str(folder / "out"), "--steps", "intensity",
                    "--register", "none", "--spacing", "own", "--mask", "none"])  # fmt: skip
    assert code == 0
    return look("preparation", folder / "out" / "qc.html")


@pytest.fixture(params=["run", "regression", "comparison", "sweep", "reproduction", "preparation"])
def views(request: pytest.FixtureRequest) -> Views:
    return request.getfixturevalue(request.param)


def test_nothing_is_asked_of_the_network_and_the_console_is_silent(views: Views) -> None:
    for view, seen in views.items():
        assert (view, seen.requests, seen.problems) == (view, [], [])


def test_a_page_never_scrolls_sideways(views: Views) -> None:
    for (width, scheme), seen in views.items():
        assert (width, scheme, seen.content) == (width, scheme, seen.width)


def test_every_text_stands_out_from_what_is_behind_it(views: Views) -> None:
    for view, seen in views.items():
        faint = [text for text in seen.texts if text[1] < CONTRAST]
        assert (view, faint) == (view, [])
        assert len(seen.texts) > 20


def test_a_page_follows_the_readers_choice_of_light_or_dark(views: Views) -> None:
    for width in WIDTHS:
        assert min(views[width, "light"].background) > 200
        assert max(views[width, "dark"].background) < 60


def test_every_picture_is_loaded_and_has_a_name(views: Views) -> None:
    for view, seen in views.items():
        assert (view, seen.broken, seen.unnamed) == (view, [], 0)


def test_headings_go_down_one_step_at_a_time(views: Views) -> None:
    seen = next(iter(views.values()))
    assert seen.headings[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(seen.headings))


def test_pages_that_have_pictures_show_them(run: Views, comparison: Views, preparation: Views) -> None:
    assert run[360, "dark"].images > 0 and run[360, "dark"].drawings > 2
    assert comparison[360, "dark"].drawings > 0
    assert preparation[360, "dark"].images == 4


SORTED = """
(() => {
  const column = () => [...document.querySelectorAll("table.sortable tbody tr")].map(row => row.cells[2].textContent);
  const head = document.querySelectorAll("table.sortable th")[2], seen = [[column(), head.ariaSort]];
  for (let i = 0; i < 2; i++) { head.querySelector("button").click(); seen.push([column(), head.ariaSort]); }
  return seen;
})()
"""
ENLARGED = """
(() => {
  const button = document.querySelector("button.enlarge"), large = document.querySelector("dialog");
  const before = large.open;
  button.focus();
  button.click();
  const during = [large.open, large.querySelector("img").alt, document.querySelector("img.zoom").alt];
  large.click();
  return [before, ...during, large.open];
})()
"""


def test_a_click_on_a_head_sorts_the_cases(browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "plain", {"surface_dice": [*np.linspace(0.1, 0.9, 23), np.nan]})
    table = case_table(read_scores(run), None, methods_of(run), {}, PicturesOfCases())
    page = write_page(tmp_path / "page.html", "cases.html.j2", {
        "cases": {"table": table, "pictures": PicturesOfCases(), "densities": {}}, "cohort": {}, "facts": {},
    })  # fmt: skip
    page.write_text(page.read_text() + (TEMPLATES / "script.html.j2").read_text())
    (start, _), (up, said_up), (down, said_down) = browser.ask(page, SORTED)
    assert (said_up, said_down) == ("ascending", "descending")
    assert up == start and start[-1] == down[-1] == "-"
    assert down[:-1] == up[-2::-1]


def test_a_click_on_a_picture_enlarges_it_and_another_closes_it(browser: Browser, finished: tuple[Path, Path]) -> None:
    before, during, large, small, after = browser.ask(finished[1] / "report.html", ENLARGED)
    assert (before, during, after) == (False, True, False)
    assert large == small and "test case" in large


def test_the_page_of_a_method_that_restyles_shows_before_and_after(finished: tuple[Path, Path]) -> None:
    page = (finished[1] / "report.html").read_text()
    assert all(f"<h2>{title}</h2>" in page for title in ("Before and after", "Every test case", "Intensities by site"))
    assert "restyled, and the difference" in page


def test_a_text_that_does_not_stand_out_is_found(look: Look, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<body style="background: #fff"><p style="color: #aaa">faint</p><p style="color: #000">clear</p>'
        '<div style="width: 2000px; background: rgb(0 0 0 / 90%)"><p style="color: #000">hidden</p></div>'
        '<img src="absent.png"><script>console.log(1); nowhere()</script></body>'
    )
    seen = look("wrong-on-purpose", page)[360, "light"]
    contrast = dict(seen.texts)
    assert contrast["faint"] == pytest.approx(2.32, abs=0.01)  # (1 + .05) / (0.402 + .05)
    assert contrast["clear"] == 21
    assert contrast["hidden"] < 1.3
    assert seen.content >= 2000
    assert len(seen.broken) == seen.unnamed == 1
    assert len(seen.problems) >= 2 and seen.requests

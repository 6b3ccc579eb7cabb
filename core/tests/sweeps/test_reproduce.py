from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from slope_plugin import slope_in

import mdx as package
from mdx.cli.app import run_cli
from mdx.errors import UsageError
from mdx.evaluation.paired import paired
from mdx.sweeps.table import cells_of, distinct

Mdx = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, ages: Path) -> Path:
    """The folder of slope's table 1, reproduced with two seeds."""
    folder = tmp_path_factory.mktemp("made")
    with slope_in(folder) as patch:
        patch.chdir(ages.parent)
        assert run_cli(["reproduce", "slope", "table1", "--seeds", "2", "--out", str(folder / "table1")]) == 0
    return folder / "table1"


@pytest.fixture(scope="module")
def facts(made: Path) -> dict[str, Any]:
    return json.loads((made / "reproduction.json").read_text())


def scores(made: Path, variant: str, seed: int) -> pd.DataFrame:
    index = pd.read_csv(made / "index.csv")
    (run,) = index[(index["variant"] == variant) & (index["seed"] == seed)]["run"]
    return pd.read_csv(made / "runs" / run / "scores.csv")


def test_rows_that_are_measured_in_one_run_share_it(facts: dict[str, Any], made: Path) -> None:
    assert facts["runs"] == 4  # two variants, two seeds; both sites are in each
    assert len(list((made / "runs").iterdir())) == 4


def test_a_measured_number_is_the_mean_over_seeds_in_the_papers_unit(facts: dict[str, Any], made: Path) -> None:
    cell = next(c for c in facts["cells"] if (c["key_row"], c["key_site"], c["metric"]) == ("shifted", "far", "mae"))
    errors = [10 * s[s["site"] == "B"]["absolute_error"].mean() for s in (scores(made, "shifted", i) for i in (0, 1))]
    assert cell["measured"] == pytest.approx(sum(errors) / 2)
    assert cell["sd_over_seeds"] == pytest.approx(abs(errors[0] - errors[1]) / 2**0.5)
    assert (cell["published"], cell["n_seeds"], cell["n_subjects"], cell["group"]) == (5.0, 2, 4, "site=B")


def test_the_page_says_first_how_many_trainings_stand_behind_a_number(made: Path) -> None:
    page = (made / "reproduction.html").read_text()
    assert "Behind each number are 2 trainings; intervals resample subjects and hold no other training" in page
    assert "Changed by hand" not in page


def test_what_is_not_run_says_why(facts: dict[str, Any]) -> None:
    notes = {(c["key_row"], c["metric"]): c["note"] for c in facts["cells"] if c["measured"] is None}
    assert notes == {
        ("unknown", "mae"): "the plugin does not say how 'unknown' is run",
        ("line", "seconds"): "no run of mdx measures 'seconds'",
        ("withheld", "mae"): "its images were never published",
    }


def test_a_claim_that_comes_out_has_the_paired_interval_of_the_difference_over_subjects(
    facts: dict[str, Any], made: Path
) -> None:
    (claim,) = [c for c in facts["claims"] if c["claim"] == "the line is better" and c["place"] == "near"]
    pairs = [scores(made, "shifted", s).merge(scores(made, "line", s), on=["case", "subject", "site"]) for s in (0, 1)]
    near = pd.concat(pairs)
    near = near[near["site"] == "A"]
    expected = paired(near["absolute_error_x"].tolist(), near["absolute_error_y"].tolist(), near["subject"].tolist())
    assert claim["verdict"] == "came out"
    assert claim["difference"] == pytest.approx(10 * expected["difference"])
    assert (claim["low"], claim["high"]) == pytest.approx((10 * expected["low"], 10 * expected["high"]))
    assert (claim["seeds_that_way"], claim["seeds"]) == (2, 2)


def test_a_claim_that_does_not_come_out_is_said(facts: dict[str, Any]) -> None:
    (claim,) = [c for c in facts["claims"] if c["claim"] == "no shift is better far away"]
    assert claim["verdict"] == "did not come out: the reverse"
    assert claim["difference"] < 0


def test_the_order_of_the_rows_is_counted_for_each_place(facts: dict[str, Any]) -> None:
    assert [(r["place"], r["pairs_in_order"], r["pairs"]) for r in facts["rank_agreement"]] == [
        ("near", 1, 1), ("far", 1, 1),
    ]  # fmt: skip


def test_page_and_csv_have_every_row_and_no_folder(made: Path) -> None:
    table = pd.read_csv(made / "reproduction.csv")
    assert len(table) == 7
    page = (made / "reproduction.html").read_text()
    for text in ("near / mae", "withheld", "its images were never published", "no shift is better far away", "<svg"):
        assert text in page
    assert str(made.parent) not in page


@pytest.mark.usefixtures("slope")
def test_own_data_and_sites_take_the_place_of_the_tables(mdx: Mdx, ages: Path, tmp_path: Path) -> None:
    code, printed = mdx(
        "reproduce", "slope", "table1", "--rows", "line", "--data", f"csv:{ages}", "--preset", "small", "--set",
        "source=C", "target=A,B", "--out", tmp_path / "own",
    )  # fmt: skip
    assert code == 0
    assert "These data are not the paper's" in printed
    facts = json.loads((tmp_path / "own" / "reproduction.json").read_text())
    groups = {c["key_site"]: c["group"] for c in facts["cells"] if c["measured"] is not None}
    assert groups == {"near": "role=source", "far": "role=target"}
    (job,) = json.loads((tmp_path / "own" / "sweep.json").read_text())["jobs"]
    assert job["settings"] == {"source": "C", "target": "A,B"}


@pytest.mark.usefixtures("slope")
def test_a_dry_run_names_runs_and_rows_that_stay_as_published(mdx: Mdx, ages: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(ages.parent)
    code, printed = mdx("reproduce", "slope", "table1", "--dry-run")
    assert code == 0
    assert "as published: withheld / near: its images were never published" in printed
    assert "2 runs for 7 numbers; nothing was run" in printed
    assert not (ages.parent / "reproductions").exists()


@pytest.mark.usefixtures("slope")
def test_unknown_tables_and_rows_are_answered_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'table1'"):
        cells_of("slope", "table11")
    with pytest.raises(UsageError, match="did you mean 'shifted'"):
        cells_of("slope", "table1", rows=["shiftet"])


@pytest.mark.usefixtures("slope")
def test_rows_that_cannot_be_run_are_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="never published"):
        package.reproduce("slope", "table1", rows=["withheld"])


@pytest.mark.usefixtures("slope")
def test_each_seed_has_its_own_cohort_where_the_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from mdx.sweeps import table

    manifest, published = table.published_table("slope", "table1")
    seeded = type(published)(**{**vars(published), "data": "sim:brain?seed=5{seed}"})
    monkeypatch.setattr(table, "published_table", lambda *_: (manifest, seeded))
    jobs = distinct(cells_of("slope", "table1", rows=["line"], seeds=[1, 2]))
    assert [job.data for job in jobs] == ["sim:brain?seed=51", "sim:brain?seed=52"]

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mdx.cli.sweep import seeds_of
from mdx.errors import UsageError
from mdx.sweeps.jobs import Job, expand, turns

pytestmark = pytest.mark.usefixtures("slope")


@pytest.fixture
def job(ages: Path) -> Job:
    return Job("slope", f"csv:{ages}", preset="small")


def places(jobs: list[Job]) -> list[tuple[str, str]]:
    return [(j.settings["data.source"], j.settings["data.target"]) for j in jobs]


def test_all_pairs_are_ordered_and_without_the_diagonal(job: Job) -> None:
    assert places(expand(job, pairs="all")) == [
        ("A", "B"), ("A", "C"), ("B", "A"), ("B", "C"), ("C", "A"), ("C", "B"),
    ]  # fmt: skip


def test_named_pairs_are_taken_as_they_are(job: Job) -> None:
    assert places(expand(job, pairs="C:A, A:B")) == [("C", "A"), ("A", "B")]


def test_sites_with_a_comma_in_their_name_are_swept(job: Job, ages: Path, tmp_path: Path) -> None:
    table = ages.with_name("cities.csv")
    table.write_text(ages.read_text().replace(",A,", ',"Koeln, Uni",'))
    job = replace(job, data=f"csv:{table}")
    whole = [j.plan().settings.data for j in expand(job, leave_site_out=True)]
    assert [(d.source, d.target) for d in whole] == [
        (("C", "Koeln, Uni"), ("B",)), (("B", "Koeln, Uni"), ("C",)), (("B", "C"), ("Koeln, Uni",)),
    ]  # fmt: skip
    (one,) = expand(job, pairs='"Koeln, Uni:B"')
    assert (one.name, one.plan().settings.data.source) == ("line, Koeln, Uni to B, seed 0", ("Koeln, Uni",))


def test_each_site_in_turn_is_left_out(job: Job) -> None:
    assert places(expand(job, leave_site_out=True)) == [("B,C", "A"), ("A,C", "B"), ("A,B", "C")]


def test_seeds_variants_and_a_grid_are_combined_each_with_each(job: Job) -> None:
    made = expand(job, variants=["line", "shifted"], seeds=[0, 7], grid={"epochs": ["1", "2", "3"]})
    assert len({j.name for j in made}) == len(made) == 12
    assert made[0].labels == {"variant": "line", "epochs": "1", "seed": "0"}


def test_all_variants_are_those_of_the_manifest(job: Job) -> None:
    assert [j.variant for j in expand(job, variants=["all"])] == ["line", "shifted", "broken"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"variants": ["lime"]}, "did you mean 'line'"),
        ({"pairs": "A:D"}, "no site 'D'"),
        ({"pairs": "A-B"}, "write --pairs A:B"),
        ({"pairs": "all", "leave_site_out": True}, "cannot be combined"),
    ],
)
def test_what_cannot_be_combined_or_is_unknown_is_refused(job: Job, request_: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        expand(job, **request_)


def test_jobs_of_other_sources_start_before_those_that_would_wait_for_a_training(job: Job) -> None:
    made = expand(job, pairs="A:B,A:C,B:A,B:C", variants=["line", "shifted"])
    first = [made[i] for i in turns(made)][:2]
    assert [j.settings["data.source"] for j in first] == ["A", "B"]
    assert sorted(turns(made)) == list(range(8))


def test_the_command_of_a_job_makes_the_same_run(job: Job) -> None:
    (made,) = expand(job, variants=["shifted"], pairs="A:B", seeds=[3])
    assert " ".join(made.command).replace(str(job.data), "DATA") == (
        "mdx run slope --data DATA --variant shifted --preset small --seed 3 --baselines none "
        "--set data.source=A --set data.target=B --set data.split_seed=3"
    )


def test_each_seed_divides_the_users_own_table_anew_unless_the_user_says_how(job: Job, tmp_path: Path) -> None:
    def divisions(job: Job, **request: Any) -> list[Any]:
        return [made.plan().settings.data.split_seed for made in expand(job, seeds=[0, 2], **request)]

    assert divisions(job) == [0, 2]
    for name in ("data.split_seed", "split_seed"):
        assert divisions(replace(job, settings={name: "7"})) == [7, 7]
    assert divisions(job, grid={"data.split_seed": ["7"]}) == [7, 7]
    file = tmp_path / "settings.yaml"
    file.write_text("data: {split_seed: 7}\n")
    assert divisions(replace(job, config=file)) == [7, 7]


def test_a_simulated_cohort_is_not_divided_anew(job: Job) -> None:
    made = expand(replace(job, data="sim:brain?sites=source,severe&subjects=4"), seeds=[0, 2])
    assert [j.settings for j in made] == [{}, {}]


def test_seeds_are_a_number_or_a_list() -> None:
    assert (seeds_of("3"), seeds_of("0,7"), seeds_of("5,")) == ([0, 1, 2], [0, 7], [5])
    for wrong in ("0", "a", "1,b", ""):
        with pytest.raises(UsageError):
            seeds_of(wrong)

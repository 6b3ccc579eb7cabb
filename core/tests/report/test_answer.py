"""The answer of a run: its mark, the share of the drop that is closed, and what could have been told."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scored_runs import cohort, write_run

from mdx.report.answer import NO_GAIN, Answer, answer_of, verdict_of
from mdx.report.gap import Estimate, gap_closed
from mdx.report.run import write_report
from mdx.report.text import methods_of, summary_table

SPREAD = np.linspace(-0.02, 0.02, 8)
PLAIN = np.concatenate([0.9 + SPREAD, 0.6 + SPREAD, 0.5 + SPREAD])
"""Eight subjects at the source A, and at the targets B and C, where a network without adaptation loses."""
COMMAND = "mdx run made --data csv:/a/cohort.csv --folds 5 --set source=A target=B -q --baselines no_da --seed 4\n"
OF_A_PAGE: dict[str, Any] = {
    "summary": "", "paper": {}, "started": "2026-01-01T00:00:00", "device": "cpu", "precision": "32-true",
    "versions": {}, "plugin_version": "1", "source": "f" * 64, "machine": {"platform": "Linux"},
}  # fmt: skip
UNSURE = np.resize([0.4, -0.35, 0.3, -0.31, 0.2, -0.22, 0.1, -0.12], 24)


def make(folder: Path, own: np.ndarray, plain: np.ndarray = PLAIN, per_site: int = 8) -> Path:
    """A finished run of 'fda' beside 'no_da', with these surface Dice of the test cases of A, B and C."""
    cases = cohort(per_site)
    write_run(folder, "fda", own, cases, **OF_A_PAGE, baselines=["no_da"])
    (folder / "command.txt").write_text(COMMAND)
    write_run(folder / "baselines" / "no_da", "no_da", plain, cases)
    return folder


def ask(folder: Path) -> Answer:
    found = answer_of(folder, methods_of(folder))
    assert found is not None
    return found


def at_targets(change: float | np.ndarray) -> np.ndarray:
    return PLAIN + np.concatenate([np.zeros(8), np.broadcast_to(change, 16)])


@pytest.mark.parametrize(
    ("own", "mark", "share"),
    [
        (at_targets(0.07 + np.tile(SPREAD, 2) / 2), "gain", 0.2), (at_targets(-0.07), "harm", -0.2),
        (at_targets(UNSURE[:16] / 20), "no gain", 0.0), (at_targets(2 * UNSURE[:16]), "cannot tell", 0.0),
    ],
)  # fmt: skip
def test_the_mark_follows_interval_test_and_drop(tmp_path: Path, own: np.ndarray, mark: str, share: float) -> None:
    found = ask(make(tmp_path / "run", own))
    assert found.mark == mark
    assert found.share is not None and found.drop is not None
    assert found.drop.value == pytest.approx(0.35)
    assert found.share.value == pytest.approx(share, abs=0.01)
    assert found.share.low <= found.share.value <= found.share.high


def test_the_answer_names_reference_levels_share_worst_target_and_what_could_be_told(tmp_path: Path) -> None:
    found = ask(make(tmp_path / "run", at_targets(0.07 + np.tile(SPREAD, 2) / 2)))
    first, limits, worst = found.sentences
    assert first.startswith("From source to target the surface dice drops by 0.350 [")
    assert "(0.900 to 0.550, 'no_da'); 'fda' closes 20 % of it [" in first
    assert found.detectable is not None and found.gain is not None
    assert found.detectable == pytest.approx((found.gain.high - found.gain.low) / 2)
    assert limits.startswith(f"16 subjects at all target sites: a difference below about {found.detectable:.3f} ")
    assert worst == "The worst is C: 0.570 with 'fda', 0.500 with 'no_da'."


@pytest.mark.parametrize(("high", "mark"), [(0.4, NO_GAIN), (0.52, "cannot tell")])
def test_there_is_no_gain_only_where_the_share_too_stays_below_half_of_the_drop(high: float, mark: str) -> None:
    gain, drop, share = Estimate(0.007, -0.002, 0.02), Estimate(0.07, 0.01, 0.13), Estimate(0.1, 0.0, high)
    assert verdict_of(gain, drop, share, 0.2, 10, "max") == mark


@pytest.mark.parametrize(
    ("baselines", "reference", "said"),
    [
        ({"vanilla": "train", "no_da": "never"}, "no_da", "'fda' trained on labels of the target, 'no_da' did not"),
        ({"vanilla": "train"}, "vanilla", "'fda' and 'vanilla' both trained on labels of the target."),
    ],
)
def test_a_gain_with_labels_of_the_target_is_said_to_have_read_them(
    tmp_path: Path, baselines: dict[str, str], reference: str, said: str
) -> None:
    cases = cohort()
    own = at_targets(0.07 + np.tile(SPREAD, 2) / 2)
    run = write_run(tmp_path / "run", "fda", own, cases, baselines=list(baselines), target_labels="train")
    for name, labels in baselines.items():
        write_run(run / "baselines" / name, name, PLAIN, cases, target_labels=labels)
    found = ask(run)
    assert (found.mark, found.reference) == ("gain", reference)
    assert found.sentences[1].startswith(said)


def test_nothing_is_closed_where_no_drop_can_be_told(tmp_path: Path) -> None:
    alike = np.tile(0.8 + SPREAD, 3)
    found = ask(make(tmp_path / "run", alike + UNSURE / 20, alike))
    assert (found.mark, found.share) == ("cannot tell", None)
    assert "No drop of the surface dice from source to target can be told (0.800 to 0.800, 'no_da'" in found.text
    assert "'fda' changes the surface dice at all target sites by " in found.text


def test_four_subjects_allow_no_verdict(tmp_path: Path) -> None:
    found = ask(make(tmp_path / "run", np.full(6, 0.9), np.array([0.9, 0.91, 0.5, 0.51, 0.5, 0.52]), per_site=2))
    assert found.mark == "cannot tell"
    assert "4 subjects at all target sites: with fewer than 6 no verdict is possible." in found.sentences


def test_a_network_that_marks_nothing_at_the_source_did_not_learn(tmp_path: Path) -> None:
    run = make(tmp_path / "run", at_targets(0.1))
    table = pd.read_csv(run / "scores.csv").assign(dice=0.0, volume_error_percent=-100.0)
    table.to_csv(run / "scores.csv", index=False)
    found = ask(run)
    assert found.mark == "did not learn"
    assert found.sentences == ("'fda' marks nothing in any of the 8 test case(s) at A.",)


def test_of_an_error_the_rise_is_undone() -> None:
    rows = pd.DataFrame({"subject": [f"s{i}" for i in range(12)], "role": ["source"] * 6 + ["target"] * 6})
    rows["reference"] = [2.0, 2.1, 1.9, 2.0, 2.1, 1.9, 6.0, 6.1, 5.9, 6.0, 6.1, 5.9]
    rows["own"] = rows["reference"] - 1.0
    found = gap_closed(rows, "min")
    assert (found["drop"].value, found["share"].value) == pytest.approx((4.0, 0.25))
    assert found["drop"].told and found["share"].low > 0.2


def test_the_interval_of_the_drop_is_that_of_two_independent_groups() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"subject": [f"s{i}" for i in range(120)], "role": ["source"] * 80 + ["target"] * 40})
    rows["reference"] = rows["own"] = rng.normal(0.8, 0.1, 120)
    drop = gap_closed(rows, "max")["drop"]
    source, target = rows["reference"][:80], rows["reference"][80:]
    half = 1.96 * np.sqrt(source.var(ddof=0) / 80 + target.var(ddof=0) / 40)
    assert (drop.high - drop.low) / 2 == pytest.approx(half, rel=0.05)


def test_the_answer_stands_first_on_the_page_and_first_under_the_printed_table(tmp_path: Path) -> None:
    run = make(tmp_path / "run", at_targets(-0.07))
    page = write_report(run).read_text()
    above = page[page.index("</h1>") : page.index("<h2>")]
    assert re.search(r'<section class="verdict harm".*?▼</span> Harm</p>', above, re.DOTALL)
    assert "<code>fda</code> adds 20 % to it" in above
    table, under = summary_table(run).split("\nHarm. ")
    assert under.startswith("From source to target")
    assert table.splitlines()[-1].startswith("no_da")


@pytest.mark.parametrize("scored", [0, 1])
def test_a_page_says_how_many_methods_are_scored_while_the_run_goes_on(tmp_path: Path, scored: int) -> None:
    run = write_run(tmp_path / "runs" / "one", "fda", PLAIN, done=False, **OF_A_PAGE, baselines=["no_da", "oracle"])
    (run / "command.txt").write_text(COMMAND)
    if not scored:
        (run / "summary.json").unlink()
    page = html.unescape(write_report(run).read_text())
    assert f"Not finished: {scored} of 3 methods scored." in page
    assert "<code>mdx resume runs/one</code>" in page
    assert ("mdx apply" in page, "No baseline has been scored yet" in page) == (scored == 1, scored == 1)


def test_the_next_commands_are_those_of_this_run(tmp_path: Path) -> None:
    run = make(tmp_path / "runs" / "one", PLAIN)
    (run / "command.txt").write_text(
        "mdx run made --data csv:/a/cohort.csv --folds 5 --set source=A target=B -q --baselines no_da --seed 4\n"
    )
    page = html.unescape(write_report(run).read_text())
    found = re.findall(r"<pre><code>(.*?)</code>", page[page.index("<h2>Next</h2>") :])
    assert found[:3] == [
        "mdx apply runs/one new_scans --out predictions", "mdx compare runs/one",
        "mdx sweep made --data csv:cohort.csv --set source=A target=B --variants fda,no_da --seeds 3",
    ]  # fmt: skip
    assert '<a href="baselines/no_da/scores.csv">' in page

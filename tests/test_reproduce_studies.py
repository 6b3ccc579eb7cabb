"""Three rows of a table of l2i and of unlearning, on the smallest cohorts: the way, not the scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdx.testing import small_cohort

Mdx = Callable[..., tuple[int, str]]


@pytest.fixture
def reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mdx: Mdx) -> Callable[..., tuple[dict[str, Any], str]]:
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))

    def reproduce(*words: str, task: str, settings: list[str]) -> tuple[dict[str, Any], str]:
        table = small_cohort(tmp_path / "cohort", task)
        code, printed = mdx(
            "reproduce", *words, "--data", f"csv:{table}", "--preset", "smoke", "--set", "run.bootstrap=100", *settings,
            "--device", "cpu", "--out", tmp_path / "table",
        )  # fmt: skip
        assert code == 0, printed
        return json.loads((tmp_path / "table" / "reproduction.json").read_text()), printed

    return reproduce


@pytest.mark.slow
def test_three_rows_of_l2is_table_stand_beside_the_published_ones(reproduced: Callable[..., Any]) -> None:
    facts, printed = reproduced(
        "l2i", "table1", "--rows", "vanilla,l2i,l2i_fixed", task="classification", settings=["data.target=C"]
    )
    assert facts["runs"] == 4  # vanilla also with the target alone
    cells = {(c["key_row"], c["key_training_set"], c["metric"]): c for c in facts["cells"]}
    of_l2i = cells["l2i", "target_and_source", "target_accuracy"]
    assert of_l2i["published"] == 89.0
    assert of_l2i["measured"] in [100 * k / 2 for k in range(3)]
    claims = {(c["better"], c["other"]) for c in facts["claims"]}
    assert {("l2i", "vanilla"), ("l2i", "l2i_fixed")} <= claims
    assert "These data are not the paper's" in printed


@pytest.mark.slow
def test_three_methods_of_unlearnings_table_2_share_stage_1_where_they_can(reproduced: Callable[..., Any]) -> None:
    facts, _ = reproduced("unlearning", "table2", task="regression", settings=[])
    assert facts["runs"] == 3  # one table given: the three overlaps are the same
    found = {c["key_method"]: c for c in facts["cells"] if c["metric"] == "scanner_accuracy"}
    assert set(found) == {"standard", "naive_unlearning", "unlearning_on_overlap"}
    assert all(0 <= cell["measured"] <= 100 for cell in found.values())

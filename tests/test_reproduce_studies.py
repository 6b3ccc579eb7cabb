"""Three rows of a table of l2i and of unlearning, on cohorts too small to learn from: the way, not the scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Mdx = Callable[..., tuple[int, str]]


@pytest.fixture
def reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mdx: Mdx) -> Callable[..., tuple[dict[str, Any], str]]:
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))

    def reproduce(*words: str) -> tuple[dict[str, Any], str]:
        code, printed = mdx("reproduce", *words, "run.bootstrap=100", "--device", "cpu", "--out", tmp_path / "table")
        assert code == 0, printed
        return json.loads((tmp_path / "table" / "reproduction.json").read_text()), printed

    return reproduce


@pytest.mark.slow
def test_three_rows_of_l2is_table_stand_beside_the_published_ones(reproduced: Callable[..., Any]) -> None:
    facts, printed = reproduced(
        "l2i", "table1", "--rows", "vanilla,l2i,l2i_fixed", "--data",
        "sim:ms?train=4,4&val=2,2&test=6,6&source_train=3&source_val=1&source_test=2&size_mm=8", "--set", "epochs=2",
        "steps=3", "backbone=small_cnn3d", "width=4",
    )  # fmt: skip
    assert facts["runs"] == 4  # vanilla also with the target alone
    cells = {(c["key_row"], c["key_training_set"], c["metric"]): c for c in facts["cells"]}
    of_l2i = cells["l2i", "target_and_source", "target_accuracy"]
    assert of_l2i["published"] == 89.0
    assert of_l2i["measured"] in [100 * k / 12 for k in range(13)]
    claims = {(c["better"], c["other"]) for c in facts["claims"]}
    assert {("l2i", "vanilla"), ("l2i", "l2i_fixed")} <= claims
    assert "These data are not the paper's" in printed


@pytest.mark.slow
def test_three_methods_of_unlearnings_table_2_share_stage_1_where_they_can(reproduced: Callable[..., Any]) -> None:
    facts, _ = reproduced(
        "unlearning", "table2", "--data",
        "sim:age?overlap=20&train=12&val=4&test=5&size_mm=8", "--set", "epochs=2", "pretrain_epochs=1", "steps=2",
        "width=0.125", "stages=3",
    )  # fmt: skip
    assert facts["runs"] == 3  # one table given: the three overlaps are the same
    found = {c["key_method"]: c for c in facts["cells"] if c["metric"] == "scanner_accuracy"}
    assert set(found) == {"standard", "naive_unlearning", "unlearning_on_overlap"}
    assert all(0 <= cell["measured"] <= 100 for cell in found.values())

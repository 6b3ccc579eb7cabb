from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import f_oneway
from scipy.stats.contingency import association

from mdx.data.config import DataConfig
from mdx.data.confounding import confounding_table, cramers_v, eta_squared
from mdx.data.open import open_table


def test_a_label_that_is_the_site_has_full_association() -> None:
    assert cramers_v(np.array([[50, 0], [0, 50]])) == pytest.approx(1, abs=0.02)


def test_independent_columns_have_none() -> None:
    assert cramers_v(np.array([[20, 40], [10, 20]])) == 0


def test_for_many_cases_the_corrected_measure_is_the_plain_one() -> None:
    counts = np.array([[900, 300, 100], [200, 800, 400]])
    assert cramers_v(counts) == pytest.approx(association(counts, method="cramer"), abs=0.002)


def test_a_column_that_does_not_vary_has_no_association() -> None:
    assert cramers_v(np.array([[5, 0], [7, 0]])) is None
    assert eta_squared([np.ones(3)]) is None


def test_eta_squared_agrees_with_the_f_statistic() -> None:
    """eta^2 = F (k-1) / (F (k-1) + n - k); seed 0."""
    rng = np.random.default_rng(0)
    groups = [rng.normal(m, 1, 12) for m in (0, 0.5, 2)]
    f = f_oneway(*groups).statistic
    assert eta_squared(groups) == pytest.approx(2 * f / (2 * f + 33))


def test_classes_tied_to_sites_are_warned_of(rows, write) -> None:
    many = [{**rows[i % 6], "subject": f"p{i}", "site": "AB"[i % 2], "class": ["ms", "hc"][i % 2]} for i in range(20)]
    table = confounding_table(
        open_table(write([{k: v for k, v in r.items() if k != "mask"} for r in many]), DataConfig())
    )
    assert table is not None
    assert table["table"] == {"A": {"hc": 0, "ms": 10}, "B": {"hc": 10, "ms": 0}}
    assert "class and site go together" in table["warning"]


def test_volumes_of_a_segmentation_are_tabulated_by_site(table: Path) -> None:
    found = confounding_table(open_table(table, DataConfig()))
    assert found is not None
    assert found["table"]["A"]["n"] == 2
    assert found["table"]["A"]["mean"] == pytest.approx(6 * 4 * 3 * 2 / 1000)
    assert found["warning"] == ""
    json.dumps(found)


def test_without_a_label_there_is_no_table(rows, write) -> None:
    rows = [{k: v for k, v in row.items() if k != "mask"} for row in rows]
    assert confounding_table(open_table(write(rows), DataConfig())) is None


def test_of_plain_images_the_share_of_the_foreground_is_tabulated(tmp_path: Path) -> None:
    lines = ["image,mask,subject,site"]
    for i in range(8):
        values = np.zeros((10, 20), np.uint8)
        values[:, : 2 + 2 * (i % 4)] = 1
        Image.fromarray(values * 99).save(tmp_path / f"i{i}.png")
        Image.fromarray(values).save(tmp_path / f"m{i}.png")
        lines.append(f"i{i}.png,m{i}.png,s{i},{'AB'[i % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    found = confounding_table(open_table(tmp_path / "t.csv", DataConfig()))
    assert found is not None
    assert found["title"] == "cases by site and foreground (% of the image)"
    assert [found["table"][site]["mean"] for site in "AB"] == [20.0, 30.0]

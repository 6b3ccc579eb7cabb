"""Which run each published number is measured in: every table of every plugin against a list made from its paper.

The lists name variants, sites and metrics as the papers' tables do, so that two rows, columns or metrics which are
exchanged in a manifest are seen here without a run.
"""

from __future__ import annotations

import pytest

from mdx.plugins.discovery import find_plugin
from mdx.sweeps.table import Cell, cells_of

SCANNERS = {"sm15": "B", "sm3": "A", "ge15": "E", "ge3": "D", "ph15": "F", "ph3": "C"}
"""Simulated scanners in place of CC359's."""

ROWS_OF_FDA_3 = {"srsim_mst": "srsim_mst_2d", "mst": "mst", "none": "single"}
ROWS_OF_FDA_2 = {"fda_3d": "srsim_mst", "fda_2.5d": "srsim_mst_2.5d", "fda_2d": "srsim_mst_2d"}
PAIRS = {
    "Severe": "site=severe", "Medium": "site=medium", "Subtle": "site=subtle", "Average": "role=target",
}  # fmt: skip
SETS = {"B": "biobank", "O": "oasis", "W": "whitehall"}
OF_L2I = {
    "vanilla", "class_aware", "weighted", "dann", "unlearning", "contrastive", "can", "l2i", "l2i_fixed",
    "l2i_no_margin",
}  # fmt: skip


def facts(cell: Cell) -> dict[str, object]:
    """What a cell's run is, at seed 0."""
    assert cell.where is not None
    job = cell.runs[0]
    return {
        "variant": job.variant, "metric": cell.where.metric, "group": cell.where.group, "settings": dict(job.settings),
        "data": job.data,
    }  # fmt: skip


def of_fda_1(cell: Cell) -> dict[str, object]:
    source = SCANNERS[cell.keys["source"]]
    return {
        "variant": "no_da", "metric": "surface_dice", "group": f"site={SCANNERS[cell.keys['target']]}",
        "settings": {"data.source": source, "data.target": sorted(set("ABCDEF") - {source})},
    }  # fmt: skip


def of_fda_2_and_3(cell: Cell) -> dict[str, object]:
    row, _, rule = cell.keys["row"].partition("_beta_")
    variant = "no_da" if row == "no_da" else f"{({**ROWS_OF_FDA_2, **ROWS_OF_FDA_3})[row]}_{rule}"
    kind, _, number = cell.keys["pair"].partition(" ")
    return {
        "variant": variant, "metric": "surface_dice", "group": PAIRS[kind], "settings": {"data.source": "source"},
        "second cohort": number == "#2",
    }  # fmt: skip


def of_unlearning_1(cell: Cell) -> dict[str, object]:
    sources = [SETS[letter] for letter in cell.keys["train_sets"].split("+")]
    targets = [site for site in SETS.values() if site not in sources]
    variant = {"normal_conditioned_loss": "normal_conditioned"}.get(cell.keys["training"], cell.keys["training"])
    site = cell.metric.removesuffix("_mae")
    where = (
        ("source_probe_accuracy", "all") if cell.metric == "scanner_accuracy" else ("absolute_error", f"site={site}")
    )
    one = {"data.source": sources if len(sources) > 1 else sources[0], "data.target": targets}
    return {"variant": variant, "metric": where[0], "group": where[1], "settings": one}


def of_unlearning_2(cell: Cell) -> dict[str, object]:
    site = cell.metric.removesuffix("_mae")
    where = ("site_probe_accuracy", "all") if cell.metric == "scanner_accuracy" else ("absolute_error", f"site={site}")
    return {
        "variant": cell.keys["method"], "metric": where[0], "group": where[1], "settings": {},
        "overlap": f"overlap={cell.keys['overlap_years']}&",
    }  # fmt: skip


def of_l2i_1(cell: Cell) -> dict[str, object]:
    role, _, metric = cell.metric.partition("_")
    train_on = {"target_only": "target", "target_and_source": "all"}[cell.keys["training_set"]]
    assert cell.keys["row"] in OF_L2I
    return {
        "variant": cell.keys["row"], "metric": metric, "group": f"role={role}", "settings": {"train_on": train_on},
    }  # fmt: skip


EXPECTED = {
    ("fda", "table1"): (of_fda_1, 36),
    ("fda", "table2"): (of_fda_2_and_3, 49),
    ("fda", "table3"): (of_fda_2_and_3, 42),
    ("unlearning", "table1"): (of_unlearning_1, 44),
    ("unlearning", "table2"): (of_unlearning_2, 27),
    ("l2i", "table1"): (of_l2i_1, 69),
}
"""What tells the run of a cell, and how many numbers of the table are measured."""


@pytest.mark.parametrize(("plugin", "table"), EXPECTED)
def test_every_number_is_measured_in_the_run_that_the_paper_describes(plugin: str, table: str) -> None:
    expected, count = EXPECTED[plugin, table]
    cells = [cell for cell in cells_of(plugin, table) if cell.runs]
    assert len(cells) == count
    for cell in cells:
        found, wanted = facts(cell), expected(cell)
        data = str(found.pop("data"))
        if "overlap" in wanted:
            assert str(wanted.pop("overlap")) in data
        if "second cohort" in wanted:
            of_first = next(c for c in cells if c.keys["pair"] == "Severe #1").runs[0].data
            assert (data != of_first) == wanted.pop("second cohort"), cell.name
        assert found == wanted, f"{cell.name}, {cell.metric}"


def test_every_table_of_the_plugins_here_has_such_a_list() -> None:
    manifests = {name: find_plugin(name).manifest for name in ("fda", "unlearning", "l2i")}
    tables = {(name, table) for name, manifest in manifests.items() if manifest for table in manifest.tables}
    assert tables == set(EXPECTED)

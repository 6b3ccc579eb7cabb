from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pydantic import ValidationError

import mdx_fda
from mdx.config import nested
from mdx.planning import make_plan
from mdx.plugins.manifest import Manifest, read_manifest
from mdx_fda.config import FDAConfig

FOLDER = Path(mdx_fda.__file__).parent


@pytest.fixture
def manifest() -> Manifest:
    return read_manifest(FOLDER / "mdx.toml")


def test_the_defaults_are_the_papers() -> None:
    config = FDAConfig.model_validate({})
    assert (config.n_mst, config.beta, config.radius_px, config.donors) == (7, 0.015, None, "3d")
    assert (config.mst, config.postprocess, config.window, config.half_range) == ("predictions", "abs_max", "disc", 2)
    assert config.filters == 16


def test_each_variant_has_the_beta_that_the_authors_selected(manifest: Manifest) -> None:
    betas = {"srsim_mst": 0.015, "srsim_mst_2d": 0.01, "srsim_mst_2.5d": 0.01, "mst": 0.005, "none": 0.005}
    for name, beta in betas.items():
        values = FDAConfig.model_validate(nested(manifest.variants[name].values))
        assert values.beta == beta, name


def test_nothing_is_swapped_in_beta_zero_whatever_the_preset_says(manifest: Manifest) -> None:
    assert manifest.presets["demo"].values["radius_px"] > 0
    plan = make_plan("fda", variant="beta_zero", preset="demo", baselines=[])
    assert plan.settings.method.radius_for(64, 64) == 0


def test_only_the_oracle_reads_target_labels(manifest: Manifest) -> None:
    assert manifest.capabilities is not None
    assert manifest.capabilities.target_labels == "never"
    assert {n: v.target_labels for n, v in manifest.variants.items() if v.target_labels} == {"oracle": "train"}


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
def test_published_tables_are_complete_and_unchanged(manifest: Manifest, table: str, shared: Path) -> None:
    own = (FOLDER / manifest.tables[table].file).read_text()
    assert own == (shared / "tables" / "fda" / f"{table}.csv").read_text()


@pytest.mark.parametrize("table", ["table2", "table3"])
def test_every_mapped_row_is_in_its_table_and_names_a_variant(manifest: Manifest, table: str) -> None:
    published = manifest.tables[table]
    with (FOLDER / published.file).open() as file:
        rows = {line["row"] for line in csv.DictReader(file)}
    assert published.rows
    for name, row in published.rows.items():
        assert name in rows
        assert row.published_only or row.variant in manifest.variants


@pytest.mark.parametrize("wrong", [{"beta": -0.1}, {"n_mst": 0}, {"donors": "4d"}, {"bta": 0.1}, {"radius_px": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FDAConfig.model_validate(wrong)

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pydantic import ValidationError

import mdx_fda
from mdx.config import nested
from mdx.plugins.manifest import Manifest, read_manifest
from mdx.workflow.planning import make_plan
from mdx_fda.config import FDAConfig
from mdx_sim.options import parse

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
    betas = {"srsim_mst": 0.015, "srsim_mst_2d": 0.01, "srsim_mst_2.5d": 0.01, "mst": 0.005, "single": 0.005}
    for name, beta in betas.items():
        values = FDAConfig.model_validate(nested(manifest.variants[name].values))
        assert values.beta == beta, name


def test_the_papers_presets_train_as_long_on_crops_as_large_as_it_says() -> None:
    for preset, crop in (("paper", 160), ("paper_text", 256)):
        settings = make_plan("fda", preset=preset, data=["csv:x.csv"], device="cpu").settings
        source, target = settings.data.source_counts, settings.data.target_counts
        assert (source.val, source.test, target.val, target.test) == (2, 0, 10, 10)
        method = settings.method
        training = method.training
        assert (training.epochs, training.steps, training.batch_size, training.crop) == (100, 100, 16, crop)
        assert (training.lr, training.decay_at, training.fit_crop, method.filters) == (1e-3, 0.8, False, 16)


def test_every_variant_has_the_donors_of_its_row(manifest: Manifest) -> None:
    expected = {
        "srsim_mst": ("3d", 7), "srsim_mst_2d": ("2d", 7), "srsim_mst_2.5d": ("2.5d", 7), "mst": ("random", 7),
        "single": ("random", 1),
    }  # fmt: skip
    expected |= {f"{name}_{rule}": donors for name, donors in expected.items() for rule in ("pair", "avg")}
    expected["beta_zero"] = ("random", 1)
    found = {}
    for name in expected:
        values = FDAConfig.model_validate(nested(manifest.variants[name].values))
        found[name] = (values.donors, values.n_mst)
    assert found == expected
    assert set(manifest.variants) == {*expected, "no_da", "histogram", "oracle"}


def test_nothing_is_swapped_in_beta_zero_whatever_the_preset_says(manifest: Manifest) -> None:
    assert manifest.presets["demo"].values["radius_px"] > 0
    plan = make_plan("fda", variant="beta_zero", preset="demo", baselines=[])
    assert plan.settings.method.radius_for(64, 64) == 0


def test_only_the_oracle_and_what_chooses_beta_read_target_labels(manifest: Manifest) -> None:
    assert manifest.capabilities is not None
    assert manifest.capabilities.target_labels == "never"
    chooses = {n: "val" for n, v in manifest.variants.items() if "beta_selection" in v.values}
    assert len(chooses) == 10
    declared = {n: v.target_labels for n, v in manifest.variants.items() if v.target_labels}
    assert declared == {"oracle": "train", **chooses}


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
def test_published_tables_are_complete_and_unchanged(manifest: Manifest, table: str, shared: Path) -> None:
    own = (FOLDER / manifest.tables[table].file).read_text()
    assert own == (shared / "tables" / "fda" / f"{table}.csv").read_text()


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
def test_every_value_of_a_tables_key_columns_is_mapped_to_a_run_or_stays_with_a_reason(
    manifest: Manifest, table: str
) -> None:
    published = manifest.tables[table]
    with (FOLDER / published.file).open() as file:
        lines = list(csv.DictReader(file))
    assert set(published.metrics) == {line["metric"] for line in lines}
    assert set(published.keys) == ({"source", "target"} if table == "table1" else {"row", "pair"})
    for column, values in published.keys.items():
        assert set(values) == {line[column] for line in lines}
    for line in lines:
        keys = [values[line[column]] for column, values in published.keys.items()]
        assert any(key.published_only for key in keys) or (
            any(key.variant in manifest.variants for key in keys) and any(key.group for key in keys)
        )


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
def test_the_groups_and_sites_of_a_table_exist_in_its_built_in_data(manifest: Manifest, table: str) -> None:
    published = manifest.tables[table]
    for values in published.keys.values():
        for key in values.values():
            uri = (key.data or published.data or "").replace("{seed}", "0")
            assert uri.startswith("sim:")
            sites = parse(uri.removeprefix("sim:")).sites
            group = (key.group or "").removeprefix("site=")
            assert group in (*sites, "", "role=target")
            assert key.values.get("data.source", sites[0]) in sites


def test_rows_of_averaged_and_own_betas_choose_them_so(manifest: Manifest) -> None:
    for table in ("table2", "table3"):
        for name, key in manifest.tables[table].keys["row"].items():
            rule = {"avg": "averaged", "pair": "per_pair"}.get(name.rpartition("_beta_")[2])
            if rule is not None and key.variant is not None:
                assert manifest.variants[key.variant].values["beta_selection"] == rule, name


@pytest.mark.parametrize("wrong", [{"beta": -0.1}, {"n_mst": 0}, {"donors": "4d"}, {"bta": 0.1}, {"radius_px": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FDAConfig.model_validate(wrong)

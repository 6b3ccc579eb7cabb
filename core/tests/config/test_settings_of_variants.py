"""A setting that a row does not use is not accepted by it, and a preset may name it all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mdx.errors import ConfigError
from mdx.plugins.discovery import find_plugin
from mdx.sweeps.jobs import Job, expand
from mdx.workflow.planning import Plan, make_plan


def plan(variant: str, *settings: str, **request: object) -> Plan:
    return make_plan("fda", variant=variant, data=["csv:a.csv"], device="cpu", assignments=settings, **request)  # type: ignore[arg-type]


def test_a_setting_of_other_variants_is_refused_with_their_names() -> None:
    with pytest.raises(ConfigError, match=r"'window' is not a setting of no_da: srsim_mst, .* take it"):
        plan("no_da", "window=square", preset="quick", baselines=[])


def test_a_setting_that_no_variant_takes_is_unknown() -> None:
    with pytest.raises(ConfigError, match=r"'widnow' .* is not a setting"):
        plan("no_da", "widnow=square", preset="quick")


def test_what_a_preset_sets_for_other_variants_is_left_out() -> None:
    made = plan("no_da", preset="demo", baselines=[])
    assert not hasattr(made.settings.method, "radius_px")
    assert made.settings.method.filters == 4


def test_a_baseline_is_not_told_what_it_does_not_take() -> None:
    made = plan("srsim_mst", "window=square", "filters=3", preset="demo", baselines=["no_da"])
    beside = made.for_variant("no_da").settings.method
    assert made.settings.method.window == "square"
    assert beside.filters == 3
    assert not hasattr(beside, "window")


def test_a_setting_of_a_baseline_alone_may_be_set() -> None:
    made = plan("no_da", "window=square", preset="demo", baselines=["single"])
    assert made.for_variant("single").settings.method.window == "square"


def test_a_file_of_settings_may_serve_several_variants_and_the_run_says_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("method: {window: square, filters: 3}\n")
    made = plan("no_da", preset="demo", config=tmp_path / "mine.yaml", baselines=[])
    assert made.settings.method.filters == 3
    assert any("method.window" in note for note in made.notes)


@pytest.mark.parametrize("plugin", ["fda", "l2i", "unlearning"])
def test_every_variant_can_be_planned_with_every_preset(plugin: str) -> None:
    manifest = find_plugin(plugin).manifest
    assert manifest is not None
    for preset in manifest.presets:
        for variant in manifest.variants:
            if (preset, variant) == ("code", "unlearning_on_overlap"):
                continue  # the script for three sets has no overlap
            made = make_plan(plugin, variant=variant, preset=preset, data=["csv:a.csv"], device="cpu")
            for name in made.baselines:
                made.for_variant(name)


def test_a_sweep_tells_each_variant_what_it_takes_and_refuses_what_none_of_its_own_does() -> None:
    job = Job("fda", "csv:a.csv", None, settings={"n_mst": "2", "filters": "3", "data.source": "A"})
    found = {made.variant: made.settings for made in expand(job, variants=["no_da", "mst"])}
    assert found == {
        "no_da": {"filters": "3", "data.source": "A"}, "mst": {"n_mst": "2", "filters": "3", "data.source": "A"},
    }  # fmt: skip
    (alone,) = expand(job, variants=["no_da"])
    with pytest.raises(ConfigError, match="'n_mst' is not a setting of no_da"):
        replace(alone, baselines=()).plan()


def test_a_setting_of_a_baseline_alone_makes_another_run(tmp_path: Path) -> None:
    from mdx.interfaces.dataset import Dataset, Task
    from mdx.workflow.identity import identity

    data = Dataset(
        Task("segmentation", channels=("c",), dims=2, sites=("A",), label="mask", classes=("brain",)), (), None
    )  # type: ignore[arg-type]
    plans = [plan("no_da", *more, preset="demo", baselines=["single"]) for more in ((), ("window=square",), ())]
    first, second, third = (identity(each, data) for each in plans)
    assert first == third != second

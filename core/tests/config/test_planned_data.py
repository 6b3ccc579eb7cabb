"""What a plan makes of ``--data`` and of the defaults that a plugin brings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mdx.errors import UsageError
from mdx.plugins.discovery import find_plugin
from mdx.workflow import planning
from mdx.workflow.planning import make_plan


def test_a_misspelt_name_of_a_cohort_is_answered_with_the_right_one() -> None:
    with pytest.raises(UsageError, match=r"takes no data named 'ovrelap'(.|\n)*did you mean 'overlap'"):
        make_plan("unlearning", data=["csv:a.csv", "ovrelap=csv:b.csv"])


def test_a_plugin_without_cohorts_refuses_all_of_them() -> None:
    with pytest.raises(UsageError, match="fda takes no data named 'overlap'"):
        make_plan("fda", data=["csv:a.csv", "overlap=csv:b.csv"])


def test_a_plugin_without_a_preset_paper_is_not_told_to_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def notes(**changed: object) -> str:
        plugin = find_plugin("fda")
        assert plugin.manifest is not None
        manifest = replace(plugin.manifest, cpu_preset="demo", **changed)  # type: ignore[arg-type]
        monkeypatch.setattr(planning, "find_plugin", lambda name: replace(plugin, manifest=manifest))
        made = make_plan("fda", data=["csv:a.csv"], device="cpu", baselines=[]).notes
        monkeypatch.undo()
        return "\n".join(made)

    manifest = find_plugin("fda").manifest
    assert manifest is not None
    assert "preset 'demo' was used. The paper's own budget is --preset paper" in notes()
    without = {name: preset for name, preset in manifest.presets.items() if name != "paper"}
    assert "preset 'demo' was used." in notes(presets=without)
    assert "--preset paper" not in notes(presets=without)


def test_defaults_of_a_plugin_hold_without_a_preset_and_give_way_to_the_user() -> None:
    def intensity(**request: object) -> tuple[str, str]:
        # as on a machine with a GPU, where no preset is chosen for the user
        plan = make_plan("unlearning", data=["csv:a.csv"], device="cuda", **request)  # type: ignore[arg-type]
        return plan.settings.data.intensity, plan.settings.origins["data.intensity"]

    assert intensity() == ("zscore", "defaults of the plugin")
    assert intensity(assignments={"data.intensity": "none"}) == ("none", "--set")

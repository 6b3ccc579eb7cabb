"""What a plan makes of ``--data`` and of the defaults that a plugin brings."""

from __future__ import annotations

import pytest

from mdx.errors import UsageError
from mdx.planning import make_plan


def test_a_misspelt_name_of_a_cohort_is_answered_with_the_right_one() -> None:
    with pytest.raises(UsageError, match=r"takes no data named 'ovrelap'(.|\n)*did you mean 'overlap'"):
        make_plan("unlearning", data=["csv:a.csv", "ovrelap=csv:b.csv"])


def test_a_plugin_without_cohorts_refuses_all_of_them() -> None:
    with pytest.raises(UsageError, match="fda takes no data named 'overlap'"):
        make_plan("fda", data=["csv:a.csv", "overlap=csv:b.csv"])


def test_defaults_of_a_plugin_hold_without_a_preset_and_give_way_to_the_user() -> None:
    def intensity(**request: object) -> tuple[str, str]:
        # as on a machine with a GPU, where no preset is chosen for the user
        plan = make_plan("unlearning", data=["csv:a.csv"], device="cuda", **request)  # type: ignore[arg-type]
        return plan.settings.data.intensity, plan.settings.origins["data.intensity"]

    assert intensity() == ("zscore", "defaults of the plugin")
    assert intensity(assignments={"data.intensity": "none"}) == ("none", "--set")

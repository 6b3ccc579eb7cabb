"""The smallest run of a method that core can think of, from its manifest alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mdx.plugins.discovery import Plugin, discover
from mdx.plugins.manifest import Capabilities, Manifest
from mdx.testing.cohorts import SITES, SPLITS, small_cohort

PRESET = "smoke"
"""The preset of a method that trains it in seconds; without one, what a machine without a GPU is given."""


def methods() -> list[Plugin]:
    """Every method that is installed, broken plugins included."""
    return [plugin for plugin in discover().values() if plugin.manifest is None or plugin.manifest.adapter]


@dataclass(frozen=True)
class Trial:
    """A method on a small cohort of a number of dimensions.

    The first of its tasks is asked of it. Its cases are of three sites, the last of which is the target.

    Attributes:
        plugin: a method.
        dims: of the images.
        folder: for the cohorts and for runs.
    """

    plugin: Plugin
    dims: int
    folder: Path

    @property
    def manifest(self) -> Manifest:
        """Raises PluginError for a broken plugin."""
        if self.plugin.error is not None:
            raise self.plugin.error
        assert self.plugin.manifest is not None
        return self.plugin.manifest

    @property
    def capabilities(self) -> Capabilities:
        """What the method can do."""
        found = self.manifest.capabilities
        assert found is not None  # whatever has an adapter has them
        return found

    @property
    def task(self) -> str:
        """The task that the method prefers."""
        return self.capabilities.tasks[0]

    @property
    def default(self) -> str:
        """The name of the default variant; the plugin's own where it has no variants."""
        return self.manifest.default_variant or self.manifest.name

    def cohort(self, name: str = "cohort", sites: Sequence[str] = SITES, splits: Sequence[str] = SPLITS) -> Path:
        """The table of a cohort for the method; made when it is first asked for."""
        table = self.folder / name / "cohort.csv"
        return table if table.exists() else small_cohort(table.parent, self.task, self.dims, sites=sites, splits=splits)

    def named_cohorts(self) -> list[str]:
        """``NAME=URI`` of a small one of the source sites for each cohort that the manifest declares."""
        made: list[str] = []
        for cohort in self.manifest.cohorts.values():
            task = cohort.task or self.task
            table = self.folder / cohort.name / "cohort.csv"
            if not table.exists():
                small_cohort(table.parent, task, self.dims, sites=SITES[:-1], prefix=f"{cohort.name}_")
            made.append(f"{cohort.name}=csv:{table}")
        return made

    def command(
        self, table: Path, out: Path, *settings: str, variant: str | None = None, baselines: Sequence[str] = (),
        target: str | None = SITES[-1],
    ) -> list[str]:  # fmt: skip
        """The words of ``mdx run`` with the smallest settings, on a table made by ``cohort``; ``settings`` win."""
        preset = ["--preset", PRESET] if PRESET in self.manifest.presets else []
        if target is None:
            role = []
        elif self.task == "harmonisation":
            role = [f"data.reference={SITES[0]}"]
        else:
            role = [f"data.target={target}"]
        return [
            "run", self.plugin.name, *preset, *(["--variant", variant] if variant else []),
            *("--data", f"csv:{table}"), *(word for uri in self.named_cohorts() for word in ("--data", uri)),
            "--baselines", ",".join(baselines) or "none", "--device", "cpu", "--out", str(out),
            "--set", "run.bootstrap=100", *role, *settings,
        ]  # fmt: skip

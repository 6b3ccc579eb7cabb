"""What holds for every method that is installed, made-up ones too: from the first build to a run that has moved.

Nothing here knows a method by name. A method is taken as its manifest describes it, on a small cohort for its task,
with its preset ``smoke`` (see ``mdx.testing``); one finished run of all its variants serves most tests.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mdx.cli.app import run_cli
from mdx.data.files.formats import suffix_of
from mdx.data.files.images import read_image
from mdx.data.labels import LABELS
from mdx.plugins.discovery import Plugin
from mdx.runs.checkpoint import load_tree
from mdx.testing import (
    Trial,
    assert_one_training,
    in_two_processes,
    label_column,
    methods,
    run_and_be_killed,
    with_nan,
    with_other_labels,
)

Cli = Callable[..., tuple[int, str]]
MADE_UP = str(Path(__file__).parent / "plugins")
pytestmark = pytest.mark.slow

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(MADE_UP)
    METHODS = methods()
"""Methods that are installed, and the made-up ones."""


@dataclass(frozen=True)
class Life:
    """A method on images of some dimensions, and its one finished run, the other variants as its baselines."""

    trial: Trial
    table: Path
    run: Path
    words: list[str]

    def of(self, variant: str) -> Path:
        """The folder of a variant."""
        return self.run if variant == self.trial.default else self.run / "baselines" / variant

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """What the default variant ended with."""
        return final(self.run)["model"]


def final(run: Path) -> dict[str, Any]:
    return load_tree(run / "checkpoints" / "final.safetensors")


def only_run(folder: Path) -> Path:
    (run,) = folder.iterdir()
    return run


def case_images(life: Life) -> dict[str, Path]:
    """Case -> the file of its image."""
    rows = pd.read_csv(life.table, dtype=str).set_index(["subject", "site"])["image"]
    splits = pd.read_csv(life.run / "splits.csv", dtype=str).set_index("case")
    return {str(case): life.table.parent / rows[row.subject, row.site] for case, row in splits.iterrows()}


def variants_of(plugin: Plugin) -> list[str]:
    """The default variant, then the others."""
    manifest = plugin.manifest
    if manifest is None or not manifest.variants:
        return [plugin.name]
    first = manifest.default_variant or plugin.name
    return [first, *(name for name in manifest.variants if name != first)]


def kinds_of_variants(plugin: Plugin) -> list[str]:
    """The first variant of each adapter, settings that it changes, and labels that it reads; the default first."""
    found: dict[Any, str] = {}
    for name in variants_of(plugin):
        variant = plugin.manifest.variants.get(name) if plugin.manifest else None
        found.setdefault(variant and (variant.adapter, frozenset(variant.values), variant.target_labels), name)
    return list(found.values())


def adapters_of_variants(plugin: Plugin) -> list[str]:
    """The first variant of each adapter; the default first."""
    found: dict[Any, str] = {}
    for name in variants_of(plugin):
        variant = plugin.manifest.variants.get(name) if plugin.manifest else None
        found.setdefault(variant and variant.adapter, name)
    return list(found.values())


def variants_in(plugin: Plugin, dims: int) -> list[str]:
    """All variants on the images that cost least, one of each adapter on others."""
    capabilities = plugin.manifest.capabilities if plugin.manifest else None
    cheapest = capabilities is None or dims == min(capabilities.dims)
    return variants_of(plugin) if cheapest else adapters_of_variants(plugin)


def lives(*, variants: bool = False, only: Callable[..., int] | None = None, labelled: bool = False) -> list[Any]:
    """Parameters of a test: (plugin, dims), of which ``only`` chooses one, and a variant if they are asked for."""
    made: list[Any] = []
    for plugin in METHODS:
        capabilities = plugin.manifest.capabilities if plugin.manifest else None
        if labelled and capabilities and not label_column(capabilities.tasks[0]):
            continue  # a task without labels hides none
        dims = capabilities.dims if capabilities else (2,)
        for n in [only(dims)] if only else dims:
            for variant in variants_in(plugin, n) if variants else [None]:
                given = [(plugin, n), *([variant] if variant else [])]
                made.append(pytest.param(*given, id="-".join(filter(None, [f"{plugin.name} {n}D", variant]))))
    return made


each_life = pytest.mark.parametrize("life", lives(), indirect=True)
each_method = pytest.mark.parametrize("life", lives(only=min), indirect=True)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(MADE_UP)
        yield


@pytest.fixture(scope="module")
def lived() -> dict[Any, Life]:
    """What ``life`` has made: pytest keeps one value of a fixture only, and its tests come in any order."""
    return {}


@pytest.fixture
def life(request: pytest.FixtureRequest, lived: dict[Any, Life], tmp_path_factory: pytest.TempPathFactory) -> Life:
    """The finished run of a method, made for the first test that asks."""
    plugin, dims = request.param
    if (plugin.name, dims) not in lived:
        trial = Trial(plugin, dims, tmp_path_factory.mktemp(plugin.name))
        table = trial.cohort()
        words = trial.command(table, trial.folder / "runs", baselines=variants_in(plugin, dims)[1:])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MDX_CACHE", str(trial.folder / "cache"))  # no other run lends this one its training
            assert run_cli(words) == 0, f"{plugin.name} in {dims}-D: the run failed, see what it printed"
        lived[plugin.name, dims] = Life(trial, table, only_run(trial.folder / "runs"), words)
    return lived[plugin.name, dims]


# --- a finished run --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("life", "variant"), lives(variants=True), indirect=["life"])
def test_a_variant_trains_to_finite_weights_losses_and_scores(life: Life, variant: str) -> None:
    folder = life.of(variant)
    for name, tensor in final(folder)["model"].items():
        assert torch.isfinite(tensor.float()).all(), name
    journal = folder / "metrics.jsonl"
    for line in journal.read_text().splitlines() if journal.exists() else []:
        losses = {key: value for key, value in json.loads(line).items() if key.startswith("train/")}
        assert all(np.isfinite(value) for value in losses.values()), line
    scores = pd.read_csv(folder / "scores.csv")
    tested = pd.read_csv(folder / "splits.csv").query("split == 'test'")
    assert set(scores["case"]) == set(tested["case"])
    first = json.loads((folder / "summary.json").read_text())[0]
    assert np.isfinite(first["mean"]), first


@pytest.mark.parametrize(("life", "variant"), lives(variants=True), indirect=["life"])
def test_a_moved_run_whose_data_are_gone_predicts_bit_for_bit_what_it_had(
    life: Life, variant: str, tmp_path: Path, mdx: Cli
) -> None:
    cases = pd.read_csv(life.of(variant) / "scores.csv", float_precision="round_trip").set_index("case")
    images = case_images(life)
    scans = {case: shutil.copy(images[case], tmp_path / f"{case}{suffix_of(images[case])}") for case in cases.index}
    more = [] if variant == life.trial.default else ["--variant", variant]
    moved = life.run.rename(tmp_path / "moved run")
    gone = life.table.parent.rename(tmp_path / "gone")
    try:
        for site, there in cases.groupby("site"):
            named = [] if LABELS[life.trial.task].takes_reference else ["--site", site]
            chosen = [scans[case] for case in there.index]
            code, printed = mdx("apply", moved, *chosen, "--out", tmp_path / "applied" / site, *named, *more)
            assert code == 0, printed
    finally:
        gone.rename(life.table.parent)
        moved.rename(life.run)
    said: set[object] = set()
    for path in sorted((tmp_path / "applied").glob("*/*")):
        if path.name == "predictions.csv":
            made = pd.read_csv(path, float_precision="round_trip").set_index("file")
            columns = [name for name in made if name in cases]
            assert ("predicted" in columns) == ("predicted" in cases)
            if not columns:
                continue  # volumes and counts of what the files hold, which are compared
            pd.testing.assert_frame_equal(
                made[columns], cases.loc[made.index, columns], check_exact=True, check_names=False
            )
            said |= {tuple(row) for row in made[columns].itertuples(index=False)}
        else:
            assert_same_file(path, life.of(variant) / "predictions" / path.name)
            said.add(path.read_bytes())
    assert len(said) > 1, "equal predictions for all cases prove nothing: let the preset 'smoke' train longer"


def assert_same_file(one: Path, other: Path) -> None:
    """Equal content: of images the voxels, since an archive of them holds the time at which it was written."""
    if one.suffix in (".csv", ".json"):
        assert one.read_bytes() == other.read_bytes(), one.name
    else:
        np.testing.assert_array_equal(read_image(one)[0], read_image(other)[0], one.name)


@each_life
def test_a_finished_run_is_found_by_the_same_command(life: Life, mdx: Cli) -> None:
    code, printed = mdx(*life.words)
    assert code == 0, printed
    assert "this run exists and is finished" in printed
    only_run(life.run.parent)


# --- other ways to the same run --------------------------------------------------------------------------------------


@each_method
def test_a_run_that_is_killed_twice_ends_as_if_it_had_not_been(
    life: Life, tmp_path: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))
    words = life.trial.command(life.table, tmp_path / "runs")
    steps = final(life.run)["steps"]
    for share in (0.4, 0.75):
        run_and_be_killed(words, int(share * steps))
    run = only_run(tmp_path / "runs")
    assert not (run / "checkpoints" / "final.safetensors").exists()
    code, printed = mdx("resume", run)
    assert code == 0, printed
    assert_equal_trees(final(run), final(life.run))
    for name in ("scores.csv", "metrics.jsonl", "evaluations.jsonl", "shown.json", "notes.json"):
        assert text_of(run / name) == text_of(life.run / name), name


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def assert_equal_trees(one: Any, other: Any, where: str = "final") -> None:
    if isinstance(other, dict):
        assert one.keys() == other.keys(), where
        for key in other:
            assert_equal_trees(one[key], other[key], f"{where}.{key}")
    elif isinstance(other, list | tuple):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=True)):
            assert_equal_trees(*pair, f"{where}[{i}]")
    elif isinstance(other, torch.Tensor | np.ndarray):
        assert np.array_equal(np.asarray(one), np.asarray(other)), where
    else:
        assert one == other, where


@pytest.mark.parametrize("life", lives(only=min, labelled=True), indirect=True)
def test_weights_do_not_depend_on_labels_that_are_hidden(
    life: Life, tmp_path: Path, mdx: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))
    images, splits = case_images(life), pd.read_csv(life.run / "splits.csv", dtype=str).set_index("case")
    case_of = {path.name: case for case, path in images.items()}
    facts = json.loads((life.run / "provenance.json").read_text())
    seen = {"never": [], "val": ["val"], "train": ["val", "train"]}[facts["target_labels"]]

    def hidden(row: Any) -> bool:
        case = splits.loc[case_of[Path(row["image"]).name]]
        return case["split"] == "test" or (case["role"] == "target" and case["split"] not in seen)

    table = with_other_labels(life.table, life.trial.task, hidden)
    code, printed = mdx(*life.trial.command(table, tmp_path / "runs"))
    assert code == 0, printed
    run = only_run(tmp_path / "runs")
    assert text_of(run / "scores.csv") != text_of(life.run / "scores.csv"), "the labels were meant to be others"
    assert_equal_trees(final(run)["model"], life.weights)
    assert_equal_trees(final(run)["adapter"], final(life.run)["adapter"])


@each_method
def test_two_processes_end_with_the_same_networks(life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))
    words = life.trial.command(life.table, tmp_path / "runs", "run.processes=2")
    assert_one_training(*in_two_processes(words, tmp_path))
    assert (only_run(tmp_path / "runs") / "done").exists()


@each_method
def test_mixed_precision_trains_and_scores(life: Life, tmp_path: Path, mdx: Cli) -> None:
    words = life.trial.command(life.table, tmp_path / "runs", baselines=kinds_of_variants(life.trial.plugin)[1:])
    code, printed = mdx(*words, "--precision", "bf16-mixed")
    assert code == 0, printed


# --- data that are not as they should be -----------------------------------------------------------------------------


def assert_runs_or_is_refused(code: int, printed: str) -> None:
    """Either a finished run, or one DataError that says what to do."""
    assert code in (0, 4), printed
    assert "Traceback" not in printed
    if code == 4:
        assert printed.count("error: ") == 1, printed


@each_life
def test_a_cohort_of_one_site_runs_or_is_refused(life: Life, tmp_path: Path, mdx: Cli) -> None:
    table = life.trial.cohort("one_site", sites=["A"])
    assert_runs_or_is_refused(*mdx(*life.trial.command(table, tmp_path / "runs", target=None)))


@each_life
def test_two_cases_a_site_and_split_run_or_are_refused(life: Life, tmp_path: Path, mdx: Cli) -> None:
    table = life.trial.cohort("few", splits=["train", "val", "test"])
    assert_runs_or_is_refused(*mdx(*life.trial.command(table, tmp_path / "runs")))


@each_life
def test_no_validation_cases_run_or_are_refused(life: Life, tmp_path: Path, mdx: Cli) -> None:
    table = life.trial.cohort("no_validation", splits=["train", "train", "test"])
    assert_runs_or_is_refused(*mdx(*life.trial.command(table, tmp_path / "runs")))


@each_life
def test_one_case_a_site_is_refused(life: Life, tmp_path: Path, mdx: Cli) -> None:
    rows = pd.read_csv(life.trial.cohort()).groupby("site").head(1).drop(columns="split")
    table = life.table.with_name("one_case.csv")
    rows.to_csv(table, index=False)
    code, printed = mdx(*life.trial.command(table, tmp_path / "runs"))
    assert code == 4, printed
    assert_runs_or_is_refused(code, printed)


@each_life
def test_an_image_with_nan_is_refused_by_its_name(life: Life, tmp_path: Path, mdx: Cli) -> None:
    table, name = with_nan(life.table)
    code, printed = mdx(*life.trial.command(table, tmp_path / "runs"))
    assert code == 4, printed
    assert name in printed
    assert_runs_or_is_refused(code, printed)

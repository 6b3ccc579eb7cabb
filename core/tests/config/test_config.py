from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import Field

from mdx.config import Settings, parse_assignments, read_config_file, resolve
from mdx.errors import ConfigError


class Training(Settings):
    epochs: int = Field(100, ge=1)
    lr: float = 1e-3


class Method(Settings):
    beta: float = 0.015
    shape: tuple[int, ...] = (1,)
    radius: float | None = None
    training: Training = Training()


class Data(Settings):
    source: tuple[str, ...] = ()
    intensity: str = "percentiles"


def solve(*texts: str, preset: dict[str, object] | None = None) -> object:
    return resolve([("preset demo", preset or {}), ("--set", parse_assignments(texts))], Method, Data)


def test_later_layers_win_and_each_value_knows_its_layer() -> None:
    made = resolve([("preset demo", {"beta": 0.1, "training.epochs": 3}), ("--set", {"beta": "0.2"})], Method, Data)
    assert (made.method.beta, made.method.training.epochs) == (0.2, 3)
    assert made.annotated()["method"]["beta"] == {"value": 0.2, "from": "--set"}
    assert made.annotated()["method"]["training.epochs"] == {"value": 3, "from": "preset demo"}
    assert made.annotated()["method"]["training.lr"]["from"] == "default"


def test_a_key_without_namespace_finds_method_then_data_then_run() -> None:
    made = resolve([("--set", {"beta": "1", "source": "A,B", "tolerance_mm": "2"})], Method, Data)
    assert (made.method.beta, made.data.source, made.run.tolerance_mm) == (1.0, ("A", "B"), 2.0)


def test_commas_fill_tuples_and_null_is_none() -> None:
    made = resolve([("--set", {"shape": "3,4", "radius": "null", "data.source": "A"})], Method, Data)
    assert (made.method.shape, made.method.radius, made.data.source) == ((3, 4), None, ("A",))


@pytest.mark.parametrize("text", ["3,4", "[3,4]", "(3, 4)", "[3, 4,]"])
def test_a_list_may_be_given_in_the_brackets_that_settings_are_printed_with(text: str) -> None:
    assert resolve([("--set", parse_assignments([f"shape={text}"]))], Method, Data).method.shape == (3, 4)


@pytest.mark.parametrize(
    ("text", "sites"),
    [
        ('"Koeln, Uni"', ("Koeln, Uni",)),
        ("'Koeln, Uni',B", ("Koeln, Uni", "B")),
        ("[\"Koeln, Uni\", 'B']", ("Koeln, Uni", "B")),
        ("'s Gravenhage, 't Zand", ("'s Gravenhage", "'t Zand")),
        ('A "old",B', ('A "old"', "B")),
        ("A,,B,", ("A", "B")),
    ],
)
def test_an_item_with_a_comma_stands_in_quotes(text: str, sites: tuple[str, ...]) -> None:
    assert resolve([("--set", parse_assignments([f"source={text}"]))], Method, Data).data.source == sites


def test_every_fault_is_named_at_once_with_the_nearest_key() -> None:
    with pytest.raises(ConfigError) as caught:
        solve("betta=1", "training.epochs=0", "shape=a")
    text = str(caught.value)
    assert "did you mean 'beta'?" in text
    assert "method.training.epochs" in text
    assert "method.shape" in text


def test_an_unknown_nested_key_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.epoch'.*did you mean 'training\.epochs'"):
        solve("training.epoch=2")


def test_optimizer_options_are_open_to_plugins() -> None:
    made = resolve([("--set", {"optimizer.name": "avagrad", "optimizer.eps": "0.1"})], Method, Data)
    assert made.optimizer.model_dump() == {"name": "avagrad", "lr": None, "eps": "0.1"}


def test_the_config_file_of_a_run_gives_the_same_settings(tmp_path: Path) -> None:
    made = resolve([("--set", {"beta": "0.3", "training.epochs": "7", "source": "A"})], Method, Data)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(made.annotated()))
    again = resolve([("file", read_config_file(path))], Method, Data)
    assert again.values() == made.values()


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", ""])
def test_a_config_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_config_file(path)


def test_an_assignment_without_equals_sign_is_refused() -> None:
    with pytest.raises(ConfigError, match="'beta' is not an assignment"):
        parse_assignments(["beta"])


@pytest.mark.parametrize("text", ["beta: 1\nbeta: 2\n", "data:\n  source: A\n  intensity: none\n  source: B\n"])
def test_a_key_that_repeats_in_a_config_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml: sets '(beta|source)' twice"):
        read_config_file(path)

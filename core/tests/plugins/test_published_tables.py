from __future__ import annotations

from pathlib import Path

import pytest

from mdx.errors import PluginError
from mdx.plugins.manifest import read_manifest

HEAD = """
api = 1
name = "made_up"
summary = "made for a test"
[variants.one]
[tables.t]
file = "t.csv"
"""
GOOD = """
[tables.t.metrics]
printed = { metric = "dice", group = "site=A", scale = 100 }
[tables.t.keys.row]
a = { variant = "one", set = { "data.source" = "A" } }
b = { published_only = "no code" }
[tables.t.claims]
"a is better" = { order = ["a", "b"], where = { row = "a" } }
"""


def test_a_table_says_how_its_rows_are_run(tmp_path: Path) -> None:
    path = tmp_path / "mdx.toml"
    path.write_text(HEAD + GOOD)
    table = read_manifest(path).tables["t"]
    assert table.metrics["printed"].scale == 100
    assert table.keys["row"]["a"].values == {"data.source": "A"}
    assert table.keys["row"]["b"].published_only == "no code"
    assert table.claims["a is better"].column == "row"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ('metric = "dice"', "[tables.t] has an unknown key 'metric'"),
        ('preset = "small"', "names the preset 'small', which is none"),
        ('[tables.t.metrics]\nm = "dice"', "[tables.t.metrics] m must be a table"),
        ("[tables.t.metrics]\nm = { scale = 2 }", "m needs 'metric'"),
        ('[tables.t.metrics]\nm = { metric = "dice", group = "worst" }', "the group 'worst', not 'all'"),
        ('[tables.t.keys.row]\na = { variant = "two" }', "names the variant 'two', which is none"),
        ('[tables.t.keys.row]\na = { run = "two" }', "a has an unknown key 'run'"),
        (GOOD.replace('["a", "b"]', '["a"]'), "needs 'order', two or more values"),
        (GOOD.replace('["a", "b"]', '["a", "c"]'), "orders c, which are no values of the column 'row'"),
        (GOOD.replace('{ row = "a" }', '{ pair = "x" }'), "is about pair = 'x', which the table does not have"),
        (GOOD.replace("where =", 'metric = "mm", where ='), "names the metric 'mm', which the table does not map"),
    ],
)
def test_each_fault_of_a_table_is_named(tmp_path: Path, wrong: str, message: str) -> None:
    path = tmp_path / "mdx.toml"
    path.write_text(HEAD + wrong)
    with pytest.raises(PluginError) as error:
        read_manifest(path)
    assert message in str(error.value)

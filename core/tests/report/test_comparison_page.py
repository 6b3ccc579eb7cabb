"""What ``mdx compare`` takes for a method, what it refuses, and that page, CSV and JSON show the same numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scored_runs import ALIKE, BASE, BETTER, N, cohort, write_classification, write_run
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from mdx.errors import RefusedError
from mdx.report.comparison import compare, write_comparison
from mdx.report.comparison_text import comparison_answer, comparison_text, sentences, told
from mdx.runs.shown import Shown

DOCS = Path(__file__).parents[3] / "docs"
TARGET = cohort().query("split == 'test'")["role"].to_numpy() == "target"


def facts_of(*folders: Path, **asked: Any) -> dict[str, Any]:
    return compare(folders, **asked)


def lead(facts: dict[str, Any]) -> dict[str, Any]:
    return facts["metrics"][0]["groups"][0]


def test_tables_that_methods_show_stand_beside_each_other(three: list[Path], tmp_path: Path) -> None:
    for run in (three[0], three[2], three[3]):
        Shown(run, writes=True).table("Pool", [{"stage": "one", "share": 0.25}], f"Of {run.name}.")
    facts = facts_of(*three)
    page = write_comparison(tmp_path / "compared", facts).read_text()
    (section,) = re.findall(r"(?s)<h2>Pool</h2>(.*?)<h2>", page)
    assert re.findall(r"<h3>(.*?)</h3>", section) == ["clever, seed 0", "plain, seed 0"]
    assert section.count("<td>0.250</td>") == 2


# what is a method


def test_seeds_are_averaged_case_by_case_before_anything_else(three: list[Path]) -> None:
    found = lead(facts_of(*three))
    scores = {p.name: pd.read_csv(p / "scores.csv")["surface_dice"].to_numpy()[TARGET] for p in three}
    clever = (scores["clever0"] + scores["clever1"]) / 2
    plain = (scores["plain0"] + scores["plain1"]) / 2
    row = next(p for p in found["pairs"] if (p["a"], p["b"]) == ("clever", "plain"))
    assert row["difference"] == pytest.approx((clever - plain).mean())
    assert row["p"] == pytest.approx(stats.wilcoxon(clever, plain).pvalue)
    assert row["n_subjects"] == 16


def divided(tmp_path: Path, name: str, seed: int, gain: float, tested: str) -> Path:
    """A run of six subjects a site of which those whose number is in ``tested`` are tested; scores are 0.1 x number."""
    cases = cohort(6).assign(split=lambda t: ["test" if c[1:] in tested else "train" for c in t["case"]])
    scores = np.array([0.1 * int(c[1:]) + gain for c in cases.loc[cases["split"] == "test", "case"]])
    return write_run(tmp_path / f"{name}{seed}", name, scores, cases, seed=seed, split_hash=f"of {tested}")


def test_where_each_seed_divides_the_table_anew_a_case_counts_with_the_seeds_that_tested_it(tmp_path: Path) -> None:
    runs = [
        divided(tmp_path, name, seed, gain + 0.04 * seed, tested)
        for name, gain in (("mst", 0.02), ("no_da", 0.0))
        for seed, tested in ((0, "123"), (1, "345"))
    ]
    facts = facts_of(*runs)
    group = lead(facts)
    assert (group["n_cases"], group["n_subjects"]) == (10, 10)  # five numbers at two target sites
    # seed 1 adds 0.04: to 3 half of it, since seed 0 tested it too
    expected = np.mean([0.1, 0.2, 0.3 + 0.02, 0.4 + 0.04, 0.5 + 0.04])
    means = {m["method"]: m["mean"] for m in group["methods"]}
    assert means == {"mst": pytest.approx(expected + 0.02), "no_da": pytest.approx(expected)}
    (pair,) = group["pairs"]
    assert (pair["n_subjects"], pair["wins"], pair["seeds_won"]) == (10, 10, 2)
    assert pair["difference"] == pytest.approx(0.02)
    by_seed = facts["metrics"][0]["by_seed"]
    assert [s["means"]["no_da"] for s in by_seed] == pytest.approx([0.2, 0.44])
    assert any("own division of the table" in note for note in facts["notes"])


def test_methods_at_other_seeds_of_a_table_that_is_divided_anew_are_refused(tmp_path: Path) -> None:
    runs = [divided(tmp_path, "mst", 0, 0.1, "123"), divided(tmp_path, "mst", 1, 0.1, "345"),
            divided(tmp_path, "no_da", 0, 0.0, "123")]  # fmt: skip
    with pytest.raises(RefusedError, match="every method at the same seeds"):
        facts_of(*runs)


def test_a_seed_at_which_two_methods_were_tested_on_others_is_refused(tmp_path: Path) -> None:
    runs = [divided(tmp_path, "mst", 0, 0.1, "123"), divided(tmp_path, "mst", 1, 0.1, "345"),
            divided(tmp_path, "no_da", 0, 0.0, "123"), divided(tmp_path, "no_da", 1, 0.0, "346")]  # fmt: skip
    with pytest.raises(RefusedError, match=r"no_da, seed 1 \(no_da1\): 6 test case"):
        facts_of(*runs)


def test_a_score_of_sets_is_averaged_over_the_divisions_of_the_seeds(tmp_path: Path) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    found, runs = [], []
    for name in ("l2i", "vanilla"):
        for seed, tested in ((0, "1234"), (1, "3456")):
            rows = [s + n for s in "ABC" for n in tested]
            truth = np.array([int(n) % 2 for s in "ABC" for n in tested])
            p = np.clip(0.5 + 0.3 * (truth - 0.5) + rng.normal(0, 0.3, len(truth)), 0.01, 0.99)
            folder = write_classification(tmp_path / f"{name}{seed}", name, p, truth, seed=seed, tested=rows)
            runs.append(folder)
            target = np.array([row[0] != "A" for row in rows])
            found.append((name, roc_auc_score(truth[target], p[target])))
    means = {m["method"]: m["mean"] for m in lead(facts_of(*runs, metrics=["auroc"]))["methods"]}
    for name in ("l2i", "vanilla"):
        assert means[name] == pytest.approx(np.mean([auc for of, auc in found if of == name]))


def test_the_spread_over_seeds_stands_apart(three: list[Path]) -> None:
    facts = facts_of(*three)
    means = [pd.read_csv(p / "scores.csv")["surface_dice"].to_numpy()[TARGET].mean() for p in three[:2]]
    row = next(m for m in lead(facts)["methods"] if m["method"] == "plain")
    assert row["sd_over_seeds"] == pytest.approx(np.std(means, ddof=1))
    assert [r["means"]["plain"] for r in facts["metrics"][0]["by_seed"]] == pytest.approx(means)
    assert "Not all methods were run with the same seeds." in facts["notes"]


def test_a_pair_is_counted_over_the_seeds_that_both_have(three: list[Path]) -> None:
    found = {(p["a"], p["b"]): (p["seeds_won"], p["seeds"]) for p in lead(facts_of(*three))["pairs"]}
    assert found["clever", "plain"] == (2, 2)
    assert found["clever", "other"] == (1, 1)


def test_methods_come_best_first_and_those_that_are_not_ranked_last(three: list[Path], tmp_path: Path) -> None:
    oracle = write_run(
        tmp_path / "oracle", "oracle", {"surface_dice": BETTER + 0.1, "dice": BASE}, target_labels="train"
    )
    facts = facts_of(oracle, *three)
    assert [m["name"] for m in facts["methods"]][::3] == ["clever", "oracle"]
    means = [m["mean"] for m in lead(facts)["methods"]]
    assert means[:3] == sorted(means[:3], reverse=True)
    assert means[3] == max(means)


def test_the_leading_group_is_the_target_unless_another_role_is_asked_for(three: list[Path]) -> None:
    assert lead(facts_of(*three))["group"] == "role=target"
    found = lead(facts_of(*three, role="source"))
    assert (found["group"], found["n_subjects"]) == ("role=source", 8)


def test_every_role_and_site_is_a_group(three: list[Path]) -> None:
    groups = [g["group"] for g in facts_of(*three)["metrics"][0]["groups"]]
    assert groups == ["role=target", "all", "role=source", "site=B", "site=C", "site=A"]


def test_without_roles_all_cases_lead(tmp_path: Path) -> None:
    cases = cohort().assign(role="source")
    write_run(tmp_path / "a", "a", BASE, cases)
    write_run(tmp_path / "b", "b", BETTER, cases)
    groups = [g["group"] for g in facts_of(tmp_path / "a", tmp_path / "b")["metrics"][0]["groups"]]
    assert groups == ["all", "site=A", "site=B", "site=C"]


def test_a_column_of_groups_that_one_run_has_groups_the_cases_of_all(tmp_path: Path) -> None:
    cases = cohort().assign(**{"group:sex": ["f", "m", "f"] * 9})
    write_run(tmp_path / "with", "with", BASE, cases)
    write_run(tmp_path / "without", "without", BETTER)
    groups = facts_of(tmp_path / "without", tmp_path / "with")["metrics"][0]["groups"]
    found = {g["group"]: len(g["pairs"]) for g in groups if g["group"].startswith("sex=")}
    assert found == {"sex=f": 1, "sex=m": 1}


def test_of_a_signed_error_the_distance_to_zero_is_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "low", "low", {"volume_error_percent": np.full(N, -30.0)})
    write_run(tmp_path / "high", "high", {"volume_error_percent": np.full(N, 20.0)})
    facts = facts_of(tmp_path / "low", tmp_path / "high")
    assert [m["mean"] for m in lead(facts)["methods"]] == [20, 30]
    assert "'high' has the lowest distance of the volume error percent from 0" in sentences(facts)[0]


def test_who_read_labels_of_the_target_is_compared_but_not_ranked(tmp_path: Path) -> None:
    for name, scores, labels in (("a", BASE, "never"), ("b", ALIKE, "val"), ("oracle", BETTER + 0.1, "train")):
        write_run(tmp_path / name, name, scores, target_labels=labels)
    facts = facts_of(*(tmp_path / n for n in ("a", "b", "oracle")))
    assert {r["method"] for r in lead(facts)["ranks"]} == {"a", "b"}
    assert len(lead(facts)["pairs"]) == 3
    assert any("not ranked: 'oracle'" in s for s in sentences(facts))


def test_kappa_and_auroc_are_those_of_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    truth = rng.permutation([0, 1] * 12)
    said = {n: 1 / (1 + np.exp(-(s * (truth - 0.5) + rng.normal(0, 1, N)))) for n, s in (("a", 3.0), ("b", 0.5))}
    for name, p in said.items():
        write_classification(tmp_path / name, name, p, truth)
    facts = facts_of(tmp_path / "a", tmp_path / "b", metrics=["kappa", "auroc"])
    for metric, score in (
        ("kappa", lambda p: cohen_kappa_score(truth[TARGET], p[TARGET] > 0.5)),
        ("auroc", lambda p: roc_auc_score(truth[TARGET], p[TARGET])),
    ):
        found = next(m for m in facts["metrics"] if m["metric"] == metric)["groups"][0]
        assert {m["method"]: m["mean"] for m in found["methods"]} == pytest.approx(
            {n: score(p) for n, p in said.items()}
        )
        assert all(p["wins"] is None and p["p"] is None for p in found["pairs"])


def test_the_first_baseline_of_the_plugin_is_the_reference_unless_another_or_all_are_asked_for(tmp_path: Path) -> None:
    beside = ["oracle", "plain", "other"]
    run = write_run(tmp_path / "r", "own", BETTER, baselines=beside)
    for name, scores in (("oracle", BETTER + 0.1), ("other", ALIKE), ("plain", BASE)):
        labels = "train" if name == "oracle" else "never"
        write_run(run / "baselines" / name, name, scores, target_labels=labels)
    pairs = {
        asked: [(p["a"], p["b"]) for p in lead(facts_of(run, reference=asked))["pairs"]]
        for asked in (None, "other", "all")
    }
    assert {b for _, b in pairs[None]} == {"plain"} and len(pairs[None]) == 3
    assert {b for _, b in pairs["other"]} == {"other"}
    assert len(pairs["all"]) == 6
    facts = facts_of(run)
    assert "'plain' is told apart from 'own'" in " ".join(sentences(facts))
    assert {p["a"]: told(p) for p in lead(facts)["pairs"]} == {"own": True, "other": False, "oracle": False}


# what is said and shown


def test_a_difference_beyond_chance_is_said_and_one_within_is_not(three: list[Path]) -> None:
    said = " ".join(sentences(facts_of(*three)))
    assert "'clever' has the highest surface dice" in said
    assert re.search(
        r"'clever' is told apart from .*'plain' \(\+0\.\d+ \[\+0\.\d+, \+0\.\d+\], p by Holm < 0\.001\)", said
    )
    assert "'other' is told" not in said
    same = " ".join(sentences(facts_of(*three, reference="plain")))
    assert "'plain' is told apart from 'clever' (-0." in same and "not from 'other'." in same


def test_the_page_opens_with_whether_any_method_beats_the_reference(three: list[Path]) -> None:
    def ask(reference: str) -> tuple[str, str]:
        return comparison_answer(facts_of(*three, reference=reference))

    assert ask("plain")[0] == "gain"
    assert ask("plain")[1].startswith("'clever' is better in surface dice than the reference 'plain': +0.0")
    assert ask("clever")[0] == "harm"
    assert ask("all") == ("gain", ask("all")[1]) and "is better in surface dice than each" in ask("all")[1]


def test_a_comparison_links_to_runs_only_where_no_folder_of_the_users_is_named(three: list[Path]) -> None:
    for run in three:
        (run / "report.html").write_text("")
    above = three[0].parent.parent
    facts = facts_of(*three)
    assert f'href="../runs/{three[0].name}/report.html"' in write_comparison(above / "out", facts).read_text()
    assert "report.html" not in write_comparison(above / "secret" / "of" / "out", facts).read_text()


def test_three_subjects_are_too_few_for_a_verdict(tmp_path: Path) -> None:
    cases = cohort(3, ("A", "B"))
    for name, scores in (("a", np.full(6, 0.9)), ("b", np.full(6, 0.1))):
        write_run(tmp_path / name, name, scores, cases)
    facts = facts_of(tmp_path / "a", tmp_path / "b")
    said = " ".join(sentences(facts))
    assert "3 subjects are too few for a verdict: with 3 subjects the smallest possible p is 0.25" in said
    assert "highest" not in said and "told apart" not in said


def test_more_pairs_than_the_subjects_allow_are_said_with_the_remedy(tmp_path: Path) -> None:
    cases = cohort(3, ("A", "B", "C"))
    for name, mean in zip("abcd", (0.9, 0.7, 0.5, 0.3), strict=True):
        write_run(tmp_path / name, name, np.full(9, mean), cases)
    said = " ".join(sentences(compare([tmp_path])))
    assert "With 6 subjects no p falls below 0.031, and 6 pairs raise that to 0.19" in said
    assert "Compare with one method only (--reference NAME)" in said
    assert "no p falls below" not in " ".join(sentences(compare([tmp_path / "a", tmp_path / "b"])))


def test_whether_the_order_holds_over_seeds_is_said(tmp_path: Path) -> None:
    for seed, sign in ((0, 1), (1, 1), (2, -1)):
        write_run(tmp_path / f"a{seed}", "a", BASE + sign * 0.02, seed=seed)
        write_run(tmp_path / f"b{seed}", "b", BASE, seed=seed)
    same = sentences(facts_of(*(tmp_path / f"{n}{s}" for n in "ab" for s in (0, 1))))
    assert "The order of the methods is the same at all 2 seeds." in same
    changed = sentences(compare([tmp_path]))
    assert "The order of the methods changes with the seed; first place over 3 seeds: 'a' 2, 'b' 1." in changed
    for seed in (0, 1, 2):
        write_run(tmp_path / f"c{seed}", "c", BASE + 0.1, seed=seed)
    behind = sentences(compare([tmp_path]))
    assert "'c' stays first at all 3 seeds, the order behind changes." in behind


def test_page_tables_and_json_show_the_same_numbers(three: list[Path], tmp_path: Path) -> None:
    page = write_comparison(tmp_path / "out", facts_of(*three)).read_text()
    stored = json.loads((tmp_path / "out" / "comparison.json").read_text())
    pairs = pd.read_csv(tmp_path / "out" / "comparison.csv")
    rows = pd.read_csv(tmp_path / "out" / "methods.csv")
    assert len(pairs) == 2 * 6 * 3 and len(rows) == 2 * 6 * 3  # two metrics, six groups
    for metric in stored["metrics"]:
        group = metric["groups"][0]
        for p in group["pairs"]:
            of = pairs.query(
                "metric == @metric['metric'] and group == @group['group'] and a == @p['a'] and b == @p['b']"
            )
            for key in ("difference", "low", "high", "p", "p_holm", "effect", "wins", "losses"):
                assert of[key].item() == pytest.approx(p[key])
            assert f"{p['difference']:+.3f}</td>" in page
            assert f"[{p['low']:+.3f}, {p['high']:+.3f}]" in page
        for m in group["methods"]:
            of = rows.query("metric == @metric['metric'] and group == @group['group'] and method == @m['method']")
            for key in ("mean", "std", "low", "high", "sd_over_seeds", "worst_mean", "gap_high"):
                assert of[key].item() == pytest.approx(m[key], nan_ok=True) or m[key] is None
            assert f"{m['mean']:.3f} [{m['low']:.3f}, {m['high']:.3f}]" in page


def test_the_text_shows_every_method_and_pair(three: list[Path]) -> None:
    text = comparison_text(facts_of(*three))
    for line in (r"^clever\s+0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", r"^clever - plain\s+\+0\.\d{3} .* 2 of 2$"):
        assert re.search(line, text, re.MULTILINE)
    assert "surface dice, test cases of the target sites (16 subjects)" in text


def test_names_are_escaped_and_no_path_is_in_the_page(tmp_path: Path) -> None:
    write_run(tmp_path / "secret" / "a", "<script>$x$", BASE)
    write_run(tmp_path / "secret" / "b", "b", BETTER)
    page = write_comparison(tmp_path / "out", compare([tmp_path / "secret"])).read_text()
    assert "<script>" not in page and "&lt;script&gt;$x$" in page
    assert "secret" not in page and str(tmp_path) not in page


def test_the_page_is_the_same_when_made_again(three: list[Path], tmp_path: Path) -> None:
    first, second = (write_comparison(tmp_path / name, facts_of(*three)).read_text() for name in ("one", "two"))
    assert first == second


def test_the_python_example_of_the_documentation_compares_and_writes_the_page(
    three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = three[0].parent
    write_run(folder / "ONE", "no_da", {"dice": BASE})
    two = write_run(folder / "TWO", "clever", {"dice": BETTER})
    write_run(two / "baselines" / "no_da", "no_da", {"dice": ALIKE}, done=False)
    example = re.search(r"```python\n(.*?)```", (DOCS / "compare.md").read_text(), re.DOTALL)
    assert example is not None
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {}
    exec(example[1], made)
    assert [m["metric"] for m in made["facts"]["metrics"]] == ["dice"]
    assert len(made["facts"]["methods"]) == 2
    assert json.loads((tmp_path / "comparison" / "comparison.json").read_text()) == made["facts"]

"""Bugs that users met on the way: sweeps and their comparison, processes, evaluation, reproduction."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from unittest import mock

import numpy as np
from field_cases import made
from field_cases.bench import REPOSITORY, Bench, Call, settings, situation
from field_cases.plugin import installed, on_the_path

SLOPE = REPOSITORY / "core" / "tests" / "sweeps" / "plugin"
MDX = [sys.executable, "-m", "mdx"]


@situation(
    "bug 1", "mdx compare of a sweep over all pairs",
    "tests/test_sweep.py::test_a_sweep_over_pairs_is_compared_pair_by_pair_and_over_them",
)  # fmt: skip
def compare_pairs(bench: Bench) -> None:
    made_of = [word for word in settings() if word not in ("source=A", "target=B", "--baselines", "no_da")]
    shutil.copytree(bench.shared.table.parent, "cohort")
    words = " ".join(made_of).replace("--set --set", "--set")
    sweep = f"sweep fda --data csv:cohort/cohort.csv --pairs all --variants no_da,mst {words} --out sweep"
    bench.went(bench.mdx(sweep))
    bench.went(bench.mdx("compare sweep"), "== A to B", "== B to A", "== over 2 pairs", "page: ")


@situation(
    "bug 2", "torchrun starts two processes of one run", "tests/test_run_and_apply.py::"
    "test_torchrun_starts_two_processes_of_one_run",
)  # fmt: skip
def torchrun(bench: Bench) -> None:
    of_source = [word for word in settings()[:-4] if not word.startswith("n_mst")]
    words = ["run", "fda", "--variant", "no_da", "--data", f"csv:{bench.shared.table}", *of_source,
             "run.processes=2", "--baselines", "none", "--device", "cpu", "--out", "runs"]  # fmt: skip
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "mdx"]
    typed = f"torchrun --nproc-per-node 2 -m mdx {' '.join(words[:4])} --data csv:cohort.csv ... run.processes=2"
    call = bench.process(typed, [sys.executable, *launch, *words])
    bench.went(call, "report: ")
    bench.must("one of the two prints", call.text.count("report: ") == 1)
    bench.must("the run is finished", len(list(bench.place.glob("runs/*/done"))) == 1)


@situation(
    "bug 3", "mdx evaluate on the table that the run was trained on",
    "tests/test_nothing_is_lost.py::test_cases_that_trained_a_run_are_left_out_of_its_evaluation_and_named",
)  # fmt: skip
def evaluate_trained(bench: Bench) -> None:
    shutil.copytree(bench.shared.table.parent, "cohort")
    call = bench.mdx("evaluate RUN --data csv:cohort/cohort.csv --out scores")
    bench.went(call, "are left out: they, or scans of their subjects, trained this run")
    splits = {row["case"]: row["split"] for row in made.read(bench.shared.run / "splits.csv")}
    rows = made.read(bench.place / "scores" / "scores.csv")
    bench.must("only test cases are scored", {splits[row["case"]] for row in rows} == {"test"})
    bench.must("sites have their roles", {row["role"] for row in rows} == {"source", "target"})


def ages(folder: Path) -> None:
    """A table whose ages the made-up plugin of the tests for sweeps can tell, of three sites."""
    from small_cohort import write_scan

    rng = np.random.default_rng(0)
    rows = []
    for s, site in enumerate("ABC"):
        for i in range(10):
            values = np.full((4, 4, 4), (20 + 6 * i) * (1 - 0.1 * s) / 10) + rng.normal(0, 0.05, (4, 4, 4))
            write_scan(folder / f"{site}{i}.nii.gz", values.astype(np.float32))
            rows.append([f"{site}{i}.nii.gz", f"{site}{i}", site, 20 + 6 * i])
    made.table(folder / "ages.csv", ["image", "subject", "site", "age"], rows)


def table_of_slope(bench: Bench, options: str) -> Call:
    """The made-up plugin's table, reproduced with options."""
    ages(bench.place)
    with on_the_path(SLOPE):
        return bench.mdx(f"reproduce slope table1 {options} --out table")


@situation(
    "bug 4", "A reproduction with --set says on its page what was changed",
    "core/tests/sweeps/test_measured.py::test_whatever_was_changed_by_hand_is_in_words",
)  # fmt: skip
def reproduction_by_hand(bench: Bench) -> None:
    bench.went(table_of_slope(bench, "--set epochs=2"), "changed by hand: epochs = 2")
    page = (bench.place / "table" / "reproduction.html").read_text()
    bench.must("its page says so", "Changed by hand: epochs = 2" in page)
    bench.must("its JSON says so", "epochs" in json.dumps(json.loads(Path("table/reproduction.json").read_text())))


@situation(
    "bug 5", "A claim is not judged on some of its rows",
    "core/tests/sweeps/test_measured.py::test_a_claim_of_which_a_row_did_not_run_is_not_judged",
)  # fmt: skip
def part_of_a_claim(bench: Bench) -> None:
    bench.went(table_of_slope(bench, "--rows line"), "not judged")
    facts = json.loads(Path("table/reproduction.json").read_text())
    bench.must("no claim came out", not any(c["verdict"].startswith("came") for c in facts["claims"]))


@situation(
    "bug 6", "Memory runs out on a CPU", "tests/test_bad_input.py::"
    "test_memory_that_runs_out_is_exit_code_6_with_the_peak_the_place_and_three_remedies",
)  # fmt: skip
def out_of_memory(bench: Bench) -> None:
    words = ["run", "fda", "--data", f"csv:{bench.shared.table}", *settings()]
    words = [word.replace("filters=4", "filters=1500") for word in words]
    limited = ["bash", "-c", 'ulimit -v 7000000; exec "$@"', "-", *MDX, *words]
    call = bench.process("ulimit -v 7000000; mdx run fda --data csv:cohort.csv ... filters=1500", limited)
    bench.refused(call, 6, "out of memory in mdx_segment.networks", "GB at the most", "batch_size")


@situation(
    "bug 7", "torch is not installed",
    "tests/test_odd_plugins.py::test_doctor_looks_at_everything_where_torch_cannot_be_imported",
    "tests/test_odd_plugins.py::test_a_package_that_core_needs_and_cannot_import_is_named",
)  # fmt: skip
def without_torch(bench: Bench) -> None:
    shim = bench.place / "shim" / "torch"
    shim.mkdir(parents=True)
    (shim / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    env = {"PYTHONPATH": str(shim.parent)}
    call = bench.process("mdx doctor", [*MDX, "doctor"], env=env)
    bench.refused(call, 8, "BAD  torch: ", "BAD  plugin fda: ", "ok   numpy: ")
    words = ["run", "fda", "--data", f"csv:{bench.shared.table}", "--dry-run"]
    call = bench.process("mdx run fda --data csv:cohort.csv --dry-run", [*MDX, *words], env=env)
    bench.refused(call, 5, "torch")
    bench.must("neither is called a bug in mdx", not any("a bug in mdx" in c.text for c in bench.calls))


@situation(
    "bug 8", "A method that says unseen_sites = no",
    "tests/test_nothing_is_lost.py::test_a_method_for_its_own_sites_refuses_others",
)  # fmt: skip
def unseen_sites(bench: Bench) -> None:
    made.volumes(bench.place, n=5)
    with installed(bench.place / "site", "own", unseen_sites="no"):
        bench.went(bench.mdx("run own --data csv:t.csv --set source=A target=B --out runs"), "report: ")
        (run,) = bench.place.glob("runs/*")
        for more in ("--site NEW", ""):
            call = bench.mdx(f"apply runs/{run.name} A0.nii.gz --out made {more}".strip())
            bench.refused(call, 8, "only for the sites that it was trained on", "name the site with --site: A, B")
        bench.went(bench.mdx(f"apply runs/{run.name} A0.nii.gz --out made --site B"))


@situation(
    "bug 9", "A plugin without a preset 'paper' is not advised to use it",
    "core/tests/config/test_planned_data.py::test_a_plugin_without_a_preset_paper_is_not_told_to_use_it",
)  # fmt: skip
def no_preset_paper(bench: Bench) -> None:
    made.volumes(bench.place, n=5)
    preset = 'cpu_preset = "quick"\n[presets.quick]\nset = { size = 1 }'
    with installed(bench.place / "site", "small", more=preset):
        call = bench.mdx("run small --data csv:t.csv --set source=A target=B --device cpu --out runs")
    bench.went(call, "preset 'quick' was used")
    bench.must("no preset is advised that is not there", "--preset paper" not in call.text)


@situation(
    "bug 10", "mdx data prepare adds no split and no role",
    "core/tests/data/test_keys_and_links.py::test_no_split_and_no_role_is_added_to_what_is_prepared",
)  # fmt: skip
def prepare_adds_nothing(bench: Bench) -> None:
    made.volumes(bench.place, n=2)
    prepare = "data prepare t.csv --out prepared --steps intensity --register none --spacing own --mask none"
    bench.went(bench.mdx(prepare), "prepared")
    columns = list(made.read(bench.place / "prepared" / "table.csv")[0])
    bench.must("the new table has no column split or role", not {"split", "role"} & set(columns))


@situation(
    "bug 11", "The columns of mdx evaluate stand apart",
    "tests/test_nothing_is_lost.py::test_cases_that_trained_a_run_are_left_out_of_its_evaluation_and_named",
)  # fmt: skip
def columns_apart(bench: Bench) -> None:
    call = bench.mdx("evaluate RUN --out scores")
    bench.went(call, "volume_error_percent", "surface_dice")
    lines = [line for line in call.text.splitlines() if " n=" in line]
    bench.must("every metric is followed by a blank", all(line.split()[0] in _metrics(bench) for line in lines))


def _metrics(bench: Bench) -> set[str]:
    return {row["metric"] for row in json.loads((bench.place / "scores" / "summary.json").read_text())}


@situation(
    "bug 12", "mdx runs: an error cut to the width; path and number in JSON",
    "core/tests/sweeps/test_runs.py::test_a_failed_run_is_listed_with_the_reason_cut_to_the_width",
    "core/tests/sweeps/test_runs.py::"
    "test_a_finished_run_has_its_method_sites_seed_and_score_at_the_targets",
)  # fmt: skip
def runs_in_words(bench: Bench) -> None:
    shutil.copytree(bench.shared.run, "runs/whole")
    shutil.copytree(bench.shared.run, "runs/failed")
    Path("runs/failed/done").unlink()
    Path("runs/failed/status.json").write_text(json.dumps({"state": "failed", "error": "broken " + "very " * 99}))
    call = bench.mdx("runs runs")
    bench.went(call, "broken very", "whole ")
    bench.must("no line is wider than 100", max(map(len, call.text.splitlines())) <= 100)
    call = bench.mdx("runs runs --json")
    row = json.loads(call.text)[1]
    bench.went(call, '"score": ')
    bench.must("the score is a number and there is a path", isinstance(row["score"], float) and "whole" in row["path"])


@situation(
    "bug 13", "The page of a reproduction at 480 pixels",
    "tests/test_in_the_browser.py::test_a_page_never_scrolls_sideways",
)  # fmt: skip
def narrow_page(bench: Bench) -> None:
    from browser import Browser, find_browser

    ages(bench.place)
    with on_the_path(SLOPE):
        bench.went(bench.mdx("reproduce slope table1 --out table"), "page: ")
    path = find_browser()
    if path is None:
        bench.must("(no browser here: the page was not looked at)", True)
        return
    browser = Browser(path, bench.place / "profile")
    seen = browser.look(bench.place / "table" / "reproduction.html", 480, "light", bench.place / "page.png")
    browser.close()
    bench.must(f"nothing is wider than the page ({seen.content} of {seen.width} pixels)", seen.content == seen.width)


@situation(
    "bug 14", "--dry-run refuses what the run would refuse",
    "tests/test_l2i_runs.py::test_a_dry_run_refuses_what_the_run_would_refuse",
)  # fmt: skip
def dry_run(bench: Bench) -> None:
    made.cells(bench.place, "class", ["xy"[i // 2 % 2] for i in range(16)])
    for more in (" --dry-run", ""):
        call = bench.mdx(f"run l2i --data csv:t.csv --device cpu{more}")
        bench.refused(call, 4, "among the target training cases")


@situation(
    "bug 15", "A stop says one thing everywhere, and how to go on",
    "tests/test_bad_input.py::test_a_stopped_run_says_so_and_can_be_resumed",
    "tests/test_stops.py::test_a_stop_at_any_write_ends_with_75_and_the_run_goes_on_to_the_same_end",
)  # fmt: skip
def stopped(bench: Bench) -> None:
    shutil.copytree(bench.shared.table.parent, "cohort")
    words = f"run fda --data csv:cohort/cohort.csv {' '.join(settings())} --out runs"
    with mock.patch("mdx.workflow.method.load_run", lambda *_: os.kill(os.getpid(), signal.SIGTERM)):
        call = bench.mdx(words)
    bench.refused(call, 75, "stopped", "mdx resume runs/")
    bench.must("it is no error, and RUN is named", "error" not in call.text and "resume RUN" not in call.text)
    (run,) = bench.place.glob("runs/*")
    bench.went(bench.mdx(f"resume runs/{run.name}"), "report: ")

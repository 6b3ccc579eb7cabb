"""The page of a classification and of a regression, made from the plain files of two runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from mdx.evaluation.classification import ClassificationEvaluator
from mdx.evaluation.embeddings import save_embeddings
from mdx.evaluation.regression import RegressionEvaluator
from mdx.files import write_json
from mdx.interfaces.adapter import Prediction
from mdx.interfaces.dataset import Case, Dataset, Sample, Task
from mdx.interfaces.geometry import Geometry
from mdx.report.gallery import EACH, record
from mdx.report.run import write_report
from mdx.report.text import summary_table

NOWHERE = Geometry(np.eye(4), (1, 1))
CLASSES = ("01", "NA", "<b>")  # names that a table reader may take for a number, for nothing, and for markup


def task(kind: str) -> Task:
    classes = CLASSES if kind == "classification" else ()
    return Task(kind, classes, ("image",), 2, ("A", "B", "C"), "class" if classes else "age")  # type: ignore[arg-type]


def write_method(folder: Path, kind: str, variant: str, seed: int, baselines: list[str]) -> None:
    folder.mkdir(parents=True)
    rng, of = np.random.default_rng(seed), task(kind)
    evaluator: Any = ClassificationEvaluator(of, 200) if of.classes else RegressionEvaluator(of, 200)
    cases, rows, predictions = [], [], []
    for i in range(36):
        truth: Any = i % 3 if of.classes else 50.0 + i
        role = "target" if i % 3 == 2 else "source"
        case = Case(f"c{i}", f"s{i}", "ABC"[i % 3], {}, split="test", role=role, columns={of.label: truth})
        said = {"classes": rng.dirichlet(np.ones(3))} if of.classes else {"value": truth + rng.normal(0, 3)}
        predictions.append(Prediction(NOWHERE, embedding=rng.normal(size=6), **said))
        facts = {"case": case.id, "subject": case.subject, "site": case.site, "split": "test", "role": role}
        sample = Sample(case, None, NOWHERE, {of.label: truth})  # type: ignore[arg-type]
        rows.append(facts | evaluator.per_case(predictions[-1], sample))
        cases.append(case)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "scores.csv", index=False)
    table[["case", "subject", "site", "split", "role"]].to_csv(folder / "splits.csv", index=False)
    unknown = dict.fromkeys(("std", "median", "low", "high"))
    counts = {"n_cases": 36, "n_subjects": 36, "n_undefined": 0}
    probes = [{"metric": m, "better": "min", "group": "all", "mean": v, **counts, **unknown}
              for m, v in (("site_probe_accuracy", 0.875), ("site_probe_chance", 1 / 3))]  # fmt: skip
    write_json(folder / "summary.json", evaluator.summarise(table).to_dict(orient="records") + probes)
    save_embeddings(folder / "embeddings.npz", predictions, Dataset(of, cases, lambda case, visible: None))  # type: ignore[arg-type,return-value]
    write_json(folder / "provenance.json", {
        "plugin": "made", "plugin_version": "1", "variant": variant, "summary": "", "paper": {}, "preset": None,
        "baselines": baselines, "target_labels": "never", "seed": 0, "device": "cpu", "precision": "32-true",
        "split_hash": "abc", "versions": {}, "mdx": "0.1", "source": "f" * 64, "machine": {"platform": "Linux"},
        "started": "2026-01-01T00:00:00",
        "task": {"kind": kind, "classes": list(of.classes), "label": of.label},
    })  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump({"method": {}}))
    (folder / "command.txt").write_text("mdx run made\n")


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("classified") / "run", "classification")


@pytest.fixture(scope="module", params=["classification", "regression"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp(request.param) / "run", request.param)


def written(folder: Path, kind: str) -> Path:
    write_method(folder, kind, "method", 0, ["plain"])
    write_method(folder / "baselines" / "plain", kind, "plain", 1, [])
    write_report(folder)
    return folder


def test_the_page_has_the_parts_of_its_task(run: Path) -> None:
    page = (run / "report.html").read_text()
    parts = {
        "classification": ["Which classes are taken for which", "Calibration", "Kappa", "AUROC", "Features"],
        "regression": ["Predicted against true", "Absolute error", "Features"],
    }
    kind = run.parent.name.rstrip("0123456789")
    assert [part for part in parts[kind] if part not in page] == []


def test_the_probe_stands_beside_chance(run: Path) -> None:
    text = re.sub(r"\s+", " ", (run / "report.html").read_text())
    assert "method 0.88, plain 0.88; chance is 0.33" in text
    assert "Site probe accuracy" not in text  # it is no score of cases


def test_names_of_classes_are_kept_as_they_are(classified: Path) -> None:
    page = (classified / "report.html").read_text()
    assert "<td>01</td>" in page
    assert "<td>NA</td>" in page
    assert "<td>&lt;b&gt;</td>" in page
    assert "<b>" not in page


def test_the_confusion_counts_every_target_case_once(classified: Path) -> None:
    page = (classified / "report.html").read_text()
    table = page[page.index("<h2>Which classes are taken for which") :].split("</tbody>")[0].split("<tbody>")[1]
    assert sum(map(int, re.findall(r'<td class="shade"[^>]*>(\d+)</td>', table))) == 12


def test_sites_of_one_role_are_also_shown_together(run: Path) -> None:
    heads = summary_table(run).splitlines()[1]
    assert re.sub(r" \(.*?\)", "", heads).split() == ["method", "C", "source", "sites", "A", "B"]


def test_sites_with_one_class_are_named_where_kappa_is_not_defined(classified: Path) -> None:
    text = (classified / "report.html").read_text()
    kappa = text[text.index("<h3>Kappa</h3>") :].split("<h3>")[1]
    assert "Not defined at C, A, B." in kappa


def test_the_page_of_three_thousand_images_stays_small(tmp_path: Path) -> None:
    write_method(tmp_path / "run", "regression", "method", 0, ["plain"])
    write_method(tmp_path / "run" / "baselines" / "plain", "regression", "plain", 1, [])
    rng = np.random.default_rng(0)
    for folder in (tmp_path / "run", tmp_path / "run" / "baselines" / "plain"):
        rows = pd.concat([pd.read_csv(folder / "scores.csv")] * 84, ignore_index=True)
        rows["case"] = rows["subject"] = [f"a_case_with_a_name_{i:06d}" for i in range(len(rows))]
        rows["predicted"] += rng.normal(0, 2, len(rows))
        rows["absolute_error"] = (rows["predicted"] - rows["truth"]).abs()
        rows.to_csv(folder / "scores.csv", index=False)
    (tmp_path / "run" / "figures").mkdir()
    noise = rng.random((3, 200, 200))  # what no JPEG makes small
    found = record(tmp_path / "run" / "figures", rows, lambda case: (noise, (1.0, 1.0)))
    write_json(tmp_path / "run" / "figures" / "pictures.json", {"gallery": found})
    page = write_report(tmp_path / "run")
    assert len(rows) > 3000 and page.stat().st_size < 2e6
    assert page.read_text().count("data:image/jpeg") == 3 * EACH
    assert "The worst 300 of 3024 test cases" in page.read_text()

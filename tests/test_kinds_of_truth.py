"""Made-up plugins for kinds of truth that no paper's plugin has yet, run from the command line on whole tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

Cli = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "plugins"))


def the_run(folder: Path) -> Path:
    (run,) = folder.iterdir()
    return run


def blood_smears(folder: Path, shared: Path, count: int = 12) -> Path:
    """A table of real blood smears with their PASCAL VOC files, of two sites."""
    names = sorted(path.stem for path in (shared / "data/cells/bccd/annotations").glob("*.xml"))[:count]
    cells = shared / "data/cells/bccd"
    rows = [f"{cells}/images/{n}.jpg,{cells}/annotations/{n}.xml,{n},{'AB'[i % 2]}" for i, n in enumerate(names)]
    (folder / "smears.csv").write_text("\n".join(["image,boxes,subject,site", *rows]) + "\n")
    return folder / "smears.csv"


def test_a_detector_is_trained_scored_drawn_and_applied_on_real_smears(shared: Path, mdx: Cli, tmp_path: Path) -> None:
    table = blood_smears(tmp_path, shared)
    small = ("data.size=120,160", "data.fit=resize", "epochs=3", "run.bootstrap=100")
    code, printed = mdx("run", "dots", "--data", table, "--set", "source=A", "target=B", *small, "--device", "cpu",
                        "--out", tmp_path / "runs")  # fmt: skip
    assert code == 0, printed
    assert "ap50, test cases" in printed.lower()
    run = the_run(tmp_path / "runs")
    assert {"f1", "sensitivity", "matches"} <= set((run / "scores.csv").read_text().splitlines()[0].split(","))
    assert (run / "figures" / "overlay_best.png").stat().st_size > 10_000
    assert "ranked by F1" in (run / "report.html").read_text()
    case = next((run / "predictions").iterdir()).name.removesuffix("_boxes.csv")
    picture = shared / "data/cells/bccd/images" / f"{case}.jpg"
    code, printed = mdx("apply", run, picture, "--out", tmp_path / "applied")
    assert code == 0, printed
    written = (tmp_path / "applied" / f"{case}_boxes.csv").read_text()
    assert written == (run / "predictions" / f"{case}_boxes.csv").read_text()
    assert written.splitlines()[0] == "x1,y1,x2,y2,class,score"
    assert mdx("apply", run, picture, "--out", tmp_path / "applied")[0] == 2  # what lies there is not replaced
    assert mdx("evaluate", run)[0] == 0
    code, printed = mdx("compare", run, "--out", tmp_path / "compared")
    assert code == 0, printed
    found = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert [m["metric"] for m in found["metrics"]] == ["f1", "ap50"]
    whole = {r["group"]: r["mean"] for r in json.loads((run / "summary.json").read_text()) if r["metric"] == "ap50"}
    (lead, *_) = found["metrics"][1]["groups"]
    assert {m["method"]: m["mean"] for m in lead["methods"]}["dots"] == pytest.approx(whole[lead["group"]])


def pictures(folder: Path, classes: list[str]) -> Path:
    """A table of pictures whose left half is bright for 'a' and whose upper half is for 'b'."""
    rng, rows = np.random.default_rng(0), []
    for i, cell in enumerate(classes):
        values = rng.integers(0, 60, (32, 32))
        values[:, :16] += 120 * ("a" in cell.split("|"))
        values[:16] += 60 * ("b" in cell.split("|"))
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{i}.png")
        rows.append(f"{i}.png,s{i},{'AB'[i % 2]},{cell}")
    (folder / "t.csv").write_text("\n".join(["image,subject,site,class", *rows]) + "\n")
    return folder / "t.csv"


def test_findings_of_a_case_are_several_after_training_without_labels(mdx: Cli, tmp_path: Path) -> None:
    table = pictures(tmp_path, ["a", "b", "a|b", "No Finding"] * 10)
    asked = ("run", "findings", "--data", table, "--data", f"pretrain={table}", "--set", "source=A", "target=B",
             "epochs=3", "run.bootstrap=100", "--device", "cpu")  # fmt: skip
    code, printed = mdx(*asked, "--out", tmp_path / "runs")
    assert code == 0, printed
    run = the_run(tmp_path / "runs")
    stages = [json.loads(line)["stage"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert stages == ["pretrain"] * 2 + ["train"] * 3
    scores = {row["metric"] for row in json.loads((run / "summary.json").read_text())}
    assert {"f1", "hamming", "auroc", "auroc_a", "auroc_b"} <= scores
    code, printed = mdx("compare", run, "--out", tmp_path / "compared")
    assert code == 0, printed
    assert "AUROC" in printed
    code, printed = mdx("apply", run, tmp_path / "2.png", "--out", tmp_path / "applied")
    assert code == 0, printed
    header, row = (tmp_path / "applied" / "predictions.csv").read_text().splitlines()
    assert header.split(",") == ["file", "predicted", "p_a", "p_b"]
    assert row.split(",")[1] in ("a|b", "a", "b", "No Finding")


def test_a_plugin_of_two_tasks_takes_either_table(mdx: Cli, tmp_path: Path) -> None:
    table = pictures(tmp_path, ["a", "b"] * 12)
    code, printed = mdx("run", "findings", "--data", table, "--set", "source=A", "target=B", "epochs=2",
                        "run.bootstrap=100", "--device", "cpu", "--out", tmp_path / "runs")  # fmt: skip
    assert code == 0, printed
    assert "accuracy, test cases" in printed


def test_a_plugin_of_other_tasks_says_what_it_is_for(cohort: Path, mdx: Cli, tmp_path: Path) -> None:
    code, printed = mdx("run", "findings", "--data", f"csv:{cohort}", "--out", tmp_path / "runs")
    assert code == 4
    assert "findings is for multilabel or classification, the table is for segmentation" in printed


def travellers(folder: Path, count: int = 10) -> Path:
    """A table of pictures of subjects seen at A, and brighter in their middle tones at B."""
    rng, rows = np.random.default_rng(2), []
    for i in range(count):
        values = rng.random((24, 24)) * 0.2 + np.kron(rng.random((4, 4)), np.ones((6, 6))) * 0.7
        for site, power in (("A", 1.0), ("B", 0.5)):
            Image.fromarray((255 * values**power).astype(np.uint8)).save(folder / f"{i}{site}.png")
            rows.append(f"{i}{site}.png,s{i},{site}")
    (folder / "t.csv").write_text("\n".join(["image,subject,site", *rows]) + "\n")
    return folder / "t.csv"


def test_harmonised_images_are_held_to_the_same_subjects_at_the_reference_site(mdx: Cli, tmp_path: Path) -> None:
    table = travellers(tmp_path)
    asked = ("run", "looks", "--data", table, "--device", "cpu", "--set", "data.intensity=none", "run.bootstrap=100")
    code, printed = mdx(*asked, "data.reference=A", "--out", tmp_path / "runs")
    assert code == 0, printed
    run = the_run(tmp_path / "runs")
    summary = {(r["metric"], r["group"]): r["mean"] for r in json.loads((run / "summary.json").read_text())}
    before = {
        (r["metric"], r["group"]): r["mean"]
        for r in json.loads((run / "baselines" / "as_it_is" / "summary.json").read_text())
    }
    assert summary["mae", "site=B"] < before["mae", "site=B"] / 2
    assert summary["ssim_gain", "site=B"] > 0 == before["ssim_gain", "site=B"]
    assert "ranked by SSIM" in (run / "report.html").read_text()
    assert (run / "figures" / "overlay_best.png").exists()
    like = [np.asarray(Image.open(tmp_path / name)) for name in ("0A.png", "0B.png")]
    for i, reference in enumerate([("--reference", tmp_path / "1A.png"), ("--site", "A"), ()]):
        out = tmp_path / f"like{i}"
        code, printed = mdx("apply", run, tmp_path / "0B.png", *reference, "--out", out)
        assert code == 0, printed
        made = np.asarray(Image.open(out / "0B_image.png"))
        assert np.abs(made - like[0].astype(float)).mean() < np.abs(made - like[1].astype(float)).mean()
    for name, expected in (("1A.png:3", 2), ("absent.png", 4)):
        asked = ("apply", run, tmp_path / "0B.png", "--reference", tmp_path / name, "--out", tmp_path / "x")
        assert mdx(*asked)[0] == expected


def test_a_segmentation_takes_no_reference_image(finished: tuple[Path, Path], mdx: Cli, tmp_path: Path) -> None:
    image = finished[0].parent / "images" / "A0.nii.gz"
    code, printed = mdx("apply", finished[1], image, "--reference", image, "--out", tmp_path / "o")
    assert code == 2
    assert "a segmentation has no reference image" in printed


def test_scores_are_given_for_each_value_of_the_named_columns_and_the_worst_is_named(mdx: Cli, tmp_path: Path) -> None:
    table = pictures(tmp_path, ["a", "b", "a|b", "No Finding"] * 10)
    head, *rows = table.read_text().splitlines()
    tones = ["dark", "light", ""]
    table.write_text("\n".join([f"{head},tone", *(f"{row},{tones[i % 3]}" for i, row in enumerate(rows))]) + "\n")
    asked = ("run", "findings", "--data", table, "--data", f"pretrain={table}", "--device", "cpu", "--set", "source=A",
             "target=B", "epochs=1", "run.bootstrap=100")  # fmt: skip
    code, printed = mdx(*asked, "data.groups=tome", "--out", tmp_path / "runs")
    assert (code, "the nearest is tone" in printed or "tone" in printed) == (4, True), printed
    code, printed = mdx(*asked, "data.groups=tone", "--out", tmp_path / "runs")
    assert code == 0, printed
    run = the_run(tmp_path / "runs")
    scores = [line.split(",") for line in (run / "scores.csv").read_text().splitlines()]
    tone, hamming = (scores[0].index(name) for name in ("group:tone", "hamming"))
    summary = {r["group"]: r for r in json.loads((run / "summary.json").read_text()) if r["metric"] == "hamming"}
    means = {}
    for name in ("dark", "light"):
        own = [float(row[hamming]) for row in scores[1:] if row[tone] == name]
        means[name] = sum(own) / len(own)
        assert summary[f"tone={name}"]["mean"] == pytest.approx(means[name])
    worst = min(means, key=lambda name: means[name])
    assert summary[f"worst tone ({worst})"]["mean"] == pytest.approx(means[worst])
    page = (run / "report.html").read_text()
    assert "by tone" in page
    assert "worst tone" in page
    assert mdx("compare", run, "--out", tmp_path / "compared")[0] == 0
    found = json.loads((tmp_path / "compared" / "comparison.json").read_text())
    assert {"tone=dark", "tone=light"} <= {g["group"] for g in found["metrics"][0]["groups"]}


def test_a_named_cohort_has_settings_of_its_own_where_they_are_given(mdx: Cli, tmp_path: Path) -> None:
    table = pictures(tmp_path, ["a", "b", "a|b", "No Finding"] * 6)
    asked = ("run", "findings", "--data", table, "--data", f"pretrain={table}", "--device", "cpu", "--out",
             tmp_path / "runs", "--set", "source=A", "target=B", "epochs=1", "run.bootstrap=100")  # fmt: skip
    code, printed = mdx(*asked, "pretrian.size=16,16")
    assert code == 3
    assert "pretrain.size" in printed
    code, printed = mdx(*asked, "pretrain.size=16,16", "pretrain.fit=resize")
    assert code == 0, printed
    run = the_run(tmp_path / "runs")
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["pretrain"]["size"] == {"value": [16, 16], "from": "--set"}
    assert settings["data"]["size"]["value"] is None
    assert mdx(*asked, "pretrain.size=16,16", "pretrain.fit=resize")[0] == 0  # found again
    assert the_run(tmp_path / "runs") == run
    assert mdx("apply", run, tmp_path / "0.png", "--out", tmp_path / "applied")[0] == 0
    code, printed = mdx(*asked, "pretrain.size=12,12", "pretrain.fit=resize")
    assert code == 0, printed
    assert len(list((tmp_path / "runs").iterdir())) == 2  # another run


def test_a_budget_of_labels_may_be_that_of_a_named_cohort() -> None:
    from mdx.config import Settings, resolve
    from mdx.data.config import DataConfig
    from mdx.errors import ConfigError

    layers = [("--set", {"data.labelled": "4", "data.source": "A", "data.spacing_mm": "2", "pretrain.labelled": "10%"})]
    settings = resolve(layers, Settings, DataConfig, ["pretrain", "overlap"])
    assert settings.of_cohort("pretrain").labelled == "10%"
    assert settings.of_cohort("overlap").labelled is None
    assert settings.of_cohort("overlap").source == ()
    counts = [
        ("--set", {"data.source_counts.val": "1", "data.source_counts.test": "2", "pretrain.source_counts.val": "3"})
    ]
    own = resolve(counts, Settings, DataConfig, ["pretrain"]).of_cohort("pretrain").source_counts
    assert (own.val, own.test) == (3, 2)
    window = {"data.intensity": "window", "data.lower": "-1000", "data.upper": "400"}
    below = resolve([("--set", {**window, "pretrain.lower": "-500"})], Settings, DataConfig, ["pretrain"])
    assert below.of_cohort("pretrain").lower == -500
    with pytest.raises(ConfigError, match="pretrain"):
        resolve([("--set", {**window, "pretrain.intensity": "percentiles"})], Settings, DataConfig, ["pretrain"])
    assert settings.of_cohort("overlap").spacing_mm == settings.of_cohort("pretrain").spacing_mm == (2.0,)

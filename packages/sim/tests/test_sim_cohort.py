from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mdx.cache import cache_dir
from mdx_sim.anatomy import Anatomy, load_anatomy
from mdx_sim.brain import simulate, visits
from mdx_sim.cohort import cohort
from mdx_sim.options import BrainOptions, parse
from mdx_sim.scanners import SIEMENS_3T, scanner_of

SMALL = "brain?sites=source&subjects={subjects}&size_mm=6&seed={seed}"
GENERATE = """
import sys
from mdx_sim.cohort import cohort
from mdx_sim.options import parse
print(cohort(parse(sys.argv[1])))
"""


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "cohort.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_the_demo_cohort_of_fda_is_the_same_on_every_machine(tmp_path: Path) -> None:
    """Two of its 48 scans, value by value; where scores of the demo differ, trainings did."""
    options = parse("brain?sites=source,severe&subjects=24")
    assert isinstance(options, BrainOptions)
    anatomy = load_anatomy(options.size_mm)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    expected = {
        "severe-001": (165.29315598566728, 185.63277978440553, 799, "da55139dc04f55a8", "7a7a8e2f3279d81b"),
        "source-024": (141.43490072838347, 165.82558842670718, 791, "ade1ebce78dafe87", "95ea0f76981a6d44"),
    }
    for visit in visits(options):
        if visit.subject in expected:
            simulate(visit, anatomy, tmp_path)
            image, mask = (np.asarray(nibabel.load(tmp_path / p).dataobj) for p in (visit.image, visit.mask))  # type: ignore[attr-defined]
            assert (image.shape, image.dtype) == ((64, 76, 56), np.int16)
            of_values = (hashlib.sha256(v.astype("<i4").tobytes()).hexdigest()[:16] for v in (image, mask))
            assert (image.mean(), image.std(), image.max(), *of_values) == expected[visit.subject]


def generate(query: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", GENERATE, query]
    return subprocess.Popen(command, text=True, stdout=-1, stderr=-1, **options)  # type: ignore[call-overload]


def in_ras(path: Path) -> nibabel.Nifti1Image:
    return nibabel.as_closest_canonical(nibabel.load(path))


def test_table_names_a_file_for_every_visit(registered: Path) -> None:
    table = rows(registered)
    assert len(table) == 18
    assert len({row["subject"] for row in table}) == 18
    assert all((registered / row[column]).is_file() for row in table for column in ("image", "mask"))


def test_first_site_is_source_and_severities_are_told(registered: Path) -> None:
    table = rows(registered)
    assert {row["site"] for row in table if row["role"] == "source"} == {"source"}
    assert {row["severity"] for row in table if row["site"] == "severe"} == {"1"}
    assert {row["severity"] for row in table if row["site"] in ("source", "A")} == {"0"}


def test_shift_makes_every_site_but_the_first_severe() -> None:
    by_site = {visit.site: visit.severity for visit in visits(parse("brain?sites=A,B&shift=severe"))}
    assert by_site == {"A": 0.0, "B": 1.0}
    assert scanner_of("B", 1.0).shift == scanner_of("severe").shift != scanner_of("B").shift


def test_every_cohort_says_that_it_is_no_evidence(registered: Path) -> None:
    notes = json.loads((registered / "notes.json").read_text())
    assert "no evidence of performance at a real site" in notes[0]
    assert notes[0] in (registered / "README.md").read_text()


def test_mask_and_image_share_their_grid(registered: Path, unregistered: Path) -> None:
    for folder in (registered, unregistered):
        for row in rows(folder):
            image, mask = nibabel.load(folder / row["image"]), nibabel.load(folder / row["mask"])
            assert image.shape == mask.shape
            np.testing.assert_array_equal(image.affine, mask.affine)


def test_files_follow_their_scanner_s_convention(registered: Path) -> None:
    for row in rows(registered):
        image, scanner = nibabel.load(registered / row["image"]), scanner_of(row["site"])
        assert "".join(nibabel.aff2axcodes(image.affine)) == scanner.axcodes
        assert image.get_data_dtype() == np.dtype(scanner.storage)
        slope = scanner.slope if scanner.storage == "int16" else 1
        assert image.dataobj.slope == pytest.approx(slope)


def test_registered_scans_share_one_grid(registered: Path) -> None:
    affines = [in_ras(registered / row["image"]).affine for row in rows(registered)]
    for affine in affines[1:]:
        np.testing.assert_allclose(affine, affines[0], atol=1e-4)


def test_unregistered_scans_are_oblique_where_the_scanner_is(unregistered: Path) -> None:
    for row in rows(unregistered):
        off_axis = np.rad2deg(nibabel.affines.obliquity(nibabel.load(unregistered / row["image"]).affine)).max()
        assert off_axis == pytest.approx(abs(scanner_of(row["site"]).oblique_deg), abs=0.01)


def test_masks_hold_one_brain_of_human_size(registered: Path) -> None:
    for row in rows(registered):
        mask = np.asarray(nibabel.load(registered / row["mask"]).dataobj)
        assert set(np.unique(mask)) == {0, 1}
        assert 1.3 < mask.sum() * 6**3 / 1e6 < 2.1


def test_tissue_labels_agree_with_the_image_they_belong_to(unregistered: Path) -> None:
    for row in rows(unregistered):
        image, labels = (in_ras(unregistered / row[c]).get_fdata() for c in ("image", "mask"))
        grey, white, fluid = (np.median(image[labels == value]) for value in (1, 2, 3))
        assert white > grey > fluid


def test_grey_and_white_matter_are_alike_at_the_severe_site_only(anatomy: Anatomy, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    ratios = {}
    for visit in visits(BrainOptions(sites=("source", "severe"), subjects=1, size_mm=6, labels="tissue")):
        simulate(visit, anatomy, tmp_path)
        image, labels = (in_ras(tmp_path / path).get_fdata() for path in (visit.image, visit.mask))
        ratios[visit.site] = np.median(image[labels == 1]) / np.median(image[labels == 2])
    assert ratios["source"] < 0.85
    assert 0.9 < ratios["severe"] < 1.1


def test_workers_make_the_voxels_that_the_caller_would(registered: Path, anatomy: Anatomy, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    options = parse("brain?sites=source,severe,t2,A,B,C,D,E,F&subjects=2&size_mm=6")
    for visit in visits(options)[1::5]:
        simulate(visit, anatomy, tmp_path)
        for path in (visit.image, visit.mask):
            ours, theirs = nibabel.load(tmp_path / path), nibabel.load(registered / path)
            assert np.asarray(ours.dataobj).tobytes() == np.asarray(theirs.dataobj).tobytes()


def test_another_seed_is_another_cohort(registered: Path) -> None:
    other = cohort(parse(SMALL.format(subjects=2, seed=1)))
    assert other != registered
    for row in rows(other):
        ours, theirs = (np.asarray(nibabel.load(folder / row["image"]).dataobj) for folder in (other, registered))
        assert (ours != theirs).mean() > 0.3


def test_more_sites_and_subjects_change_no_other_visit() -> None:
    few = visits(parse("brain?sites=A,severe&subjects=2"))
    many = visits(parse("brain?sites=A,B,severe,t2&subjects=5"))
    assert set(few) < set(many)


def test_the_same_options_are_made_once(capfd: pytest.CaptureFixture[str]) -> None:
    first = cohort(parse(SMALL.format(subjects=1, seed=5)))
    assert "simulating" in capfd.readouterr().err
    assert cohort(parse(SMALL.format(subjects=1, seed=5))) == first
    assert capfd.readouterr().err == ""


def test_progress_in_a_pipe_is_a_few_lines() -> None:
    process = generate(SMALL.format(subjects=8, seed=6))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert 1 <= len(errors.splitlines()) <= 3


def test_two_processes_at_once_make_one_whole_cohort(anatomy: Anatomy) -> None:
    both = [generate(SMALL.format(subjects=6, seed=8)) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1]
    assert all((Path(outputs[0]) / row["image"]).is_file() for row in rows(Path(outputs[0])))
    assert not list(Path(outputs[0]).glob(".*"))


def test_a_killed_generation_leaves_no_cohort_and_no_worker(
    anatomy: Anatomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "anatomy").symlink_to(cache_dir("sim", "anatomy"))
    monkeypatch.setenv("MDX_CACHE", str(tmp_path))
    process = generate(SMALL.format(subjects=400, seed=9), start_new_session=True)
    while len(images := list(tmp_path.glob("sim/.building-*/images/*"))) < 3 and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 3 <= len(images) < 400
    assert not list(tmp_path.glob("sim/brain_*"))
    deadline = time.monotonic() + 10
    while _is_alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(process.pid), "workers go on without their caller"
    made = cohort(parse(SMALL.format(subjects=2, seed=9)))
    assert len(rows(made)) == 2


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    # killed children that nobody has waited for yet still count as members of the group
    states = subprocess.run(["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True, check=False).stdout
    return any(not state.startswith("Z") for state in states.split())


def test_what_a_killed_process_left_is_cleared_away_after_a_day() -> None:
    old, young = cache_dir("sim", ".building-old"), cache_dir("sim", ".building-young")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    cohort(parse(SMALL.format(subjects=1, seed=10)))
    assert not old.exists()
    assert young.exists()
    young.rmdir()


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX feature")
def test_a_full_disk_is_one_resource_error_and_leaves_nothing(anatomy: Anatomy, tmp_path: Path) -> None:
    shutil.copytree(cache_dir("sim", "anatomy"), tmp_path / "sim" / "anatomy")  # in a cache that nobody else fills
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from mdx.errors import ResourceError; from mdx_sim.cohort import cohort; from mdx_sim.options import parse\n"
        f"try: cohort(parse('{SMALL.format(subjects=2, seed=11)}'))\n"
        "except ResourceError as error: print(error)"
    )
    own = {**os.environ, "MDX_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=own)
    assert done.returncode == 0, done.stderr
    assert "cannot be made" in done.stdout and "File too large" in done.stdout and "MDX_CACHE" in done.stdout
    assert [path.name for path in (tmp_path / "sim").iterdir()] == ["anatomy"]


def test_address_opens_as_a_dataset() -> None:
    from mdx.data.config import DataConfig
    from mdx_sim.open import open_sim

    data = open_sim("brain?sites=source,severe&subjects=4&size_mm=6&labels=tissue", DataConfig())
    assert data.task.sites == ("severe", "source")
    assert data.task.kind == "segmentation" and len(data.task.classes) == 3
    assert len(data.where(role="source")) == 4
    sample = data.load(data.cases[0])
    assert sample.mask.shape == (3, *sample.image.shape[1:])


def test_white_matter_is_stored_near_the_scanner_s_gain(registered: Path) -> None:
    row = next(row for row in rows(registered) if row["site"] == "source")
    image, mask = (in_ras(registered / row[c]).get_fdata() for c in ("image", "mask"))
    bright = np.percentile(image[mask > 0], 95)
    assert 0.6 * SIEMENS_3T.gain < bright < 1.4 * SIEMENS_3T.gain


def test_workers_import_neither_torch_nor_pandas() -> None:
    code = "import sys, mdx_sim.worker; print([m for m in ('torch', 'monai', 'pandas', 'nilearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

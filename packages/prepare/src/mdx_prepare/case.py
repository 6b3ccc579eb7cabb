"""One case from raw scans to prepared ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name that its own pages use)

from mdx.errors import DataError
from mdx.files import replacing
from mdx_prepare.bias import correct_bias, head_mask
from mdx_prepare.brain import simple_brain_mask, smooth_edge
from mdx_prepare.config import PrepareConfig
from mdx_prepare.intensities import scale_percentiles, scale_white_matter
from mdx_prepare.page import draw_case
from mdx_prepare.registration import explained, register_contrast, register_to_template, rigid_part
from mdx_prepare.suspicion import suspicions
from mdx_prepare.template import Template, load_template
from mdx_prepare.volumes import (
    affine_of,
    array_of,
    isotropic_grid,
    read_labels,
    read_scan,
    resample,
    write_volume,
)

STAYS = sitk.Transform(3, sitk.sitkIdentity)
SCANNER_SPACE = 1


@dataclass(frozen=True)
class CaseFiles:
    """What a case brings: its contrasts (the first leads), masks that move with it, and a given brain mask."""

    id: str
    images: Mapping[str, Path]
    labels: Mapping[str, Path] = field(default_factory=dict)
    brain: Path | None = None


@dataclass
class Work:
    """A case on its way through the steps; all transforms take points as in SimpleITK, from the result's side.

    Attributes:
        scans: each contrast in its own space.
        grid: where the results lie.
        move: points of the grid to points of the first contrast.
        between: points of the first contrast to points of each contrast.
        affine: points of the template to points of the first contrast; None where no template is needed.
        brain: 1 in the brain, on the grid; None where nothing is stripped.
    """

    scans: dict[str, sitk.Image]
    grid: sitk.Image
    move: sitk.Transform
    between: dict[str, sitk.Transform]
    affine: sitk.AffineTransform | None
    head: sitk.Image
    given: sitk.Image | None
    seconds: dict[str, float] = field(default_factory=dict)
    brain: sitk.Image | None = None

    def to_template(self) -> sitk.Transform:
        """Points of the grid to points of the template."""
        if self.affine is None:
            raise DataError("has no place in the template", "register it, or choose other steps")
        return sitk.CompositeTransform([self.affine.GetInverse(), self.move])

    def to_contrast(self, name: str) -> sitk.Transform:
        """Points of the grid to points of a contrast."""
        return sitk.CompositeTransform([self.between[name], self.move])

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Adds what the block takes to the seconds of ``step``."""
        started = time.perf_counter()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.perf_counter() - started, 2)


def prepare_case(files: CaseFiles, config: PrepareConfig, out: Path) -> dict[str, Any]:
    """Carry out the steps, write the results under ``out`` and return what was measured.

    Raises DataError for a scan that cannot be prepared, ResourceError where results cannot be written.
    """
    started = time.perf_counter()
    template = load_template(config.template) if config.needs_template else None
    raw, facts = {}, {}
    for name, path in files.images.items():
        raw[name], facts[name] = read_scan(path)
    labels = {name: read_labels(path, name) for name, path in files.labels.items()}
    given = read_labels(files.brain, config.mask) if files.brain else None
    read_s = round(time.perf_counter() - started, 2)
    work = _place(raw, config, template, given)
    work.seconds = {"read": read_s, **work.seconds}
    record: dict[str, Any] = {"inputs": {name: {"file": files.images[name].name, **facts[name]} for name in raw}}
    if config.corrects:
        record["bias_field_range"] = _correct(work, template)
    if template is not None:
        record["registration"] = _judge(work, template)
    if config.strips:
        record["brain"] = _find_brain(work, template)
    results, record["intensity"] = _scale(work, config, template)
    record["output"] = {"shape": list(work.grid.GetSize()), "spacing_mm": [round(v, 4) for v in work.grid.GetSpacing()]}
    form_code = template.form_code if config.moves and template is not None else SCANNER_SPACE
    record["files"] = _write(files, work, results, labels, out, form_code)
    with work.timed("picture"):
        _draw(files.id, work, next(iter(raw.values())), results, template, out)
    record["seconds"] = {**work.seconds, "all": round(time.perf_counter() - started, 2)}
    record["suspicions"] = suspicions(record)
    return record


def _place(
    scans: dict[str, sitk.Image], config: PrepareConfig, template: Template | None, given: sitk.Image | None
) -> Work:
    """Find where the results lie, and how points go from there to each scan."""
    first = next(iter(scans.values()))
    head = head_mask(first)
    grid = template.t1 if template is not None and config.moves else first
    work = Work(dict(scans), isotropic_grid(grid, config.spacing_mm), STAYS, {}, None, head, given)
    with work.timed("register"):
        if template is not None:
            work.affine = register_to_template(first, head, template)
        if config.moves and work.affine is not None:
            work.move = work.affine if config.register == "affine" else rigid_part(work.affine)
        region = _region(work, template, STAYS, first)
        for i, (name, scan) in enumerate(scans.items()):
            work.between[name] = register_contrast(scan, first, region) if i and config.moves else STAYS
    return work


def _region(work: Work, template: Template | None, between: sitk.Transform, scan: sitk.Image) -> sitk.Image:
    """Where in a scan the brain is, as far as is known: given, from the template, or the head."""
    back = between.GetInverse()
    if work.given is not None:
        return resample(work.given, scan, back, "nearest") > 0
    if template is not None and work.affine is not None:
        return resample(template.brain, scan, sitk.CompositeTransform([work.affine.GetInverse(), back]), "nearest")
    return resample(work.head, scan, back, "nearest")


def _correct(work: Work, template: Template | None) -> dict[str, float]:
    ranges = {}
    with work.timed("n4"):
        for name, scan in work.scans.items():
            work.scans[name], ranges[name] = correct_bias(scan, _region(work, template, work.between[name], scan))
    return {name: round(value, 3) for name, value in ranges.items()}


def _judge(work: Work, template: Template) -> dict[str, Any]:
    assert work.affine is not None
    with work.timed("judge"):
        names = iter(work.scans)
        first = work.scans[next(names)]
        ratio, coverage = explained(first, template.t1, template.brain, work.affine)
        scales = np.linalg.svd(_matrix(work.affine), compute_uv=False)
        judged: dict[str, Any] = {
            "correlation_ratio": round(ratio, 3), "coverage": round(coverage, 3),
            "stretch": [round(float(scales.min()), 3), round(float(scales.max()), 3)],
            "affine_lps": [list(work.affine.GetMatrix()), list(work.affine.GetTranslation()),
                           list(work.affine.GetCenter())],
        }  # fmt: skip
        region = _region(work, template, STAYS, first)
        judged["contrasts"] = {}
        for name in names:
            ratio, coverage = explained(work.scans[name], first, region, work.between[name])
            judged["contrasts"][name] = {
                **_movement(work.between[name], region),
                "correlation_ratio": round(ratio, 3), "coverage": round(coverage, 3),
            }  # fmt: skip
    return judged


def _matrix(affine: sitk.AffineTransform) -> np.ndarray:
    return np.array(affine.GetMatrix()).reshape(3, 3)


def _movement(between: sitk.Transform, region: sitk.Image) -> dict[str, float]:
    """Degrees that a contrast is turned by against the first one, and millimetres that the brain's middle moves."""
    if not isinstance(between, sitk.AffineTransform):
        return {"degrees": 0.0, "mm": 0.0}
    turn = (np.trace(_matrix(between)) - 1) / 2
    middle = np.argwhere(array_of(region) > 0).mean(axis=0)
    point = region.TransformContinuousIndexToPhysicalPoint(middle.tolist())
    moved = np.linalg.norm(np.subtract(between.TransformPoint(point), point))
    return {"degrees": round(float(np.rad2deg(np.arccos(np.clip(turn, -1, 1)))), 2), "mm": round(float(moved), 2)}


def _find_brain(work: Work, template: Template | None) -> dict[str, float]:
    """Put the brain mask on the grid; its volume in the scan's own millimetres, and its overlap with the template."""
    with work.timed("mask"):
        if work.given is not None:
            work.brain = smooth_edge(work.given > 0, work.grid, work.move)
        elif template is not None and work.affine is not None:
            first = next(iter(work.scans.values()))
            mask = simple_brain_mask(first, template, work.affine)
            work.brain = smooth_edge(mask, work.grid, work.to_template())
        assert work.brain is not None
        inside = array_of(work.brain) > 0
        if not inside.any():
            raise DataError("the brain mask is empty", "look at the mask, or leave it to --mask simple")
        shrinks = 1.0
        if isinstance(work.move, sitk.AffineTransform):
            shrinks = abs(float(np.linalg.det(_matrix(work.move))))
        found = {"ml": round(float(inside.sum() * np.prod(work.grid.GetSpacing()) / 1000) * shrinks, 1)}
        if template is not None:
            expected = array_of(resample(template.brain, work.grid, work.to_template(), "nearest")) > 0
            found["dice_with_template"] = round(
                float(2 * (inside & expected).sum() / (inside.sum() + expected.sum())), 3
            )
    return found


def _scale(
    work: Work, config: PrepareConfig, template: Template | None
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """Each contrast on the grid, stripped and scaled, and by which numbers."""
    results, numbers = {}, {}
    for name, scan in work.scans.items():
        with work.timed("resample"):
            values = array_of(resample(scan, work.grid, work.to_contrast(name)))
        with work.timed("intensity"):
            inside = (
                array_of(work.brain if work.brain is not None else resample(work.head, work.grid, work.move, "nearest"))
                > 0
            )
            numbers[name] = {}
            if config.scaling == "percentiles":
                values, (low, high) = scale_percentiles(values, inside, config.lower, config.upper)
                numbers[name] = {"low": low, "high": high}
            elif config.scaling == "wm-peak":
                assert template is not None
                white = array_of(resample(template.white_matter, work.grid, work.to_template(), "nearest")) > 0
                values, peak = scale_white_matter(values, white & inside)
                numbers[name] = {"white_matter_peak": peak}
            if work.brain is not None:
                values = np.where(inside, values, np.float32(0))
        results[name] = values.astype(np.float32)
    return results, numbers


def _write(
    files: CaseFiles, work: Work, results: dict[str, np.ndarray], labels: dict[str, sitk.Image], out: Path, code: int
) -> dict[str, dict[str, str]]:
    """Write everything of a case; the paths, relative to ``out``, by kind and column."""
    affine = affine_of(work.grid)
    written: dict[str, dict[str, str]] = {"images": {}, "masks": {}, "transforms": {}, "brain": {}}
    with work.timed("write"):
        for name, values in results.items():
            stem = files.id if len(results) == 1 else f"{files.id}_{name}"
            path = written["images"][name] = f"images/{stem}.nii.gz"
            write_volume(out / path, values, affine, code)
            path = written["transforms"][name] = f"transforms/{stem}.tfm"
            with replacing(out / path) as temporary:
                sitk.WriteTransform(work.to_contrast(name), str(temporary))
        for name, label in labels.items():
            path = written["masks"][name] = f"masks/{files.id}{'' if len(labels) == 1 else f'_{name}'}.nii.gz"
            moved = array_of(resample(label, work.grid, work.move, "nearest"))
            write_volume(out / path, moved.astype(np.uint8 if moved.max() <= 255 else np.uint16), affine, code)
        if work.brain is not None:
            path = written["brain"]["brain"] = f"brain/{files.id}.nii.gz"
            write_volume(out / path, array_of(work.brain).astype(np.uint8), affine, code)
    return written


def _draw(
    name: str, work: Work, raw: sitk.Image, results: dict[str, np.ndarray], template: Template | None, out: Path
) -> None:
    """The picture for the page: the first contrast as it came, the brain carried back to it, and each as it went."""
    brain_before = brain_after = edges = None
    if work.brain is not None:
        brain_after = array_of(work.brain)
        brain_before = array_of(smooth_edge(work.brain, raw, work.move.GetInverse()))
    if template is not None:
        edges = array_of(resample(template.white_matter, work.grid, work.to_template(), "nearest"))
        outline = array_of(resample(template.brain, work.grid, work.to_template(), "nearest"))
    else:
        outline = None
    with replacing(out / "qc" / f"{name}.jpg") as temporary:
        draw_case(
            temporary,
            before=(array_of(raw), brain_before, raw.GetSpacing()),
            after=[(values, brain_after, work.grid.GetSpacing()) for values in results.values()],
            template=None if edges is None or outline is None else (outline, edges),
        )

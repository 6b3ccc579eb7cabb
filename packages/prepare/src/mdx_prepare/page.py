"""The page of ``mdx data prepare``: every case before and after, the most suspicious first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdx.report.overlays import PREDICTED, REFERENCE
from mdx.report.pages import data_uri, write_page
from mdx.runs.folders import read_json

SCALED = {"low": "became 0", "high": "became 1", "white_matter_peak": "white matter's peak, now 1"}
BRAIN_MARGIN_MM, HEAD_MARGIN_MM = 8.0, 35.0
ROW_INCHES = 2.7
TEMPLATES = Path(__file__).parent / "templates"
Box = tuple[slice, ...]
Row = tuple[np.ndarray, np.ndarray | None, Sequence[float]]


def draw_case(path: Path, before: Row, after: Sequence[Row], template: tuple[np.ndarray, np.ndarray] | None) -> None:
    """Draw three planes through the middle of the brain: above as it came, below as it went, a row a contrast.

    Args:
        before, after: (X, Y, Z) values in RAS, the brain mask on their grid or None, and voxel edges in mm.
        template: (X, Y, Z) brain and white matter of the template on the grid of ``after``.
    """
    from matplotlib.figure import Figure

    rows = (before, *after)
    figure = Figure(figsize=(7.8, ROW_INCHES * len(rows)), dpi=100, facecolor="black")
    for row, (values, brain, spacing) in enumerate(rows):
        centre = _centre(brain, values.shape)
        box = _box(brain, spacing, BRAIN_MARGIN_MM if row else HEAD_MARGIN_MM)
        shown = values[brain > 0] if brain is not None and brain.any() else values
        low, high = np.percentile(shown, [0.5, 99.5])
        for k, axis in enumerate((2, 1, 0)):
            axes = figure.add_subplot(len(rows), 3, 3 * row + k + 1)
            across, up = [a for a in range(3) if a != axis]

            def cut(volume: np.ndarray, axis: int = axis, at: int = centre[axis], box: Box = box) -> np.ndarray:
                return np.take(volume, at, axis=axis)[tuple(box[a] for a in range(3) if a != axis)].T[::-1]

            axes.imshow(
                cut(values), cmap="gray", vmin=min(low, 0), vmax=high or 1, aspect=spacing[up] / spacing[across],
                interpolation="nearest",
            )  # fmt: skip
            outlines = [(brain, PREDICTED, 1.0)]
            if row and template is not None:
                outlines += [(template[0], REFERENCE, 0.8), (template[1], REFERENCE, 0.5)]
            for mask, colour, width in outlines:
                if mask is not None and (plane := cut(mask)).any() and not plane.all():
                    axes.contour(plane, [0.5], colors=colour, linewidths=width)
            axes.axis("off")
    figure.subplots_adjust(left=0.005, right=0.995, top=0.995, bottom=0.005, wspace=0.02, hspace=0.03)
    figure.savefig(path, facecolor="black", format="jpg", pil_kwargs={"quality": 82})


def _centre(brain: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    if brain is None or not brain.any():
        return np.array(shape) // 2
    return np.array(
        [int(np.average(np.arange(n), weights=brain.any(axis=tuple({0, 1, 2} - {a})))) for a, n in enumerate(shape)]
    )


def _box(brain: np.ndarray | None, spacing: Sequence[float], margin_mm: float) -> Box:
    """The brain's extent with a margin; everything where no brain is known."""
    if brain is None or not brain.any():
        return (slice(None),) * 3
    box = []
    for axis in range(3):
        filled = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        margin = round(margin_mm / spacing[axis])
        box.append(slice(max(0, filled[0] - margin), filled[-1] + margin + 1))
    return tuple(box)


def write_preparation_page(out: Path) -> Path:
    """Write qc.html from prepared.json and the pictures in qc/."""
    facts = read_json(out / "prepared.json")
    cases = sorted(facts["cases"].items(), key=lambda item: _order(item[1]))
    context = {
        "facts": facts,
        "settings": facts["settings"],
        "strips": _strips(facts["settings"]),
        "contrasts": max((len(record["inputs"]) for _, record in cases), default=1),
        "done": _sentences(facts),
        "cases": [_shown(name, record, facts["sites"][name], out) for name, record in cases],
        "flagged": [name for name, record in cases if record["suspicions"]],
    }
    return write_page(out / "qc.html", "preparation.html.j2", context, TEMPLATES)


def _sentences(facts: dict[str, Any]) -> list[str]:
    """What was done to each scan, in the order in which it was done."""
    s = facts["settings"]
    steps = s["steps"]
    moved = "register" in steps and s["register"] != "none"
    voxels = "the scan's own voxels" if s["spacing_mm"] is None else f"voxels of {s['spacing_mm']:g} mm"
    how = "an affine" if s["register"] == "affine" else "the rigid part of an affine"
    said = [f"Left where it lies, in RAS, on {voxels}."]
    if moved:
        said = [f"Registered to {facts['template']} by {how}; written on {voxels} in its space."]
    strips = _strips(s)
    if "n4" in steps:
        known = "the template's brain" if facts["template"] else "the head, found by its brightness"
        known = f"the masks of the column {s['mask']}" if strips and s["mask"] != "simple" else known
        said.append(f"Divided by its bias field (N4, fitted within {known}).")
    if strips:
        given = "the simple mask of mdx" if s["mask"] == "simple" else f"the masks of the column {s['mask']}"
        said.append(f"Set to 0 outside the brain ({given}).")
    if "intensity" in steps and s["intensity"] == "percentiles":
        where = "brain" if strips else "head (no brain mask was made)"
        said.append(
            f"Clipped at percentiles {s['lower']:g} and {s['upper']:g} within the {where}, then scaled to 0 to 1."
        )
    if "intensity" in steps and s["intensity"] == "wm-peak":
        said.append("Divided by the peak of its white matter, which is 1 now.")
    return said


def _strips(settings: dict[str, Any]) -> bool:
    """Whether what lies outside the brain was set to 0."""
    return "mask" in settings["steps"] and settings["mask"] != "none"


def _shown(name: str, record: dict[str, Any], site: str, out: Path) -> dict[str, Any]:
    """The texts and the picture of one case."""
    first = next(iter(record["inputs"].values()))
    rows = [("voxels, mm", f"{_times(first['spacing_mm'])} to {_times(record['output']['spacing_mm'])}"),
            ("stored as", first["orientation"])]  # fmt: skip
    if (r := record.get("registration")) is not None:
        rows += [
            ("explained by template", f"{r['correlation_ratio']:.2f}"),
            ("brain in field of view", f"{100 * r['coverage']:.1f} %"),
            ("stretch", f"{r['stretch'][0]:.2f} to {r['stretch'][1]:.2f}"),
        ]
        rows += [
            (f"{c} against first", f"{m['mm']:.1f} mm, {m['degrees']:.1f}°, explained {m['correlation_ratio']:.2f}")
            for c, m in r["contrasts"].items()
        ]
    if (b := record.get("brain")) is not None:
        rows.append(("brain mask", f"{b['ml']:.0f} ml"))
        if "dice_with_template" in b:
            rows.append(("mask on template", f"Dice {b['dice_with_template']:.2f}"))
    several = len(record["inputs"]) > 1
    for c, reach in record.get("bias_field_range", {}).items():
        rows.append((f"bias field{f', {c}' if several else ''}", f"factor {reach:.2f}"))
    for c, numbers in record["intensity"].items():
        rows += [(f"{SCALED[what]}{f', {c}' if several else ''}", f"{value:.4g}") for what, value in numbers.items()]
    rows.append(("seconds", f"{record['seconds']['all']:.0f}"))
    return {"name": name, "site": site, "rows": rows, "suspicions": record["suspicions"],
            "picture": _picture(out / "qc" / f"{name}.jpg")}  # fmt: skip


def _times(values: Sequence[float]) -> str:
    shown = [f"{v:.3g}" for v in values]
    return shown[0] if len(set(shown)) == 1 else " x ".join(shown)


def _order(record: dict[str, Any]) -> tuple[int, float]:
    """Most suspicions first, then the worst registration."""
    return -len(record["suspicions"]), (record.get("registration") or {"correlation_ratio": 1.0})["correlation_ratio"]


def _picture(path: Path) -> str:
    return data_uri(path.read_bytes(), "jpeg") if path.is_file() else ""

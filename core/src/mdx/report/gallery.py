"""Small pictures of cases that were told rightly, wrongly, or with doubt, recorded while they are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

EACH = 8
"""Pictures in a group."""
EDGE_PX = 192
"""The longest edge of a picture; it is shown at half of that, sharp on fine screens."""

Read = Callable[[str], tuple[np.ndarray, Sequence[float]]]
"""Case -> its image (C, *spatial) and the edges of its voxels in mm."""


def chosen(table: Any) -> dict[str, list[str]]:
    """Title -> the cases to be shown, from the rows of scores.csv; equal rows give equal cases.

    Classes: the surest right and wrong ones, of each true class in turn, and those whose most probable class is the
    least probable. Findings: those with the most classes told rightly, and wrongly. Values: the nearest, and those
    furthest above and below the truth. Other tasks have no gallery.
    """
    if not {"truth", "predicted"} <= set(table):
        return {}
    table = table.sort_values("case", kind="stable")
    if "error" in table:
        by_error = table.sort_values("error", kind="stable")
        return {
            "Nearest": _ids(table.sort_values("absolute_error", kind="stable")),
            "Furthest above": _ids(by_error[by_error["error"] > 0][::-1]),
            "Furthest below": _ids(by_error[by_error["error"] < 0]),
        }
    sure = table[[name for name in table if name.startswith("p_")]].to_numpy(dtype=float)
    if "accuracy" in table:
        table = table.assign(_sure=sure.max(axis=1))
        right, wrong = table[table["accuracy"] == 1], table[table["accuracy"] == 0]
    else:
        table = table.assign(_sure=np.abs(sure - 0.5).min(axis=1))
        known = table.dropna(subset=["hamming"])
        right, wrong = known[known["hamming"] == 1], known[known["hamming"] < 1]
    return {
        "Right": _in_turn(right),
        "Wrong": _in_turn(wrong),
        "Most uncertain": _ids(table.sort_values("_sure", kind="stable")),
    }


def _ids(table: Any) -> list[str]:
    return list(table["case"][:EACH])


def _in_turn(table: Any) -> list[str]:
    """The surest case of each true class, then the second of each, and so on."""
    ordered = table.sort_values("_sure", ascending=False, kind="stable")
    turn = ordered.groupby("truth", sort=True).cumcount()
    return _ids(ordered.assign(_turn=turn).sort_values(["_turn", "truth"], kind="stable"))


def record(folder: Path, table: Any, read: Read) -> list[dict[str, Any]]:
    """Write the pictures of the chosen cases as ``gallery_N.jpg``; what the index of pictures holds of them."""
    groups = {title: cases for title, cases in chosen(table).items() if cases}
    files: dict[str, dict[str, Any]] = {}
    for case in (case for cases in groups.values() for case in cases):
        if case not in files:
            name = f"gallery_{len(files)}.jpg"
            files[case] = {"case": case, "file": name, **save_small(folder / name, *read(case))}
    return [{"title": title, "cases": [files[case] for case in cases]} for title, cases in groups.items()]


def save_small(path: Path, image: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, int]:
    """A JPEG of an image, of a volume its middle axial slice; ``wide`` and ``high`` say how large it is shown, in px.

    Grey levels go from the 1st to the 99.5th percentile of the image; three channels of a picture are colours.
    """
    from PIL import Image

    low, high = np.percentile(image, [1, 99.5])
    shown = np.clip((slice_of(image) - low) / max(high - low, 1e-6), 0, 1)
    rows, columns = (spacing_mm[1], spacing_mm[0]) if image.ndim == 4 else (spacing_mm[0], spacing_mm[1])
    tall, wide = shown.shape[0] * rows, shown.shape[1] * columns
    scale = EDGE_PX / max(tall, wide)
    size = max(2, round(wide * scale)), max(2, round(tall * scale))
    small = Image.fromarray((255 * shown).round().astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    small.save(path, quality=82)
    return {"wide": size[0] // 2, "high": size[1] // 2}


def slice_of(image: np.ndarray, at: int | None = None) -> np.ndarray:
    """(H, W), or (H, W, 3) of a picture in colours, of (C, *spatial); of a volume an axial slice, the middle one.

    As in ``overlays.overlay`` the front is up and the patient's left on the left.
    """
    if image.ndim == 4:
        return image[0, ..., image.shape[-1] // 2 if at is None else at].T[::-1]
    return np.moveaxis(image, 0, -1) if len(image) == 3 else image[0]

"""Pictures of single cases on the page of a run: what was recorded while they were scored, ready to be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdx.errors import DataError
from mdx.report.pages import data_uri
from mdx.runs.folders import AGAIN, read_json

INDEX = "pictures.json"
"""Which case a picture in ``figures/`` shows: ``overlays``, ``changes`` and ``gallery``."""
RANKS = ("best", "median", "worst")


@dataclass(frozen=True)
class PicturesOfCases:
    """Pictures ready for the page; each has ``uri``, ``alt``, ``case`` and ``anchor``.

    Attributes:
        overlays: of the best, median and worst case.
        changes: of cases whose image the method changes, before and after.
        gallery: (title, pictures) of small pictures with what was said of them.
        anchors: case -> the name of its first picture on the page.
    """

    overlays: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    gallery: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)

    @property
    def anchors(self) -> dict[str, str]:
        """Case -> the anchor of its first picture."""
        every = [*self.overlays, *self.changes, *(p for _, pictures in self.gallery for p in pictures)]
        return {p["case"]: p["anchor"] for p in reversed(every) if p["case"]}


def pictures_of_cases(directory: Path, table: Any) -> PicturesOfCases:
    """The pictures of a scored method; ``table`` is its scores.csv. Raises DataError for a damaged index."""
    folder = directory / "figures"
    index: Mapping[str, Any] = read_json(folder / INDEX) if (folder / INDEX).exists() else {}
    rows = table.drop_duplicates("case").set_index("case").to_dict(orient="index")
    with _whole(folder / INDEX):
        of_overlays, of_changes = index.get("overlays", {}), index.get("changes", {})
        return PicturesOfCases(
            [_ranked(path, name, of_overlays.get(name, ""), "prediction and reference drawn on the image")
             for name in RANKS if (path := folder / f"overlay_{name}.png").exists()],
            [_ranked(path, name, case, f"the image before, {index['changed_to']}, and the difference")
             for name, case in of_changes.items() if (path := folder / change_file(name)).exists()],
            [(group["title"], [_small(folder, each, rows.get(each["case"], {}), f"g{g}-{i}")
                               for i, each in enumerate(group["cases"]) if (folder / each["file"]).exists()])
             for g, group in enumerate(index.get("gallery", []))],
        )  # fmt: skip


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Raise DataError for an index that is none."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"is damaged ({type(error).__name__}: {error})", AGAIN, path) from error


def change_file(rank: str) -> str:
    """The file of the picture before and after of the case of a rank."""
    return f"change_{rank.replace(' ', '_')}.png"


def _ranked(path: Path, name: str, case: str, what: str) -> dict[str, Any]:
    said = f"{name} test case{f', {case}' if case else ''}: {what}"
    uri = data_uri(path.read_bytes(), "png")
    return {"uri": uri, "alt": said[0].upper() + said[1:], "case": case, "anchor": path.stem.replace("_", "-")}


def _small(folder: Path, entry: Mapping[str, Any], row: Mapping[str, Any], anchor: str) -> dict[str, Any]:
    """A picture of the gallery, with the lines below it."""
    case, truth, predicted = entry["case"], row.get("truth", ""), row.get("predicted", "")
    if "error" in row:
        lines = [f"true {truth:.4g}", f"said {predicted:.4g}", f"error {row['error']:+.3g}"]
    else:
        sure = row.get(f"p_{predicted}")
        lines = [f"true {truth}", f"said {predicted}" + (f" {sure:.2f}" if isinstance(sure, float) else "")]
    uri = data_uri((folder / entry["file"]).read_bytes(), "jpeg")
    return {
        "uri": uri, "case": case, "anchor": anchor, "site": row.get("site", ""), "lines": lines,
        "alt": f"{case}: {', '.join(lines)}", "wide": entry["wide"], "high": entry["high"],
    }  # fmt: skip

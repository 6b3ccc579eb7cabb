"""Boxes as people store them: in a cell of the table, in a PASCAL VOC file or in a CSV file of one image.

Coordinates are those of the picture as a viewer shows it: x to the right, y downwards, in pixels, where the first
pixel reaches from 0 to 1.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mdx.data.files.formats import file_content, reading
from mdx.errors import DataError

Box = tuple[float, float, float, float, str]
"""x1, y1, x2, y2, class."""
FILES = (".xml", ".csv", ".tsv")
ANY = "object"
"""The class of boxes that name none."""


def looks_like_boxes(cell: str) -> bool:
    """Whether a cell may hold boxes or name their file."""
    return cell.startswith("[") or cell.lower().endswith(FILES)


def boxes_text(boxes: Iterable[Box]) -> str:
    """Boxes as the cell that ``boxes_of`` reads."""
    return json.dumps([[*box[:4], box[4]] for box in boxes])


def boxes_of(cell: str) -> list[Box]:
    """``[[x1, y1, x2, y2, "class"], ...]`` as boxes; without classes all are of the class ``object``; ``[]``: none.

    Raises DataError for what is no list of boxes.
    """
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise DataError(f"'{cell[:40]}' is no list of boxes", 'write [[x1, y1, x2, y2, "class"], ...]')
    return [_box(entry) for entry in found]


def read_boxes(path: Path) -> list[Box]:
    """The boxes of a file: PASCAL VOC (.xml), or a table with the columns x1, y1, x2, y2 and, if there are several,
    class. VOC numbers pixels from 1 and counts the last one in.

    Raises DataError that names the file.
    """
    with reading(path):
        text = file_content(path).decode("utf-8-sig")
        if path.suffix.lower() == ".xml":
            return [_of_voc(entry) for entry in _xml(text).iter("object")]
        rows = csv.DictReader(text.splitlines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        missing = {"x1", "y1", "x2", "y2"} - set(rows.fieldnames or ())
        if missing:
            raise DataError(f"has no column {', '.join(sorted(missing))}", "name its columns x1, y1, x2, y2, class")
        return [_box([row["x1"], row["y1"], row["x2"], row["y2"], row.get("class") or ANY]) for row in rows]


def _xml(text: str) -> ElementTree.Element:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # entities can name files and grow without end
        raise DataError("defines entities, which no list of boxes needs", "remove its DOCTYPE")
    return ElementTree.fromstring(text)


def _of_voc(entry: ElementTree.Element) -> Box:
    corners = [entry.findtext(f"bndbox/{name}") for name in ("xmin", "ymin", "xmax", "ymax")]
    if None in corners:
        raise DataError("an object has no bndbox of xmin, ymin, xmax and ymax", "export it as PASCAL VOC again")
    x1, y1, x2, y2, name = _box([*corners, entry.findtext("name") or ANY], thin=True)
    return (x1 - 1, y1 - 1, x2, y2, name)


def _box(entry: Any, thin: bool = False) -> Box:
    """A box from its five or four parts; ``thin``: edges may coincide, since pixels are counted in."""
    if not isinstance(entry, Sequence) or isinstance(entry, str) or len(entry) not in (4, 5):
        raise DataError(f"{str(entry)[:60]} is no box", "write x1, y1, x2, y2 and the class")
    try:
        x1, y1, x2, y2 = (float(part) for part in entry[:4])
    except (TypeError, ValueError):
        raise DataError(f"{str(entry)[:60]} is no box", "write four numbers and the class") from None
    wide = (x2 > x1 and y2 > y1) or (thin and x2 >= x1 and y2 >= y1)
    if not all(math.isfinite(v) for v in (x1, y1, x2, y2)) or not wide:
        raise DataError(f"the box {str(list(entry))[:60]} has no area", "write x1 < x2 and y1 < y2, x to the right")
    return (x1, y1, x2, y2, str(entry[4]) if len(entry) == 5 else ANY)

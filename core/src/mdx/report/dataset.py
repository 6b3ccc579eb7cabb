"""The page of a cohort: what its files are like, what is wrong with them, and a picture of each site."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdx.data.checks import CheckReport
from mdx.data.overview import HEADS, SiteOverview
from mdx.data.problems import Problem
from mdx.errors import MdxError
from mdx.interfaces.dataset import Dataset
from mdx.report.pages import data_uri, without_folders, write_page

MOST_PICTURES = 12
WIDTH = 240


def write_dataset_page(
    path: Path, name: str, data: Dataset, found: CheckReport, sites: Sequence[SiteOverview],
    confounding: Mapping[str, Any] | None,
) -> Path:  # fmt: skip
    """Write the page of a cohort that has been checked; its path."""
    warned = [Problem("the table", confounding["warning"], "")] if confounding and confounding["warning"] else []
    return write_page(path, "dataset.html.j2", {
        "name": without_folders(name), "cases": found.cases, "files": found.files, "heads": HEADS,
        "subjects": len({case.subject for case in data.cases}), "sites": [site.cells() for site in sites],
        "errors": found.errors, "warnings": [*found.warnings, *warned], "notes": found.notes,
        "confounding": confounding,
        "pictures": _pictures(data), "label": data.task.label,
    })  # fmt: skip


def _pictures(data: Dataset) -> list[tuple[str, str]]:
    """(site and case, PNG) of the first case of each site that can be read, as a method is given it."""
    made = []
    for site in sorted({case.site for case in data.cases})[:MOST_PICTURES]:
        for case in data.where(site=site).cases[:3]:
            try:
                image = data.load(case).image.numpy()
            except MdxError:
                continue  # it stands among the errors
            made.append((f"{site}: {case.id}", _png(image)))
            break
    return made


def _png(image: np.ndarray) -> str:
    """A picture, or the middle slice of a volume, on its own scale.

    Args:
        image: (C, *spatial); three channels of a picture are colours.
    """
    from PIL import Image

    colours = image.ndim == 3 and len(image) == 3
    shown = np.moveaxis(image, 0, -1) if colours else image[0] if image.ndim == 3 else np.rot90(
        image[0, ..., image.shape[-1] // 2]
    )  # fmt: skip
    low, high = np.percentile(shown, [0.5, 99.5])
    values = (np.clip((shown - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(values)
    picture = picture.resize((WIDTH, max(1, round(WIDTH * picture.height / picture.width))))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return data_uri(stream.getvalue(), "png")

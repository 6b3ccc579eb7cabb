"""The Calgary-Campinas collection (CC359) as it is distributed, and as the paper's authors keep it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mdx import Case
from mdx.errors import DataError
from mdx.layouts import InitResult, read_rows, stem, suffix_of, walk

VENDORS = {"siemens": "sm", "ge": "ge", "philips": "ph"}
SCAN = re.compile(r"(CC\d+)_(siemens|ge|philips)_(15|3)_(\d+)_([A-Za-z]+?)(_ss|_staple)?", re.IGNORECASE)
META = ("id", "MRI", "brain_mask", "tomograph_model", "tesla_value")


class CC359:
    """359 T1 volumes of three makers at 1.5 and 3 T with brain masks; sites are sm15, sm3, ge15, ge3, ph15, ph3.

    Distributed: ``CC0001_philips_15_55_M.nii.gz`` with the silver standard mask ``..._ss.nii.gz`` in any folders below.
    The authors' form: ``images/``, ``masks/`` and a ``meta.csv`` that names them (columns id, MRI, brain_mask,
    tomograph_model, tesla_value).
    """

    summary = "Calgary-Campinas brain MR: CC0001_philips_15_55_M.nii.gz with masks *_ss, or images/ and meta.csv"
    options: Mapping[str, str] = {
        "mask": "ss for the silver standard (if not given), staple for the consensus of methods"
    }

    def recognises(self, folder: Path) -> bool:
        """By a name such as CC0001_philips_15_55_M, or by a meta.csv with the authors' columns."""
        if self._has_meta(folder):
            return True
        found = (path for pattern in ("CC*.nii*", "*/CC*.nii*") for path in folder.glob(pattern))
        return any(SCAN.fullmatch(stem(path)) for path in found)

    def read(self, folder: Path, options: Mapping[str, str]) -> InitResult:
        """The scans with their masks, ages and sexes."""
        return self._of_authors(folder) if self._has_meta(folder) else self._distributed(folder, options)

    def _has_meta(self, folder: Path) -> bool:
        try:
            return set(META) <= set(read_rows(folder / "meta.csv")[0])
        except DataError:  # not there, or of something else
            return False

    def _distributed(self, folder: Path, options: Mapping[str, str]) -> InitResult:
        kind = options.get("mask", "ss")
        if kind not in ("ss", "staple"):
            raise DataError(f"there are no masks of the kind '{kind}'", "use ss or staple", folder)
        result = InitResult([])
        scans: dict[str, tuple[Path, str, str, str]] = {}
        masks: dict[str, Path] = {}
        for path in (path for path in walk(folder) if suffix_of(path)):
            inside = str(path.relative_to(folder))
            found = SCAN.fullmatch(stem(path))
            if found is None:
                result.skipped.append((inside, "its name is not CC0000_vendor_field_age_sex"))
                continue
            subject, vendor, field, age, sex, mask = found.groups()
            if mask is None:
                site = VENDORS[vendor.lower()] + field
                if subject in scans:
                    result.skipped.append((inside, f"another scan of {subject} is taken"))
                else:
                    scans[subject] = path, site, age, sex.upper()
            elif mask.lower() == f"_{kind}":
                masks[subject] = path
            else:
                result.skipped.append((inside, f"a mask of another kind (?mask={mask[1:].lower()} takes it)"))
        for subject, (path, site, age, sex) in sorted(scans.items()):
            columns = {"age": age, "sex": sex}
            result.cases.append(Case(subject, subject, site, {"image": path}, masks.get(subject), columns=columns))
        missing = sum(subject not in masks for subject in scans)
        if missing:
            result.messages.append(f"{missing} of {len(scans)} scans have no mask *_{kind}")
        result.skipped += [
            (str(path.relative_to(folder)), "a mask without an image") for s, path in masks.items() if s not in scans
        ]
        return result

    def _of_authors(self, folder: Path) -> InitResult:
        result = InitResult([])
        for row in read_rows(folder / "meta.csv")[1]:
            image, mask = (_found(folder, row[name]) for name in ("MRI", "brain_mask"))
            vendor = VENDORS.get(row["tomograph_model"].lower(), row["tomograph_model"].lower())
            if image is None:
                result.skipped.append((row["id"], f"there is no file {row['MRI'] or 'named'}"))
            elif vendor not in VENDORS.values():
                result.skipped.append((row["id"], f"the maker '{row['tomograph_model']}' is not one of CC359"))
            else:
                field = "15" if float(row["tesla_value"]) in (1.5, 15.0) else "3"
                fold = {"fold": row["fold"]} if "fold" in row else {}
                result.cases.append(Case(row["id"], row["id"], vendor + field, {"image": image}, mask, columns=fold))
                if mask is None:
                    result.messages.append(f"{row['id']} has no mask")
        return result


def _found(folder: Path, cell: str) -> Path | None:
    """The file that a cell of meta.csv names: below the folder, whatever the path of the authors' machine was."""
    parts = Path(cell.replace("\\", "/")).parts
    places = (folder.joinpath(*parts[start:]) for start in range(len(parts)) if parts[start] != "/")
    return next((place for place in places if place.is_file()), None)

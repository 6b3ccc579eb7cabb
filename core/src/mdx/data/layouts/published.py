"""Published collections in the layout they are distributed in: MSD tasks, IXI, the multi-site prostate collection."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdx.data.cells import read_rows
from mdx.data.files.formats import stem, suffix_of
from mdx.data.layouts.layout import ONE_SITE, InitResult
from mdx.errors import DataError
from mdx.files import walk
from mdx.interfaces.dataset import Case


class Decathlon:
    """A task of the Medical Segmentation Decathlon, or a raw dataset of nnU-Net: dataset.json, imagesTr, labelsTr."""

    summary = "Medical Segmentation Decathlon and nnU-Net: dataset.json, imagesTr, labelsTr"
    options: Mapping[str, str] = {}

    def recognises(self, folder: Path) -> bool:
        """By dataset.json beside imagesTr."""
        return (folder / "dataset.json").is_file() and (folder / "imagesTr").is_dir()

    def read(self, folder: Path, options: Mapping[str, str]) -> InitResult:
        """The labelled cases: one file with all channels (MSD), or one for each, numbered from 0000 (nnU-Net)."""
        about = _json(folder / "dataset.json")
        names = about.get("modality") or about.get("channel_names") or {"0": "image"}
        result = InitResult([])
        images: dict[str, dict[str, Path]] = defaultdict(dict)
        for path in sorted((folder / "imagesTr").iterdir()):
            name = stem(path)
            numbered = re.fullmatch(r"(.+)_(\d{4})", name)
            if not suffix_of(path) or path.name.startswith("."):
                continue
            if numbered and str(int(numbered.group(2))) in names and not (folder / "labelsTr" / path.name).exists():
                images[numbered.group(1)][_column(names, int(numbered.group(2)))] = path
            else:
                images[name]["image"] = path
        labels = {stem(path): path for path in sorted((folder / "labelsTr").glob("[!.]*")) if suffix_of(path)}
        columns = max(images.values(), key=len).keys() if images else ()
        for name, files in images.items():
            if name not in labels:
                result.skipped.append((f"imagesTr/{name}", "it has no label"))
            elif files.keys() != columns:
                result.skipped.append((f"imagesTr/{name}", f"it has no {', '.join(columns - files.keys())}"))
            else:
                ordered = {column: files[column] for column in sorted(columns, key=_order(names))}
                result.cases.append(Case(name, name, ONE_SITE, ordered, labels[name]))
        result.skipped += [(f"labelsTr/{name}", "a mask without an image") for name in labels if name not in images]
        tested = sum(1 for path in folder.glob("imagesTs/[!.]*") if suffix_of(path))
        if tested:
            result.skipped.append((f"{tested} file(s) in imagesTs/", "their labels are not published"))
        if len(columns) > 1:
            listed = ",".join(sorted(columns, key=_order(names)))
            result.messages.append(f"several contrasts: use --set data.image={listed}")
        elif len(names) > 1:
            listed = ", ".join(str(names[key]) for key in sorted(names, key=str))
            result.messages.append(f"the channels of each file are {listed}, in this order")
        found = _labels(about.get("labels", {}))
        if found:
            result.messages.append(f"values of the masks: {', '.join(f'{v} {name}' for v, name in found)}")
        return result


def _json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error})", "correct it, or use --layout none", path) from error
    if not isinstance(raw, dict):
        raise DataError("is no JSON object", "correct it, or use --layout none", path)
    return raw


def _column(names: Mapping[str, str], number: int) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", str(names[str(number)])).strip("_").lower() or f"image_{number:04d}"


def _order(names: Mapping[str, str]) -> Any:
    columns = [_column(names, int(key)) for key in sorted(names, key=int)]
    return lambda column: columns.index(column) if column in columns else len(columns)


def _labels(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(value, name) above 0 of ``{"1": "liver"}`` (MSD) or ``{"liver": 1}`` (nnU-Net)."""
    pairs = [(str(k), str(v)) if str(k).isdigit() else (str(v), str(k)) for k, v in raw.items()]
    return sorted((value, name) for value, name in pairs if value != "0")


class Prostate:
    """The multi-site prostate T2 collection of Liu et al. (2020): a folder a site, CaseXX and CaseXX_segmentation."""

    summary = "multi-site prostate MR: RUNMC, BMC, I2CVB, UCL, BIDMC, HK with CaseXX and CaseXX_segmentation"
    options: Mapping[str, str] = {}
    sites = ("RUNMC", "BMC", "I2CVB", "UCL", "BIDMC", "HK", "ISBI", "ISBI_1.5")
    scan = re.compile(r"(case\d+)(_segmentation)?", re.IGNORECASE)

    def recognises(self, folder: Path) -> bool:
        """By at least two folders named as its sites that hold a ``Case`` and its segmentation."""
        return sum(any((folder / site).glob("[Cc]ase*_[Ss]egmentation.nii*")) for site in self.sites) >= 2

    def read(self, folder: Path, options: Mapping[str, str]) -> InitResult:
        """The labelled cases; numbers start again at each site, so subjects are ``SITE_Case00``."""
        result = InitResult([])
        for site in (name for name in self.sites if (folder / name).is_dir()):
            images: dict[str, Path] = {}
            masks: dict[str, Path] = {}
            for path in sorted((folder / site).iterdir()):
                found = self.scan.fullmatch(stem(path)) if suffix_of(path) else None
                if found is None:
                    result.skipped.append((f"{site}/{path.name}", "its name is not CaseXX or CaseXX_segmentation"))
                else:
                    (masks if found.group(2) else images)[found.group(1).lower()] = path
            for number, path in images.items():
                if number in masks:
                    name = f"{site}_{stem(path)}"
                    result.cases.append(Case(name, name, site, {"image": path}, masks[number]))
                else:
                    result.skipped.append((f"{site}/{path.name}", "it has no segmentation"))
            result.skipped += [(f"{site}/{masks[n].name}", "a mask without an image") for n in masks if n not in images]
        result.messages.append("some sites label zones (1, 2), others the gland: use --set data.classes=foreground")
        return result


class IXI:
    """IXI: ``IXI002-Guys-0828-T1.nii.gz``, with age and sex of IXI.csv (the published IXI.xls saved as CSV)."""

    summary = "IXI: IXI002-Guys-0828-T1.nii.gz, with age and sex of IXI.csv"
    options: Mapping[str, str] = {"suffix": "T1, or T1,T2,PD for several contrasts; the commonest if not given"}
    scan = re.compile(r"(IXI\d+)-([A-Za-z]+)-(\d+)-([A-Za-z0-9]+)")
    demographics = ("IXI.csv", "IXI.tsv", "ixi.csv")
    names: Mapping[str, str] = {"AGE": "age", "SEX_ID (1=m, 2=f)": "sex", "HEIGHT": "height_cm", "WEIGHT": "weight_kg"}

    def recognises(self, folder: Path) -> bool:
        """By a name such as IXI002-Guys-0828-T1.nii.gz in the folder or one below it."""
        found = (path for pattern in ("IXI*.nii*", "*/IXI*.nii*") for path in folder.glob(pattern))
        return any(self.scan.fullmatch(stem(path)) for path in found)

    def read(self, folder: Path, options: Mapping[str, str]) -> InitResult:
        """The subjects that have every contrast. The site is that of the name: HH, Guys or IOP."""
        result = InitResult([])
        found: dict[tuple[str, str, str], dict[str, Path]] = defaultdict(dict)
        for path in (path for path in walk(folder) if ".nii" in path.name):
            match = self.scan.fullmatch(stem(path))
            if match is None:
                result.skipped.append((str(path.relative_to(folder)), "its name is not IXI000-SITE-0000-CONTRAST"))
            else:
                found[match.group(1), match.group(2), match.group(3)][match.group(4)] = path
        counts: dict[str, int] = defaultdict(int)
        for by_contrast in found.values():
            for contrast in by_contrast:
                counts[contrast] += 1
        commonest = sorted(counts, key=lambda c: (-counts[c], c != "T1", c))[:1]
        suffixes = [s.strip() for s in options["suffix"].split(",")] if options.get("suffix") else commonest
        people = self._people(folder, result)
        for (subject, site, number), by_contrast in sorted(found.items()):
            missing = [suffix for suffix in suffixes if suffix not in by_contrast]
            if missing:
                result.skipped.append((f"{subject}-{site}-{number}", f"it has no {' and no '.join(missing)}"))
                continue
            images = {"image" if len(suffixes) == 1 else s.lower(): by_contrast[s] for s in suffixes}
            facts = people.get(int(subject[3:]), {})
            columns = {name: facts.get(name) for name in self.names.values()} if people else {}
            result.cases.append(Case(f"{subject}-{site}-{number}", subject, site, images, columns=columns))
        left = {c: n for c, n in counts.items() if c not in suffixes}
        if left:
            listed = ", ".join(f"{c} ({n})" for c, n in sorted(left.items()))
            result.messages.append(f"contrast {', '.join(suffixes)} is taken; also there: {listed} (?suffix=T1,T2)")
        if len(suffixes) > 1:
            result.messages.append(f"several contrasts: use --set data.image={','.join(s.lower() for s in suffixes)}")
        return result

    def _people(self, folder: Path, result: InitResult) -> dict[int, dict[str, str | None]]:
        places = [place / name for place in (folder, folder.parent) for name in self.demographics]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            sheet = next((p for place in (folder, folder.parent) for p in place.glob("IXI.xls*")), None)
            result.messages.append(
                f"{sheet} is not read: save it as IXI.csv beside it for age and sex" if sheet
                else "without IXI.csv (the published IXI.xls saved as CSV) there is no age and no sex"
            )  # fmt: skip
            return {}
        header, rows = read_rows(path)
        if "IXI_ID" not in header:
            raise DataError("has no column 'IXI_ID'", "save the published IXI.xls as CSV", path)
        by_id: dict[int, list[dict[str, str]]] = defaultdict(list)
        for row in rows:
            by_id[int(float(row["IXI_ID"]))].append(row)
        people: dict[int, dict[str, str | None]] = {}
        for number, own in by_id.items():
            facts = [self._facts(row) for row in own]
            people[number] = {k: v for k, v in facts[0].items() if all(f[k] == v for f in facts)}
            if any(f != facts[0] for f in facts):
                result.skipped.append((f"IXI{number:03d}", f"its {len(own)} rows in {path.name} differ: left empty"))
        return people

    def _facts(self, row: Mapping[str, str]) -> dict[str, str | None]:
        facts = {name: row.get(column) or None for column, name in self.names.items()}
        facts["sex"] = {"1": "m", "2": "f"}.get(str(facts["sex"]).removesuffix(".0"))
        return {k: None if k in ("height_cm", "weight_kg") and v in ("0", "0.0") else v for k, v in facts.items()}

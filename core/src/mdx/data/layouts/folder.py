"""Any folder of images: masks are paired by name, sites are folders, DICOM is gathered into series."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdx.data.files.formats import DICOMS, SUFFIXES, stem, suffix_of
from mdx.data.layouts.joining import CHANNEL, IMAGE_FOLDERS
from mdx.data.layouts.layout import ONE_SITE, InitResult
from mdx.data.layouts.people import name_after_folders, part_people
from mdx.errors import DataError
from mdx.files import LINK_TO_NOTHING, walk, why_not_walked
from mdx.interfaces.dataset import Case

if TYPE_CHECKING:
    from mdx.data.files.dicom import Series

MASK_FOLDER = re.compile(r"(.*[_-])?(labels?|masks?|labelstr|labelsts|segmentations?|seg|annotations)", re.IGNORECASE)
_TWIN = {"labelstr": "imagestr", "labelsts": "imagests", "imagestr": "imagestr", "imagests": "imagests"}
MASK_NAME = re.compile(r"[_-](mask|masks|seg|segmentation|dseg|label|labels|gt)$", re.IGNORECASE)
SUBJECT = re.compile(r"(?:^|[/_])sub-([A-Za-z0-9]+)")  # BIDS
NO_SITE = re.compile(r"sub-|ses-|derivatives$", re.IGNORECASE)
SITE_TAGS = ("Manufacturer", "ManufacturerModelName", "MagneticFieldStrength")
NO_IMAGES = {"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO", "REG"}

SHOWN = 8


class Folder:
    """A folder of images, with masks in ``labels``, ``masks``... or named ``*_mask``, ``*_seg``..., or of DICOM files.

    The subject is BIDS' ``sub-``, else the file's name; of DICOM a pseudonym of PatientID. The site is the first folder
    below the top, else one for all; of DICOM the scanner's maker, model and field strength.
    """

    summary = "images with masks beside them or in a folder of masks; DICOM series"
    options: Mapping[str, str] = {
        "site_tags": "DICOM tags that make the site, such as Manufacturer,MagneticFieldStrength,InstitutionName",
        "tags": "DICOM tags that become columns, such as Modality,SeriesDescription",
    }

    def recognises(self, folder: Path) -> bool:
        """Never: it is what is left."""
        return False

    def read(self, folder: Path, options: Mapping[str, str]) -> InitResult:
        """The cases of ``folder``. Raises DataError where it holds no images."""
        result = InitResult([])
        images, masks, dicom_folders = _find(folder, result)
        series = _series(dicom_folders, folder, result)
        if not images and not series:
            left = "".join(f"\n  {what}: {why}" for what, why in result.skipped[:SHOWN])
            raise DataError(
                f"holds no images{' that can be used:' if left else ''}{left}",
                f"mdx reads {', '.join(SUFFIXES)} and folders of DICOM; convert others first", folder,
            )  # fmt: skip
        images = _one_of_each_name(images, folder, result)
        grouped = {**_by_case(images), **{path: [path] for path in series}}
        paired = _pair(grouped, masks, folder, result)
        for key, channels in grouped.items():
            mask, found = paired.get(key), series.get(channels[0])
            case = _case(key, channels, mask, folder)
            result.cases.append(case if found is None else _of_series(case, found, options))
        names = {key.name for key in grouped if key not in series}
        names |= name_after_folders(result, folder, names, lambda case: _below_its_site(case, folder))
        part_people(result, names | {case.subject for case in result.cases if _is_of_a_study_of_the_site(case, folder)})
        _advise(result, bool(series), dict(options))
        return result


def _find(folder: Path, result: InitResult) -> tuple[list[Path], list[Path], set[Path]]:
    """Images and masks, and the folders that DICOM files lie in."""
    from mdx.data.files.dicom import is_dicom_file

    images, masks, dicom_folders, others = [], [], set[Path](), dict[Path, str]()
    hidden = 0
    for path in walk(folder):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts):
            hidden += bool(suffix_of(path)) and any(part.startswith(".") for part in inside.parts[:-1])
        elif path.is_dir():
            result.skipped.append((str(inside), why_not_walked(path)))
        elif not path.exists():
            result.skipped.append((str(inside), LINK_TO_NOTHING))
        elif not path.is_file():
            result.skipped.append((str(inside), "no regular file"))
        elif suffix_of(path) in DICOMS or (not suffix_of(path) and is_dicom_file(path)):
            dicom_folders.add(path.parent)
        elif suffix_of(path):
            (masks if _is_mask(inside, stem(path)) else images).append(path)
        else:
            others[path] = "".join(path.suffixes[-1:]).lower() or path.name
    for path in [p for p, suffix in others.items() if suffix in _suffixes_of_plugins()] if others else []:
        (masks if _is_mask(path.relative_to(folder), path.stem) else images).append(path)
        del others[path]
    if hidden:
        result.skipped.append((f"{hidden} file(s) in folders with a leading dot", "hidden"))
    counts = Counter(others.values())
    result.skipped += [(f"{n} file(s) *{suffix}", "not an image that mdx reads") for suffix, n in counts.most_common()]
    return images, masks, dicom_folders


def _one_of_each_name(images: Iterable[Path], folder: Path, result: InitResult) -> list[Path]:
    """Of files whose names differ in the suffix only, the last: ``scan.nii.gz`` and not ``scan.nii``."""
    by_name: dict[Path, list[Path]] = defaultdict(list)
    for path in images:
        by_name[path.parent / _name(path)].append(path)
    for *others, taken in by_name.values():
        reason = f"a file of that name is taken ({taken.name})"
        result.skipped += [(str(path.relative_to(folder)), reason) for path in others]
    return [files[-1] for files in by_name.values()]


def _suffixes_of_plugins() -> set[str]:
    from mdx.data.files.images import hooks

    return {suffix.lower() for group in hooks().call("mdx_image_suffixes") for suffix in group}


def _is_mask(inside: Path, name: str) -> bool:
    return any(MASK_FOLDER.fullmatch(part) for part in inside.parts[:-1]) or bool(MASK_NAME.search(name))


def _is_plain(part: str) -> bool:
    """Whether the name of a folder says only that images or masks are in it."""
    return part.lower() in IMAGE_FOLDERS or MASK_FOLDER.fullmatch(part) is not None


def _name(path: Path) -> str:
    return stem(path) if suffix_of(path) else path.stem


def _by_case(images: Iterable[Path]) -> dict[Path, list[Path]]:
    """Folder and name without nnU-Net's channel number -> its files; numbers that do not start at 0 are names."""
    grouped: dict[Path, list[Path]] = defaultdict(list)
    for path in images:
        grouped[path.parent / CHANNEL.sub("", _name(path))].append(path)
    separate = {
        key: files
        for key, files in grouped.items()
        if len(files) > 1 and not any(_name(file).endswith("_0000") for file in files)
    }
    for key, files in separate.items():
        del grouped[key]
        grouped.update({key.parent / _name(file): [file] for file in files})
    return dict(sorted(grouped.items()))


def _pair(
    grouped: Mapping[Path, Sequence[Path]], masks: Iterable[Path], folder: Path, result: InitResult
) -> dict[Path, Path]:
    """The mask of each case: of equal name, or the longest name that its own begins with, nearest in the tree."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for mask in masks:
        by_name[MASK_NAME.sub("", _name(mask))].append(mask)
    paired: dict[Path, Path] = {}
    for key in grouped:
        parts = re.split(r"(?=[_-])", key.name)
        names = ("".join(parts[:n]) for n in range(len(parts), 0, -1))
        candidates = next((near for name in names if (near := _near(by_name.get(name, ()), key, folder))), [])
        if len(candidates) == 1:
            paired[key] = candidates[0]
        elif candidates:
            listed = ", ".join(str(path.relative_to(folder)) for path in candidates[:3])
            result.messages.append(f"{_below(key, folder)} has several masks ({listed}): none was taken")
    used = set(paired.values())
    unused = [mask for of_name in by_name.values() for mask in of_name if mask not in used]
    result.skipped += [(str(mask.relative_to(folder)), "a mask without an image") for mask in sorted(unused)]
    return paired


def _below(path: Path, folder: Path) -> Path:
    """A path within the folder; ``scans#3``, a series of several in the folder itself, has its own name."""
    return path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)


def _near(masks: Iterable[Path], key: Path, folder: Path) -> list[Path]:
    """The masks whose folders are those of the image, apart from ``images`` against ``labels``."""
    own = _place(_below(key, folder))
    return [mask for mask in masks if _place(mask.relative_to(folder)) == own]


def _place(inside: Path) -> tuple[str, ...]:
    parts = [_TWIN.get(part.lower(), part) for part in inside.parts[:-1]]
    return tuple(part for part in parts if part in _TWIN.values() or not _is_plain(part))


def _case(key: Path, channels: Sequence[Path], mask: Path | None, folder: Path) -> Case:
    inside = _below(key, folder)
    bids = SUBJECT.search(inside.as_posix())
    columns = [CHANNEL.search(_name(path)) for path in channels] if len(channels) > 1 else [None]
    images = {f"image_{c.group(1)}" if c else "image": path for c, path in zip(columns, channels, strict=True)}
    return Case(key.name, bids.group(1) if bids else key.name, _site_folder(inside) or ONE_SITE, images, mask)


def _site_folder(inside: Path) -> str | None:
    names = [p for p in inside.parts[:-1] if not _is_plain(p) and not NO_SITE.match(p)]
    return names[0] if names else None


def _below_its_site(case: Case, folder: Path) -> list[str]:
    """The folders of an image without the site's and those that only say that images are in them."""
    inside = _below(next(iter(case.images.values())), folder)
    return [part for part in inside.parts[:-1] if not _is_plain(part) and part != _site_folder(inside)]


def _is_of_a_study_of_the_site(case: Case, folder: Path) -> bool:
    """Whether the folder ``sub-...`` lies in the site's: each site has a study with numbers of its own."""
    parts = _below(next(iter(case.images.values())), folder).parts[:-1]
    subject = next((i for i, part in enumerate(parts) if part.startswith("sub-")), 0)
    return any(part == case.site for part in parts[:subject])


def _series(folders: Iterable[Path], folder: Path, result: InitResult) -> dict[Path, Series]:
    """Each series as the path that a table names it by: its folder, ``folder#key``, or the file of a film."""
    from mdx.data.files.dicom import Series, find_series, look_at_volume, torn_files

    found: dict[Path, Series] = {}
    for place in sorted(folders):
        everything = find_series(place)
        torn = torn_files(place, everything)
        result.skipped += [(str(path.relative_to(folder)), what) for path, (what, _) in torn.items()]
        for series in everything:
            name = place if len(everything) == 1 else place.with_name(f"{place.name}#{series.key}")
            first, *others = series.files
            named = name if others else first.path
            shown = str(_below(named, folder))
            if series.tags.get("Modality") in NO_IMAGES:
                result.skipped.append((shown, f"DICOM of the kind {series.tags['Modality']}, which is no image"))
            elif all(file.is_film for file in series.files):
                found |= {file.path: Series(series.key, (file,)) for file in series.files}
            elif len(series.files) == 1 and series.files[0].frames == 1 and not series.files[0].is_enhanced:
                result.skipped.append((shown, "a series of one slice is no volume"))
            else:
                try:
                    found[name] = series
                    look_at_volume(name, series.files, torn)
                except DataError as error:
                    del found[name]
                    result.skipped.append((shown, error.what))
    return found


def _of_series(case: Case, series: Series, options: Mapping[str, str]) -> Case:
    """The case with what the tags say of its scanner, and of its patient as a pseudonym."""
    names = _names(options.get("site_tags")) or SITE_TAGS
    patient = series.tags.get("PatientID")
    columns: dict[str, Any] = {name: series.tags.get(name) for name in _names(options.get("tags"))}
    subject = f"p{hashlib.sha256(patient.encode()).hexdigest()[:8]}" if patient else case.subject
    return Case(case.id, subject, site_name(series.tags, names) or ONE_SITE, case.images, case.mask, columns=columns)


def _names(text: str | None) -> tuple[str, ...]:
    """Tags by name, separated by commas. Raises DataError for one that is not known."""
    from mdx.data.files.dicom import TAGS
    from mdx.errors import nearest

    names = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    wrong = [name for name in names if name not in TAGS]
    if wrong:
        raise DataError(f"the tag '{wrong[0]}' is not read", nearest(wrong[0], TAGS))
    return names


def site_name(facts: Mapping[str, Any], names: Sequence[str]) -> str:
    """``Siemens_TrioTim_3T`` of a scanner's maker, model and field strength in tesla; empty where none is known."""
    parts = []
    for name in names:
        value = str(facts.get(name) or "").strip()
        if value and name == "MagneticFieldStrength":
            value = f"{float(value):.3g}T" if re.fullmatch(r"[0-9.]+", value) else value
        parts.append(re.sub(r"[^A-Za-z0-9.+-]+", "-", value).strip("-"))
    return "_".join(filter(None, parts))


def _advise(result: InitResult, has_dicom: bool, options: Mapping[str, str]) -> None:
    without = sum(case.mask is None for case in result.cases)
    if 0 < without < len(result.cases):
        result.messages.append(f"{without} of {len(result.cases)} cases have no mask")
    columns = {name for case in result.cases for name in case.images}
    if columns != {"image"}:
        result.messages.append(f"several contrasts: use --set data.image={','.join(sorted(columns))}")
    if has_dicom:
        tags = ", ".join(_names(options.get("site_tags")) or SITE_TAGS)
        result.messages.append(
            f"DICOM: sites are made of {tags}; subjects are pseudonyms of PatientID (--subject-from gives others)"
        )

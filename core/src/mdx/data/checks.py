"""``mdx data check``: read every file and name every offender with its remedy."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mdx.data.batches.cropping import crop_warnings
from mdx.data.budgets import said
from mdx.data.config import DataConfig
from mdx.data.files.facts import FileFacts, read_facts
from mdx.data.files.geometry import mismatch
from mdx.data.labels import label_of
from mdx.data.layouts.keyed import names_alike
from mdx.data.problems import Problem
from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Case, Dataset

SHOWN = 20
FEWEST_SUBJECTS = 3
SPECTACULAR = 1e30
MOST_GROUPS = 20


@dataclass(frozen=True)
class CheckReport:
    """What was found: ``errors`` forbid a run, ``warnings`` should be read, ``notes`` are good to know."""

    cases: int
    files: int
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def raise_if_bad(self) -> None:
        """Raise a DataError that lists the errors, the first 20 of them in full."""
        if not self.errors:
            return
        if len(self.errors) == 1:
            only = self.errors[0]
            raise DataError(only.what, only.remedy, only.case)
        lines = [str(problem) for problem in self.errors[:SHOWN]]
        if len(self.errors) > SHOWN:
            lines.append(f"and {len(self.errors) - SHOWN} more")
        raise DataError(
            f"{len(self.errors)} problems in the data:\n  " + "\n  ".join(lines),
            "mend these, or leave their rows out of the table; 'mdx data check' lists all of them",
        )


def require_groups(data: Dataset, config: DataConfig) -> None:
    """Raise DataError where ``data.groups`` names a column that is not there, or one of many values."""
    columns = dict.fromkeys(name for case in data.cases for name in case.columns)
    for name in config.groups:
        if name not in columns:
            raise DataError(f"data.groups: the table has no column '{name}'", nearest(name, columns))
        values = {case.columns.get(name) for case in data.cases} - {None}
        if not 1 < len(values) <= MOST_GROUPS:
            raise DataError(
                f"data.groups: '{name}' has {len(values)} value(s) and would make as many groups",
                f"name a column with 2 to {MOST_GROUPS}; numbers are cut into ranges in the table",
            )


def check(data: Dataset, config: DataConfig) -> CheckReport:
    """Read every image and mask of the dataset with all cores and report every problem, hidden labels included."""
    budget = said(data, config)
    data = data.revealed()
    images = read_facts([path for case in data.cases for path in case.images.values()], "image")
    masks = read_facts([case.mask for case in data.cases if case.mask is not None], "mask")
    report = CheckReport(len(data), len(images) + len(masks))
    for case in data.cases:
        own = {column: images[path] for column, path in case.images.items()}
        report.errors.extend(_image_problems(case, own, data))
        if case.mask is not None:
            first = next(iter(own.values()))
            report.errors.extend(_mask_problems(case, first, masks[case.mask], config))
    good = {path: facts for path, facts in images.items() if isinstance(facts, FileFacts)}
    label = label_of(data.task)
    found = list(label.errors(data, config))
    report.errors.extend(found)
    report.warnings.extend([] if found else label.warnings(data, config))
    report.warnings.extend(_odd_values(data.cases, good, config))
    report.warnings.extend(crop_warnings(data, config))
    report.notes.extend(_unlabelled(data))
    report.notes.extend([Problem("the table", budget, "")] if budget else [])
    _same_content(data.cases, good, report)
    _sites(data.cases, config, report)
    _subjects(data.cases, report)
    _travellers(data.cases, report)
    report.warnings.extend(names_alike(data.cases))
    _unlike(data.cases, good, report)
    return report


def _image_problems(case: Case, own: dict[str, FileFacts | DataError], data: Dataset) -> Iterable[Problem]:
    for column, facts in own.items():
        path = case.images[column]
        if isinstance(facts, DataError):
            yield Problem(case.id, f"{path}: {facts.what}", facts.remedy)
        elif facts.not_finite:
            yield Problem(
                case.id, f"{path}: {facts.not_finite} values are NaN or infinite (or beyond 3.4e38)",
                "replace them (numpy.nan_to_num) or leave the case out of the table",
            )  # fmt: skip
    found = [facts for facts in own.values() if isinstance(facts, FileFacts)]
    if len(found) < len(own):
        return
    if any(len(facts.shape) != data.task.dims for facts in found):
        yield Problem(case.id, f"is not {data.task.dims}-D as the first case is", "keep one kind of image in a table")
    channels = sum(facts.channels for facts in found)
    if channels != len(data.task.channels):
        yield Problem(
            case.id, f"has {channels} channel(s), the first case has {len(data.task.channels)}",
            "give every case the same channels, or name the columns with --set data.image=...",
        )  # fmt: skip
    for column, facts in list(own.items())[1:]:
        if isinstance(facts, FileFacts) and mismatch(found[0].grid, facts.grid) is not None:
            yield Problem(
                case.id, f"'{column}' does not lie on the grid of the first contrast", "resample it onto that"
            )


def _mask_problems(
    case: Case, image: FileFacts | DataError, mask: FileFacts | DataError, config: DataConfig
) -> Iterable[Problem]:
    if isinstance(mask, DataError):
        yield Problem(case.id, f"{case.mask}: {mask.what}", mask.remedy)
        return
    if mask.not_finite:
        yield Problem(case.id, f"{case.mask}: {mask.not_finite} values are NaN or infinite", "save whole numbers")
        return
    if isinstance(image, FileFacts):
        wrong = mismatch(image.grid, mask.grid)
        if wrong is not None:
            yield Problem(case.id, wrong[0], wrong[1])
    if not mask.labels and config.empty_masks == "refuse":
        yield Problem(
            case.id, f"{case.mask}: the mask is empty",
            "empty the cell if the case is not labelled; --set data.empty_masks=allow if nothing is there to mark",
        )  # fmt: skip


def _odd_values(cases: Sequence[Case], facts: dict[Path, FileFacts], config: DataConfig) -> Iterable[Problem]:
    """Blank scans, values that no scanner gives, and scans that are blank in the window of intensities."""
    limits = (config.lower, config.upper) if config.intensity == "window" else (-math.inf, math.inf)
    for what, is_so in (
        ("hold one value only", lambda f: f.minimum == f.maximum),
        ("hold values beyond 1e30", lambda f: max(abs(f.minimum), abs(f.maximum)) > SPECTACULAR),
        (
            f"lie outside the window of {limits[0]:g} to {limits[1]:g}",
            lambda f: f.maximum <= limits[0] or f.minimum >= limits[1],
        ),
    ):
        found = [
            f"{case.id} ({facts[path].minimum:.4g} to {facts[path].maximum:.4g})"
            for case in cases for path in case.images.values() if path in facts and is_so(facts[path])
        ]  # fmt: skip
        if found:
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            yield Problem(
                "the table", f"{len(found)} image(s) {what}: {', '.join(found[:5])}{more}", "look at these files"
            )


def _unlabelled(data: Dataset) -> Iterable[Problem]:
    label = data.task.label
    lacking = [case.id for case in data.cases if case.id not in {c.id for c in data.labelled.cases}] if label else []
    if lacking:
        named = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        yield Problem(
            "the table", f"{len(lacking)} of {len(data)} cases have no {label} ({named})",
            "they are neither trained on nor scored, where labels are needed",
        )  # fmt: skip


def _same_content(cases: Sequence[Case], facts: dict[Path, FileFacts], report: CheckReport) -> None:
    """One scan under two names is a leak where the two are trained on and tested."""
    holders: dict[tuple[str, ...], list[Case]] = defaultdict(list)
    for case in cases:
        found = [facts[path].digest for path in case.images.values() if path in facts]
        if len(found) == len(case.images):
            holders[tuple(found)].append(case)
    for same in holders.values():
        if len(same) < 2:
            continue
        names = ", ".join(case.id for case in same[:4])
        leak = len({case.split for case in same}) > 1
        where = f" in the splits {', '.join(sorted({str(case.split) for case in same}))}" if leak else ""
        problem = Problem(same[0].id, f"the same image is there {len(same)} times ({names}){where}", "keep one of them")
        (report.errors if leak else report.warnings).append(problem)


def _sites(cases: Sequence[Case], config: DataConfig, report: CheckReport) -> None:
    subjects: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        subjects[case.site].add(case.subject)
    if len(subjects) == 1:
        asked = bool(config.source or config.target)
        (report.errors if asked else report.warnings).append(Problem(
            "the table", f"has only one site ({next(iter(subjects))})",
            "adaptation needs two: name the scanner or hospital of each case in the column 'site'",
        ))  # fmt: skip
    for site, members in sorted(subjects.items()):
        if len(members) < FEWEST_SUBJECTS:
            report.warnings.append(Problem(
                f"site {site}", f"has {len(members)} subject(s)",
                "train, val and test need at least one each; its scores will say little",
            ))  # fmt: skip
    remedies = {
        "train": "lower data.val_fraction and data.test_fraction",
        "test": "raise data.test_fraction, or fill the column 'split'",
    }
    for name, remedy in remedies.items():
        if not any(case.split == name for case in cases):
            report.warnings.append(Problem("the table", f"has no {name} case", remedy))


def _subjects(cases: Sequence[Case], report: CheckReport) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        splits[case.subject].add(str(case.split))
    for subject, found in sorted(splits.items()):
        if len(found) > 1:
            report.errors.append(Problem(
                f"subject {subject}", f"is in {' and '.join(sorted(found))}", "keep a subject's cases in one split"
            ))  # fmt: skip


def _travellers(cases: Sequence[Case], report: CheckReport) -> None:
    sites: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        sites[case.subject].add(case.site)
    found = [f"{name} ({', '.join(sorted(of))})" for name, of in sorted(sites.items()) if len(of) > 1]
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        report.notes.append(Problem(
            "the table", f"{len(found)} subject(s) are at several sites: {', '.join(found[:5])}{more}",
            "right for travelling subjects; different people with one number need different subjects, such as A_001",
        ))  # fmt: skip


def _unlike(cases: Sequence[Case], facts: dict[Path, FileFacts], report: CheckReport) -> None:
    """Mixed spacings and orientations are handled, but a reader should know of them."""
    kinds: dict[str, Counter[str]] = {"voxel sizes (mm)": Counter(), "orientations": Counter()}
    for case in cases:
        first = facts.get(next(iter(case.images.values())))
        if first is not None and first.axcodes:
            kinds["voxel sizes (mm)"][" x ".join(f"{v:.3g}" for v in first.spacing_mm)] += 1
            kinds["orientations"][first.axcodes] += 1
    remedies = {
        "voxel sizes (mm)": "--set data.spacing_mm=1 resamples them",
        "orientations": "read in RAS, put back on save",
    }
    for name, counts in kinds.items():
        if len(counts) > 1:
            listed = ", ".join(f"{value} ({n})" for value, n in counts.most_common(4))
            more = f" and {len(counts) - 4} more" if len(counts) > 4 else ""
            report.notes.append(Problem("the table", f"{len(counts)} {name}: {listed}{more}", remedies[name]))

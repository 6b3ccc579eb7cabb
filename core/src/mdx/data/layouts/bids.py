"""BIDS: one case a session, with what participants.tsv, sessions and sidecars say of it, and a mask of a derivative.

Rules, in short: the images are those of ``anat`` (``?datatype=``) with one suffix, or with several as contrasts; of
equal suffix in a session the one with the fewest entities is taken, then the lowest run, then the first name. A mask is
taken only where one kind of them is left; a brain mask only where it is asked for.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mdx.data.cells import read_rows
from mdx.data.files.formats import suffix_of
from mdx.data.layouts.bids_masks import find_masks
from mdx.data.layouts.bids_names import MASKS, BidsName, Sidecars, parse_name
from mdx.data.layouts.folder import SITE_TAGS, site_name
from mdx.data.layouts.joining import column_of
from mdx.data.layouts.keyed import KeyedRows
from mdx.data.layouts.layout import ONE_SITE, InitResult
from mdx.errors import DataError, nearest
from mdx.files import LINK_TO_NOTHING, walk, why_not_walked
from mdx.interfaces.dataset import Case

ENTITIES = ("ses", "acq", "ce", "rec", "run", "echo", "inv", "part", "space", "res", "sample", "stain")
PREFERRED = ("T1w", "T2w", "FLAIR", "PDw", "T2starw")
NO_IMAGES = ("probseg", "defacemask")
PER_YEAR = {"month": 12.0, "week": 365.25 / 7, "day": 365.25}
RULE = "the one with the fewest entities, then the lowest run, then the first name is taken; ?run=, ?acq= choose others"


class Bids:
    """A study in BIDS, read without pybids."""

    summary = "BIDS: participants.tsv, sessions, sidecars, masks in derivatives"
    options: Mapping[str, str] = {
        "suffix": "T1w, or T1w,FLAIR for several contrasts; the commonest if not given",
        "datatype": "folder of the images, anat if not given",
        **{entity: f"take only images with {entity}-VALUE" for entity in ENTITIES},
        "derivatives": "pipelines whose masks may be taken, by folder name; none for no masks",
        "label": "take masks with label-VALUE",
        "desc": "take masks with desc-VALUE",
        "site": "column of participants.tsv with the site",
        "class": "column of participants.tsv with the class",
        "site_tags": "fields of the sidecars that make the site, such as Manufacturer,InstitutionName",
    }

    def recognises(self, folder: Path) -> bool:
        """By dataset_description.json, or by folders named ``sub-``."""
        subjects = any(path.is_dir() for path in folder.glob("sub-*"))
        return subjects and ((folder / "dataset_description.json").is_file() or any(folder.glob("sub-*/**/anat")))

    def read(self, folder: Path, options: Mapping[str, str]) -> InitResult:
        """The sessions of a study that have every contrast. Raises DataError where there are none."""
        result = InitResult([])
        images, sidecars = _scan(folder, options.get("datatype", "anat"), result)
        raw_masks = [name for name in images if _is_mask(name)]
        images = [name for name in images if not _is_mask(name) and name.suffix not in NO_IMAGES]
        images = _of_entities(images, options, result, folder)
        suffixes = _suffixes(images, options.get("suffix"), folder, result)
        chosen = _choose(images, suffixes, folder, result)
        masks = find_masks(folder, {k: v[0] for k, v in chosen.items()}, raw_masks, options, result)
        people = _People(folder, options)
        for session, contrasts in chosen.items():
            names = ["image"] if len(suffixes) == 1 else [suffix.lower() for suffix in suffixes]
            paths = {name: found.path for name, found in zip(names, contrasts, strict=True)}
            facts = people.facts(*session, result.messages)
            site = facts.pop("site", None) or _scanner(sidecars, contrasts[0], options) or ONE_SITE
            subject, visit = session
            columns = {**({"session": visit} if visit else {}), **facts}
            case_id = f"sub-{subject}" + (f"_ses-{visit}" if visit else "")
            result.cases.append(Case(case_id, subject, site, paths, masks.get(session), columns=columns))
        _same_columns(result.cases)
        self._advise(folder, result, people, sidecars, suffixes)
        return result

    def _advise(
        self, folder: Path, result: InitResult, people: _People, sidecars: Sidecars, suffixes: Sequence[str]
    ) -> None:
        seen = {case.subject for case in result.cases}
        result.skipped += [
            (f"sub-{name}", "in participants.tsv, but has no image that is taken")
            for name in people.participants.names()
            if people.participants.reached_as(name) not in seen
        ]
        unknown = sorted(name for name in seen if people.participants and not people.participants.knows(name))
        if unknown:
            shown = ", ".join(f"sub-{name}" for name in unknown[:5])
            result.messages.append(f"{len(unknown)} subject(s) are not in participants.tsv: {shown}")
        if people.site is None and {case.site for case in result.cases} != {ONE_SITE}:
            result.messages.append("participants.tsv has no site: sites are the scanners that the sidecars name")
        taken = [f"{meaning} is its column '{c}'" for meaning, c in (("site", people.site), ("class", people.label))
                 if c not in (None, meaning)]  # fmt: skip
        if taken:
            result.messages.append(f"participants.tsv: {', '.join(taken)}")
        if len(suffixes) > 1:
            columns = ",".join(suffix.lower() for suffix in suffixes)
            result.messages.append(f"several contrasts: use --set data.image={columns}")
        result.skipped += [
            (str(p.relative_to(folder)), "the sidecar is no JSON object" if p.exists() else LINK_TO_NOTHING)
            for p in sidecars.damaged
        ]
        links = [*folder.glob("participants.*"), *folder.glob("sub-*"), *folder.glob("sub-*/*_sessions.tsv")]
        result.skipped += [(str(p.relative_to(folder)), LINK_TO_NOTHING) for p in sorted(links) if not p.exists()]


def _is_mask(name: BidsName) -> bool:
    return name.suffix in MASKS or "label" in name.entities


def _scan(folder: Path, datatype: str, result: InitResult) -> tuple[list[BidsName], Sidecars]:
    images: list[BidsName] = []
    elsewhere: Counter[str] = Counter()
    sidecars = list(folder.glob("*.json"))
    for subject in sorted(path for path in folder.glob("sub-*") if path.is_dir()):
        for path in walk(subject):
            inside = str(path.relative_to(folder))
            if path.is_dir():
                result.skipped.append((inside, why_not_walked(path)))
            elif path.suffix == ".json":
                sidecars.append(path)
            elif not suffix_of(path) or path.name.startswith("."):
                continue
            elif path.parent.name != datatype:
                elsewhere[path.parent.name] += 1
            elif not path.exists():
                result.skipped.append((inside, LINK_TO_NOTHING))
            elif (name := parse_name(path)) is None or name.entities.get("sub") != subject.name[4:]:
                result.skipped.append((inside, "its name does not follow BIDS"))
            else:
                images.append(name)
    result.skipped += [(f"{n} file(s) in {place}/", f"not in {datatype}/") for place, n in elsewhere.most_common()]
    if not images:
        raise DataError(
            f"holds no images in sub-*/{datatype}/", "name another with ?datatype=, or use --layout none", folder
        )
    return images, Sidecars(folder, sidecars)


def _of_entities(
    images: list[BidsName], options: Mapping[str, str], result: InitResult, folder: Path
) -> list[BidsName]:
    wanted = {entity: options[entity] for entity in ENTITIES if entity in options}
    kept = []
    for name in images:
        other = next((e for e, v in wanted.items() if name.entities.get(e) not in v.split(",")), None)
        if other is None:
            kept.append(name)
        else:
            result.skipped.append((str(name.path.relative_to(folder)), f"not {other}-{wanted[other]}"))
    if not kept:
        asked = ", ".join(f"{k}-{v}" for k, v in wanted.items())
        there = sorted({f"{k}-{v}" for name in images for k, v in name.entities.items() if k in wanted})
        raise DataError(f"no image has {asked}", f"the images have: {', '.join(there) or 'none of these'}", folder)
    return kept


def _suffixes(images: Sequence[BidsName], asked: str | None, folder: Path, result: InitResult) -> list[str]:
    """The contrasts: those asked for, else the one that most sessions have."""
    counts = Counter(suffix for suffix, _ in {(name.suffix, name.session) for name in images})
    if asked:
        suffixes = [part.strip() for part in asked.split(",") if part.strip()]
        for suffix in suffixes:
            if suffix not in counts:
                raise DataError(f"no image is a {suffix}", nearest(suffix, counts), folder)
        return suffixes
    order = sorted(counts, key=lambda s: (-counts[s], PREFERRED.index(s) if s in PREFERRED else len(PREFERRED), s))
    if len(order) > 1:
        listed = ", ".join(f"{suffix} ({counts[suffix]})" for suffix in order)
        result.messages.append(
            f"contrasts, with their sessions: {listed}; {order[0]} is taken, ?suffix=A,B takes others"
        )
    return order[:1]


def _choose(
    images: Sequence[BidsName], suffixes: Sequence[str], folder: Path, result: InitResult
) -> dict[tuple[str, str], list[BidsName]]:
    """(sub, ses) -> an image of each contrast."""
    found: dict[tuple[str, str], dict[str, list[BidsName]]] = defaultdict(lambda: defaultdict(list))
    for name in images:
        found[name.session][name.suffix].append(name)

    def skip(names: Iterable[BidsName], reason: str) -> None:
        result.skipped.extend((str(name.path.relative_to(folder)), reason) for name in names)

    chosen: dict[tuple[str, str], list[BidsName]] = {}
    for session, by_suffix in sorted(found.items()):
        for suffix, names in by_suffix.items():
            names.sort(key=_rank)
            if suffix not in suffixes:
                skip(names, f"a {suffix}, which is not taken (?suffix=)")
            else:
                skip(names[1:], f"another {suffix} of its session is taken")
        missing = [suffix for suffix in suffixes if suffix not in by_suffix]
        if missing:
            skip(
                (by_suffix[s][0] for s in suffixes if s in by_suffix), f"its session has no {' and no '.join(missing)}"
            )
        else:
            chosen[session] = [by_suffix[suffix][0] for suffix in suffixes]
    if any(len(by_suffix.get(suffix, ())) > 1 for by_suffix in found.values() for suffix in suffixes):
        result.messages.append(f"some sessions have several images of a contrast: {RULE}")
    if not chosen:
        raise DataError(f"no session has {' and '.join(suffixes)}", "name fewer contrasts with ?suffix=", folder)
    return chosen


def _rank(name: BidsName) -> tuple[int, int, str]:
    run = name.entities.get("run", "0")
    return len(name.entities.keys() - {"sub", "ses", "run"}), int(run) if run.isdigit() else 0, name.path.name


def _scanner(sidecars: Sidecars, image: BidsName, options: Mapping[str, str]) -> str:
    facts = sidecars.facts(image)
    facts.setdefault("ManufacturerModelName", facts.get("ManufacturersModelName"))  # BIDS' own spelling
    names = [part.strip() for part in options.get("site_tags", "").split(",") if part.strip()]
    return site_name(facts, names or SITE_TAGS)


class _People:
    """What participants.tsv and the sessions.tsv of each subject say, by subject and session.

    Attributes:
        participants: by name without ``sub-``; empty where there is no table.
        site, label: the columns of the site and the class, if there are any.
    """

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        self.folder = folder
        path = folder / "participants.tsv"
        header, rows = read_rows(path) if path.is_file() else ([], [])
        if rows and "participant_id" not in header:
            raise DataError("has no column 'participant_id'", "BIDS asks for it", path)
        for key in ("site", "class"):
            if key in options and options[key] not in header:
                raise DataError(f"there is no column '{options[key]}'", nearest(options[key], header), path)
        # fields of sidecars that were asked for by name go before a column
        found = None if "site_tags" in options else column_of("site", header)
        self.site = options.get("site", found)
        self.label = options.get("class", column_of("class", header))
        self.participants = KeyedRows(path, rows, "participant_id", "sub-", "session_id", "ses-")
        units = _units(folder / "participants.json")
        self._per_year = next((n for unit, n in PER_YEAR.items() if units.startswith(unit)), 1.0)
        self._sessions: dict[str, KeyedRows] = {}

    def facts(self, subject: str, session: str, messages: list[str]) -> dict[str, Any]:
        """``site``, ``class``, ``age`` in years, ``sex`` and every other column; what a session says goes before."""
        row = {**self.participants.row(subject, session, messages)}
        row |= {k: v for k, v in self._session(subject).row(session, "", messages).items() if v}
        facts: dict[str, Any] = {}
        plain = {"age": "age", "sex": "sex", "gender": "sex"}
        for name, value in row.items():
            if name in (self.site, self.label):
                facts["site" if name == self.site else "class"] = value or None
            elif name not in ("participant_id", "session_id", "acq_time", "site", "class"):
                facts[plain.get(name.lower(), name)] = value or None
        if self._per_year != 1 and facts.get("age"):
            with suppress(ValueError):
                facts["age"] = f"{float(facts['age']) / self._per_year:.6g}"
        return facts

    def _session(self, subject: str) -> KeyedRows:
        if subject not in self._sessions:
            path = self.folder / f"sub-{subject}" / f"sub-{subject}_sessions.tsv"
            header, rows = read_rows(path) if path.is_file() else ([], [])
            if rows and "session_id" not in header:
                raise DataError("has no column 'session_id'", "BIDS asks for it", path)
            self._sessions[subject] = KeyedRows(path, rows, "session_id", "ses-")
        return self._sessions[subject]


def _units(path: Path) -> str:
    """The units of ``age`` that participants.json states; empty where it states none."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["age"]["Units"]).strip().lower()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _same_columns(cases: list[Case]) -> None:
    """Every case with every column, in one order: ``class`` and ``age`` first."""
    from dataclasses import replace

    names = list(dict.fromkeys(["session", "class", "age", "sex", *(n for case in cases for n in case.columns)]))
    names = [name for name in names if any(name in case.columns for case in cases)]
    cases[:] = [replace(case, columns={name: case.columns.get(name) for name in names}) for case in cases]

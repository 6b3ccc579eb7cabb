"""Masks of a BIDS study: in ``derivatives/*/``, found by subject, session and space."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from mdx.data.files.formats import suffix_of
from mdx.data.layouts.bids_names import MASKS, BidsName, parse_name
from mdx.data.layouts.layout import InitResult
from mdx.errors import DataError, nearest
from mdx.files import walk

OF_THE_MASK = {"label", "desc", "space", "res", "den", "seg", "atlas", "hemi", "from", "to", "of"}
"""Entities that describe a mask and need not be those of its image."""
OWN_SPACE = {"orig", "scanner", "individual", "native", "subject", "T1w", "T2w", "FLAIR"}
Session = tuple[str, str]
Kind = tuple[str, str]


def find_masks(
    folder: Path,
    images: Mapping[Session, BidsName],
    raw: Sequence[BidsName],
    options: Mapping[str, str],
    result: InitResult,
) -> dict[Session, Path]:
    """The mask of each session, of the one kind (pipeline and label) that is left when the options have chosen.

    Where several kinds are left none is taken, and a message names them. Raises DataError for a pipeline, label or
    description that does not exist.
    """
    asked = options.get("derivatives")
    if asked == "none":
        return {}
    found = [("", name) for name in raw] if asked is None else []
    found += [(pipeline, name) for pipeline, place in _pipelines(folder, asked).items() for name in _in(place)]
    by_kind: dict[Kind, dict[Session, list[BidsName]]] = defaultdict(lambda: defaultdict(list))
    sessions = defaultdict(set[str])
    for subject, session in images:
        sessions[subject].add(session)
    for pipeline, name in found:
        subject, session = name.session
        if not session and len(sessions[subject]) == 1:
            session = next(iter(sessions[subject]))  # a mask of the subject, who came once
        image = images.get((subject, session))
        reason = "its session has no image that is taken" if image is None else _unfit(name, image)
        if reason:
            result.skipped.append((str(name.path.relative_to(folder)), f"a mask: {reason}"))
        else:
            by_kind[pipeline, _kind(name)][subject, session].append(name)
    kinds = _asked_kinds(list(by_kind), options, folder)
    if len(kinds) > 1:
        listed = "; ".join(f"{_text(kind)} ({len(by_kind[kind])})" for kind in kinds)
        result.messages.append(f"several kinds of masks, none was taken: {listed}; choose with ?derivatives=, ?label=")
    taken = kinds[0] if len(kinds) == 1 else None
    chosen: dict[Session, Path] = {}
    for kind, by_session in by_kind.items():
        for session, names in by_session.items():
            names.sort(key=lambda name: (len(name.entities), name.path.name))
            if kind == taken:
                chosen[session] = names[0].path
            reason = "a mask: another of its kind is taken" if kind == taken else f"a mask of the kind {_text(kind)}"
            others = names[1:] if kind == taken else names
            result.skipped += [(str(name.path.relative_to(folder)), reason) for name in others]
    if taken is not None:
        missing = len(images) - len(chosen)
        result.messages.append(
            f"masks: {_text(taken)}" + (f"; {missing} of {len(images)} cases have none" if missing else "")
        )
    return chosen


def _pipelines(folder: Path, asked: str | None) -> dict[str, Path]:
    top = folder / "derivatives"
    places = {path.name: path for path in sorted(top.glob("*")) if path.is_dir() and not path.name.startswith("sub-")}
    if any(top.glob("sub-*")):
        places["derivatives"] = top
    if asked is None:
        return places
    names = [part.strip() for part in asked.split(",")]
    for name in names:
        if name not in places:
            raise DataError(f"there is no pipeline '{name}' in derivatives/", nearest(name, places), folder)
    return {name: places[name] for name in names}


def _in(place: Path) -> list[BidsName]:
    found = []
    for subject in sorted(place.glob("sub-*")):
        for path in walk(subject) if subject.is_dir() else [subject]:
            name = parse_name(path) if suffix_of(path) and path.is_file() else None
            if name is not None and (name.suffix in MASKS or (not name.suffix and "label" in name.entities)):
                found.append(name)
    return found


def _unfit(mask: BidsName, image: BidsName) -> str:
    """Why a mask does not belong to an image of its session; empty where it does."""
    ours, theirs = mask.entities.get("space"), image.entities.get("space")
    if ours != theirs and not (theirs is None and ours in OWN_SPACE):
        return f"it lies in {f'space-{ours}' if ours else 'no named space'}, its image in " + (
            f"space-{theirs}" if theirs else "its own"
        )
    differing = [k for k, v in mask.entities.items() if k not in OF_THE_MASK | {"sub", "ses"} and
                 image.entities.get(k) != v]  # fmt: skip
    return f"its image is not {differing[0]}-{mask.entities[differing[0]]}" if differing else ""


def _kind(name: BidsName) -> str:
    parts = [f"{key}-{name.entities[key]}" for key in ("label", "desc", "atlas") if key in name.entities]
    return "_".join([*parts, *([name.suffix] if name.suffix else [])])


def _text(kind: Kind) -> str:
    return f"{kind[0]}: {kind[1]}" if kind[0] else kind[1]


def _asked_kinds(kinds: list[Kind], options: Mapping[str, str], folder: Path) -> list[Kind]:
    wanted = [f"{key}-{options[key]}" for key in ("label", "desc") if key in options]
    if not wanted:  # where the brain is is no label that a method is to predict
        return [kind for kind in kinds if not {"desc-brain", "label-brain"} & set(kind[1].split("_"))]
    left = [kind for kind in kinds if all(part in kind[1].split("_") for part in wanted)]
    if not left:
        there = ", ".join(_text(kind) for kind in kinds) or "no masks"
        raise DataError(f"no mask of an image has {' and '.join(wanted)}", f"there are: {there}", folder)
    return left

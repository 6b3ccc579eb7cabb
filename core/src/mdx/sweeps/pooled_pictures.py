"""Pictures of the cases of all folds, from those that each fold has drawn of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdx.files import write_json
from mdx.report.case_pictures import INDEX
from mdx.report.gallery import chosen
from mdx.report.truths import page_of
from mdx.runs import folders
from mdx.runs.linking import link


def link_pictures(directory: Path, members: Sequence[Path], scores: Any) -> None:
    """Write ``figures/`` of a pooled method by hard links.

    The best and the worst case of all are the best and the worst of their folds, and whatever the gallery shows of all
    cases is shown by a fold. The median of all need not be the median of a fold: there is no picture of it.

    Args:
        scores: the rows of all folds, with ``fold``.
    """
    target = scores[scores["role"] == "target"]
    table = target if len(target) else scores
    folder = directory / "figures"
    folder.mkdir(exist_ok=True)
    write_json(folder / INDEX, {
        "overlays": _overlays(folder, members, table), "changes": {}, "changed_to": "",
        "gallery": _gallery(folder, members, table),
    })  # fmt: skip


def _overlays(folder: Path, members: Sequence[Path], table: Any) -> dict[str, str]:
    """Which cases are the best and the worst, as the pictures of the folds show them; of equal ones, any."""
    ranked_by = page_of(folders.read_json(members[0] / "provenance.json").get("task", {})).ranked_by
    if not ranked_by or ranked_by not in table:
        return {}
    ranked = table.dropna(subset=[ranked_by]).sort_values(ranked_by, ascending=False)
    found: dict[str, str] = {}
    for name, place in (("best", 0), ("worst", -1)):
        if len(ranked) > -place * 2:  # of one case or two there is no worst
            row = ranked.iloc[place]
            equal = set(ranked.loc[ranked[ranked_by] == row[ranked_by], "case"].astype(str))
            member = members[int(row["fold"])]
            drawn = member / "figures" / f"overlay_{name}.png"
            shown = _index(member).get("overlays", {}).get(name)
            if shown in equal and drawn.exists():
                link(drawn, folder / drawn.name)
                found[name] = shown
    return found


def _index(member: Path) -> dict[str, Any]:
    """What the pictures of a run show."""
    path = member / "figures" / INDEX
    return folders.read_json(path) if path.exists() else {}


def _gallery(folder: Path, members: Sequence[Path], table: Any) -> list[dict[str, Any]]:
    """The groups of small pictures, chosen among all cases as among those of one run."""
    drawn: dict[str, dict[str, Any]] = {}
    for member in members:
        for entry in (entry for group in _index(member).get("gallery", []) for entry in group["cases"]):
            drawn[entry["case"]] = {**entry, "file": member / "figures" / entry["file"]}
    files: dict[str, dict[str, Any]] = {}
    made = []
    for title, cases in chosen(table).items():
        for case in (case for case in cases if case in drawn and case not in files):
            name = f"gallery_{len(files)}{drawn[case]['file'].suffix}"
            link(drawn[case]["file"], folder / name)
            files[case] = {**drawn[case], "file": name}
        made.append({"title": title, "cases": [files[case] for case in cases if case in files]})
    return [group for group in made if group["cases"]]

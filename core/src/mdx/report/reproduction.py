"""A published table beside the measured one: as text, and as a page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdx.report.drawing import FAINT, GRID, INK, OWN, as_svg, panels_of, plain_axes, words
from mdx.report.pages import without_folders, write_page
from mdx.report.sweep import aligned
from mdx.report.text import key_words, metric_words
from mdx.report.verdicts import ENOUGH_SUBJECTS
from mdx.runs.folders import read_json

SIMULATED = (
    "The data are simulated: levels cannot be compared with the paper's, only orders, and no number here is evidence "
    "of performance at a real site."
)
MOST_PANELS = 12
SYMBOLS = {"came out": "✓", "partly": "±", "did not come out": "✕", "cannot tell": "?"}


def reproduction_text(facts: Mapping[str, Any]) -> str:
    """Published beside measured, the claims and their verdicts, and what stays as published."""
    lines = [f"{facts['plugin']} {facts['table']}: {facts['runs']} runs, seeds {', '.join(map(str, facts['seeds']))}"]
    answer = reproduction_answer(facts)
    lines += [" ".join([f"{answer['mark'][0].upper()}{answer['mark'][1:]}.", *answer["sentences"]]), behind(facts)]
    if facts.get("overrides"):
        lines += [f"changed by hand: {'; '.join(facts['overrides'])}"]
    for place, metric, cells in places(facts):
        lines += ["", " / ".join(p for p in (place, metric_words(metric)) if p)]
        rows = [["", "published", "measured", "subjects", ""]]
        rows += [[row_name(facts, c), published(c), measured(c), str(c["n_subjects"] or "-"), c["note"]] for c in cells]
        lines += aligned(rows)
    if facts["claims"]:
        lines += ["", "orders that the paper claims:"]
        lines += [f"  {claim_line(c)}" for c in facts["claims"]]
    if facts["rank_agreement"]:
        lines += ["", "pairs of rows in the published order:", *(f"  {rank_line(r)}" for r in facts["rank_agreement"])]
    lines += [f"failed: {name}" for name in facts["failed"]]
    said = [text for text in (SIMULATED if facts["simulated"] else "", facts["own_data"]) if text]
    return "\n".join([*lines, "", *said] if said else lines)


def behind(facts: Mapping[str, Any]) -> str:
    """What stands behind each number, and what its interval leaves out."""
    n = len(facts["seeds"])
    return (
        f"Behind each number {'is one training' if n == 1 else f'are {n} trainings'}; intervals resample subjects and "
        "hold no other training, machine or number of threads."
    )


def rank_line(rank: Mapping[str, Any]) -> str:
    """How many pairs of the rows of a place have the published order."""
    where = " / ".join(p for p in (rank["place"], metric_words(rank["metric"])) if p)
    # there is none where all rows measured the same
    tau = f", Kendall's tau {rank['tau']:+.2f}" if rank["tau"] is not None and rank["rows"] > 2 else ""
    return f"{where}: {rank['pairs_in_order']} of {rank['pairs']}{tau}"


def places(facts: Mapping[str, Any]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """(words for the key columns but the first, metric, its cells), in the order of the table."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in facts["cells"]:
        place = key_words({c: cell[f"key_{c}"] for c in facts["columns"][1:]})
        groups.setdefault((place, cell["metric"]), []).append(cell)
    return [(place, metric, cells) for (place, metric), cells in groups.items()]


def row_name(facts: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    """The value of the first key column."""
    return cell[f"key_{facts['columns'][0]}"] if facts["columns"] else ""


def published(cell: Mapping[str, Any]) -> str:
    """``0.57 ± 0.18`` as printed in the paper."""
    if cell["published"] is None:
        return "-"
    return f"{cell['published']:g}" + (f" ± {cell['published_std']:g}" if cell["published_std"] is not None else "")


def measured(cell: Mapping[str, Any]) -> str:
    """Mean and SD over seeds; a dash where there is none."""
    if cell["measured"] is None:
        return "-"
    digits = 3 if abs(cell["measured"]) < 10 else 1
    spread = f" ± {cell['sd_over_seeds']:.{digits}f}" if cell["sd_over_seeds"] is not None else ""
    return f"{cell['measured']:.{digits}f}{spread}"


def claim_line(c: Mapping[str, Any]) -> str:
    """One step of a claimed order and how it came out."""
    place = f" ({c['place']})" if c["place"] else ""
    text = f"{c['claim']}{place}: {c['better']} before {c['other']}: {c['verdict']}"
    if c["difference"] is None:
        return text
    spread = f" [{c['low']:+.3f}, {c['high']:+.3f}]" if c["low"] is not None else ""
    return f"{text} ({c['difference']:+.3f}{spread}, {c['seeds_that_way']} of {c['seeds']} seeds)"


def reproduction_answer(facts: Mapping[str, Any]) -> dict[str, Any]:
    """``mark``, ``symbol`` and ``sentences``: how many steps of the claimed orders came out, and how surely.

    A step is told by an interval that leaves out 0, of enough subjects; only where all that were judged are reversed
    it is said that they did not come out.
    """
    judged = [c for c in facts["claims"] if c["difference"] is not None]
    few = sum(c["low"] is not None and c["n_subjects"] < ENOUGH_SUBJECTS for c in judged)
    sure = [
        c["low"] is not None and (c["low"] > 0 or c["high"] < 0) and c["n_subjects"] >= ENOUGH_SUBJECTS for c in judged
    ]
    ways = [c["difference"] > 0 for c in judged]
    came = sum(w and s for w, s in zip(ways, sure, strict=True))
    reverse = sum(s and not w for w, s in zip(ways, sure, strict=True))
    within = len(judged) - came - reverse
    mark = "partly" if came else "cannot tell"
    if judged and len(judged) in (came, reverse):
        mark = "came out" if came else "did not come out"
    if not judged:
        text = "No order that the paper claims could be judged." if facts["claims"] else "The table claims no order."
    else:
        text = (
            f"Of {len(judged)} step{'s' if len(judged) > 1 else ''} in the orders that the paper claims, {came} came "
            f"out with an interval that leaves out 0, {reverse} came out reversed, and {within} cannot be told."
        )
    left = len(facts["claims"]) - len(judged)
    more = [f"{left} could not be judged: a row is missing."] if judged and left else []
    if few:
        more.append(f"Fewer than {ENOUGH_SUBJECTS} subjects in {few} of {len(judged)} steps: these cannot be told.")
    measured_cells = sum(c["measured"] is not None for c in facts["cells"])
    more.append(f"{measured_cells} of {len(facts['cells'])} published numbers were measured.")
    return {"mark": mark, "symbol": SYMBOLS[mark], "sentences": [text, *more]}


def _caption(table: str) -> str:
    """``Table 2`` of ``table2``."""
    found = re.fullmatch(r"table_?(\w+)", table)
    return f"Table {found[1]}" if found else table


def write_reproduction_page(directory: Path) -> Path:
    """Write reproduction.html into the folder of a reproduction, from its reproduction.json."""
    facts = read_json(directory / "reproduction.json")
    shown = [(place, metric_words(metric), [_page_row(facts, cell) for cell in cells])
             for place, metric, cells in places(facts)]  # fmt: skip
    context = {
        "facts": facts, "places": shown, "picture": _picture(facts), "left": _left(facts),
        "simulated": SIMULATED if facts["simulated"] else "",
        "ranks": [rank_line(rank) for rank in facts["rank_agreement"]],
        "failed": [without_folders(text) for text in facts["failed"]],
        "data": [without_folders(uri) for uri in facts["data"]],
        "overrides": [without_folders(text) for text in facts.get("overrides", [])], "behind": behind(facts),
        "answer": reproduction_answer(facts), "paper": facts.get("paper") or {}, "caption": _caption(facts["table"]),
        "runs": sorted(p.parent.name for p in (directory / "runs").glob("*/report.html")),
        "next": [{"what": "every row with every other, on the same cases",
                  "command": f"mdx compare {shlex.quote(directory.name)}"},
                 {"what": "the same on your own data", "command": f"mdx reproduce {facts['plugin']} {facts['table']} "
                  "--data csv:cohort.csv --set source=A target=B"}],
    }  # fmt: skip
    return write_page(directory / "reproduction.html", "reproduction.html.j2", context)


def _page_row(facts: Mapping[str, Any], c: Mapping[str, Any]) -> tuple[str, ...]:
    return row_name(facts, c), published(c), measured(c), str(c["n_subjects"] or "-"), c["note"]


def _left(facts: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Reason -> rows that stay as published."""
    found: dict[str, list[str]] = {}
    for cell in facts["cells"]:
        if cell["measured"] is None:
            names = found.setdefault(cell["note"], [])
            name = key_words({c: cell[f"key_{c}"] for c in facts["columns"]})
            if name not in names:
                names.append(name)
    return list(found.items())


def _picture(facts: Mapping[str, Any]) -> str:
    """Published (ring) and measured (dot, SD over seeds) of each row, a panel a place and metric, as SVG."""
    drawn = [(p, m, cells) for p, m, cells in places(facts) if any(c["measured"] is not None for c in cells)][
        :MOST_PANELS
    ]
    if not drawn:
        return ""
    most = max(len(cells) for _, _, cells in drawn)
    figure, axes_of = panels_of(len(drawn), width=2.6, height=0.95 + 0.24 * most)
    for axes, (place, metric, cells) in zip(axes_of, drawn, strict=True):
        _panel(axes, [row_name(facts, c) for c in cells], cells)
        # one under the other: side by side they would run into the next panel
        axes.set_title("\n".join(words(t) for t in (place, metric) if t), fontsize=9, color=INK, loc="left")
    return as_svg(figure, "published and measured")


def _panel(axes: Any, names: Sequence[str], cells: Sequence[Mapping[str, Any]]) -> None:
    for y, c in enumerate(cells):
        if c["published"] is not None:
            axes.plot(c["published"], y, "o", mfc="none", color=FAINT, ms=6)
        if c["measured"] is not None:
            spread = c["sd_over_seeds"] or 0
            axes.plot([c["measured"] - spread, c["measured"] + spread], [y, y], color=OWN, lw=2)
            axes.plot(c["measured"], y, "o", color=OWN, ms=5)
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.set_yticks(range(len(cells)), [words(name) for name in names])
    axes.grid(axis="x", color=GRID, lw=0.7)
    plain_axes(axes)

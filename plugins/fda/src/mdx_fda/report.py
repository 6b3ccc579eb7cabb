"""The report's section on how beta was chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mdx.plugins.hooks import hookimpl
from mdx_fda.curves import ARTIFACT, Curves


@hookimpl
def mdx_report_sections(directory: Path) -> Sequence[tuple[str, str]]:
    """Surface Dice against the radius of the swap, for the method and each baseline that chose it on labels."""
    found = []
    for folder in (directory, *sorted((directory / "baselines").glob("*"))):
        path = folder / "artifacts" / f"{ARTIFACT}.safetensors"
        if path.exists():
            facts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
            found.append((facts["variant"], _read(path)))
    return [("How beta was chosen", "".join(_section(name, curves) for name, curves in found))] if found else []


def _read(path: Path) -> Curves:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return Curves.of(json.loads(file.metadata()["tree"]))


def _section(name: str, curves: Curves) -> str:
    heads = "".join(f"<th>{value:g}</th>" for value in curves.grid)
    rows = "".join(
        f"<tr><td>{escape(site)} (n = {curves.cases[site]})</td>{_cells(curves, values, curves.chosen(site))}</tr>"
        for site, values in curves.sites.items()
    )
    if len(curves.sites) > 1:
        rows += f"<tr><td>mean of sites</td>{_cells(curves, curves.mean, curves.chosen(None))}</tr>"
    how = {
        "per_pair": "Each site has the best value of its own curve; other sites, the source's scans among them, have "
        "that of the mean curve.",
        "averaged": "All scans have the best value of the mean curve.",
    }[curves.rule]
    return (
        f'<h3>{escape(name)}</h3><figure class="plot">{draw(curves)}</figure>'
        f"<p>Mean surface Dice of the labelled validation cases, of which none is a test case. {how} 0 is shown and "
        f"never chosen.</p><table><tr><th>{escape(curves.setting)}</th>{heads}</tr>{rows}</table>"
    )


def _cells(curves: Curves, values: Sequence[float], chosen: float) -> str:
    cells = (
        f"<td>{'<strong>' if radius == chosen else ''}{value:.3f}{'</strong>' if radius == chosen else ''}</td>"
        for radius, value in zip(curves.grid, values, strict=True)
    )
    return "".join(cells)


def draw(curves: Curves) -> str:
    """A panel a site: the curve, its chosen radius in colour, and 0, which is never chosen, hollow; as SVG."""
    from mdx.report.drawing import FAINT, GRID, INK, OWN, as_svg, panels_of, plain_axes, words

    figure, panels = panels_of(len(curves.sites), width=2.5, height=2.2)
    for axes, (site, values) in zip(panels, curves.sites.items(), strict=True):
        axes.plot(curves.grid, values, color=FAINT, lw=1.4)
        for radius, value in zip(curves.grid, values, strict=True):
            chosen = radius == curves.chosen(site)
            colour = OWN if chosen else FAINT
            axes.plot(radius, value, "o", color=colour, ms=7 if chosen else 3.5, mfc="none" if radius == 0 else colour)
        axes.set_title(words(site), fontsize=9.5, color=INK, loc="left")
        axes.set_xlabel(curves.setting.replace("_", " "), fontsize=8, color=INK)
        axes.set_ylabel("surface Dice", fontsize=8, color=INK)
        axes.grid(axis="y", color=GRID, lw=0.7)
        plain_axes(axes)
    return as_svg(figure, "surface Dice of the validation cases against the radius of the swap")

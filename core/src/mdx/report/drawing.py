"""What every plot of a page is drawn with, those that plugins add included.

Plots are inline SVG whose ink is the text colour of the page they are put in, so that one drawing serves light, dark
and printed pages.
"""

from __future__ import annotations

import html
import io
import re
from typing import Any

SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
# stand-ins that ``as_svg`` replaces with the page's own colours
INK, OWN, FAINT, GRID = "#010203", "#010204", "#010205", "#010206"
PAGE_COLOURS = {INK: "currentColor", OWN: "var(--accent)", FAINT: "var(--soft)", GRID: "var(--line)"}
PIXELS = 144
"""An inch, in what is drawn as pixels."""
ACROSS = 4
"""Panels in a row."""


def panels_of(count: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """A figure with ``count`` panels of that size in inches, ``ACROSS`` in a row."""
    from matplotlib.figure import Figure

    columns = min(ACROSS, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(max(width * columns + 0.8, 3.2), height * lines), layout="constrained")
    return figure, [figure.add_subplot(lines, columns, i + 1) for i in range(count)]


def plain_axes(axes: Any) -> None:
    """Axes without a frame, with small labels in the page's ink."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=FAINT, labelcolor=INK, length=0)
    axes.set_axisbelow(True)


def words(text: str) -> str:
    """``text`` for matplotlib, which reads what stands between dollar signs as mathematics."""
    return text.replace("$", r"\$")


def short(text: str, most: int) -> str:
    """``text``, or its first and last letters where it is longer than ``most``."""
    if len(text) <= most:
        return text
    return f"{text[: (most - 3) // 2]}...{text[-((most - 2) // 2) :]}"


def as_svg(figure: Any, label: str) -> str:
    """The drawing as an inline SVG element that takes colours and font from the page around it."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        layout = figure.get_layout_engine()
        if layout is not None:  # done here once, savefig draws the figure only to do it
            FigureCanvasSVG(figure)
            layout.execute(figure)
            figure.set_layout_engine("none")
        figure.savefig(stream, format="svg", transparent=True, dpi=PIXELS)
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    for stand_in, colour in PAGE_COLOURS.items():
        text = text.replace(stand_in, colour)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)

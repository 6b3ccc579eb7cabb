"""What a command is at, told to the user and kept in ``progress.json`` of a run.

On a terminal it is one live bar, in a pipe a line now and then, with ``-q`` nothing. A command opens ``telling()``;
what happens on the way says where it is, in whatever module that is::

    with telling():
        phase("report")
        for case in each(cases, "predicting and scoring"): ...

Only the process that opened it tells anything.
"""

from __future__ import annotations

from mdx.progress.teller import Teller, current, each, finished, measured, phase, telling, within

__all__ = ["Teller", "current", "each", "finished", "measured", "phase", "telling", "within"]

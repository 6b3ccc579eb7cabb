"""CSV files that mdx writes and reads itself: no spreadsheet executes what is in them, and a damaged one is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mdx.errors import DataError

EXECUTED = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)


def defused(text: str) -> str:
    """A text that no spreadsheet executes: with an apostrophe before what would begin a formula; numbers stay.

    ``undefused`` takes the apostrophe off again.
    """
    return f"'{text}" if text.startswith(EXECUTED) and not NUMBER.fullmatch(text) else text


def undefused(text: str) -> str:
    """The text that ``defused`` was given."""
    return text[1:] if text.startswith("'") and text[1:2] in EXECUTED else text


def csv_text(frame: Any) -> str:
    """A DataFrame, or a list of rows, as the text of a CSV file, texts defused."""
    import pandas as pd

    frame = pd.DataFrame(frame)
    texts = {
        name: [defused(v) if isinstance(v, str) else v for v in column]
        for name, column in frame.items() if not pd.api.types.is_numeric_dtype(column)
    }  # fmt: skip
    return frame.assign(**texts).to_csv(index=False)


def read_frame(path: Path, needs: tuple[str, ...] = (), **options: Any) -> Any:
    """A CSV file that ``csv_text`` wrote, as a DataFrame; ``options`` go to ``pandas.read_csv``.

    Texts such as ``NA`` stay texts. Raises DataError that names the file if it cannot be read or lacks a column of
    ``needs``.
    """
    import pandas as pd

    asked: Any = {"keep_default_na": False, "na_values": [""], **options}
    try:
        frame = pd.read_csv(path, **asked)
    except FileNotFoundError:
        raise DataError("is missing", "copy the whole run directory, or run again", path) from None
    except Exception as error:  # pandas raises whatever its parser stumbles over
        raise DataError(
            f"is damaged ({type(error).__name__}: {error})", "copy the whole run directory, or run again", path
        ) from error
    lacking = [name for name in needs if name not in frame.columns]
    if lacking or (needs and not len(frame)):
        what = f"lacks the column(s) {', '.join(lacking)}" if lacking else "has no rows"
        raise DataError(f"is damaged: it {what}", "copy the whole run directory, or run again", path)
    for name, column in frame.items():
        if not pd.api.types.is_numeric_dtype(column):
            frame[name] = [undefused(v) if isinstance(v, str) else v for v in column]
    return frame

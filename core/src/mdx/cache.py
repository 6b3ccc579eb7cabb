"""Where things that can be made again are kept: preprocessed images, simulated cohorts, trained stages."""

from __future__ import annotations

import os
from pathlib import Path

from mdx.errors import ResourceError


def cache_dir(*parts: str) -> Path:
    """A folder of the user's cache, made if needed: ``$MDX_CACHE`` if that is set, or the platform's for ``mdx``.

    Raises ResourceError where it cannot be made.
    """
    root = os.environ.get("MDX_CACHE")
    if not root:
        from platformdirs import user_cache_dir

        root = user_cache_dir("mdx")
    folder = Path(root, *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"the cache folder cannot be made ({error.strerror})", "set MDX_CACHE to a folder you can write to", folder
        ) from error
    return folder

"""``--deterministic``: operations that give the same bits each time, or an error that names the one that cannot."""

from __future__ import annotations

import os
import re

from mdx.errors import ResourceError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


class _State:
    before: tuple[bool, bool] | None = None  # what cudnn was told, while this module has changed it


_state = _State()


def be_deterministic(wanted: bool) -> None:
    """Let torch compute so from now on; or as it did before this function was first asked to."""
    import torch

    if wanted:
        os.environ.setdefault(WORKSPACE, ":4096:8")  # cuBLAS reads it when it is first used
        if _state.before is None:
            _state.before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        torch.use_deterministic_algorithms(True, warn_only=False)
    elif _state.before is not None:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = _state.before
        torch.use_deterministic_algorithms(False)
        _state.before = None


def without_deterministic_form(error: RuntimeError) -> ResourceError:
    """What torch says of an operation, in one message with the remedy."""
    found = re.match(r"(\S+) does not have a deterministic implementation", str(error))
    what = f"'{found[1]}' has no deterministic form on this device" if found else str(error).splitlines()[0]
    return ResourceError(
        f"--deterministic: {what}",
        "run without --deterministic (seeds are fixed all the same), or with --device cpu; docs/running.md lists such "
        "operations",
    )

"""Taking weights from another run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from mdx.errors import DataError
from mdx.interfaces.model import Model


def take_weights(model: Model, weights: Mapping[str, Tensor], parts: Iterable[str] | None) -> str:
    """Load the saved weights that fit into ``model``, by network name; a sentence that says what matched.

    Raises DataError if nothing matches.
    """
    mine = model.state_dict()
    wanted = None if parts is None else set(parts)
    theirs = {k: v for k, v in weights.items() if wanted is None or k.split(".")[0] in wanted}
    matched = {k: v for k, v in theirs.items() if k in mine and mine[k].shape == v.shape}
    if not matched:
        raise DataError(
            f"none of the {len(theirs)} saved weights fits this method's networks", "compare 'mdx show' of both plugins"
        )
    model.load_state_dict(matched, strict=False)
    other_shape = sorted(k for k in theirs if k in mine and k not in matched)
    return (
        f"{len(matched)} weights matched, {len(set(mine) - set(theirs))} missing, "
        f"{len(set(theirs) - set(mine))} unexpected, {len(other_shape)} of another shape {', '.join(other_shape[:5])}"
    ).rstrip()

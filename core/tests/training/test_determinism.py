"""``--deterministic``: asked for, forgotten again, and an operation without such a form named."""

from __future__ import annotations

import torch

from mdx.training.determinism import be_deterministic, without_deterministic_form


def test_torch_computes_deterministically_for_the_run_that_asks_for_it_alone() -> None:
    before = torch.backends.cudnn.deterministic
    be_deterministic(True)
    try:
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.backends.cudnn.deterministic
    finally:
        be_deterministic(False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic == before


def test_an_operation_without_a_deterministic_form_is_named_with_the_remedy() -> None:
    said = RuntimeError(
        "max_pool3d_with_indices_backward_cuda does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation"
    )
    error = without_deterministic_form(said)
    assert error.exit_code == 6
    assert "'max_pool3d_with_indices_backward_cuda' has no deterministic form" in error.what
    assert "without --deterministic" in str(error)

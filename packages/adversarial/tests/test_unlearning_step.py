"""The three updates of a step, against the authors' code and by what may and may not move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdx.training.run import Run
from mdx_adversarial.domains import sum_of_domain_means
from mdx_adversarial.updates import (
    UnlearningOptimizers,
    binary_domain_loss,
    double_softmax,
    unlearning_step,
)

MakeRun = Callable[..., Run]


def linear_run(run_of: MakeRun, golden: dict[str, Tensor]) -> Run:
    """The golden files' networks: linear encoder, regressor and head, in double precision."""
    run = run_of(enc=nn.Linear(4, 3), reg=nn.Linear(3, 1), dom=nn.Linear(3, len(golden["init.dom.0.bias"]))).model
    made = run_of(**{name: run[name].double() for name in ("enc", "reg", "dom")})
    load(made, golden, "init")
    return made


def load(run: Run, golden: dict[str, Tensor], when: str) -> None:
    for name in ("enc", "reg", "dom"):
        layer = f"{when}.dom.0" if name == "dom" else f"{when}.{name}"
        run.model[name].load_state_dict({k: golden[f"{layer}.{k}"] for k in ("weight", "bias")})


def read(path: Path) -> dict[str, Tensor]:
    with np.load(path) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files}


def sgd(run: Run, task: float = 0.1, domain: float = 0.1, confusion: float = 0.1) -> UnlearningOptimizers:
    m = run.model
    return UnlearningOptimizers(
        run.optimizer("task", [*m.enc.parameters(), *m.reg.parameters()], "sgd", lr=task),
        run.optimizer("domain", m.dom.parameters(), "sgd", lr=domain),
        run.optimizer("confusion", m.enc.parameters(), "sgd", lr=confusion),
    )


def mixed(golden: dict[str, Tensor], part: int, loaders: range) -> Tensor:
    """The first rows of each loader, as many as the composition says."""
    return torch.cat(
        [golden[f"loader{k}_{part}"][:n] for k, n in zip(loaders, golden["n_per_domain"].tolist(), strict=True)]
    )


def assert_final(run: Run, golden: dict[str, Tensor]) -> None:
    for key, wanted in golden.items():
        if key.startswith("final."):
            _, name, *_, kind = key.split(".")
            torch.testing.assert_close(run.model[name].state_dict()[kind], wanted, rtol=0, atol=1e-10, msg=key)


def loss_of(run: Run, labels: Tensor, domains: Tensor, count: int) -> Callable[[Tensor], Tensor]:
    return lambda f: sum_of_domain_means((run.model.reg(f)[:, 0] - labels[:, 0]).square(), domains, count)


def test_a_step_of_the_biased_script_is_reproduced(run_of: MakeRun, shared: Path) -> None:
    golden = read(shared / "golden" / "unlearning_step_biased.npz")
    run = linear_run(run_of, golden)
    domains = mixed(golden, 2, range(2)).argmax(dim=1)
    losses = unlearning_step(
        run, sgd(run), encode=run.model.enc, head=run.model.dom, main=mixed(golden, 0, range(2)),
        task_loss=loss_of(run, mixed(golden, 1, range(2)), domains, 2), other=mixed(golden, 0, range(2, 4)),
        domains=mixed(golden, 1, range(2, 4)).argmax(dim=1), alpha=float(golden["alpha"]), beta=float(golden["beta"]),
        reduction="sum", domain_loss=binary_domain_loss,
    )  # fmt: skip
    assert_final(run, golden)
    main, _, domain, confusion = golden["ret"].tolist()
    printed = [float(losses.main), float(losses.domain), float(losses.confusion) * float(golden["beta"])]
    assert printed == pytest.approx([main, domain, confusion], abs=1e-10)


def test_a_step_of_the_script_for_three_sets_is_reproduced(run_of: MakeRun, shared: Path) -> None:
    golden = read(shared / "golden" / "unlearning_step_three.npz")
    run = linear_run(run_of, golden)
    domains = mixed(golden, 2, range(3)).argmax(dim=1)
    losses = unlearning_step(
        run, sgd(run), encode=run.model.enc, head=run.model.dom, main=mixed(golden, 0, range(3)),
        task_loss=loss_of(run, mixed(golden, 1, range(3)), domains, 3), other=None, domains=domains,
        alpha=float(golden["alpha"]), beta=float(golden["beta"]), reduction="sum", domain_loss=double_softmax,
    )  # fmt: skip
    assert_final(run, golden)
    main, _, domain, confusion = golden["ret"].tolist()
    printed = [float(losses.main), float(losses.domain), float(losses.confusion) * float(golden["beta"])]
    assert printed == pytest.approx([main, domain, confusion], abs=1e-10)


def deep_run(run_of: MakeRun) -> Run:
    return run_of(
        enc=nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 5)), reg=nn.Linear(5, 1),
        dom=nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)),
    )  # fmt: skip


def step(run: Run, optimizers: UnlearningOptimizers, stale: bool = False, beta: float = 10.0) -> None:
    """One step on random batches (seed 0)."""
    generator = torch.Generator().manual_seed(0)
    main, other = torch.randn(2, 9, 4, generator=generator)
    labels, domains = torch.randn(9, 1, generator=generator), torch.arange(9) % 3
    unlearning_step(
        run, optimizers, encode=run.model.enc, head=run.model.dom, main=main, other=None if stale else other,
        task_loss=loss_of(run, labels, domains, 3), domains=domains, beta=beta,
    )  # fmt: skip


def weights(run: Run) -> dict[str, dict[str, Tensor]]:
    return {n: {k: v.clone() for k, v in m.named_parameters()} for n, m in run.model.items()}


def moved(run: Run, before: dict[str, dict[str, Tensor]]) -> set[str]:
    return {n for n, now in weights(run).items() if any(not torch.equal(now[k], before[n][k]) for k in now)}


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize(
    ("rates", "owners"), [((0.1, 0, 0), {"enc", "reg"}), ((0, 0.1, 0), {"dom"}), ((0, 0, 0.1), {"enc"})]
)
def test_each_update_moves_only_what_its_optimiser_owns(
    run_of: MakeRun, rates: tuple[float, float, float], owners: set[str], stale: bool
) -> None:
    run = deep_run(run_of)
    before = weights(run)
    step(run, sgd(run, *rates), stale)
    assert moved(run, before) == owners


def test_the_confusion_update_leaves_predictor_and_head_bit_identical(run_of: MakeRun) -> None:
    run = deep_run(run_of)
    optimizers = sgd(run)
    after_each: list[dict[str, dict[str, Tensor]]] = []
    plain = run.step

    def watched(*args: object, **options: object) -> None:
        plain(*args, **options)  # type: ignore[arg-type]
        after_each.append(weights(run))

    run.step = watched  # type: ignore[method-assign]
    step(run, optimizers)
    assert len(after_each) == 3
    assert moved(run, after_each[1]) == {"enc"}
    assert all(p.grad is None for p in run.model.parameters()), "no gradient waits for the next step"


def test_the_domain_loss_does_not_reach_the_encoder(run_of: MakeRun) -> None:
    runs = [deep_run(run_of), deep_run(run_of)]
    for run, domain_rate in zip(runs, (0.0, 0.5), strict=True):
        step(run, sgd(run, 0.1, domain_rate, 0.0))
    assert all(
        torch.equal(a, b) for a, b in zip(runs[0].model.enc.parameters(), runs[1].model.enc.parameters(), strict=True)
    )


def test_the_confusion_goes_through_the_head_that_has_just_moved(run_of: MakeRun) -> None:
    runs = [deep_run(run_of), deep_run(run_of)]
    for run, domain_rate in zip(runs, (0.0, 0.5), strict=True):
        step(run, sgd(run, 0.0, domain_rate, 0.1))
    assert not torch.equal(runs[0].model.enc[0].weight, runs[1].model.enc[0].weight)


def test_stale_features_are_recomputed_ones_where_the_task_does_not_move_the_encoder(run_of: MakeRun) -> None:
    runs = [deep_run(run_of), deep_run(run_of)]
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    labels, domains = torch.zeros(9, 1), torch.arange(9) % 3
    for run, other in zip(runs, (x, None), strict=True):
        unlearning_step(
            run, sgd(run, 0.0), encode=run.model.enc, head=run.model.dom, main=x, other=other,
            task_loss=loss_of(run, labels, domains, 3), domains=domains,
        )  # fmt: skip
    for a, b in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_after_many_steps_a_direction_that_told_the_domains_apart_is_gone(run_of: MakeRun) -> None:
    run = run_of(enc=nn.Linear(2, 2), reg=nn.Linear(2, 1), dom=nn.Linear(2, 2))
    generator = torch.Generator().manual_seed(1)
    domains = torch.arange(64) % 2
    images = torch.randn(64, 2, generator=generator)
    images[:, 0] += 3 * domains  # the first axis is the site, the second the label
    optimizers = sgd(run, 0.02, 0.05, 0.02)

    def separation() -> float:
        features = run.model.enc(images).detach()
        gap = features[domains == 1].mean(dim=0) - features[domains == 0].mean(dim=0)
        return float(gap.norm() / features[domains == 0].std(dim=0).norm())

    before = separation()
    for _ in range(400):
        unlearning_step(
            run, optimizers, encode=run.model.enc, head=run.model.dom, main=images, other=images, domains=domains,
            task_loss=loss_of(run, images[:, 1:], domains, 2), beta=5.0,
        )  # fmt: skip
    assert separation() < 0.25 * before
    error = (run.model.reg(run.model.enc(images))[:, 0] - images[:, 1]).square().mean()
    assert float(error.detach()) < 0.3, "the label is still told"


def test_binary_domain_loss_of_two_domains_is_the_cross_entropy() -> None:
    logits, domains = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    assert float(binary_domain_loss(logits, domains)) == pytest.approx(0.126928, abs=1e-6)
    assert float(F.cross_entropy(logits, domains)) == pytest.approx(0.126928, abs=1e-6)


def test_binary_domain_loss_of_three_domains_is_that_of_the_probabilities() -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0], [0.0, 0.5, 0.1]], dtype=torch.float64)
    domains = torch.tensor([0, 2])
    wanted = F.binary_cross_entropy(logits.softmax(dim=1), F.one_hot(domains, 3).double())
    assert float(binary_domain_loss(logits, domains)) == pytest.approx(float(wanted), abs=1e-12)


def test_a_probability_of_zero_gives_a_finite_loss_and_gradient() -> None:
    logits = torch.tensor([[300.0, 0.0, -300.0]], requires_grad=True)
    loss = binary_domain_loss(logits, torch.tensor([2]))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()

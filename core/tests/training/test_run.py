"""The contract of Run, one sentence a test."""

from __future__ import annotations

import json
from pathlib import Path

import made_up
import pytest
import torch
from torch import nn

from mdx.config import OptimizerSettings, RunSettings
from mdx.errors import ConfigError, DataError, DivergedError, PluginError
from mdx.plugins.hooks import hookimpl
from mdx.plugins.manager import HookCaller
from mdx.runs.checkpoint import load_tree
from mdx.training.run import Run


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def moved(module: nn.Module, before: list[torch.Tensor]) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(module.parameters(), before, strict=True))


def test_a_step_moves_only_its_own_network_and_leaves_no_gradient_on_the_others(run: Run) -> None:
    encoder, head = run.model.encoder, run.model.head
    confuse = run.optimizer("confuse", encoder.parameters(), "sgd", lr=0.1)
    run.optimizer("head", head.parameters(), "sgd", lr=0.1)
    before = weights(encoder), weights(head)
    run.step(confuse, head(encoder(torch.ones(5, 3))).square().sum())
    assert moved(encoder, before[0])
    assert not moved(head, before[1])
    assert all(p.grad is None for p in head.parameters())


def test_gradients_left_by_hand_are_not_part_of_a_step(run: Run) -> None:
    optimizer = run.optimizer("main", run.model.parameters(), "sgd", lr=0.1)
    for p in run.model.parameters():
        p.grad = torch.full_like(p, 1e6)
    before = weights(run.model)
    run.step(optimizer, 0.0 * run.model.head(run.model.encoder(torch.ones(1, 3))).sum())
    assert not moved(run.model, before)


def test_parts_of_a_batch_count_and_are_logged_by_their_share(tmp_path: Path) -> None:
    run = made_up.bare(tmp_path)
    head = run.model.head
    x = torch.arange(12.0).reshape(3, 4)
    optimizer = run.optimizer("main", head.parameters(), "sgd", lr=0.1)
    whole = torch.autograd.grad(head(x).square().mean(), head.weight)[0]
    before = head.weight.detach().clone()
    for _ in run.epochs("train", 1):
        for part in (x[:2], x[2:]):
            loss = head(part).square().mean()
            run.backward(loss, optimizer, share=len(part) / 3, log={"size": torch.tensor(float(len(part)))})
        run.step(optimizer, log={"other": 1.0})
    torch.testing.assert_close(before - head.weight.detach(), 0.1 * whole)
    row = json.loads((run.directory / "metrics.jsonl").read_text().splitlines()[-1])
    assert (row["train/size"], row["train/other"]) == (pytest.approx(2 * 2 / 3 + 1 / 3), 1.0)


def test_backward_accumulates_until_the_step(tmp_path: Path) -> None:
    x = torch.linspace(-1, 1, 12).reshape(4, 3)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    halves, whole = made_up.bare(tmp_path / "a"), made_up.bare(tmp_path / "b")
    for run, parts in ((halves, (x[:2], x[2:])), (whole, (x,))):
        optimizer = run.optimizer("main", run.model.parameters(), "sgd", lr=0.1)
        for part in parts:
            run.backward(run.model.head(run.model.encoder(part)).square().sum(), optimizer)
        run.step(optimizer)
    for a, b in zip(halves.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_clipping_by_norm_bounds_the_move(run: Run) -> None:
    optimizer = run.optimizer("main", run.model.parameters(), "sgd", lr=1.0)
    before = torch.cat([w.flatten() for w in weights(run.model)])
    run.step(optimizer, 1e4 * run.model.head(run.model.encoder(torch.ones(5, 3))).sum(), clip_norm=0.5)
    after = torch.cat([w.flatten() for w in weights(run.model)])
    assert float((after - before).norm()) == pytest.approx(0.5, rel=1e-3)


def test_clipping_by_value_bounds_every_weight(run: Run) -> None:
    optimizer = run.optimizer("main", run.model.parameters(), "sgd", lr=1.0)
    before = weights(run.model)
    run.step(optimizer, 1e4 * run.model.head(run.model.encoder(torch.ones(5, 3))).sum(), clip_value=0.01)
    for a, b in zip(weights(run.model), before, strict=True):
        assert float((a - b).abs().max()) <= 0.01 + 1e-6


def test_a_loss_that_is_not_finite_ends_the_run_with_code_7(run: Run) -> None:
    optimizer = run.optimizer("main", run.model.parameters(), "sgd", lr=1.0)
    with pytest.raises(DivergedError, match="lower the learning rate") as caught:
        run.step(optimizer, run.model.head(run.model.encoder(torch.ones(1, 3))).sum() * float("nan"))
    assert caught.value.exit_code == 7


def test_leaving_a_stage_by_break_is_refused(run: Run) -> None:
    for _ in run.epochs("one", 5):
        break
    with pytest.raises(PluginError, match=r"epoch\.stop\(\)"):
        run.epochs("two", 5)


def test_epoch_stop_ends_the_stage(run: Run) -> None:
    seen = []
    for epoch in run.epochs("one", 5):
        seen.append(epoch.index)
        if epoch.index == 1:
            epoch.stop()
    assert seen == [0, 1]


def test_a_stage_name_is_used_once(run: Run) -> None:
    list(run.epochs("one", 1))
    with pytest.raises(PluginError, match="twice"):
        run.epochs("one", 1)


def test_a_monitored_value_must_be_logged(run: Run) -> None:
    with pytest.raises(PluginError, match="did you mean 'val/loss'"):
        for epoch in run.epochs("one", 2, monitor="val/los"):
            epoch.log(val={"loss": 1.0})


def _odd_epochs(run: Run, **options: object) -> list[torch.Tensor]:
    """The first weight after each of three epochs; the second epoch is the best."""
    seen = []
    for epoch in run.epochs("one", 3, monitor="val/loss", **options):  # type: ignore[arg-type]
        nn.init.constant_(run.model.encoder.weight, float(epoch.index))
        seen.append(epoch.index)
        epoch.log(val={"loss": abs(epoch.index - 1)})
    return seen


def test_the_best_weights_are_kept_or_the_last_ones(tmp_path: Path) -> None:
    for keep, epochs, weight in (("best", [0, 1, 2], 1.0), (None, [0, 1, 2], 1.0), ("last", [0, 1, 2], 2.0)):
        (tmp_path / str(keep)).mkdir()
        run = made_up.bare(tmp_path / str(keep))
        assert _odd_epochs(run, keep=keep, patience=1) == epochs
        assert run.model.encoder.weight[0, 0].item() == weight


def test_the_last_weights_are_those_after_all_epochs_whatever_is_monitored(run: Run) -> None:
    for epoch in run.epochs("one", 3, keep="last", monitor="val/never_logged", patience=1):
        nn.init.constant_(run.model.encoder.weight, float(epoch.index))
    assert run.model.encoder.weight[0, 0].item() == 2.0


def test_the_best_weights_need_a_value_to_choose_them_by(run: Run) -> None:
    with pytest.raises(PluginError, match="monitor="):
        run.epochs("one", 3, keep="best")


def test_a_scratch_optimizer_is_not_checkpointed(run: Run) -> None:
    run.optimizer("kept", run.model.encoder.parameters(), "sgd", lr=0.1)
    run.optimizer("inner", run.model.head.parameters(), "sgd", lr=0.1, scratch=True)
    list(run.epochs("one", 1))
    assert set(load_tree(run.directory / "checkpoints" / "one.safetensors")["optimizers"]) == {"kept"}


def test_a_users_optimiser_replaces_the_methods_own(tmp_path: Path) -> None:
    run = made_up.bare(tmp_path, optimizer=OptimizerSettings.model_validate({"name": "adamw", "lr": 0.5}))
    made = run.optimizer("main", run.model.parameters(), "sgd", lr=0.1, momentum=0.9)
    assert isinstance(made, torch.optim.AdamW)
    assert made.param_groups[0]["lr"] == 0.5


def test_a_learning_rate_that_no_network_would_take_is_refused(tmp_path: Path) -> None:
    run = made_up.bare(tmp_path, optimizer=OptimizerSettings.model_validate({"lr": 5.0}))
    encoder, head = ({"params": network.parameters()} for network in run.model.values())
    with pytest.raises(ConfigError, match="a learning rate of its own"):
        run.optimizer("main", [{**encoder, "lr": 0.1}, {**head, "lr": 0.2}], "sgd")
    made = run.optimizer("other", [{**encoder, "lr": 0.1}, head], "sgd")
    assert [group["lr"] for group in made.param_groups] == [0.1, 5.0]


def test_an_unknown_optimiser_is_answered_with_the_nearest(tmp_path: Path) -> None:
    run = made_up.bare(tmp_path, optimizer=OptimizerSettings.model_validate({"name": "adamm"}))
    with pytest.raises(ConfigError, match="did you mean 'adam'"):
        run.optimizer("main", run.model.parameters(), "sgd", lr=0.1)


def test_named_generators_repeat_with_the_epoch_and_differ_between_names(tmp_path: Path) -> None:
    draws = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run = made_up.bare(tmp_path / name)
        draws += [(run.rng("x").random(), run.rng("y").random(), torch.rand(1).item()) for _ in run.epochs("one", 2)]
    assert draws[:2] == draws[2:]
    assert len({value for row in draws[:2] for value in row}) == 6


def test_an_equal_stage_of_another_run_is_not_trained_again(tmp_path: Path) -> None:
    trained = []
    for name in ("a", "b", "other"):
        (tmp_path / name).mkdir()
        run = made_up.bare(tmp_path / name, identity="code-1")
        optimizer = run.optimizer("main", run.model.parameters(), "sgd", lr=0.1)
        for epoch in run.epochs("source", 2, shared=(made_up.dataset(6 if name == "other" else 4), {"lr": 0.1})):
            run.step(optimizer, run.model.head(run.model.encoder(torch.randn(2, 3))).square().sum())
            trained.append((name, epoch.index))
    assert trained == [("a", 0), ("a", 1), ("other", 0), ("other", 1)]


def _stage_from(folder: Path, value: float) -> list[int]:
    folder.mkdir()
    run = made_up.bare(folder, identity="code-1")
    nn.init.constant_(run.model.encoder.weight, value)
    optimizer = run.optimizer("main", run.model.parameters(), "sgd", lr=0.1)
    trained = []
    for epoch in run.epochs("source", 1, shared=("equal",)):
        run.step(optimizer, run.model.head(run.model.encoder(torch.ones(2, 3))).square().sum())
        trained.append(epoch.index)
    return trained


def test_a_stage_that_starts_from_other_weights_is_trained_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDX_CACHE", str(tmp_path / "cache"))
    assert _stage_from(tmp_path / "a", 1.0) == [0]
    assert _stage_from(tmp_path / "b", 5.0) == [0]
    assert _stage_from(tmp_path / "c", 1.0) == []


def test_options_of_a_plugins_optimiser_arrive_as_numbers(tmp_path: Path) -> None:
    given: dict[str, object] = {}

    class Plugin:
        @hookimpl
        def mdx_make_optimizer(self, name: str, params: object, options: dict[str, object]) -> object:
            given.update(options)
            return torch.optim.SGD(list(params), lr=0.1)  # type: ignore[call-overload]

    hooks = HookCaller(print)
    hooks.register(Plugin(), "plugin")
    settings = OptimizerSettings.model_validate({"name": "theirs", "eps": "0.1", "amsgrad": "true", "kind": "wide"})
    made_up.bare(tmp_path, hooks=hooks, optimizer=settings).optimizer("main", [nn.Parameter(torch.ones(1))], "adam")
    assert given == {"eps": 0.1, "amsgrad": True, "kind": "wide"}


def _adam(run: Run, lr: float) -> torch.optim.Optimizer:
    return run.optimizer("main", run.model.parameters(), "adam", lr=lr)


def test_moments_of_an_earlier_optimizer_are_taken_along_and_its_learning_rate_is_not(run: Run) -> None:
    first = _adam(run, lr=0.5)
    run.step(first, run.model.head(run.model.encoder(torch.ones(2, 3))).square().sum())
    run.model["head"] = nn.Linear(4, 7)  # a new head: there is nothing to remember
    second = run.optimizer("main", run.model.parameters(), "adam", lr=0.01, moments_from=first)
    assert second.param_groups[0]["lr"] == 0.01
    moment = first.state[run.model.encoder.weight]["exp_avg"].clone()
    assert moment.abs().sum() > 0
    assert torch.equal(second.state[run.model.encoder.weight]["exp_avg"], moment)
    assert run.model.head.weight not in second.state
    run.step(second, run.model.head(run.model.encoder(torch.ones(2, 3))).square().sum())
    assert torch.equal(first.state[run.model.encoder.weight]["exp_avg"], moment), "the earlier one keeps its own"


def test_moments_of_another_algorithm_are_refused(run: Run) -> None:
    with pytest.raises(PluginError, match="one algorithm"):
        run.optimizer("other", run.model.parameters(), "sgd", lr=0.1, moments_from=_adam(run, lr=0.5))


def test_scores_of_a_stage_stand_once_however_often_it_is_evaluated(tmp_path: Path) -> None:
    run = made_up.bare(tmp_path, evaluate=lambda data: [{"case": case.id, "dice": 1.0} for case in data.cases])
    for stage in ("one", "two", "two"):
        run.evaluate(made_up.dataset(2), stage, "main")
    rows = [json.loads(line) for line in (tmp_path / "evaluations.jsonl").read_text().splitlines()]
    assert [(r["stage"], r["case"]) for r in rows] == [("one", "c0"), ("one", "c1"), ("two", "c0"), ("two", "c1")]


def test_a_network_that_only_training_needs_is_resumed_and_not_part_of_what_is_applied(tmp_path: Path) -> None:
    for _ in range(2):  # the second time it is restored
        run = made_up.bare(tmp_path)
        run.add(critic=nn.Linear(4, 1))
        optimizer = run.optimizer("critic", run.model.critic.parameters(), "sgd", lr=0.1)
        for _ in run.epochs("one", 2):
            run.step(optimizer, run.model.critic(run.model.encoder(torch.ones(2, 3))).square().sum())
        run.finish()
    trained = load_tree(tmp_path / "checkpoints" / "one.safetensors")["model"]
    assert torch.equal(run.model.critic.weight, trained["critic.weight"])
    applied = load_tree(tmp_path / "checkpoints" / "final.safetensors")["model"]
    assert {name.split(".")[0] for name in applied} == {"encoder", "head"}


def test_a_network_cannot_take_the_place_of_another(run: Run) -> None:
    with pytest.raises(PluginError, match="a network 'head' already"):
        run.add(head=nn.Linear(4, 1))


def test_a_loader_draws_anew_each_epoch_and_the_same_in_each_replay(tmp_path: Path) -> None:
    orders = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run = made_up.bare(tmp_path / name)
        loader = run.loader(made_up.dataset(), batch_size=8)
        orders += [[batch.case_ids for batch in loader] for _ in run.epochs("one", 2)]
    assert orders[0] != orders[1]
    assert orders[:2] == orders[2:]


def test_mixed_precision_sees_the_weights_of_the_last_step(tmp_path: Path) -> None:
    run = made_up.bare(tmp_path, settings=RunSettings.model_validate({"precision": "bf16-mixed"}))
    optimizer = run.optimizer("main", run.model.parameters(), "sgd", lr=0.5)
    x = torch.linspace(-1, 1, 6).reshape(2, 3)
    with run.autocast():
        outputs = []
        for _ in range(3):
            outputs.append(run.model.head(run.model.encoder(x)))
            run.step(optimizer, outputs[-1].float().square().mean())
    assert outputs[0].dtype == torch.bfloat16
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[1], outputs[2])


def test_an_empty_dataset_cannot_be_loaded(run: Run) -> None:
    with pytest.raises(DataError, match="no case"):
        run.loader(made_up.dataset(0), batch_size=2)

"""Nothing from outside runs unless the user says so, each time; what is damaged or useless is not applied."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_cohort import OF_THE_SOURCE, TINY
from torch import Tensor, nn

import mdx as library
from mdx.errors import DataError
from mdx.runs.checkpoint import load_tree, save_tree

Cli = Callable[..., tuple[int, str]]
CONTRACT = {
    "channels": 1, "classes": ["1"], "activation": "logits", "intensity": "percentiles", "lower": 1.0, "upper": 99.0,
    "spacing_mm": None,
}  # fmt: skip
MARK = "written-by-the-network"


class Writer(nn.Module):
    """A network that leaves a file behind when it is loaded and when it is applied."""

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, "written-by-the-network")
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return torch.zeros(1), self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        torch.save(state[0], "written-by-the-network")
        self.training = state[1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which a network that runs would leave its mark; nobody is trusted."""
    monkeypatch.setenv("MDX_TRUST_CODE", "0")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Writer()), "net.pt", _extra_files={"mdx.json": json.dumps(CONTRACT)})
    (tmp_path / MARK).unlink(missing_ok=True)
    return tmp_path


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_network_from_outside_does_not_run_without_trust(
    place: Path, finished: tuple[Path, Path], mdx: Cli, more: list[str]
) -> None:
    words = ["run", "fda", "--data", f"csv:{finished[0].resolve()}", "--init-from", "net.pt", "--set", "source=A",
             "target=B", *TINY]  # fmt: skip
    code, text = mdx(*words, *more)
    assert code == 3
    assert "net.pt: is TorchScript" in text
    assert "--trust-code" in text
    assert not (place / MARK).exists()


def test_with_trust_it_runs_which_is_why_it_is_asked_for(place: Path, finished: tuple[Path, Path], mdx: Cli) -> None:
    words = ["run", "fda", "--data", f"csv:{finished[0].resolve()}", "--init-from", "net.pt"]
    mdx(*words, "--set", "source=A", "target=B", *TINY, "--dry-run", "--trust-code")
    assert (place / MARK).exists()


@pytest.mark.parametrize("verb", ["apply", "evaluate", "report", "resume"])
def test_a_received_run_that_holds_a_program_is_not_run_without_trust(
    place: Path, finished: tuple[Path, Path], mdx: Cli, verb: str
) -> None:
    received = shutil.copytree(finished[1].resolve(), place / "received")
    shutil.copy(place / "net.pt", received / "own_network.pt")
    (received / "own_network.json").write_text(json.dumps({"name": "net.pt", "digest": "0", "contract": CONTRACT}))
    if verb == "resume":
        for name in ("done", "summary.json"):
            (received / name).unlink()
    more = [finished[0].resolve().parent / "images" / "B0.nii.gz"] if verb == "apply" else []
    code, text = mdx(verb, received, *more)
    assert not (place / MARK).exists()
    assert verb in ("report", "resume") or (code == 3 and "--trust-code" in text), text


def test_weights_as_safetensors_need_no_trust(place: Path, finished: tuple[Path, Path], mdx: Cli) -> None:
    trained = library.load_run(finished[1].resolve())
    save_file(dict(trained.model.network.state_dict()), "w.safetensors", metadata={"mdx.json": json.dumps(CONTRACT)})
    code, text = mdx(
        "run", "fda", "--variant", "no_da", "--baselines", "none", "--data", f"csv:{finished[0].resolve()}",
        "--init-from", "w.safetensors", "--set", "source=A", "target=B", *OF_THE_SOURCE, "--device", "cpu", "--out",
        "runs",
    )  # fmt: skip
    assert code == 0, text
    (run,) = Path("runs").iterdir()
    ours, theirs = (load_tree(r / "checkpoints/final.safetensors")["model"] for r in (run, finished[1].resolve()))
    assert all(torch.equal(ours[k], v) for k, v in theirs.items() if k.startswith("network."))


@pytest.mark.parametrize("at", ["tensor", "header"])
def test_a_flipped_bit_of_a_checkpoint_is_refused(place: Path, finished: tuple[Path, Path], mdx: Cli, at: str) -> None:
    moved = shutil.copytree(finished[1].resolve(), place / "moved")
    path = moved / "checkpoints" / "final.safetensors"
    content = bytearray(path.read_bytes())
    content[-100 if at == "tensor" else content.index(b'"mdx"') - 40] ^= 1
    path.write_bytes(content)
    code, text = mdx("apply", moved, finished[0].resolve().parent / "images" / "B0.nii.gz", "--out", "o")
    assert code == 4, text
    assert "final.safetensors: the checkpoint is damaged" in text


def test_weights_that_are_not_finite_are_refused(place: Path, finished: tuple[Path, Path], mdx: Cli) -> None:
    moved = shutil.copytree(finished[1].resolve(), place / "moved")
    path = moved / "checkpoints" / "final.safetensors"
    tree = load_tree(path)
    tree["model"] = {k: v * np.nan if v.is_floating_point() else v for k, v in tree["model"].items()}
    save_tree(path, tree)
    code, text = mdx("apply", moved, finished[0].resolve().parent / "images" / "B0.nii.gz", "--out", "o")
    assert code == 4, text
    assert "weights hold NaN or infinity" in text


@pytest.mark.parametrize("tree", ["null", "[]", "3", '{"": "tensor", "name": "gone"}', "[" * 10_000])
def test_a_crafted_checkpoint_is_named(place: Path, tree: str) -> None:
    save_file({"x": torch.zeros(2)}, "c.safetensors", metadata={"mdx": "2", "tree": tree, "digest": "0"})
    with pytest.raises(DataError, match=r"c\.safetensors: the checkpoint is damaged"):
        load_tree(Path("c.safetensors"))
    assert load_file("c.safetensors")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


ODD_SETTINGS = [
    BOMB, "training: &a {lr: *a}", "[" * 5000, "seed: " + "9" * 5000, "\0\1\2", "a: b: c", "- 1", "x: 1\n" * 400_000,
]  # fmt: skip


@pytest.mark.parametrize("text", ODD_SETTINGS)
def test_a_settings_file_of_any_kind_is_refused_at_once(
    place: Path, finished: tuple[Path, Path], mdx: Cli, text: str
) -> None:
    (place / "c.yaml").write_text(text)
    code, printed = mdx("run", "fda", "--data", f"csv:{finished[0].resolve()}", "--config", "c.yaml", "--dry-run")
    assert code == 3, printed
    assert "c.yaml" in printed or "not a setting" in printed

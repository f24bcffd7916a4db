"""A model with given weights is measured without training, and is never taken for one that was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

if TYPE_CHECKING:
    from tests.conftest import Call

small = ("--set", "gaussian-vae.hidden=12", "--set", "gaussian-vae.latent_dim=3", "--no-figures")
metrics = ("--metric", "elbo,reconstruction-mse")
dataset = ("--dataset", "dequantized-mnist-10k")
vae = ("run", "--models", "gaussian-vae", *small, *metrics, *dataset)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


@pytest.fixture
def trained(call: Call, tmp_path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a trained model, which are also in ``good.pt`` and in ``good.safetensors``."""
    assert call(*vae, "--steps", "5").code == 0
    (path,) = tmp_path.glob("runs/fits/*/weights.safetensors")
    weights = load_file(path)
    torch.save(weights, tmp_path / "good.pt")
    (tmp_path / "good.safetensors").write_bytes(path.read_bytes())
    return weights


def test_given_weights_have_the_values_of_the_fit_that_they_come_from(
    call: Call, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    before = records(tmp_path / "runs")
    for file in ("good.pt", "good.safetensors"):
        found = call(*vae, "--weights", f"gaussian-vae={file}", "--runs", f"{file} runs", "--seeds", "3")
        assert found.code == 0, found.err
        rows = json.loads(call("leaderboard", "--runs", f"{file} runs", "--format", "json").out)
        assert {row["reason"] for row in rows} == {f"weights from {file}"}
        after = records(tmp_path / f"{file} runs")
        assert len(after) == len(before) == 2
        for one, other in zip(before, after, strict=True):
            same = ("metric", "value", "stderr", "n", "parts", "measure", "seed")
            assert [one[name] for name in same] == [other[name] for name in same]
            assert other["budget"] is None
            assert other["model"]["note"] == f"weights from {file}"


def test_given_weights_are_another_row_than_the_trained_model(
    call: Call, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({name: each + 0.01 for name, each in trained.items()}, tmp_path / "other.pt")
    for file in ("good.pt", "other.pt"):
        assert call(*vae, "--weights", f"gaussian-vae={file}").code == 0
    assert "2 cells, all stored already" in call(*vae, "--steps", "5").err
    assert "2 cells, all stored already" in call(*vae, "--weights", "gaussian-vae=good.pt").err
    rows = json.loads(call("leaderboard", "--metric", "elbo", "--format", "json").out)
    assert [(row["budget"] is None, row["seeds"]) for row in rows].count((True, 1)) == 2
    assert len(rows) == 3
    shown = call("leaderboard", "--metric", "elbo").out
    assert "weights=good.pt" in shown
    assert "weights=other.pt" in shown
    (tmp_path / "good.pt").write_bytes((tmp_path / "other.pt").read_bytes())
    assert "2 cells, all stored already" in call(*vae, "--weights", "gaussian-vae=good.pt").err
    assert call("figures").code == 0


def test_weights_of_a_closed_form_model_are_not_fitted_again(call: Call, tmp_path: Path) -> None:
    words = ("run", "--models", "pca", "--dataset", "ppca-toy", "--metric", "reconstruction-mse", "--no-figures")
    words += ("--set", "pca.latent_dim=2")
    assert call(*words).code == 0
    (path,) = tmp_path.glob("runs/fits/*/weights.safetensors")
    zeros = {name: torch.zeros_like(each) for name, each in load_file(path).items()}
    torch.save(zeros, tmp_path / "zeros.pt")
    assert call(*words, "--weights", "pca=zeros.pt").code == 0
    fitted, given = (record["value"] for record in records(tmp_path / "runs"))
    assert given > 2 * fitted


def test_wrong_weights_are_named_and_nothing_is_run(
    call: Call, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    first, *others = trained
    rest = {name: trained[name] for name in others}
    contents: dict[str, Any] = {
        "missing.pt": rest,
        "unknown.pt": {**trained, "extra.bias": torch.zeros(3)},
        "shape.pt": {**rest, first: torch.zeros(2, 2)},
        "nested.pt": {"state_dict": trained},
        "tensor.pt": torch.zeros(3),
        "module.pt": torch.nn.Linear(2, 2),
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
    for name in ("junk.pt", "junk.safetensors"):
        (tmp_path / name).write_text("junk")
    damaged = "cannot be read: it is damaged, or holds Python objects, which are not loaded; save model.state_dict()"
    messages = {
        "missing.pt": f"weights file 'missing.pt' does not fit the model: missing: {first}",
        "unknown.pt": "does not fit the model: unknown: extra.bias",
        "shape.pt": f"{first} has the shape (2, 2) instead of {tuple(trained[first].shape)}",
        "nested.pt": "holds more than tensors (state_dict); save model.state_dict() alone",
        "tensor.pt": "holds a Tensor; save model.state_dict()",
        "module.pt": damaged,
        "junk.pt": damaged,
        "junk.safetensors": damaged,
        "none.pt": "weights file 'none.pt' cannot be read: No such file or directory",
        "runs": "weights file 'runs' cannot be read: Is a directory",
    }
    for name, message in messages.items():
        found = call(*vae, "--weights", f"gaussian-vae={name}", "--runs", "other", "--quiet")
        assert (found.code, found.out) == (2, ""), name
        (line,) = found.err.splitlines()
        assert message in line
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("words", "message"), [
    (("worst",), "'worst' is not one of 'last', 'best' and MODEL=FILE"),
    (("gan=good.pt",), "unknown model with weights 'gan'"),
    (("pca=a", "pca=b"), "'pca' has two files; give one of them"),
    (("last", "best"), "'last' and 'best' exclude each other"),
])  # fmt: skip
def test_wrong_words_are_named(call: Call, words: tuple[str, ...], message: str) -> None:
    given = [word for each in words for word in ("--weights", each)]
    found = call("run", "--models", "pca", "--metric", "reconstruction-mse", *given)
    assert found.code == 2
    assert message in found.err

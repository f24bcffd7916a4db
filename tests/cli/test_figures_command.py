"""Pictures lie beside the fits, and on the boards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from tests.conftest import Call

words = ("run", "--models", "pca,vae", "--metric", "elbo", "--epochs", "2", "--seeds", "2", "--jobs", "2")
small = ("--set", "vae.hidden=8", "--set", "vae.latent_dim=2")


def figures(folder: Path) -> dict[str, bytes]:
    return {f"{path.parts[-3]}/{path.stem}": path.read_bytes() for path in folder.glob("runs/fits/*/figures/*.png")}


def test_a_run_draws_them_and_the_command_draws_the_very_same_again(call: Call, tmp_path: Path) -> None:
    assert call(*words, *small).code == 0
    before = figures(tmp_path)
    kinds = {name.partition("/")[2] for name in before}
    assert kinds == {"reconstructions", "samples", "samples-in-training", "interpolation", "manifold", "curves"}
    page = (tmp_path / "leaderboards" / "binarized-mnist-10k.md").read_text()
    shown = re.findall(r'src="(binarized-mnist-10k.figures/[^"]+)"', page)
    assert len(shown) == len(before) / 2  # of the first seed
    for path in shown:
        Image.open(tmp_path / "leaderboards" / path).verify()
    for path in tmp_path.glob("runs/fits/*/figures/*.png"):
        path.unlink()
    done = call("figures", "--model", "vae")
    assert done.code == 0
    assert "drew 12 figures of 2 fits" in done.out
    again = figures(tmp_path)
    assert again == {name: before[name] for name in again}
    assert len(again) == 12
    page = (tmp_path / "leaderboards" / "binarized-mnist-10k.md").read_text()
    assert len(re.findall(r'src="', page)) == 6


def test_there_are_none_where_none_are_wanted(call: Call, faults: str, tmp_path: Path) -> None:
    assert call("run", "--models", "pca", "--metric", "reconstruction-mse", "--no-figures").code == 0
    assert figures(tmp_path) == {}
    assert "src=" not in (tmp_path / "leaderboards" / "binarized-mnist-10k.md").read_text()


def test_fits_without_weights_are_skipped_with_the_reason(call: Call, tmp_path: Path) -> None:
    metric = ("--metric", "reconstruction-mse", "--dataset", "mnist-10k")
    assert call("run", "--models", "pca", *metric, "--seeds", "2", "--no-figures").code == 0
    weights = sorted(tmp_path.glob("runs/fits/*/weights.safetensors"))[0]
    weights.unlink()
    done = call("figures")
    assert done.code == 0
    assert "of 1 fit," in done.out
    assert f"skipped {weights.parent.name[:12]}: {weights.relative_to(tmp_path)} is missing" in done.err
    assert "trained again" not in done.err


def test_a_figure_that_fails_is_told_of_and_costs_only_itself(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "import harness\n"
        "class Bad:\n"
        "    def draw(self, model, data, story):\n"
        "        raise LookupError('no paint')\n"
        "@harness.hookimpl\n"
        "def harness_figures():\n"
        "    return [harness.FigureSpec('bad', Bad, 'for tests')]\n"
    )
    done = call("run", "--plugin", "bad.py", "--models", "pca", "--metric", "reconstruction-mse")
    assert done.code == 0
    assert "the figure bad of pca could not be drawn: LookupError: no paint" in done.err
    assert {name.partition("/")[2] for name in figures(tmp_path)} == {"reconstructions", "interpolation"}


def test_fits_that_are_not_there_are_asked_for_in_vain(call: Call, tmp_path: Path) -> None:
    done = call("figures")
    assert done.code == 2
    assert "no fits in runs yet" in done.err
    assert call("run", "--models", "pca", "--metric", "reconstruction-mse", "--no-figures").code == 0
    done = call("figures", "--model", "pcb")
    assert done.code == 2
    assert "Did you mean 'pca'?" in done.err

"""Every command on the page about samples and checkpoints works."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from harness import DataSource
from harness.data.transforms import Binarize
from harness_datasets.mnist_10k import MNIST10k
from harness_vae.vae import VAE

if TYPE_CHECKING:
    from tests.conftest import Call

page = (Path(__file__).parents[2] / "docs" / "score.md").read_text(encoding="utf-8")
commands = [line for line in page.splitlines() if line.startswith("harness ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the page names."""
    folder = tmp_path_factory.mktemp("score")
    data = MNIST10k(MNIST10k.Config()).load(DataSource(None, folder, print))
    for name, images in (("generated", data.validation.stored), ("photos", data.train.stored[:100])):
        (folder / name).mkdir()
        for number, image in enumerate(images.numpy()):
            Image.fromarray(image[0]).save(folder / name / f"{number:04}.png")
    digits = data.validation.stored.numpy()
    np.savez(folder / "mine.npz", digits)
    np.savez(folder / "theirs.npz", np.clip(digits, 0, 200))
    np.save(folder / "few.npy", digits[:500])
    np.save(folder / "large.npy", digits.transpose(0, 2, 3, 1).repeat(2, 1).repeat(2, 2).repeat(3, 3))
    torch.save(VAE(Binarize(Binarize.Config()).apply(data).info, VAE.Config()).state_dict(), folder / "vae.pt")
    return folder


@pytest.mark.parametrize("command", commands)
def test_every_command_works(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(folder)
    # A metric that is quick in pixels, since features of a classifier need one to be trained.
    words = shlex.split(command.replace("frechet-distance,precision,recall", "kernel-distance"))[1:]
    words = [word.replace("frechet-distance", "kernel-distance") for word in words]
    if "kernel-distance" in words and "kernel-distance.features=pixels" not in words:
        words += ["--set", "kernel-distance.features=pixels"]
    if "kernel-distance.samples=500" not in words and "kernel-distance" in words:
        words += ["--set", "kernel-distance.samples=20"]
    words += ["--no-figures"]
    done = call(*words)
    assert done.code == 0, done.err
    assert done.out

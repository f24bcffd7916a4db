"""An interrupted fit resumes with the same result as an uninterrupted one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness import Data, Noise
from harness.data.transforms import Binarize
from harness.errors import StoreError
from harness.planning.budget import Budget
from harness.results.checkpoint import FileCheckpoint
from harness.training.fit import fit_seeds
from harness.training.recipe import Callbacks, Recipe
from harness_gan.gan import GAN
from harness_vae.vae import VAE


class Counting(VAE):
    """Counts its steps in Python and in a buffer outside the state_dict, and shares a layer."""

    def __init__(self, info, config) -> None:
        super().__init__(info, config)
        self.steps = 0
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.again = self.posterior_head

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        self.steps += 1
        self.seen += 1
        return (1 + self.steps + self.seen) * super().loss(x, noise)


models = {
    "counting": (Counting, VAE.Config(latent_dim=2, hidden=(8,), epsilon=0.1), "last"),
    "vae": (VAE, VAE.Config(latent_dim=2, hidden=(8,), schedule="cosine"), "best"),
    "gan": (GAN, GAN.Config(latent_dim=2, generator=(8, 8), discriminator=(8,), collapse_fraction=0.0), "last"),
}


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("name", models)
def test_an_interrupted_fit_ends_bit_for_bit_like_an_uninterrupted_one(
    name: str, vectorized: bool, small_data: Data, tmp_path: Path
) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    factory, config, weights = models[name]
    recipe = Recipe(factory, config, data, Budget(epochs=6, batch_size=50, weights=weights))
    seeds, announced = (0, 1), []

    def checkpoint(seeds: Sequence[int]) -> FileCheckpoint:
        return FileCheckpoint(tmp_path / f"{seeds}.pt", announced.append, interval=0)

    def stop_after(last: int):
        def on_epoch(epoch: int, losses, progress: float) -> None:
            if epoch > last:
                raise Interrupted

        return Callbacks(on_epoch=on_epoch, checkpoint=checkpoint)

    whole = fit_seeds(recipe, seeds, vectorized=vectorized)
    for last in (2, 4):
        with pytest.raises(Interrupted):
            fit_seeds(recipe, seeds, vectorized=vectorized, callbacks=stop_after(last))
    resumed = fit_seeds(recipe, seeds, vectorized=vectorized, callbacks=stop_after(6))
    assert announced[:2] == [
        f"resuming the fit from a checkpoint after epoch {epoch} ({6 * epoch} steps)" for epoch in (2, 4)
    ]
    for a, b in zip(whole, resumed, strict=True):
        assert (a.curves.train, a.curves.validation) == (b.curves.train, b.curves.validation)
        for key, value in a.model.state_dict().items():
            assert torch.equal(value, b.model.state_dict()[key]), key


def test_a_damaged_checkpoint_is_announced_and_the_fit_starts_from_the_beginning(tmp_path: Path) -> None:
    announced: list[str] = []
    checkpoint = FileCheckpoint(tmp_path / "fit.pt", announced.append)
    checkpoint.save({"epoch": 1}, "3 steps")
    content = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(content[: len(content) // 2])
    assert checkpoint.done is None
    assert announced == []
    assert checkpoint.load() is None
    assert "the fit starts from the beginning" in announced[0]


def test_a_checkpoint_of_another_layout_is_announced_and_the_fit_starts_from_the_beginning(tmp_path: Path) -> None:
    announced: list[str] = []
    checkpoint = FileCheckpoint(tmp_path / "fit.pt", announced.append)
    assert checkpoint.done is None
    checkpoint.save({"epoch": 1}, "3 steps")
    assert checkpoint.done == "3 steps"
    torch.save({**torch.load(checkpoint.path), "layout": 1}, checkpoint.path)
    assert checkpoint.load() is None
    assert "another version; the fit starts from the beginning" in announced[0]


def test_a_checkpoint_that_cannot_be_written_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        FileCheckpoint(tmp_path / "file" / "fit.pt", print).save({}, "nothing")


def test_nothing_is_written_before_it_is_due_and_nothing_is_left_behind(tmp_path: Path) -> None:
    checkpoint = FileCheckpoint(tmp_path / "fit.pt", print)
    assert not checkpoint.is_due
    checkpoint.save({}, "nothing")
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []

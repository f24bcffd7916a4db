"""Shared by tests of training: settings that make the built-in models small, tiny models, data in float64."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from harness import AdamSettings, Data, Noise

# The source of a data set for plugins that tests write: sixty vectors of thirty values in each split.
tiny_data_set = """
import torch
import harness

class Tiny:
    def __init__(self, config): pass
    def load(self, source):
        g = torch.Generator().manual_seed(1)
        return harness.Data.from_tensors(*(harness.Examples(torch.rand(60, 30, generator=g)) for _ in range(3)))
"""

# The source of a model that learns the mean of such vectors from noisy ones, for plugins that tests write.
mean_model = """
class Mean(torch.nn.Module):
    def __init__(self, info, config):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(info.dim))
    def reconstruct(self, x):
        return self.mean.expand_as(x)
    def loss(self, x, noise):
        return (x + 0.1 * noise.normal(*x.shape) - self.mean).square().mean()
"""

small = {
    "vae": {"latent_dim": "3", "hidden": "12"},
    "iwae": {"latent_dim": "3", "hidden": "12", "k": "4"},
    "gan": {"latent_dim": "3", "generator": "8-12", "discriminator": "8", "collapse_fraction": "0"},
    "dcgan": {"latent_dim": "3", "generator": "6-4", "discriminator": "4-6", "collapse_fraction": "0"},
    "wgan-gp": {
        "latent_dim": "3",
        "generator": "8-12",
        "discriminator": "8",
        "critic_steps": "2",
        "collapse_fraction": "0",
    },
    "realnvp": {"layers": "3", "hidden": "8"},
    "beta-vae": {"latent_dim": "3", "hidden": "12"},
    "gaussian-vae": {"latent_dim": "3", "hidden": "12"},
    "cnn-vae": {"latent_dim": "3", "channels": "4-6"},
    "mlp-ae": {"hidden": "8-4"},
    "cnn-ae": {"latent_dim": "3", "channels": "4-6"},
    "sparse-ae": {"hidden": "12"},
    "denoising-ae": {"hidden": "8-4"},
    "denoising-cnn-ae": {"latent_dim": "3", "channels": "4-6"},
    "sampling-ae": {"latent_dim": "3", "hidden": "12"},
    "linear-ae": {"latent_dim": "3"},
    "convae": {"latent_dim": "3", "channels": "4-6", "dense": "12"},
    "convae-flow": {"latent_dim": "3", "channels": "4-6", "dense": "12", "flow_hidden": "8"},
    "vq-vae": {"channels": "4", "codebook_size": "5", "prior_width": "8", "prior_layers": "1"},
    "ddpm": {"channels": "4-8"},
    "flow-matching": {"channels": "4-8"},
}


def in_double(data: Data) -> Data:
    splits = {
        name: replace(each, inputs=lambda stored, noise, inputs=each.inputs: inputs(stored, noise).double())
        for name, each in data.splits.items()
    }
    return replace(data, **splits)


class Line(nn.Module):
    """Learns the mean of the examples by squared errors."""

    Config = AdamSettings

    def __init__(self, info, config: AdamSettings) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(info.dim))

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        return (x.flatten(1) - self.mean).square().mean()


class LooksAtItsLoss(Line):
    """Branches on the value of its loss, which neither vmap nor compilation can do."""

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        loss = super().loss(x, noise)
        return loss * 2 if loss.item() > 1 else loss

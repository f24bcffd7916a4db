"""The Wasserstein adversarial network with gradient penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness import DataInfo, Noise, Objective, setting
from harness_gan.adversarial import Adversarial


class WGANGP(Adversarial):
    """A generator against a critic that a gradient penalty keeps nearly 1-Lipschitz (Gulrajani et al., 2017).

    The critic minimises mean f(G(z)) − mean f(x) + λ mean (‖∇f(x̂)‖ − 1)², with x̂ drawn uniformly from the line
    between a real and a generated image. The generator minimises −mean f(G(z)). The loss of an optimal critic is −W,
    the negative Wasserstein distance (up to the penalty), so its curve shows progress. Each step updates the critic
    ``critic_steps`` times, then the generator. λ, Adam's settings and ``critic_steps`` are those of the paper's
    Algorithm 1. The critic has no batch norm, because the penalty applies to single images.

    Our choices: the fully connected networks of ``gan``, so that the two differ only in their losses and in Adam's
    settings; and all updates of the critic in one step use the same real images, with new codes and x̂. Distances are
    between images scaled to [−1, 1].
    """

    @dataclass(frozen=True)
    class Config(Adversarial.Config):
        """Settings."""

        learning_rate: float = setting(1e-4, "step size of Adam, for both networks", above=0)
        beta1: float = setting(0.0, "decay of Adam's first moment", minimum=0, below=1)
        beta2: float = setting(0.9, "decay of Adam's second moment", minimum=0, below=1)
        penalty: float = setting(10.0, "λ, the weight of the gradient penalty", minimum=0)
        critic_steps: int = setting(5, "updates of the critic per update of the generator", minimum=1)

    expected_failures: ClassVar = {
        "model-gradients-reach-all-parameters": "The last bias of the critic cancels in differences of its values."
    }

    config: Config

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)

    def objectives(self) -> list[Objective]:
        """Return the critic's objective, with several updates per step, then the generator's."""
        critic, generator = (list(each.parameters()) for each in (self.discriminator, self.generator))
        return [
            Objective("critic", self.critic_loss, critic, self.config, repeats=self.config.critic_steps),
            Objective("generator", self.generator_loss, generator, self.config),
        ]

    def generator_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return −f(G(z)), averaged over as many generated images as there are in ``x``."""
        return -self.discriminator(self._generate(len(x), noise)).mean()  # type: ignore[no-any-return]

    def critic_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return f(G(z)) − f(x) + λ (‖∇f(x̂)‖ − 1)², averaged over examples."""
        real = 2 * x.flatten(1) - 1
        with torch.no_grad():
            generated = self._generate(len(x), noise)
        between = torch.lerp(real, generated, noise.uniform(len(x), 1).to(real))
        difference = self.discriminator(generated) - self.discriminator(real)
        return difference.mean() + self.config.penalty * self._gradient_penalty(between)  # type: ignore[no-any-return]

    def _gradient_penalty(self, x: Tensor) -> Tensor:
        """Return (‖∇f(x)‖ − 1)², averaged over the images ``x`` ``(N, d)``."""
        # Unlike the autograd engine, torch.func differentiates under vmap and within no_grad.
        gradients = torch.func.grad(lambda x: self.discriminator(x).sum())(x)
        return (torch.linalg.vector_norm(gradients, dim=1) - 1).square().mean()  # type: ignore[no-any-return]

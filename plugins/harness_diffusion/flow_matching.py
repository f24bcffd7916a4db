"""Flow matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from harness import DataInfo, Noise, setting
from harness_diffusion.networks import NetworkSettings, network_for
from harness_diffusion.scale import Scale
from harness_diffusion.times import stratified_times


class FlowMatching(nn.Module):
    """A flow with a velocity learned by regression along straight lines from noise to data (Lipman et al., 2023).

    Along x_t = (1 − t) x_0 + t x_1, with x_0 from N(0, I) and x_1 from the data, the network learns E[x_1 − x_0 | x_t].
    This is the paper's conditional optimal-transport path with σ_min = 0. Samples solve dx/dt = v(x, t) from t = 0
    to 1. Data in [0, 1] is scaled to [−1, 1] for the flow, and samples are clipped to [0, 1]; they are real numbers
    even for binary data. Our choices: the small network, and t stratified over a batch.
    """

    @dataclass(frozen=True)
    class Config(NetworkSettings):
        """Settings."""

        solver: Literal["euler", "midpoint", "rk4", "dopri5"] = setting("midpoint", "ODE solver for samples")
        steps: int = setting(20, "number of steps of a fixed-step solver", minimum=1)
        tolerance: float = setting(1e-4, "relative and absolute tolerance of dopri5", above=0)

    check_settings: ClassVar = {"channels": (4, 8), "hidden": (32,), "steps": 5}
    expected_failures: ClassVar = {"model-settings-are-used": "tolerance is for solver=dopri5 only."}

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        self.config = config
        self.shape = info.shape
        self.scale = Scale(info)
        self.network = network_for(info, config)

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the squared error of the velocity, summed over values and averaged over examples."""
        data = self.scale.to_model(x)
        start = noise.normal(*data.shape)
        t = stratified_times(len(data), noise)
        share = t.view(-1, *[1] * len(self.shape))
        velocity = self.network((1 - share) * start + share * data, t)
        return (velocity - (data - start)).square().flatten(1).sum(1).mean()  # type: ignore[no-any-return]

    def rescale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return examples on the flow's scale, and the log-determinant of that map, ``(N,)`` in nats."""
        return self.scale.to_model(x), x.new_full((len(x),), self.scale.log_det)

    def velocity(self, y: Tensor, t: Tensor) -> Tensor:
        """Return dy/dt at points ``y`` ``(N, *shape)`` at time ``t``, a scalar: 0 is noise, 1 is data."""
        return self.network(y, t.to(y.dtype).expand(len(y)))  # type: ignore[no-any-return]

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Transform ``n`` draws from N(0, I) to samples."""
        from torchdiffeq import odeint

        adaptive = self.config.solver == "dopri5"
        start = noise.normal(n, *self.shape)
        times = torch.linspace(0, 1, 2 if adaptive else self.config.steps + 1, device=start.device)
        limits = {"rtol": self.config.tolerance, "atol": self.config.tolerance} if adaptive else {}
        path = odeint(lambda t, y: self.velocity(y, t), start, times, method=self.config.solver, **limits)
        return self.scale.to_data(path[-1])

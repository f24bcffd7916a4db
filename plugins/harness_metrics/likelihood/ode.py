"""Log-likelihood of models that transport noise to data along an ordinary differential equation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Normal

from harness import Context, Data, Estimate, Noise, NotApplicable, Transports, likelihood_measure, setting
from harness_metrics.likelihood.weights import per_dimension

batch = 100  # examples per call of the solver, which share its steps
exact_up_to = 16  # values of an example up to which the trace is exact


class LogLikelihoodODE:
    """log p(x) by the instantaneous change of variables (Chen et al., 2018), for models with a ``velocity``.

    log p(x_1) = log N(x_0) − ∫ tr(∂v/∂x) dt, from the data at t = 1 back to N(0, I) at t = 0. torchdiffeq's dopri5
    solves it in float32; the result is converted to the scale of the data. The trace is exact for examples of at most
    16 values. Above, it is Hutchinson's unbiased estimate εᵀ (∂v/∂x) ε with random signs ε, fixed along a path
    (Grathwohl et al., 2019). ``trace_stderr`` is the standard error due to the signs; ``stderr`` contains it.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        examples: int = setting(100, "number of test images, chosen at random", minimum=2)
        probes: int = setting(4, "random directions per example for the estimate of the trace", minimum=2)
        tolerance: float = setting(1e-5, "relative and absolute tolerance of the solver", above=0)

    unit: ClassVar = "nats"
    check_settings: ClassVar = {"examples": 10, "tolerance": 1e-3}
    direction: ClassVar = "higher"
    needs: ClassVar = (Transports,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Transports, data: Data, context: Context) -> Estimate:
        """Measure on a fixed random choice of test images.

        Raises:
            NotApplicable: the data is discrete.
        """
        if data.info.is_discrete:
            kind = "binary" if data.info.support == "binary" else "discrete and not dequantized"
            raise NotApplicable(f"a flow has a density, but the data is {kind}")
        exact = data.info.dim <= exact_up_to
        bases, traces, scales, evaluations = [], [], [], []
        for x in data.test.subset(self.config.examples).batches(batch, context.noise):
            y, log_det = model.rescale(x)
            probes = _basis(y) if exact else _signs(y, self.config.probes, context.noise)
            base, trace, steps = log_prob(model, y, probes, self.config.tolerance)
            bases.append(base.double())
            traces.append(trace.double())
            scales.append(log_det.double())
            evaluations.append(steps)
            context.progress(sum(map(len, bases)) / min(self.config.examples, len(data.test)))
        base, trace, scale = torch.cat(bases), torch.cat(traces, dim=1), torch.cat(scales)
        change = trace.sum(0) if exact else trace.mean(0)
        values = base + change + scale
        spread = torch.zeros_like(change) if exact else trace.std(0) / len(trace) ** 0.5
        return Estimate.over_examples(
            values,
            parts={"base": base, "change of volume": change, "scale": scale} | per_dimension(values, data.info),
            measure=likelihood_measure(data.info, Normal(0.0, 1.0)),
            diagnostics={
                "trace": "exact" if exact else f"Hutchinson, {self.config.probes} probes",
                "trace_stderr": float(spread.square().sum().sqrt() / len(spread)),
                "trace_stderr_per_example": float(spread.mean()),
                "solver": "dopri5",
                "tolerance": self.config.tolerance,
                "evaluations": max(evaluations),
            },
        )


def log_prob(model: Transports, y: Tensor, probes: Tensor, tolerance: float) -> tuple[Tensor, Tensor, int]:
    """Transport examples on the model's scale, ``y`` ``(N, *shape)``, back to noise.

    Args:
        model: the flow.
        y: the examples.
        probes: directions ε, ``(K, N, *shape)``.
        tolerance: of the solver.

    Returns:
        log N(x_0; 0, I), ``(N,)``; −∫ εᵀ (∂v/∂x) ε dt for each direction, ``(K, N)``; the number of evaluations of v.
    """
    from torchdiffeq import odeint

    evaluations = 0

    def derivative(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal evaluations
        evaluations += 1
        with torch.enable_grad():
            y = state[0].detach().requires_grad_()
            velocity = model.velocity(y, t)
            products = [torch.autograd.grad(velocity, y, probe, retain_graph=True)[0] for probe in probes]
        traces = [(product * probe).flatten(1).sum(1) for product, probe in zip(products, probes, strict=True)]
        return velocity.detach(), torch.stack(traces)

    times = torch.tensor([1.0, 0.0], dtype=y.dtype, device=y.device)
    start = y, y.new_zeros(len(probes), len(y))
    path, traces = odeint(derivative, start, times, rtol=tolerance, atol=tolerance, method="dopri5")
    noise = path[-1].flatten(1)
    base = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(1)
    return base, traces[-1], evaluations


def _basis(y: Tensor) -> Tensor:
    """Return the unit vectors as directions, ``(d, N, *shape)``."""
    d = y[0].numel()
    unit = torch.eye(d, dtype=y.dtype, device=y.device)
    return unit[:, None].expand(d, len(y), d).reshape(d, *y.shape)


def _signs(y: Tensor, probes: int, noise: Noise) -> Tensor:
    """Draw random signs, ``(K, N, *shape)``."""
    return 2 * (noise.uniform(probes, *y.shape) < 0.5).to(y.dtype) - 1

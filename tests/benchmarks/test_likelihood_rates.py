"""Importance-weighted likelihoods compared with pythae 0.1.2's ``get_nll`` (it returns log p(x)), and Monte Carlo.

Run with ``pytest tests/benchmarks/test_likelihood_rates.py --benchmark-only -s``.
"""

from __future__ import annotations

import contextlib
import copy
import io
import time
from types import SimpleNamespace

import pytest
import torch
from pythae_twin import pythae_twin

from harness import Context, Data, Examples, Noise
from harness.machine.fast_linear import fast_linear
from harness_metrics.likelihood.ais import frozen
from harness_metrics.likelihood.annealing import DecoderPath, leapfrog, start
from harness_metrics.likelihood.importance import LogLikelihoodIW
from harness_metrics.likelihood.monte_carlo import LogLikelihoodMC
from harness_vae.vae import VAE

images, k = 200, 500


@pytest.fixture
def data() -> Data:
    noise = Noise(0)
    return Data.from_tensors(
        *(Examples((noise.uniform(n, 1, 28, 28) < 0.2).float()) for n in (10, 10, 2000)), support="binary"
    )


@pytest.fixture
def model(data: Data) -> VAE:
    torch.manual_seed(0)
    return VAE(data.info, VAE.Config()).eval()


@torch.no_grad()
def test_importance_weighting_compared_with_pythae(in_turns, model: VAE, data: Data, threads: int) -> None:
    twin, x = pythae_twin(model), data.test.subset(images).all(Noise(0))
    best: dict[str, SimpleNamespace] = {}

    def note(name: str, value: float, seconds: float) -> None:
        rate = images * k / seconds
        if name not in best or rate > best[name].rate:
            best[name] = SimpleNamespace(rate=rate, value=value)

    def ours() -> None:
        start = time.perf_counter()
        with fast_linear(model, torch.device("cpu")):
            metric = LogLikelihoodIW(LogLikelihoodIW.Config(k=k, examples=images))
            estimate = metric.measure(model, data, Context(Noise(0), None, None, 0))
        note("ours", estimate.value, time.perf_counter() - start)

    def theirs() -> None:
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            value = twin.get_nll(x, n_samples=k, batch_size=100)
        note("pythae", float(value), time.perf_counter() - start)

    in_turns(f"pythae's time over ours, {threads} threads", ours, theirs)
    print({name: f"{each.rate:,.0f} image-samples/s, {each.value:.2f} nats" for name, each in best.items()})
    assert best["ours"].value == pytest.approx(best["pythae"].value, abs=1)


@torch.no_grad()
def test_leapfrog_compared_with_the_gradient_of_the_decoder_alone(
    in_turns, model: VAE, data: Data, threads: int
) -> None:
    """A leapfrog step takes one gradient of log p(x, z); the ratio shows its cost beyond the decoder's passes."""
    x, noise, chains, steps = data.test.subset(60).all(Noise(0)), Noise(0), 16, 20
    path = DecoderPath(model.prior(), model.prior(), model.observation, x)
    with frozen(model), fast_linear(model, torch.device("cpu")):
        z = start(path, chains, len(x), noise)
        point = path.at(z)

        def ours() -> None:
            leapfrog(path, point, noise.normal(*z.shape), 0.5, 1e-3, steps)

        def bare() -> None:
            with torch.enable_grad():
                for _ in range(steps):
                    codes = z.flatten(0, 1).detach().requires_grad_()
                    torch.autograd.grad(model.decoded(codes).sum(), codes)

        in_turns(f"a leapfrog step over the decoder's forward and backward, {threads} threads", bare, ours)
        began = time.perf_counter()
        ours()
        rate = steps * chains * len(x) / (time.perf_counter() - began)
    print(f"{rate:,.0f} gradients/s")
    code = z.double().requires_grad_()
    exact = copy.deepcopy(model).double()
    with torch.enable_grad():
        joint = exact.observation(code.flatten(0, 1)).log_prob(x.double().repeat(chains, 1, 1, 1)).sum()
        (plain,) = torch.autograd.grad(joint + exact.prior().log_prob(code).sum(), code)
    torch.testing.assert_close(point.joint_gradient.double(), plain, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_monte_carlo_pairs(benchmark, model: VAE, data: Data, threads: int) -> None:
    metric = LogLikelihoodMC(LogLikelihoodMC.Config(samples=20_000))

    def measure() -> float:
        with fast_linear(model, torch.device("cpu")):
            return metric.measure(model, data, Context(Noise(0), None, None, 0)).value

    value = benchmark.pedantic(measure, rounds=3, warmup_rounds=1)
    rate = 20_000 * 2000 / benchmark.stats.stats.min
    benchmark.extra_info["pairs per second"] = rate
    print(f"\n{rate / 1e6:.0f} million pairs/s on {threads} threads")
    assert value < 0

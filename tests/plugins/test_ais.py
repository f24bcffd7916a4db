"""Annealed importance sampling on models whose likelihood is known, and its gap."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path as Path_

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import needs_a_gpu
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from harness import Context, Data, DataInfo, Estimate, Noise, NotApplicable
from harness.errors import UsageError
from harness.results.checkpoint import FileCheckpoint
from harness.settings import build
from harness.toolkit import Work
from harness_linear.linear_gaussian import LinearGaussian
from harness_linear.ppca import PPCA
from harness_metrics.likelihood.ais import AISGap, AnnealingSettings, LogLikelihoodAIS, cost_line
from harness_metrics.likelihood.annealing import (
    DecoderPath,
    LinearPath,
    Path,
    RecordedPath,
    anneal,
    leapfrog,
    schedule,
    start,
    transition,
    tune,
)
from harness_metrics.likelihood.weights import Weights
from harness_vae.vae import VAE


@pytest.fixture(autouse=True)
def _no_grad() -> object:
    """Disable gradients, as in a measurement."""
    with torch.no_grad():
        yield


def linear_gaussian(latent: int = 2, dim: int = 5, seed: int = 0, noise: float = 0.5) -> LinearGaussian:
    """Return a model in float64 with random W, μ and ψ; the columns of W are not orthogonal."""
    info = DataInfo((1, 1, dim), "real", torch.zeros(1, 1, dim))
    model = LinearGaussian(info, LinearGaussian.Config(latent_dim=latent)).double()
    generator = torch.Generator().manual_seed(seed)
    model.mean.copy_(torch.randn(dim, generator=generator))
    model.loadings.copy_(torch.randn(dim, latent, generator=generator))
    model.noise_variance.copy_(noise * (0.5 + torch.rand(dim, generator=generator)))
    return model


def linear_path(model: LinearGaussian, x: Tensor, base: Distribution | None = None) -> LinearPath:
    return LinearPath(base or model.prior(), model.loadings, model.mean, model.noise_variance, x)


def exact_posterior(model: LinearGaussian, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean ``(N, latent)`` and covariance of p(z | x)."""
    path = linear_path(model, x)
    covariance = path.precision.inverse()
    return path.linear @ covariance, covariance


def simulated(model: LinearGaussian, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return codes from the prior and examples from p(x | z), in float64."""
    noise = Noise(seed)
    z = noise.normal(n, model.loadings.shape[1]).double()
    x = model.decode(z) + (model.noise_variance.sqrt() * noise.normal(n, len(model.mean))).view(n, *model.shape)
    return z, x


def forward(path: Path, chains: int, n: int, betas: Tensor, sizes: Tensor, seed: int = 1) -> Tensor:
    noise = Noise(seed)
    return anneal(path, start(path, chains, n, noise), betas, sizes, 3, noise).log_weights


def context(seed: int = 0) -> Context:
    return Context(Noise(seed), None, None, 0)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(latent=st.integers(1, 3), dim=st.integers(4, 7), seed=st.integers(0, 10**6), size=st.floats(0.02, 1.0))
def test_the_mean_weight_is_the_likelihood_for_any_step_size(latent: int, dim: int, seed: int, size: float) -> None:
    model = linear_gaussian(latent, dim, seed, noise=2.0)
    codes, x = simulated(model, 3, seed)
    path, betas = linear_path(model, x), schedule(12)
    exact = model.log_prob(x)
    sizes = torch.full_like(betas, size)
    weights = (forward(path, 6000, 3, betas, sizes) - exact).exp()
    error = weights.std(0) / len(weights) ** 0.5
    assert bool(((weights.mean(0) - 1).abs() < 6 * error + 1e-9).all())
    lower = forward(path, 6000, 3, betas, sizes).mean(0)
    known = codes.expand(6000, *codes.shape)
    upper = -anneal(path, known, betas.flip(0), sizes.flip(0), 3, Noise(2)).log_weights.mean(0)
    assert float(lower.mean()) < float(exact.mean()) + 0.1
    assert float((upper - lower).mean()) > 0


def test_a_recorded_path_gives_the_same_walk() -> None:
    """A recorder that runs the work again replaces the CUDA graph."""
    model = linear_gaussian()
    _, x = simulated(model, 3)
    plain, betas, announced = linear_path(model, x), schedule(10), []
    recorded = RecordedPath(plain, announced.append, record=lambda work, streams: work)
    sizes = torch.full_like(betas, 0.3)
    assert torch.equal(forward(recorded, 4, 3, betas, sizes), forward(plain, 4, 3, betas, sizes))
    assert announced == []


def cannot_record(work: Work, streams: object) -> Work:
    raise RuntimeError("operation not permitted when stream is capturing")


def replays_nothing(work: Work, streams: object) -> Work:
    work()
    return lambda: None


@pytest.mark.parametrize(
    ("record", "reason"), [(cannot_record, "operation not permitted"), (replays_nothing, "recorded ones differ")]
)
def test_a_recording_that_fails_or_differs_is_not_used(record, reason: str) -> None:
    model = linear_gaussian()
    _, x = simulated(model, 3)
    plain, betas, announced = linear_path(model, x), schedule(10), []
    sizes = torch.full_like(betas, 0.3)
    walked = forward(RecordedPath(plain, announced.append, record), 4, 3, betas, sizes)
    assert torch.equal(walked, forward(plain, 4, 3, betas, sizes))
    assert len(announced) == 1
    assert reason in announced[0]


@needs_a_gpu
def test_gradients_on_a_gpu_are_recorded() -> None:
    model = VAE(DataInfo((1, 1, 5), "binary", torch.zeros(1, 1, 5)), VAE.Config(latent_dim=2, hidden=(8,))).to("cuda")
    x = (Noise(0, "cuda").uniform(3, 1, 1, 5) < 0.5).float()
    plain, announced = DecoderPath(model.prior(), model.prior(), model.observation, x), []
    recorded = RecordedPath(plain, announced.append)
    for seed in range(3):
        z = Noise(seed, "cuda").normal(4, 3, 2)
        for mine, its in zip(recorded.at(z), plain.at(z), strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)
    assert announced == []


def test_reverse_weights_from_exact_codes_average_to_one_over_the_likelihood() -> None:
    model = linear_gaussian(noise=2.0)
    _, x = simulated(model, 4)
    mean, covariance = exact_posterior(model, x)
    factor = torch.linalg.cholesky(covariance)
    z = mean + Noise(3).normal(20_000, 4, 2).double() @ factor.T
    path, betas = linear_path(model, x), schedule(20)
    walk = anneal(path, z, betas.flip(0), torch.full_like(betas, 0.3), 3, Noise(4))
    torch.testing.assert_close(-Weights.of(walk.log_weights).log_mean, model.log_prob(x), atol=0.1, rtol=0)


def test_the_closed_form_equals_back_propagation() -> None:
    model = linear_gaussian(latent=3)
    _, x = simulated(model, 4)
    wide = Independent(Normal(torch.ones(4, 3).double(), torch.full((4, 3), 0.7).double()), 1)
    z = Noise(0).normal(6, 4, 3).double()
    for base in (model.prior(), wide):
        quick = linear_path(model, x, base).at(z)
        general = DecoderPath(base, model.prior(), model.observation, x).at(z)
        for mine, its in zip(quick, general, strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-12, atol=1e-11)


def test_leapfrog_returns_to_the_start_when_the_momentum_is_negated() -> None:
    model = linear_gaussian()
    _, x = simulated(model, 3)
    path = linear_path(model, x)
    z, momentum = Noise(0).normal(5, 3, 2).double(), Noise(1).normal(5, 3, 2).double()
    there, ended = leapfrog(path, path.at(z), momentum, 0.6, 0.1, 10)
    assert float((there.z - z).abs().min()) > 1e-3
    back, _ = leapfrog(path, there, -ended, 0.6, 0.1, 10)
    torch.testing.assert_close(back.z, z, rtol=1e-10, atol=1e-10)


def test_transitions_leave_the_posterior_invariant_even_with_a_large_step() -> None:
    model = linear_gaussian(noise=1.0)
    _, x = simulated(model, 1)
    mean, covariance = exact_posterior(model, x)
    noise = Noise(5)
    z = mean + noise.normal(40_000, 1, 2).double() @ torch.linalg.cholesky(covariance).T
    path = linear_path(model, x)
    point = path.at(z)
    for _ in range(5):
        point, acceptance = transition(path, point, 1.0, 0.6, 4, noise)
    assert 0.1 < float(acceptance.mean()) < 0.95
    found = point.z.squeeze(1)
    torch.testing.assert_close(found.mean(0), mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(found.T.cov(), covariance, atol=0.01, rtol=0.05)


def test_step_sizes_are_tuned_to_the_target_acceptance() -> None:
    model = linear_gaussian(latent=4, dim=8, noise=0.05)
    _, x = simulated(model, 20)
    path, betas = linear_path(model, x), schedule(200)
    sizes = tune(path, start(path, 4, 20, Noise(0)), betas, 10, Noise(1))
    noise = Noise(2)
    walk = anneal(path, start(path, 8, 20, noise), betas, sizes, 10, noise)
    assert float(walk.acceptance.mean()) == pytest.approx(0.65, abs=0.05)
    assert float(sizes[-1]) < 0.6 * float(sizes[0])


def test_step_sizes_are_frozen_before_the_measured_chains_draw(
    small_kinds: dict[str, Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, used = small_kinds["dequantized"], []

    def spied(path: Path, z: Tensor, betas: Tensor, sizes: Tensor, *rest: object) -> object:
        used.append(sizes.clone())
        walk = anneal(path, z, betas, sizes, *rest)  # type: ignore[arg-type]
        assert torch.equal(sizes, used[-1])
        return walk

    monkeypatch.setattr("harness_metrics.likelihood.ais.anneal", spied)
    model = PPCA(data.info, PPCA.Config(latent_dim=2))
    model.fit(data.train, Noise(0))
    metric = LogLikelihoodAIS(AnnealingSettings(examples=9, chains=4, temperatures=10, start="prior"))
    values = []
    for skipped in (0, 100):  # the same seed, from which the measured chains draw other numbers
        measured = context()
        measured.noise.normal(skipped)
        values.append(metric.measure(model, data, measured).value)
    assert values[0] != values[1]
    assert torch.equal(used[0], used[1])
    used.clear()
    little_memory = replace(metric.config, memory=1e-6)  # so that images are processed one at a time
    LogLikelihoodAIS(little_memory).measure(model, data, context())
    assert len(used) == 9
    assert all(torch.equal(each, used[0]) for each in used)


@pytest.mark.parametrize(("temperatures", "bias"), [(100, -0.09), (1000, -0.013)])
def test_bias_on_mnist_is_as_measured_before(
    data_dir: object, mnist_ppca: tuple[PPCA, Data], temperatures: int, bias: float
) -> None:
    model, data = mnist_ppca
    config = AnnealingSettings(examples=50, temperatures=temperatures, start="prior")
    found = LogLikelihoodAIS(config).measure(model, data, context())
    exact = model.log_prob(data.test.subset(50).all(Noise(0))).mean()
    assert found.value - float(exact) == pytest.approx(bias, abs=max(0.06, 4 * (found.estimator_stderr or 0)))


@pytest.fixture(scope="module")
def mnist_ppca() -> tuple[PPCA, Data]:
    """Return probabilistic PCA with two codes, on the dequantised MNIST that comes with the harness."""
    from harness.cli.data import source_from
    from harness.data.loading import load_dataset
    from harness.planning.component import resolve_component
    from harness.registry import Registry

    chosen = resolve_component(Registry.load([]).get("dataset", "dequantized-mnist-10k"), {})
    data = load_dataset(chosen.provided.spec, chosen.config, source_from(None, lambda line: None))  # type: ignore[arg-type]
    model = PPCA(data.info, PPCA.Config(latent_dim=2))
    model.fit(data.train, Noise(0))
    return model, data


def test_chains_from_the_exact_posterior_give_the_exact_likelihood(small_kinds: dict[str, Data]) -> None:
    data = small_kinds["dequantized"]
    model = PPCA(data.info, PPCA.Config(latent_dim=3))
    model.fit(data.train, Noise(0))
    found = LogLikelihoodAIS(AnnealingSettings(examples=20, chains=4, temperatures=5)).measure(model, data, context())
    assert found.diagnostics["start"] == "posterior"
    assert found.per_example is not None
    torch.testing.assert_close(found.per_example, model.log_prob(data.test.subset(20).all(Noise(0))), atol=1e-3, rtol=0)
    assert found.effective_sample_size == pytest.approx(4, abs=1e-3)
    assert found.parts["per dimension (bits)"] == pytest.approx(8 - found.value / 30 / math.log(2))
    assert found.warning is None


def test_both_starts_agree_on_a_vae_and_leave_its_weights_unchanged(small_kinds: dict[str, Data]) -> None:
    data = small_kinds["binarized"]
    torch.manual_seed(0)
    model = VAE(data.info, VAE.Config(hidden=(16,), latent_dim=2)).eval()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    found: dict[str, Estimate] = {}
    for place in ("prior", "posterior"):
        config = AnnealingSettings(examples=20, chains=16, temperatures=60, start=place)  # type: ignore[arg-type]
        found[place] = LogLikelihoodAIS(config).measure(model, data, context())
    assert found["prior"].value == pytest.approx(found["posterior"].value, abs=0.05)
    for place, each in found.items():
        assert each.measure == f"probability mass on binary pixels; chains from the {place}"
    assert all(each.requires_grad and each.grad is None for each in model.parameters())
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


def test_a_start_at_the_posterior_without_an_encoder_is_refused(small_kinds: dict[str, Data]) -> None:
    class Decoder(torch.nn.Module):
        def prior(self) -> Distribution:
            return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

        def observation(self, z: Tensor) -> Distribution:
            mean = torch.zeros(len(z), 1, 6, 5) + z.sum(1).view(-1, 1, 1, 1)
            return Independent(Normal(mean, torch.ones_like(mean)), 3)

    data = small_kinds["dequantized"]
    with pytest.raises(NotApplicable, match="start=prior"):
        LogLikelihoodAIS(AnnealingSettings(start="posterior")).measure(Decoder(), data, context())
    found = LogLikelihoodAIS(AnnealingSettings(examples=4, chains=4, temperatures=20)).measure(
        Decoder(), data, context()
    )
    assert found.diagnostics["start"] == "prior"


def test_too_few_temperatures_give_a_warning(small_kinds: dict[str, Data]) -> None:
    model = linear_gaussian(latent=8, dim=30, noise=1e-3)
    model.shape = (1, 6, 5)
    config = AnnealingSettings(examples=10, temperatures=5, start="prior")
    found = LogLikelihoodAIS(config).measure(model, small_kinds["dequantized"], context())
    assert found.effective_sample_size < 3.2
    assert "effective sample size" in str(found.warning)


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("metric", [LogLikelihoodAIS, AISGap])
def test_an_interrupted_measurement_ends_bit_for_bit_where_an_uninterrupted_one_does(
    metric: type[LogLikelihoodAIS] | type[AISGap],
    small_kinds: dict[str, Data],
    tmp_path: Path_,
) -> None:
    data, announced = small_kinds["binarized"], []
    shares: list[list[float]] = []
    torch.manual_seed(0)
    model = VAE(data.info, VAE.Config(hidden=(16,), latent_dim=2)).eval()
    config = AnnealingSettings(examples=4, chains=4, temperatures=20, start="prior", memory=1e-6)
    measure = metric(config).measure
    checkpoint = FileCheckpoint(tmp_path / "cell.pt", announced.append, "measurement", interval=0)

    def stop_after(share: float) -> Context:
        shares.append([])

        def progress(done: float) -> None:
            shares[-1].append(done)
            if done > share:
                raise Interrupted

        return replace(context(), checkpoint=checkpoint, announce=announced.append, progress=progress)

    whole = measure(model, data, context())
    for share in (0.05, 0.15, 0.6, 0.85):
        with pytest.raises(Interrupted):
            measure(model, data, stop_after(share))
    resumed = measure(model, data, stop_after(1))
    assert resumed.value == whole.value
    assert resumed.parts == whole.parts
    assert resumed.diagnostics == whole.diagnostics
    first = [each[0] for each in shares]
    assert first[1] > 0.05  # the tuning of step sizes goes on
    assert first[2] > 0.15
    assert min(first[3:]) > 0.3  # and is not repeated
    lines = [line for line in announced if not line.startswith("annealing takes")]  # on a slow machine
    assert len(lines) == 4
    assert all("checkpoint" in line for line in lines)
    assert shares[-1][-1] == 1


def test_the_cost_of_a_long_measurement_is_announced() -> None:
    assert cost_line(1000, 9.0) is None
    assert cost_line(1000, 12.0) == "annealing takes 1,000 gradients, about 12 seconds"
    assert cost_line(123_456, 600.0) == "annealing takes 123,456 gradients, about 10 minutes"


def test_the_gap_is_positive_and_shrinks_with_more_temperatures(small_kinds: dict[str, Data]) -> None:
    model = linear_gaussian(latent=4, dim=30, noise=0.5)
    model.shape = (1, 6, 5)
    gaps = []
    for temperatures in (10, 100, 500):
        config = AnnealingSettings(examples=40, temperatures=temperatures, start="prior")
        found = AISGap(config).measure(model, small_kinds["dequantized"], context())
        assert found.value == pytest.approx(found.parts["upper bound"] - found.parts["lower bound"])
        assert found.per_example is None
        gaps.append(found.value)
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 0.1


def test_schedule_is_a_sigmoid_that_reaches_both_ends() -> None:
    betas = schedule(100)
    assert (float(betas[0]), float(betas[-1]), len(betas)) == (0, 1, 101)
    assert bool((betas.diff() > 0).all())
    assert float(betas[50]) == pytest.approx(0.5)
    assert float(betas.diff()[0]) < 0.1 * float(betas.diff()[50])


def test_the_published_preset_sets_its_settings_and_no_others() -> None:
    config = build("log-likelihood-ais", AnnealingSettings, {"preset": "published"})
    assert (config.chains, config.temperatures, config.leapfrog) == (16, 10_000, 10)
    assert AnnealingSettings(**vars(config)) == config
    with pytest.raises(UsageError, match="temperatures=10000"):
        build("log-likelihood-ais", AnnealingSettings, {"preset": "published", "temperatures": "300"})

"""Metrics of speed and cost: counts, repeats, and warnings about competing load."""

import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean, median
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from marks import needs_linux
from torch import nn

from harness import Context, Data, Estimate, Noise, NotApplicable
from harness.contracts.models import lacking
from harness.contracts.objectives import AdamSettings
from harness.machine import peak_flops
from harness.machine.fast_linear import fast_linear
from harness.planning.component import resolve_component
from harness.registry import Registry
from harness.toolkit import matrix_product_peak
from harness_gan.gan import GAN
from harness_gan.wgan_gp import WGANGP
from harness_linear.factor_analysis import FactorAnalysis
from harness_linear.linear_ae import LinearAutoencoder
from harness_linear.pca import PCA
from harness_linear.ppca import PPCA
from harness_metrics.speed.energy import Energy, NvidiaCounter, PackageCounter
from harness_metrics.speed.flops import training_flops
from harness_metrics.speed.latency import error_of_median, percentile_95
from harness_metrics.speed.timing import (
    Timing,
    TimingSettings,
    each_call,
    highest_load,
    knee,
    least_disturbed,
    load_warning,
    sweep,
    throughput,
)
from harness_vae.vae import VAE

registry = Registry.load()
d, k = 30, 7  # values of an example of ``small_data``; size of the code
timed = ("training-throughput", "sampling-throughput", "encoding-throughput", "latency", "model-flops-utilisation")
settings = {name: {"batch_sizes": (4, 16)} for name in timed if name.endswith("throughput")}
configs = {
    VAE: VAE.Config(latent_dim=k, hidden=(11,)),
    GAN: GAN.Config(latent_dim=k, generator=(8, 9), discriminator=(10,)),
    LinearAutoencoder: LinearAutoencoder.Config(latent_dim=k),
    PCA: PCA.Config(latent_dim=k),
}


def context_of(kind: type, batch_size: int | None = 32) -> Context:
    return Context(Noise(0), configs.get(kind, AdamSettings()), None if kind is PCA else batch_size, seed=0)


@pytest.fixture
def fitted(fit) -> Callable[[type, Data], nn.Module]:
    return lambda kind, data: fit(kind, configs[kind], data, epochs=1, batch_size=32)


@torch.no_grad()
def measured(metric: str, model: nn.Module, data: Data, context: Context | None = None) -> Estimate:
    chosen = resolve_component(registry.get("metric", metric), settings.get(metric, {}))
    return chosen.factory(chosen.config).measure(model, data, context or context_of(type(model)))


def reason_against(metric: str, kind: type) -> str | None:
    return lacking(kind, registry.get("metric", metric).spec.resolve().needs)


def test_the_flops_of_a_linear_autoencoder_are_those_of_its_matrix_products(fitted, small_data: Data) -> None:
    estimate = measured("flops", fitted(LinearAutoencoder, small_data), small_data)
    forward = 2 * 2 * d * k
    assert estimate.value == forward
    assert estimate.parts["training step"] == 3 * forward - 2 * d * k  # the gradient of the input is not computed
    assert estimate.measure == "reconstruction of one example"


def test_a_vae_samples_with_its_decoder_and_reconstructs_with_encoder_and_decoder(fitted, small_data: Data) -> None:
    estimate = measured("flops", fitted(VAE, small_data), small_data)
    decoder, encoder = 2 * (k * 11 + 11 * d), 2 * (d * 11 + 11 * 2 * k)
    assert estimate.value == decoder
    assert estimate.parts["reconstruction"] == encoder + decoder
    assert estimate.parts["training step"] == 3 * (encoder + decoder) - 2 * d * 11
    assert estimate.measure == "sampling of one example"


def test_the_flops_of_all_objectives_of_a_gan_are_counted(fitted, small_data: Data) -> None:
    generator, discriminator = 2 * (k * 8 + 8 * 9 + 9 * d), 2 * (d * 10 + 10)
    expected = (
        (3 * generator - 2 * k * 8)  # forward and backward, without the gradient of the noise
        + 2 * discriminator  # forward, and back to the image alone
        + generator  # the images for the discriminator
        + 2 * (3 * discriminator - 2 * d * 10)  # real ones and generated ones
    )
    assert training_flops(fitted(GAN, small_data), small_data, context_of(GAN)) == expected


def test_the_flops_of_a_gradient_penalty_are_counted(small_data: Data) -> None:
    config = WGANGP.Config(latent_dim=k, generator=(8, 9), discriminator=(10,), critic_steps=5)
    generator, first, last = 2 * (k * 8 + 8 * 9 + 9 * d), 2 * d * 10, 2 * 10
    critic = first + last
    penalty = (
        2 * critic  # forward, and back to the image
        + 2 * first  # the gradients of the first layer's product in that gradient
        + last  # and of the weights of the last layer
        + first  # back through the activation, whose second derivative is 0
    )
    expected = (
        (3 * generator - 2 * k * 8)
        + 2 * critic  # forward, and back to the image alone
        + 5 * (generator + 2 * (3 * critic - first) + penalty)  # generated images, real ones, and images between them
    )
    assert (
        training_flops(WGANGP(small_data.info, config), small_data, Context(Noise(0), config, 32, seed=0)) == expected
    )


def test_the_flops_of_fused_layers_are_counted(small_data: Data) -> None:
    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.LSTM(5, 8, batch_first=True)
            self.attending = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
            return self.attending(self.recurrent(x.flatten(1, 2))[0])  # six rows of five pixels

    recurrent = 6 * 2 * (5 + 8) * 4 * 8
    attending = 6 * 2 * (8 * 24 + 8 * 8 + 2 * 8 * 16) + 2 * 2 * 6 * 6 * 8
    assert measured("flops", Fused().eval(), small_data).value == recurrent + attending


def test_flops_are_the_same_on_machines_with_faster_linear_layers(small_data: Data) -> None:
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("torch has no oneDNN here")
    config = GAN.Config(generator=(500, 600), discriminator=(700, 800))
    model = GAN(small_data.info, config)
    context = Context(Noise(0), config, batch_size=64, seed=0)
    plain = measured("flops", model, small_data, context)
    with fast_linear(model, torch.device("cpu"), use_onednn=True):
        quick = measured("flops", model, small_data, context)
    assert quick.value == plain.value == 2 * (20 * 500 + 500 * 600 + 600 * d)
    assert quick.parts == plain.parts


def test_parameters_agree_with_a_count_by_hand(fitted, small_data: Data) -> None:
    linear = sum((a + 1) * b for a, b in ((d, 11), (11, 2 * k), (k, 11), (11, d)))
    assert measured("parameters", fitted(VAE, small_data), small_data).value == linear + 1  # and the variance
    generator = (k + 1) * 8 + (8 + 1) * 9 + (9 + 1) * d + 2 * 9  # scale and shift of batch normalisation
    discriminator = (d + 1) * 10 + 11
    assert measured("parameters", fitted(GAN, small_data), small_data).value == generator + discriminator
    assert measured("parameters", fitted(PCA, small_data), small_data).value == d + d * k  # the mean, the components
    for kind, variances in ((PPCA, 1), (FactorAnalysis, d)):
        model = kind(small_data.info, kind.Config(latent_dim=k))
        assert measured("parameters", model, small_data).value == d + d * k + variances


@pytest.mark.parametrize("metric", timed)
def test_a_timing_is_the_median_of_its_repeats(fitted, small_data: Data, metric: str) -> None:
    estimate = measured(metric, fitted(VAE, small_data), small_data)
    assert estimate.n == len(estimate.samples) >= 7
    assert min(estimate.samples) > 0
    assert estimate.value == median(estimate.samples)
    assert estimate.threads == torch.get_num_threads()
    assert estimate.diagnostics["device"] == "cpu"
    assert "competing_load" in estimate.diagnostics
    if metric != "latency":
        low, high = estimate.diagnostics["interquartile_range"]
        assert min(estimate.samples) <= low <= estimate.value <= high <= max(estimate.samples)
        assert estimate.parts["IQR"] == high - low


@pytest.mark.parametrize("metric", [name for name in timed if name.endswith("throughput")])
def test_a_throughput_shows_its_sweep_and_knee(fitted, small_data: Data, metric: str) -> None:
    estimate = measured(metric, fitted(VAE, small_data), small_data)
    timings = {each["batch"]: each for each in estimate.diagnostics["sweep"]}
    training = metric == "training-throughput"
    assert list(timings) == ([4, 16, 32] if training else [4, 16])
    reported = estimate.diagnostics["batch_size"]
    if training:
        assert reported == 32
        assert estimate.value == timings[reported]["median"]
    else:
        assert reported == max(timings, key=lambda batch: timings[batch]["median"])
    assert estimate.parts["knee (batch size)"] == estimate.diagnostics["knee"] in timings


@pytest.mark.parametrize("metric", ["sampling-throughput", "encoding-throughput"])
def test_a_flat_curve_of_rates_has_no_advantage_over_a_peaked_one(metric: str, small_data: Data, monkeypatch) -> None:
    """Both have the same best rate, and each call has 5% of noise; the best of four medians is 2% above their mean."""
    draw = random.Random(0)
    now = 0.0
    monkeypatch.setattr("harness_metrics.speed.timing.time", SimpleNamespace(perf_counter=lambda: now))

    class Timed(nn.Module):
        def __init__(self, rates: dict[int, float]) -> None:
            super().__init__()
            self.rates = rates

        def sample(self, n: int, noise: Noise) -> None:
            nonlocal now
            now += n / self.rates[n] * math.exp(draw.gauss(0, 0.05))

        def encode(self, x: torch.Tensor) -> None:
            self.sample(len(x), Noise(0))

    chosen = resolve_component(registry.get("metric", metric), {"batch_sizes": (1, 2, 3, 4), "load_limit": 1.0})

    def mean_rate(rates: dict[int, float]) -> float:
        model = Timed(rates)
        found = [chosen.factory(chosen.config).measure(model, small_data, context_of(Timed)) for _ in range(200)]
        return fmean(each.value for each in found)

    flat, peaked = mean_rate(dict.fromkeys((1, 2, 3, 4), 20.0)), mean_rate({1: 2.0, 2: 6.0, 3: 14.0, 4: 20.0})
    assert flat / peaked == pytest.approx(1, abs=0.006)  # each mean has a standard error of 0.15%
    assert peaked == pytest.approx(20, rel=0.006)


def test_the_load_during_the_reported_timing_counts_beside_that_of_the_sweep() -> None:
    swept, reported = Timing(8, (1.0,) * 7, 0.02), Timing(8, (2.0,) * 7, 0.3)
    estimate = throughput([swept], reported, torch.device("cpu"), TimingSettings())
    assert estimate.value == 4
    assert estimate.diagnostics["sweep"][0]["median"] == 8
    assert estimate.diagnostics["competing_load"] == 0.3
    assert estimate.warning == "measured under 30% competing load"


def test_the_knee_is_the_smallest_batch_size_with_90_percent_of_the_best_rate() -> None:
    assert knee({1: 10, 8: 80, 64: 90, 512: 100}) == 64
    assert knee({512: 50, 64: 100, 8: 20}) == 64
    assert knee({128: 3}) == 128


def test_timing_the_training_leaves_the_fitted_model_unchanged(fitted, small_data: Data) -> None:
    model = fitted(GAN, small_data)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    for metric in ("training-throughput", "flops", "peak-memory"):
        measured(metric, model, small_data)
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())


def test_a_sweep_over_its_time_limit_times_only_the_first_batch_size() -> None:
    timings = sweep(lambda batch: lambda: None, (32, 4, 16), torch.device("cpu"), TimingSettings(), limit=0.0)
    assert [each.batch for each in timings] == [32]


def test_sampling_and_reconstruction_have_different_measures(fitted, small_data: Data) -> None:
    assert measured("latency", fitted(VAE, small_data), small_data).measure == "sampling of one example"
    assert measured("latency", fitted(PCA, small_data), small_data).measure == "reconstruction of one example"
    assert measured("peak-memory", fitted(VAE, small_data), small_data).measure == "training step"
    assert measured("peak-memory", fitted(PCA, small_data), small_data).measure == "reconstruction of 1,000 examples"


def test_the_peak_memory_of_a_pass_is_that_of_its_tensors(small_data: Data) -> None:
    class Doubling(nn.Module):
        def sample(self, n: int, noise: Noise) -> torch.Tensor:
            return noise.uniform(n, 8, 1024) + 1

    estimate = measured("peak-memory", Doubling(), small_data)
    assert estimate.value == pytest.approx(2 * 1000 * 8 * 4 / 1024, rel=0.1)  # two tensors of 8 × 1024 float32 each


def test_the_peak_memory_of_a_training_step_contains_its_gradients(small_data: Data) -> None:
    """The gradient of 2²² weights of float32 takes 16 MiB; the moments of Adam are there before the step."""

    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2**22))

        def loss(self, x: torch.Tensor, noise: Noise) -> torch.Tensor:
            return self.weight.sum()

    assert measured("peak-memory", Large(), small_data).value > 15.5


def test_single_calls_are_timed_with_their_median_and_95th_percentile() -> None:
    """Of 100 calls every tenth takes 9 seconds of the clock, and the others 1 second."""
    now, calls = 0.0, 0

    def work() -> None:
        nonlocal now, calls
        calls += 1
        now += 9 if calls % 10 == 0 else 1

    seconds = each_call(work, 100, torch.device("cpu"), clock=lambda: now)
    assert len(seconds) == 20  # that is enough after ten seconds
    assert sorted(set(seconds)) == [1, 9]
    assert (median(seconds), percentile_95(seconds)) == (1, 9)
    assert percentile_95(range(1, 101)) == 95


def test_the_error_of_a_median_covers_the_median_of_a_skewed_distribution() -> None:
    """The median of an exponential distribution is log 2; its density there is 1/2."""
    draws = torch.empty(2000, 101, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(0))
    medians = draws.median(1).values
    told = torch.tensor([error_of_median(each) for each in draws.tolist()])
    assert float(told.mean()) == pytest.approx(float(medians.std()), rel=0.2)
    covered = (medians - math.log(2)).abs() <= 1.96 * told
    assert 0.91 < float(covered.double().mean()) < 0.99


def test_the_error_of_the_utilisation_contains_that_of_the_peak(fitted, small_data: Data) -> None:
    estimate = measured("model-flops-utilisation", fitted(VAE, small_data), small_data)
    rates = torch.tensor(estimate.samples).double()
    of_repeats = (math.pi / 2) ** 0.5 * float(rates.std()) / len(rates) ** 0.5
    peak = estimate.parts["peak (GFLOP/s)"] * 1e9
    of_peak = estimate.value * estimate.diagnostics["peak_stderr"] / peak
    assert estimate.stderr == pytest.approx(math.hypot(of_repeats, of_peak))
    assert of_peak > 0


def test_the_peak_of_a_precision_is_that_of_products_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    types = []
    product = torch.mm

    def watched(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        types.append((a.dtype, torch.get_float32_matmul_precision()))
        return product(a, b)

    monkeypatch.setattr(torch, "mm", watched)
    monkeypatch.setattr(peak_flops, "_largest", 512)
    for precision in ("float32", "bf16", "bf16-products"):
        matrix_product_peak(torch.device("cpu"), precision=precision)
        assert (
            set(types)
            == {
                "float32": {(torch.float32, "highest")},
                "bf16": {(torch.bfloat16, "highest")},
                "bf16-products": {(torch.float32, "medium")},
            }[precision]
        )
        types.clear()


def test_the_utilisation_is_the_rate_over_the_peak(fitted, small_data: Data) -> None:
    model = fitted(VAE, small_data)
    estimate = measured("model-flops-utilisation", model, small_data)
    achieved = estimate.diagnostics["flops_per_second"] / 1e9
    assert estimate.value == pytest.approx(achieved / estimate.parts["peak (GFLOP/s)"])
    assert estimate.diagnostics["flops_per_example"] == training_flops(model, small_data, context_of(VAE))


def test_the_peak_is_the_highest_rate_of_all_products() -> None:
    found = matrix_product_peak(torch.device("cpu"), [(2, 3, 4)])
    assert found.rate > 0
    assert found.shape != (2, 3, 4)
    assert found.kernel in ("torch.mm", "oneDNN")


@pytest.mark.parametrize(
    ("metric", "kind", "reason"),
    [
        ("training-throughput", PCA, "it has no loss to train on"),
        ("energy", PCA, "it has no loss to train on"),
        ("model-flops-utilisation", PCA, "it has no loss to train on"),
        ("sampling-throughput", PCA, "it has no sampler"),
        ("encoding-throughput", GAN, "it has no posterior"),
        ("encoding-throughput", PCA, None),
        ("latency", PCA, None),
        ("parameters", GAN, None),
    ],
)
def test_missing_capabilities_are_known_without_training(metric: str, kind: type, reason: str | None) -> None:
    assert reason_against(metric, kind) == reason


def test_a_closed_form_fit_has_no_steps_to_time(fitted, small_data: Data) -> None:
    with pytest.raises(NotApplicable, match="closed form"):
        measured("training-throughput", fitted(VAE, small_data), small_data, context_of(VAE, batch_size=None))


def test_training_without_matrix_products_has_no_utilisation(small_data: Data) -> None:
    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def loss(self, x: torch.Tensor, noise: Noise) -> torch.Tensor:
            return (x - self.shift).square().mean()

    with pytest.raises(NotApplicable, match="no matrix product"):
        measured("model-flops-utilisation", Shift(), small_data)


def zone(root: Path, name: str, microjoules: int, wraps_at: int = 1000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text("core\n" if name.count(":") == 2 else "package-0\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return folder / "energy_uj"


def test_the_counters_of_all_packages_add_up_across_a_wraparound(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", 900), zone(tmp_path, "intel-rapl:1", 100)
    zone(tmp_path, "intel-rapl:0:0", 10).write_text("999999")  # a core of the first package
    counter = PackageCounter(tmp_path)
    first.write_text("50")
    second.write_text("130")
    assert counter.joules() == pytest.approx((150 + 30) / 1e6)
    first.write_text("60")
    assert counter.joules() == pytest.approx((160 + 30) / 1e6)


def test_energy_without_a_counter_says_which_is_missing(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(NotApplicable, match=r"no energy counters .* \(RAPL\)"):
        PackageCounter(tmp_path)
    counter = zone(tmp_path, "intel-rapl:0", 1)
    counter.unlink()
    counter.mkdir()  # unreadable for every user, root included
    with pytest.raises(NotApplicable, match=r"cannot be read: .*energy_uj"):
        PackageCounter(tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NotApplicable, match="pynvml, which is not installed"):
        NvidiaCounter(torch.device("cuda"))


def test_the_counter_of_an_nvidia_board_is_found_by_its_uuid(monkeypatch) -> None:
    class NVMLError(Exception):
        pass

    def board(uuid: str) -> str:
        if uuid != "GPU-abc":
            raise NVMLError("not found")
        return uuid

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=board,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: 5000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="abc"))
    assert NvidiaCounter(torch.device("cuda")).joules() == 5
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="other"))
    with pytest.raises(NotApplicable, match="not found"):
        NvidiaCounter(torch.device("cuda"))


def test_energy_is_that_of_the_counter_per_example(fitted, small_data: Data) -> None:
    constant = SimpleNamespace(source="a constant 10 W", joules=lambda: 10 * time.perf_counter())
    metric = Energy(Energy.Config(seconds=0.01), counter_of=lambda device: constant)
    model = fitted(VAE, small_data)
    with torch.no_grad():
        estimate = metric.measure(model, small_data, context_of(VAE))
    assert estimate.value == median(estimate.samples) > 0
    assert len(estimate.samples) >= 7
    assert estimate.diagnostics["source"] == "a constant 10 W"


def load_meter(*shares: float | None) -> Callable[[], Any]:
    """Return a stand-in for ``CompetingLoad`` that measures these shares, one after another."""
    left = iter(shares)
    return lambda: nullcontext(SimpleNamespace(share=next(left)))


@pytest.mark.parametrize(
    ("shares", "kept"),
    [((0.02,), (0, 0.02)), ((0.5, 0.05), (1, 0.05)), ((0.5, 0.3, 0.4), (1, 0.3)), ((None,), (0, None))],
)
def test_a_disturbed_timing_is_repeated_and_the_least_disturbed_kept(shares, kept) -> None:
    attempts = iter(range(9))
    found = least_disturbed(lambda: (next(attempts),), limit=0.1, load_meter=load_meter(*shares))
    assert found == ((kept[0],), kept[1])


def test_a_timing_above_the_limit_has_a_warning() -> None:
    assert highest_load([0.02, None, 0.354]) == 0.354
    assert highest_load([None]) is None
    assert load_warning(0.354, 0.1) == "measured under 35% competing load"
    assert load_warning(0.1, 0.1) is None
    assert load_warning(None, 0.1) is None


@needs_linux
def test_a_timing_on_a_busy_machine_has_a_warning(fitted, small_data: Data) -> None:
    model = fitted(VAE, small_data)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        time.sleep(0.3)
        estimate = measured("latency", model, small_data)
    finally:
        for each in busy:
            each.kill()
            each.wait()
    assert estimate.diagnostics["competing_load"] > 0.1
    assert str(estimate.warning).startswith("measured under ")

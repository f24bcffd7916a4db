"""Values that cannot be right are marked on boards, and have no rank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from versions import cell, component, store_of

import harness

if TYPE_CHECKING:
    from tests.conftest import Call

plugin = """
import torch
import harness
from torch.distributions import Independent, Normal, kl_divergence, register_kl

class Bits:
    def __init__(self, config): pass
    def load(self, source):
        g = torch.Generator().manual_seed(1)
        splits = (harness.Examples((torch.rand(n, 12, generator=g) < 0.3).float()) for n in (200, 60, 200))
        return harness.Data.from_tensors(*splits, support="binary")

class Plane:
    '''A data set whose density is known: N(0, I).'''
    def __init__(self, config): pass
    def load(self, source):
        g = torch.Generator().manual_seed(1)
        splits = (harness.Examples(torch.randn(n, 2, generator=g)) for n in (400, 100, 400))
        return harness.Data.from_tensors(*splits, log_prob=lambda x: normal(x.double().cpu()))

def normal(x, scale=1.0):
    return Independent(Normal(torch.zeros(2, dtype=x.dtype), scale), 1).log_prob(x)

class Wrong(Normal):
    '''A distribution whose divergence from the prior was derived wrongly.'''

@register_kl(Wrong, Normal)
def half(q, p):
    return 0.5 * kl_divergence(Normal(q.loc, q.scale), p)

class SoundVAE(torch.nn.Module):
    kind = Normal
    def __init__(self, info, config):
        super().__init__()
        d = info.as_vector()
        self.encoder, self.decoder = torch.nn.Linear(d, 3), torch.nn.Linear(3, d)
    def prior(self):
        return Independent(Normal(torch.zeros(3), torch.ones(3), validate_args=False), 1)
    def posterior(self, x):
        return Independent(self.kind(self.encoder(x).tanh(), 0.1, validate_args=False), 1)
    def observation(self, z):
        return Independent(harness.toolkit.Bernoulli(logits=self.decoder(z), validate_args=False), 1)
    def loss(self, x, noise):
        terms = harness.toolkit.elbo_terms(self, x, noise)
        return (terms.kl - terms.reconstruction).mean()

class HalfKL(SoundVAE):
    kind = Wrong

class Copies(torch.nn.Module):
    '''Reconstructs an example as itself.'''
    def __init__(self, info, config):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))
    def reconstruct(self, x):
        return x.clone()
    def loss(self, x, noise):
        return self.w.square().sum()

class Centres(Copies):
    '''Subtracts the mean of the batch.'''
    def reconstruct(self, x):
        return x - 0.1 * x.mean(0)
    def encode(self, x):
        return x

class Fits(torch.nn.Module):
    scale = 1.02
    def __init__(self, info, config):
        super().__init__()
        self.register_buffer("zero", torch.zeros(1))
    def fit(self, train, noise): pass
    def log_prob(self, x):
        return normal(x, self.scale)

class Draws(Fits):
    def sample(self, n, noise):
        return noise.normal(n, 2)

class Memorises(torch.nn.Module):
    '''Samples training examples.'''
    def __init__(self, info, config):
        super().__init__()
        self.register_buffer("seen", torch.zeros(400, *info.shape))
    def fit(self, train, noise):
        self.seen.copy_(train.all(noise))
    def sample(self, n, noise):
        return self.seen[noise.permutation(len(self.seen))[:n]]

class Unnormalized(Fits):
    '''Forgets a constant of its density.'''
    def log_prob(self, x):
        return normal(x) + 0.5

class Cost:
    needs = (harness.Samples | harness.Reconstructs,)
    unit, direction = "MiB", "lower"
    def __init__(self, config): pass
    def measure(self, model, data, context):
        return harness.Estimate(0.0, 0.0, 1)

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("cost", Cost, "what a pass needs")]

@harness.hookimpl
def harness_datasets():
    return [harness.DatasetSpec("bits", Bits, "bits"), harness.DatasetSpec("plane", Plane, "a plane")]

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec(each.__name__.lower(), each, "a model")
            for each in (SoundVAE, HalfKL, Copies, Centres, Fits, Draws, Memorises, Unnormalized)]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wrong.py").write_text(plugin)
    return tmp_path


def rows(call: Call, models: str, metrics: str, dataset: str, *more: str) -> dict[tuple[str, str], dict[str, Any]]:
    chosen = ["--models", models, "--metric", metrics, "--dataset", dataset, "--steps", "20", "--seeds", "2"]
    done = call("run", "--plugin", "wrong.py", *chosen, *more, "--jobs", "1", "--no-figures")
    assert done.code == 0, done.err
    found = json.loads(call("leaderboard", "--format", "json").out)
    return {(each["metric"], each["model"]): each for each in found}


def test_a_bound_of_many_samples_below_that_of_one_marks_both(call: Call, folder: Path) -> None:
    found = rows(call, "soundvae,halfkl", "elbo,iw-bound", "bits", "--set", "iw-bound.k=50")
    for metric, other, side in (("elbo", "iw-bound", "above"), ("iw-bound", "elbo", "below")):
        row = found[metric, "halfkl"]
        assert row["reason"] == f"{side} {other} of the same fit, which {metric} cannot be"
        assert (row["rank"], row["no_rank"]) == (
            None,
            "its value contradicts another one, so that one of them is wrong",
        )
        assert (found[metric, "soundvae"]["reason"], found[metric, "soundvae"]["rank"]) == (None, 1)


@pytest.fixture
def selected(call: Call, tmp_path: Path) -> Path:
    """Return the folder of results of two models, of which one has a bound of many samples below that of one."""
    cells = []
    for seed in range(3):
        values = np.random.default_rng(seed).normal(-100.0, 3.0, 200)
        for model, gain in (("vae", -5.0), ("rival", 1.0)):
            common = {"model": component(model), "fit_key": f"{model}{seed}"}
            of_one = values - (model == "rival")
            cells.append(cell(seed, values=of_one, **common))
            many = {"metric": component("iw-bound", k=50), "at_least": ("elbo",)}
            cells.append(cell(seed, values=of_one + gain, **common, **many))
    store_of(tmp_path / "runs", cells)
    return tmp_path / "runs"


@pytest.mark.parametrize("metric", ["elbo", "iw-bound"])
def test_a_contradiction_counts_where_only_one_of_the_two_is_shown(call: Call, selected: Path, metric: str) -> None:
    no_rank = "its value contradicts another one, so that one of them is wrong"
    found = json.loads(call("leaderboard", "--metric", metric, "--format", "json").out)
    assert {row["model"]: row["no_rank"] for row in found} == {"vae": no_rank, "rival": None}
    assert f"vae has no rank: {no_rank}" in call("leaderboard", "--metric", metric, "--explain", "vae", "rival").out
    assert call("report", "--metric", metric).code == 0
    assert f"No rank for vae: {no_rank}" in Path("report.html").read_text(encoding="utf-8")
    (board,) = harness.open(selected).boards(metric=metric)
    assert [row.no_rank for row in board.rows] == [None, no_rank]


def test_a_contradiction_with_a_result_of_an_earlier_run_counts(call: Call, folder: Path) -> None:
    rows(call, "halfkl", "iw-bound", "bits", "--set", "iw-bound.k=50")
    rows(call, "halfkl", "elbo", "bits")
    words = ["--models", "halfkl", "--metric", "elbo", "--dataset", "bits", "--steps", "20", "--seeds", "2"]
    (row,) = json.loads(call("run", "--plugin", "wrong.py", *words, "--no-figures", "--json").out)
    assert row["reason"] == "above iw-bound of the same fit, which elbo cannot be"


def test_a_closed_form_that_differs_from_its_estimate_is_marked(call: Call, folder: Path) -> None:
    found = rows(call, "soundvae,halfkl", "kl", "bits")
    assert found["kl", "halfkl"]["reason"] == "the closed form differs from its Monte Carlo estimate"
    assert found["kl", "soundvae"]["reason"] is None


def test_a_likelihood_above_that_of_the_true_density_is_marked_and_below_the_others(call: Call, folder: Path) -> None:
    found = rows(call, "fits,unnormalized", "log-likelihood-exact", "plane")
    wrong, right = (found["log-likelihood-exact", name] for name in ("unnormalized", "fits"))
    assert wrong["value"] > right["value"]
    assert wrong["reason"] == "above the likelihood of the true distribution of the data, which no model exceeds"
    assert (wrong["rank"], right["rank"], right["reason"]) == (None, 1, None)
    lines = [line for line in (folder / "leaderboards" / "plane.md").read_text().splitlines() if line.startswith("|")]
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["fits", "unnormalized"]


def test_samples_that_are_closer_to_training_images_than_real_ones_have_a_warning(call: Call, folder: Path) -> None:
    settings = ("--set", "memorisation.features=pixels", "--set", "memorisation.samples=200")
    found = rows(call, "memorises,draws", "memorisation", "plane", *settings)
    reason = "samples are closer to training images than real images are: copies, or blur"
    assert found["memorisation", "memorises"]["reason"] == reason
    assert found["memorisation", "draws"]["reason"] is None


def test_an_error_of_exactly_zero_is_marked(call: Call, folder: Path) -> None:
    found = rows(call, "copies,pca", "reconstruction-mse", "bits", "--set", "pca.latent_dim=3")
    copies, pca = (found["reconstruction-mse", name] for name in ("copies", "pca"))
    assert copies["reason"] == "an error of exactly 0: the reconstructions are the examples themselves"
    assert (copies["rank"], pca["reason"], pca["rank"]) == (None, None, 1)


def test_a_cost_of_zero_is_no_error_of_zero(call: Call, folder: Path) -> None:
    found = rows(call, "copies", "cost,flops", "bits")
    assert (found["cost", "copies"]["value"], found["cost", "copies"]["reason"]) == (0, None)
    assert found["flops", "copies"]["reason"] == (
        "its reconstruction has no matrix product, convolution or attention, which alone count"
    )


def test_a_score_that_depends_on_the_grouping_into_batches_is_marked_where_it_counts(call: Call, folder: Path) -> None:
    found = rows(call, "centres,pca", "reconstruction-mse,sparsity", "bits", "--set", "pca.latent_dim=3")
    reason = "reconstruct of an example depends on the other examples of its batch"
    assert found["reconstruction-mse", "centres"]["reason"] == reason
    assert found["reconstruction-mse", "centres"]["rank"] is None
    assert found["sparsity", "centres"]["reason"] is None

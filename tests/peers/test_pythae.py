"""The importance-weighted likelihood, compared with pythae at the same weights. ``-s`` shows both values."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pythae_twin import pythae_twin

from harness import Context, DataSource, Noise
from harness.data.transforms import Binarize
from harness.noise import global_seed
from harness_datasets.mnist_10k import MNIST10k
from harness_metrics.likelihood.importance import LogLikelihoodIW
from harness_vae.vae import VAE

pytest.importorskip("pythae")
images, k, repeats = 50, 500, 5


# With such a small code the effective sample size is large, so that the standard errors are reliable.
def test_the_importance_weighted_likelihood_agrees_with_pythae(fit) -> None:
    data = Binarize(Binarize.Config()).apply(MNIST10k(MNIST10k.Config()).load(DataSource(None, Path(), print)))
    model = fit(VAE, VAE.Config(latent_dim=5), data, epochs=5)
    twin, x = pythae_twin(model), data.test.subset(images).all(Noise(0))
    metric = LogLikelihoodIW(LogLikelihoodIW.Config(k=k, examples=images))
    with torch.no_grad(), global_seed(0):
        ours = metric.measure(model, data, Context(Noise(0), None, None, 0))
        theirs = torch.tensor([float(twin.get_nll(x, n_samples=k, batch_size=k)) for _ in range(repeats)])
    error = math.hypot(ours.estimator_stderr or 0, float(theirs.std()) / math.sqrt(repeats))
    print(f"ours {ours.value:.3f}, pythae {theirs.mean():.3f} nats, combined error {error:.3f}")
    assert error < 0.1
    assert ours.value == pytest.approx(float(theirs.mean()), abs=3 * error)

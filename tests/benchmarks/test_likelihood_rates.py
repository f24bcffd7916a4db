"""Importance-weighted likelihoods compared with pythae 0.1.2's ``get_nll``, which returns log p(x).

Run with ``pytest tests/benchmarks/test_likelihood_rates.py --benchmark-only -s``. The other estimators are in
``test_hot_paths``, beside the passes of their decoder.
"""

from __future__ import annotations

import contextlib
import io

import pytest
import torch
from pythae_twin import pythae_twin

from harness import Context, Data, Examples, Noise
from harness.machine.fast_linear import fast_linear
from harness_metrics.likelihood.importance import LogLikelihoodIW
from harness_vae.vae import VAE

images, k = 50, 500


@torch.no_grad()
def test_importance_weighting_compared_with_pythae(in_turns, threads: int) -> None:
    noise = Noise(0)
    drawn = (Examples((noise.uniform(n, 1, 28, 28) < 0.2).float()) for n in (10, 10, images))
    data = Data.from_tensors(*drawn, support="binary")
    torch.manual_seed(0)
    model = VAE(data.info, VAE.Config()).eval()
    twin, x = pythae_twin(model), data.test.all(Noise(0))
    values: dict[str, float] = {}

    def ours() -> None:
        with fast_linear(model, torch.device("cpu")):
            metric = LogLikelihoodIW(LogLikelihoodIW.Config(k=k, examples=images))
            values["ours"] = metric.measure(model, data, Context(Noise(0), None, None, 0)).value

    def theirs() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            values["pythae"] = float(twin.get_nll(x, n_samples=k, batch_size=100))

    at_most = 0.4  # measured 0.25 with one thread; on another processor 0.22, and 0.24 with two
    in_turns(
        f"log-likelihood-iw / pythae's get_nll, {threads} threads",
        ours,
        theirs,
        at_most=at_most,
        several_threads=threads > 1,
    )
    assert values["ours"] == pytest.approx(values["pythae"], abs=1)

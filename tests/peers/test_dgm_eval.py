"""Metrics of sample quality, compared with dgm-eval (Stein et al., 2023). ``-s`` shows the distances.

The package is not in a registry: install it from its repository, layer6ai-labs/dgm-eval. Without it, the same
comparisons are made with its definitions, written here again. Its feature likelihood score needs a GPU and the older
definition of the divergence, and is not compared.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from given_features import score
from numpy.typing import NDArray
from torch import Tensor

from harness_metrics.quality.frechet import FrechetDistance
from harness_metrics.quality.kernel import KernelDistance
from harness_metrics.quality.neighbours import Coverage, Density, Precision, Recall
from harness_metrics.quality.spread import Authenticity, VendiScore

Array = NDArray[np.float64]
neighbours = {"precision": Precision, "recall": Recall, "density": Density, "coverage": Coverage}


class Definitions:
    """What dgm-eval computes, by its names: real features come first."""

    @staticmethod
    def compute_efficient_FD_with_reps(real: Array, generated: Array) -> float:  # noqa: N802
        gap = real.mean(0) - generated.mean(0)
        a, b = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
        roots = np.sqrt(np.linalg.eigvals(a @ b).astype(complex)).real
        return float(gap @ gap + np.trace(a) + np.trace(b) - 2 * roots.sum())

    @staticmethod
    def compute_mmd(real: Array, generated: Array, n_subsets: int, subset_size: int) -> Array:
        """Return the unbiased squared discrepancy of all rows, which is what subsets of that size are."""
        assert n_subsets == 1
        assert subset_size == len(real) == len(generated)
        n, dim = real.shape
        within = [(x @ x.T / dim + 1) ** 3 for x in (real, generated)]
        across = (real @ generated.T / dim + 1) ** 3
        total = sum((each.sum() - np.trace(each)) / (n * (n - 1)) for each in within)
        return np.array([total - 2 * across.mean()])

    @staticmethod
    def compute_prdc(real: Array, generated: Array, nearest_k: int) -> dict[str, float]:
        def between(x: Array, y: Array) -> Array:
            found: Array = np.linalg.norm(x[:, None] - y, axis=2)
            return found

        across = between(real, generated)
        of_real, of_generated = (np.sort(between(x, x))[:, nearest_k] for x in (real, generated))
        return {
            "precision": float((across < of_real[:, None]).any(0).mean()),
            "recall": float((across < of_generated).any(1).mean()),
            "density": float((across < of_real[:, None]).sum(0).mean() / nearest_k),
            "coverage": float((across.min(1) < of_real).mean()),
        }

    @staticmethod
    def compute_authpct(train: Array, generated: Array) -> float:
        """Return the percentage of samples farther from the nearest training image than that is from its own."""
        own = torch.cdist(torch.from_numpy(train), torch.from_numpy(train)).fill_diagonal_(torch.inf).amin(0)
        distance, nearest = torch.cdist(torch.from_numpy(train), torch.from_numpy(generated)).min(0)
        return 100 * float((own[nearest] < distance).double().mean())

    @staticmethod
    def compute_vendi_score(generated: Array) -> float:
        unit = generated / np.linalg.norm(generated, axis=1, keepdims=True)
        shares = np.linalg.eigvalsh(unit @ unit.T / len(unit))
        shares = shares[shares > 0]
        return float(np.exp(-(shares * np.log(shares)).sum()))


@pytest.fixture(params=["package", "definitions"])
def theirs(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return a function that calls one of dgm-eval's: of a module, by its name."""

    def call(module: str, function: str, *features: Tensor, **values: Any) -> Any:
        arrays = [each.numpy() for each in features]
        if request.param == "definitions":
            return getattr(Definitions, function)(*arrays, **values)
        return getattr(importlib.import_module(f"dgm_eval.metrics.{module}"), function)(*arrays, **values)

    if request.param == "package" and importlib.util.find_spec("dgm_eval") is None:
        pytest.skip("needs dgm_eval, which is not in a registry")
    return call


def test_the_frechet_distance_agrees(theirs: Callable[..., Any], features: tuple[Tensor, Tensor]) -> None:
    samples, test = features
    ours = FrechetDistance(FrechetDistance.Config()).parts(samples, test)["uncorrected"]
    found = theirs("fd", "compute_efficient_FD_with_reps", test, samples)
    print(f"ours {ours:.12g}, dgm-eval {found:.12g}")
    assert ours == pytest.approx(found, rel=1e-4)


def test_the_kernel_distance_agrees_on_a_single_subset_of_all_samples(
    theirs: Callable[..., Any], features: tuple[Tensor, Tensor]
) -> None:
    samples, test = features
    ours = score(KernelDistance, samples, test)
    (found,) = theirs("mmd", "compute_mmd", test, samples, n_subsets=1, subset_size=len(test))
    print(f"ours {ours:.12g}, dgm-eval {found:.12g}")
    assert ours == pytest.approx(float(found), rel=1e-6)


def test_precision_recall_density_and_coverage_agree(
    theirs: Callable[..., Any], features: tuple[Tensor, Tensor]
) -> None:
    samples, test = (each[:400] for each in features)
    found = theirs("prdc", "compute_prdc", test, samples, nearest_k=5)
    assert {name: score(metric, samples, test, k=5) for name, metric in neighbours.items()} == pytest.approx(found)


def test_authenticity_agrees(theirs: Callable[..., Any], features: tuple[Tensor, Tensor]) -> None:
    samples, train = features
    ours = Authenticity(Authenticity.Config()).compare(samples, train[:0], train)
    assert 0 < ours <= 1
    assert 100 * ours == pytest.approx(theirs("authpct", "compute_authpct", train, samples), abs=0.1)  # theirs: float32


def test_the_vendi_score_agrees(theirs: Callable[..., Any], features: tuple[Tensor, Tensor]) -> None:
    samples, test = features
    ours = score(VendiScore, samples, test)
    assert ours == pytest.approx(theirs("vendi", "compute_vendi_score", samples), rel=1e-6)

"""The leading eigenvalues and eigenvectors of a covariance."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_all = 3072  # values of an example up to which all eigenpairs are computed: 32 × 32 in colour, which takes 8 s
_ratio = 20  # values for each leading eigenpair from which on Lanczos' method is not slower, even without a gap
_products = 3000  # of a covariance and a vector, in about the time that all eigenpairs take


def leading_eigenpairs(covariance: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the k leading eigenvalues and eigenvectors of a covariance ``(d, d)`` in float64.

    A large covariance is decomposed by Lanczos' method with implicit restarts (Lehoucq, Sorensen and Yang, 1998) until
    its residuals are rounding errors. If that takes too long, because k is inside a cluster of almost equal
    eigenvalues, or if all examples are the same, all eigenpairs are computed, as they are for a small covariance.

    Returns:
        The eigenvalues in ascending order, ``(k,)``; their eigenvectors in the same order, ``(d, k)``; the sum of the
        other d − k eigenvalues, ``()``.
    """
    if len(covariance) > max(_all, _ratio * k):
        found = _by_lanczos(covariance, k)
        if found is not None:
            return found
    values, vectors = torch.linalg.eigh(covariance)
    return values[-k:], vectors[:, -k:], values[:-k].sum()


def _by_lanczos(covariance: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return what ``leading_eigenpairs`` does, or None if the method does not converge or the covariance is 0."""
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
    from threadpoolctl import threadpool_limits

    trace = covariance.trace()
    if trace == 0:
        return None

    def product(vector: np.ndarray) -> np.ndarray:
        scaled = covariance @ torch.from_numpy(vector.ravel()).to(covariance.device) / trace
        return scaled.cpu().numpy()

    # ARPACK takes eigenvalues far below 1 for 0, so they are computed as shares of the trace.
    operator = LinearOperator(covariance.shape, product, dtype=np.float64)
    try:
        with threadpool_limits(torch.get_num_threads()):  # which the last bits depend on
            shares, vectors = eigsh(operator, k, which="LA", ncv=2 * k + 20, maxiter=_products // (k + 20), rng=0)
    except ArpackError:
        return None
    values = torch.from_numpy(shares).to(covariance.device) * trace
    return values, torch.from_numpy(vectors).to(covariance.device), trace - values.sum()

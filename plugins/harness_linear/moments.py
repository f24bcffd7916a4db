"""The mean and covariance of a training split."""

from __future__ import annotations

import torch
from torch import Tensor

from harness import Noise, Split

_values = 2**28  # of examples that are in memory at once as floats, 1 GiB; smaller splits are one batch
_rows = 4096  # of these that are in float64 at once


def moments(train: Split, noise: Noise) -> tuple[Tensor, Tensor]:
    """Return the mean ``(d,)`` and the maximum-likelihood covariance ``(d, d)``, divided by N, in float64.

    The memory does not grow with N: the moments of batches are merged as in Chan, Golub and LeVeque (1983).
    """
    d = train.stored[0].numel()
    mean = torch.zeros(d, dtype=torch.float64, device=train.stored.device)
    scatter = torch.zeros(d, d, dtype=torch.float64, device=train.stored.device)  # sum of (x - mean) (x - mean)^T
    seen = 0
    for batch in train.batches(max(1, _values // (d * _rows)) * _rows, noise):
        x = batch.flatten(1)
        its_mean = x.mean(0, dtype=torch.float64)
        for part in x.split(_rows):
            centred = part.double() - its_mean
            scatter += centred.T @ centred
        shift, share = its_mean - mean, len(x) / (seen + len(x))
        scatter.addr_(shift, shift, alpha=seen * share)
        mean += share * shift
        seen += len(x)
    return mean, scatter.div_(seen)

"""The mean and covariance of a training split."""

from __future__ import annotations

import torch
from torch import Tensor

from harness import Noise, Split


def moments(train: Split, noise: Noise) -> tuple[Tensor, Tensor]:
    """Return the mean ``(d,)`` and the maximum-likelihood covariance ``(d, d)``, divided by N, in float64."""
    x = train.all(noise).flatten(1)  # (N, d)
    mean = x.mean(0, dtype=torch.float64)
    covariance = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for part in x.split(4096):
        centred = part.double() - mean
        covariance += centred.T @ centred
    return mean, covariance / len(x)

"""The times that a batch is trained at."""

from __future__ import annotations

import torch
from torch import Tensor

from harness import Noise


def stratified_times(n: int, noise: Noise) -> Tensor:
    """Draw one time from each of ``n`` equal parts of [0, 1], at the same place in each, ``(n,)`` ascending.

    In float32 the last may round to 1.
    """
    place = noise.uniform(1)
    return (torch.arange(n, device=place.device) + place) / n

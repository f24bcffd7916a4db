"""Chamfer distances between sets of points, for losses and metrics."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

ChamferKind = Literal["third-axis", "position-intensity"]


def chamfer(a: Tensor, b: Tensor, kind: ChamferKind) -> Tensor:
    """Return the Chamfer distance of each pair of sets, ``(N,)``.

    Σᵢ ‖aᵢ − b_nn(i)‖² + Σⱼ ‖bⱼ − a_nn(j)‖² over points (x, y, intensity), where nn is the nearest neighbour in the
    other set. With ``third-axis`` it is nearest in all three coordinates (Fan, Su and Guibas, 2017); with
    ``position-intensity`` it is nearest in (x, y) only. Ties go to the first point.

    Args:
        a: ``(N, 3, n)``, with the coordinates of a point along the second axis, the intensity last.
        b: ``(N, 3, m)``, likewise.
        kind: how the nearest neighbour is chosen.
    """
    distances = _squared_distances(a, b)
    nearness = distances if kind == "third-axis" else _squared_distances(a[:, :-1], b[:, :-1])
    from_a = distances.gather(2, nearness.argmin(2, keepdim=True))  # (N, n, 1)
    from_b = distances.gather(1, nearness.argmin(1, keepdim=True))  # (N, 1, m)
    return from_a.sum((1, 2)) + from_b.sum((1, 2))


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return all squared distances, ``(N, n, m)``, from differences: products would be inaccurate for small ones."""
    return (a.unsqueeze(3) - b.unsqueeze(2)).square().sum(1)

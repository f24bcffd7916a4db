"""Pairwise sums and nearest neighbours in float64, a few rows at a time: the matrix of all pairs is never stored."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_chunk = 256  # rows


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return all Euclidean distances, ``(N, M)``; computed from differences, so that equal points have distance 0."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def by_rows(a: Tensor, of_rows: Callable[[Tensor, slice], Tensor], chunk: int = _chunk) -> Tensor:
    """Apply ``of_rows`` to ``chunk`` rows of ``a`` at a time, with their slice, and concatenate the results."""
    starts = range(0, len(a), chunk)
    return torch.cat([of_rows(a[start : start + chunk], slice(start, start + chunk)) for start in starts])


def radii(x: Tensor, k: int, chunk: int = _chunk) -> Tensor:
    """Return the distance of each point to its k-th nearest other point, ``(N,)``; a duplicate is at distance 0."""

    def kth(rows: Tensor, place: slice) -> Tensor:
        found = distances(rows, x)
        found[:, place].fill_diagonal_(math.inf)
        return found.topk(k, largest=False).values.amax(1)

    return by_rows(x, kth, chunk)


def balls_containing(points: Tensor, centres: Tensor, reach: Tensor, chunk: int = _chunk) -> Tensor:
    """Return how many closed balls, of ``centres`` and radii ``reach``, contain each point, ``(N,)``."""
    return by_rows(points, lambda rows, _: (distances(rows, centres) <= reach).sum(1), chunk)


def points_inside(centres: Tensor, reach: Tensor, points: Tensor, chunk: int = _chunk) -> Tensor:
    """Return how many points lie in the closed ball of each centre, of radius ``reach``, ``(N,)``."""
    return by_rows(centres, lambda rows, place: (distances(rows, points) <= reach[place, None]).sum(1), chunk)


def nearest(a: Tensor, b: Tensor, chunk: int = _chunk) -> Tensor:
    """Return the distance of each row of ``a`` to the nearest row of ``b``, ``(N,)``.

    The nearest row is found by a matrix product, which is fast; its distance is computed from differences, which are
    exact.
    """
    squares = by_rows(b, lambda rows, _: rows.square().sum(1))

    def least(rows: Tensor, place: slice) -> Tensor:
        index = (squares - 2 * rows @ b.T).argmin(1)
        closest: Tensor = (rows - b[index]).norm(dim=1)
        return closest

    return by_rows(a, least, chunk)


def sums_over_others(x: Tensor, of: Callable[[Tensor, Tensor], Tensor], chunk: int = _chunk) -> Tensor:
    """Return Σ_{j ≠ i} of(xᵢ, xⱼ) for each i, ``(N,)``."""

    def sums(rows: Tensor, place: slice) -> Tensor:
        found = of(rows, x)
        found[:, place].fill_diagonal_(0)
        return found.sum(1)

    return by_rows(x, sums, chunk)

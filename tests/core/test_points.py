"""Chamfer distances, compared with their definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.toolkit import chamfer

kinds = ("third-axis", "position-intensity")


def random_sets(seed: int, *sizes: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, 3, n, generator=generator, dtype=torch.float64) for n in sizes]


def by_hand(a: list[tuple[float, ...]], b: list[tuple[float, ...]], kind: str) -> float:
    """Return the distance of two sets of points (x, y, intensity), one point after another."""

    def squares(p: tuple[float, ...], q: tuple[float, ...]) -> float:
        return sum((u - v) ** 2 for u, v in zip(p, q, strict=True))

    def one_way(points: list[tuple[float, ...]], others: list[tuple[float, ...]]) -> float:
        total = 0.0
        for p in points:
            if kind == "third-axis":
                total += min(squares(p, q) for q in others)
            else:
                nearest = min(others, key=lambda q: squares(p[:2], q[:2]))
                total += squares(p[:2], nearest[:2]) + (p[2] - nearest[2]) ** 2
        return total

    return one_way(a, b) + one_way(b, a)


@pytest.mark.parametrize("kind", kinds)
@settings(deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 8), m=st.integers(1, 8))
def test_the_distance_equals_a_double_loop_over_points(kind, seed: int, n: int, m: int) -> None:
    a, b = random_sets(seed, n, m)
    expected = [
        by_hand(list(zip(*p.tolist(), strict=True)), list(zip(*q.tolist(), strict=True)), kind)
        for p, q in zip(a, b, strict=True)
    ]
    assert chamfer(a, b, kind).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", kinds)
@settings(deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 12), m=st.integers(1, 12))
def test_the_distance_is_symmetric_zero_for_equal_sets_and_independent_of_the_order_of_points(
    kind, seed: int, n: int, m: int
) -> None:
    a, b = random_sets(seed, n, m)
    shuffled = a[:, :, torch.randperm(n, generator=torch.Generator().manual_seed(seed))]
    torch.testing.assert_close(chamfer(a, b, kind), chamfer(b, a, kind))
    torch.testing.assert_close(chamfer(a, b, kind), chamfer(shuffled, b, kind))
    assert chamfer(a, shuffled, kind).tolist() == [0, 0]
    assert bool((chamfer(a, b, kind) > 0).all())


@pytest.mark.parametrize("kind", kinds)
def test_every_copy_of_a_point_counts(kind) -> None:
    a, b = random_sets(0, 1, 1)
    torch.testing.assert_close(chamfer(a.repeat(1, 1, 3), b, kind), 2 * chamfer(a, b, kind))


def test_the_kinds_differ_if_the_nearest_in_position_has_another_intensity() -> None:
    a = torch.tensor([[[0.0], [0.0], [1.0]]])
    b = torch.tensor([[[0.1, 0.3], [0.0, 0.0], [0.0, 1.0]]])  # nearer but dark, and farther but bright
    back = 0.1**2 + 1 + 0.3**2
    assert chamfer(a, b, "third-axis").item() == pytest.approx(0.3**2 + back)
    assert chamfer(a, b, "position-intensity").item() == pytest.approx(0.1**2 + 1 + back)


@pytest.mark.parametrize("kind", kinds)
def test_the_gradient_agrees_with_finite_differences(kind) -> None:
    a, b = (each.requires_grad_() for each in random_sets(3, 4, 5))
    assert torch.autograd.gradcheck(lambda a, b: chamfer(a, b, kind), (a, b))

"""Samples and real data whose distributions are known, with what a right metric of samples shows for them.

The first 15 checks are those of Räisä, van Breugel and van der Schaar (2025, arXiv:2505.22450), with their sample sizes
and dimensions, on fewer points of each grid. As there, features are standardised by the mean and the standard deviation
of the real data, so that a check tells nothing about a metric's dependence on units of features.

What a metric must show depends on its aspect:

- ``fidelity``: 1 if samples lie within the distribution of the data, and 0 if they lie outside.
- ``diversity``: 1 if the samples cover the distribution of the data, and 0 if they cover none of it. For samples wider
  than the data, two conventions are accepted: ``high``, the data is covered; ``low``, most samples miss it.
- ``overall``: best for equal distributions, worse for any difference. Values have no common scale, so only shapes are
  judged, relative to the largest value.
- ``memorisation``: lower, or worse, the more samples are copies of training data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from harness.calibration.rules import Either, Falls, Flat, Near, Peaks, Proportional, Rises, Rule
from harness.contracts.metrics import Aspect
from harness.noise import Noise
from harness.words import counted

size = 1000  # of each set of points, unless a check varies it
closed_form_topic = "bounds"


class Sets(NamedTuple):
    """What a metric compares: samples ``(m, d)``, test data ``(n, d)`` and training data ``(N, d)``, float64."""

    samples: Tensor
    test: Tensor
    train: Tensor


class Streams(NamedTuple):
    """Randomness of a comparison: ``real`` starts equally at every point of a check, ``fresh`` differently."""

    real: Noise
    fresh: Noise


Draw = Callable[[float, Streams], Sets]


@dataclass(frozen=True)
class Demand:
    """One thing that a right metric shows.

    Args:
        topic: ``bounds`` for values, ``shape`` for their course, ``size`` or ``units`` if they must not matter; a check
            and a topic are a row of the truth table.
        says: what is demanded, in words.
        rule: the same, as a rule on the curve of values.
    """

    topic: str
    says: str
    rule: Rule


Demands = Mapping[Aspect, Sequence[Demand]]


@dataclass(frozen=True)
class Variant:
    """A check in one setting, such as in 64 dimensions.

    Args:
        label: of the setting.
        points: where the metric is measured, in order.
        draw: draws the sets at a point.
        demands: by aspect; an aspect without demands is not judged.
        grows: whether the point is a number of data points; large ones are then measured fewer times.
        gaussians: the means and covariances of samples and data at a point, if both are Gaussian and their distance is
            to be compared with its closed form.
    """

    label: str
    points: tuple[float, ...]
    draw: Draw
    demands: Demands
    grows: bool = False
    gaussians: Callable[[float], tuple[Tensor, Tensor, Tensor, Tensor]] | None = None

    def replications(self, point: float, wanted: int) -> int:
        """Return how often to measure a point: ``wanted`` times, or fewer for more than 1,000 data points."""
        return max(1, round(wanted * min(1.0, size / point) ** 0.5)) if self.grows else wanted


@dataclass(frozen=True)
class Check:
    """Data with a known truth.

    Args:
        name: what users see.
        shows: what a right metric shows, in one sentence.
        variants: its settings.
    """

    name: str
    shows: str
    variants: tuple[Variant, ...]

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of its demands, in order."""
        demands = (each for variant in self.variants for kind in variant.demands.values() for each in kind)
        return tuple(dict.fromkeys(each.topic for each in demands)) or (closed_form_topic,)


def grid(first: float, last: float, points: int) -> tuple[float, ...]:
    """Return equally spaced numbers; the middle of a symmetric grid is exact."""
    middle, half = (first + last) / 2, (last - first) / 2
    return tuple(middle + half * (2 * i - points + 1) / (points - 1) for i in range(points))


def log_grid(first: float, last: float, points: int) -> tuple[float, ...]:
    """Return powers of ten with equally spaced exponents from ``first`` to ``last``."""
    return tuple(10.0**exponent for exponent in grid(first, last, points))


def standardized(samples: Tensor, test: Tensor) -> Sets:
    """Return the sets in units of the standard deviation of the test data around its mean; there is no training data.

    The test data stands in for the training data, which metrics of these checks' aspects do not use.
    """
    mean, deviation = test.mean(0), test.std(0, correction=0)
    real = (test - mean) / deviation
    return Sets((samples - mean) / deviation, real, real)


def normal(noise: Noise, points: int, dimensions: int) -> Tensor:
    """Draw from N(0, I), ``(points, dimensions)`` float64."""
    return noise.normal(points, dimensions).double()


def uniform(noise: Noise, points: int, dimensions: int) -> Tensor:
    """Draw from the unit cube, ``(points, dimensions)`` float64."""
    return torch.rand(points, dimensions, generator=noise.generator, dtype=torch.float64)


def mixture(noise: Noise, points: int, means: Tensor, scale: float, weights: Tensor) -> Tensor:
    """Draw from a mixture of spherical Gaussians with means ``(components, d)`` and weights ``(components,)``."""
    chosen = torch.multinomial(weights, points, replacement=True, generator=noise.generator)
    return means[chosen] + scale * normal(noise, points, means.shape[1])


def ball(noise: Noise, points: int, dimensions: int) -> Tensor:
    """Draw uniformly from the unit ball, ``(points, dimensions)``."""
    directions = sphere(noise, points, dimensions)
    radii: Tensor = uniform(noise, points, 1) ** (1 / dimensions)
    return directions * radii


def sphere(noise: Noise, points: int, dimensions: int) -> Tensor:
    """Draw uniformly from the surface of the unit ball, ``(points, dimensions)``."""
    directions = normal(noise, points, dimensions)
    lengths: Tensor = directions.norm(dim=1, keepdim=True)
    return directions / lengths


def torus(noise: Noise, points: int) -> Tensor:
    """Draw from a torus around the z axis, ``(points, 3)``: its tube has the radius 0.1, 1 from the axis."""
    angle = 2 * math.pi * uniform(noise, points, 1)
    disk = 0.1 * ball(noise, points, 2)
    distance = 1 + disk[:, :1]
    return torch.cat([distance * angle.cos(), distance * angle.sin(), disk[:, 1:]], 1)


# Checks of Räisä et al.


def _equal_and_ends(at: float, points: Sequence[float]) -> list[Demand]:
    return [
        Demand("bounds", "1 for equal distributions", Near(at, 1)),
        *(Demand("bounds", f"0 at {point:g}", Near(point, 0)) for point in (points[0], points[-1])),
    ]


def _peak(at: float, points: Sequence[float]) -> Demands:
    """Return the demands of a check whose distributions are equal at a point, and disjoint at both ends."""
    shape = Demand("shape", f"highest at {at:g}", Peaks(at))
    limited = [*_equal_and_ends(at, points), shape]
    return {"fidelity": limited, "diversity": limited, "overall": [shape]}


def _mean_difference(dimensions: int) -> Variant:
    ends = {1: 6, 8: 3, 64: 1}[dimensions]
    points = grid(-ends, ends, 7)

    def draw(mean: float, noise: Streams) -> Sets:
        return standardized(mean + normal(noise.fresh, size, dimensions), test=normal(noise.real, size, dimensions))

    return Variant(counted(dimensions, "dimension"), points, draw, _peak(0, points))


def _outlier(where: str, dimensions: int) -> Variant:
    ends = {1: 6, 8: 3, 64: 1}[dimensions]
    points = grid(-ends, ends, 7)
    outlier = torch.full((1, dimensions), float(ends), dtype=torch.float64)

    def draw(mean: float, noise: Streams) -> Sets:
        real, samples = normal(noise.real, size, dimensions), mean + normal(noise.fresh, size, dimensions)
        if where == "data":
            return standardized(samples, torch.cat([real, outlier]))
        return standardized(torch.cat([samples, outlier]), real)

    return Variant(f"outlier in the {where}, {counted(dimensions, 'dimension')}", points, draw, _peak(0, points))


def _deviation(dimensions: int) -> Variant:
    points = log_grid(*{1: (-3, 3), 8: (-1, 1), 64: (-0.5, 0.5)}[dimensions], 7)
    first, last = points[0], points[-1]

    def draw(deviation: float, noise: Streams) -> Sets:
        return standardized(
            deviation * normal(noise.fresh, size, dimensions), test=normal(noise.real, size, dimensions)
        )

    equal = Demand("bounds", "1 for equal distributions", Near(1, 1))
    demands: Demands = {
        "fidelity": [
            equal,
            Demand("bounds", "1 for narrow samples", Near(first, 1)),
            Demand("bounds", "0 for wide samples", Near(last, 0)),
            Demand("shape", "falls with the deviation of samples", Falls()),
        ],
        "diversity": [
            equal,
            Demand("bounds", "0 for narrow samples", Near(first, 0)),
            Demand("bounds", "0 or 1 for wide samples", Either(Near(last, 0), Near(last, 1))),
            Demand("shape", "highest at 1, or rises with the deviation of samples", Either(Peaks(1), Rises())),
        ],
        "overall": [Demand("shape", "highest at 1", Peaks(1))],
    }
    return Variant(counted(dimensions, "dimension"), points, draw, demands)


def _dropping(way: str, dimensions: int) -> Variant:
    """Return the check of ten modes that are dropped one after the other, or nine of them together."""
    modes, scale = 10, {1: 1 / 6, 8: 1 / 3, 64: 1.0}[dimensions]
    means = torch.linspace(0, 10, modes, dtype=torch.float64)[:, None].expand(-1, dimensions)
    even = torch.ones(modes, dtype=torch.float64)
    points: tuple[float, ...]
    if way == "one by one":
        points, middle = (0.0, 2.0, 4.0, 6.0, 9.0), 4.0
    else:
        points, middle = tuple(i / 49 for i in (0, 21, 42, 47, 49)), 47 / 49

    def draw(dropped: float, noise: Streams) -> Sets:
        weights = even.clone()
        if way == "one by one":
            weights[modes - int(dropped) :] = 0
        else:
            weights[1:] *= 1 - dropped
        return standardized(
            mixture(noise.fresh, size, means, scale, weights), test=mixture(noise.real, size, means, scale, even)
        )

    equal = Demand("bounds", "1 for equal distributions", Near(0, 1))
    demands: Demands = {
        "fidelity": [
            equal,
            Demand("bounds", "1 if all modes but one are dropped", Near(points[-1], 1)),
            Demand("shape", "unaffected by dropped modes", Flat()),
        ],
        "diversity": [equal, Demand("shape", "falls with dropped modes", Falls(by=middle))],
        "overall": [Demand("shape", "falls with dropped modes", Falls())],
    }
    return Variant(counted(dimensions, "dimension"), points, draw, demands)


_ten_modes = (
    (5.46794328, -4.08481523), (4.87211875, -13.64864684), (-16.39432073, 9.09802249), (-2.15447941, 12.46200019),
    (11.55784483, -4.96049923), (-24.60558474, 14.18020818), (16.84215967, -3.18710751), (-5.47807206, -6.77247129),
    (9.46726546, 1.05922347), (-5.40346201, -17.29490131),
)  # fmt: skip


def _invention() -> Variant:
    """Return the check of data with five modes, and samples from the first of ten modes."""
    means = torch.tensor(_ten_modes, dtype=torch.float64)
    points = tuple(map(float, range(1, 11)))

    def draw(modes: float, noise: Streams) -> Sets:
        def first(count: int, noise: Noise) -> Tensor:
            return mixture(noise, size, means[:count], 0.25, torch.ones(count, dtype=torch.float64))

        return standardized(first(int(modes), noise.fresh), test=first(5, noise.real))

    equal = Demand("bounds", "1 for equal distributions", Near(5, 1))
    demands: Demands = {
        "fidelity": [
            equal,
            Demand("bounds", "1 if modes are dropped", Near(1, 1)),
            Demand("shape", "falls with invented modes", Falls()),
        ],
        "diversity": [
            equal,
            Demand("bounds", "1 if modes are invented", Near(10, 1)),
            Demand("shape", "rises with covered modes", Rises()),
        ],
    }
    return Variant("2 dimensions", points, draw, demands)


def _sphere(dimensions: int) -> Variant:
    points = grid(0.1, 1.9, 9)

    def draw(radius: float, noise: Streams) -> Sets:
        return standardized(radius * sphere(noise.fresh, size, dimensions), test=sphere(noise.real, size, dimensions))

    return Variant(counted(dimensions, "dimension"), points, draw, _peak(points[4], points))


_overlap = 0.2
_sizes = tuple(float(int(10 ** (2 + 2 * i / 19))) for i in (10, 14, 19))  # the upper half of a grid from 100 to 10,000


def _cubes(what: str, dimensions: int) -> Variant:
    """Return the check of two cubes that share a fifth of their volume; the number of points must not matter."""
    shift = 1 - _overlap ** (1 / dimensions)

    def draw(points: float, noise: Streams) -> Sets:
        m = int(points)
        samples = shift + uniform(noise.fresh, m, dimensions)
        real = uniform(noise.fresh, m, dimensions) if what == "both" else uniform(noise.real, size, dimensions)
        return standardized(samples, real)

    flat = Demand("size", f"the same from {_sizes[0]:,.0f} points on", Flat())
    share = Demand("bounds", f"{_overlap} with 10,000 points", Near(_sizes[-1], _overlap))
    demands: Demands = {"fidelity": [flat, share], "diversity": [flat, share]}
    return Variant(counted(dimensions, "dimension"), _sizes, draw, demands, grows=True)


def _torus(real: str) -> Variant:
    """Return the check of a ball in the hole of a torus, which are disjoint."""

    def draw(points: float, noise: Streams) -> Sets:
        m = int(points)
        if real == "ball":
            return standardized(torus(noise.fresh, m), test=0.8 * ball(noise.real, size, 3))
        return standardized(0.8 * ball(noise.fresh, m, 3), test=torus(noise.real, size))

    flat = Demand("shape", f"the same from {_sizes[0]:,.0f} samples on", Flat())
    apart = Demand("bounds", "0 with 10,000 samples", Near(_sizes[-1], 0))
    demands: Demands = {"fidelity": [flat, apart], "diversity": [flat, apart]}
    return Variant(f"data in the {real}", _sizes, draw, demands, grows=True)


def _two_modes(dimensions: int) -> Variant:
    """Return the check of data with two modes at a growing distance, and samples from one Gaussian over both."""
    points = grid(0, 5, 6)

    def draw(distance: float, noise: Streams) -> Sets:
        means = torch.tensor([[-0.5], [0.5]], dtype=torch.float64).expand(-1, dimensions) * distance
        real = mixture(noise.fresh, size, means, 1.0, torch.ones(2, dtype=torch.float64))
        return standardized(math.sqrt(1 + distance**2) * normal(noise.fresh, size, dimensions), real)

    equal = Demand("bounds", "1 for equal distributions", Near(0, 1))
    falls = Demand("shape", "falls with the distance of the modes", Falls())
    demands: Demands = {
        "fidelity": [equal, falls],
        "diversity": [
            equal,
            Demand("shape", "falls with the distance of the modes, or is unaffected", Either(Falls(), Flat())),
        ],
        "overall": [falls],
    }
    return Variant(counted(dimensions, "dimension"), points, draw, demands)


def _scaling() -> Variant:
    points = log_grid(-3, 3, 20)

    def draw(scale: float, noise: Streams) -> Sets:
        units = torch.tensor([1.0, scale], dtype=torch.float64)
        samples = normal(noise.fresh, size, 2) + torch.tensor([6.0, 0.0], dtype=torch.float64)
        return standardized(samples * units, normal(noise.fresh, size, 2) * units)

    flat = Demand("units", "unaffected by the unit of a dimension", Flat())
    ends = [Demand("bounds", f"0 at {point:g}", Near(point, 0)) for point in (points[0], points[-1])]
    demands: Demands = {"fidelity": [flat, *ends], "diversity": [flat, *ends]}
    return Variant("2 dimensions", points, draw, demands)


def _pareto() -> Variant:
    points = grid(-6, 6, 7)

    def heavy(noise: Noise) -> Tensor:
        return (1 - uniform(noise, size, 1)) ** (-1 / 1.01)

    def draw(mean: float, noise: Streams) -> Sets:
        real = torch.cat([normal(noise.real, size, 1), heavy(noise.real)], 1)
        samples = torch.cat([mean + normal(noise.fresh, size, 1), heavy(noise.fresh)], 1)
        return standardized(samples, real)

    return Variant("2 dimensions", points, draw, _peak(0, points))


def _disjoint() -> Variant:
    points = tuple(float(int(10 ** (3 * i / 19) + 1e-9)) for i in (0, 4, 8, 12, 16, 19))

    def draw(others: float, noise: Streams) -> Sets:
        samples = normal(noise.fresh, size, int(others) + 1)
        samples[:, 0] += 6
        return standardized(samples, normal(noise.fresh, size, int(others) + 1))

    flat = Demand("shape", "unaffected by further dimensions", Flat())
    ends = [Demand("bounds", f"0 with {point:,.0f} more", Near(point, 0)) for point in (points[0], points[-1])]
    demands: Demands = {"fidelity": [flat, *ends], "diversity": [flat, *ends]}
    return Variant("2 to 1,001 dimensions", points, draw, demands)


def _rounding(rounded: str) -> Variant:
    """Return the check of numbers of which one set is rounded to integers: data (a null set), or samples."""
    points = log_grid(0, 3, 7)

    def draw(scale: float, noise: Streams) -> Sets:
        real, samples = scale * normal(noise.fresh, size, 1), scale * normal(noise.fresh, size, 1)
        return standardized(samples, real.round()) if rounded == "data" else standardized(samples.round(), real)

    flat = Demand("shape", "unaffected by the scale", Flat())
    ends = {"coarse": points[0], "fine": points[-1]}
    if rounded == "data":
        demands: Demands = {
            "fidelity": [flat, *(Demand("bounds", f"0 for {name} rounding", Near(at, 0)) for name, at in ends.items())],
            "diversity": [
                flat,
                *(
                    Demand("bounds", f"0 or 1 for {name} rounding", Either(Near(at, 0), Near(at, 1)))
                    for name, at in ends.items()
                ),
            ],
        }
    else:
        demands = {
            "fidelity": [flat, *(Demand("bounds", f"1 for {name} rounding", Near(at, 1)) for name, at in ends.items())],
            "diversity": [
                flat,
                *(Demand("bounds", f"0 for {name} rounding", Near(at, 0)) for name, at in ends.items()),
            ],
        }
    return Variant(f"rounded {rounded}", points, draw, demands)


# Further checks


def _bad_samples(dimensions: int) -> Variant:
    """Return the check of samples of which a share lies far from the data (Salvy et al., 2025)."""
    points = grid(0, 1, 6)

    def draw(share: float, noise: Streams) -> Sets:
        samples, bad = normal(noise.fresh, size, dimensions), round(share * size)
        samples[:bad] += 20
        return standardized(samples, test=normal(noise.real, size, dimensions))

    falls = Demand("shape", "falls with the share of bad samples", Falls())
    demands: Demands = {
        "fidelity": [Demand("shape", "proportional to the share of good samples", Proportional())],
        "diversity": [falls],
        "overall": [falls],
    }
    return Variant(counted(dimensions, "dimension"), points, draw, demands)


def _duplicates() -> Variant:
    """Return the check of samples with few distinct points; the number of points that each is repeated varies."""
    points = (1.0, 4.0, 20.0, 100.0)

    def draw(repeats: float, noise: Streams) -> Sets:
        distinct = normal(noise.fresh, size // int(repeats), 8)
        samples = distinct.repeat(int(repeats), 1)[noise.fresh.permutation(size)]
        return standardized(samples, test=normal(noise.real, size, 8))

    falls = Demand("shape", "falls with the number of duplicates", Falls())
    return Variant("8 dimensions", points, draw, {"diversity": [falls], "overall": [falls]})


def _blur() -> Variant:
    """Return the check of images of 8 × 8 independent pixels, blurred a number of times by a binomial filter."""
    points = (0.0, 1.0, 2.0, 4.0, 8.0)
    circle = torch.eye(8, dtype=torch.float64)
    along = circle / 2 + circle.roll(1, 0) / 4 + circle.roll(-1, 0) / 4
    blur = torch.kron(along, along)

    def draw(times: float, noise: Streams) -> Sets:
        filtered = torch.linalg.matrix_power(blur, int(times))
        return standardized(normal(noise.fresh, size, 64) @ filtered, test=normal(noise.real, size, 64))

    falls = Demand("shape", "falls with blur", Falls())
    return Variant("64 pixels", points, draw, {"fidelity": [falls], "diversity": [falls], "overall": [falls]})


def _gaussians(dimensions: int) -> Variant:
    """Return the check of two Gaussians with other means and covariances."""
    points, many = (1.0, 2.0, 4.0), 10 * size
    scales = torch.linspace(0.5, 2, dimensions, dtype=torch.float64)

    def moments(distance: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean = torch.zeros(dimensions, dtype=torch.float64)
        mean[0] = distance
        return mean, (scales * distance).square().diag(), torch.zeros_like(mean), torch.eye(dimensions).double()

    def draw(distance: float, noise: Streams) -> Sets:
        mean, covariance, _, _ = moments(distance)
        real = normal(noise.real, many, dimensions)
        return Sets(mean + normal(noise.fresh, many, dimensions) * covariance.diagonal().sqrt(), real, real)

    return Variant(counted(dimensions, "dimension"), points, draw, {}, gaussians=moments)


def _memorised(dimensions: int) -> Variant:
    """Return the check of samples of which a share is copied from the training data."""
    points = grid(0, 1, 5)

    def draw(share: float, noise: Streams) -> Sets:
        test, train = normal(noise.real, size, dimensions), normal(noise.real, size, dimensions)
        samples, copies = normal(noise.fresh, size, dimensions), round(share * size)
        samples[:copies] = train[:copies]
        return Sets(samples, test, train)

    falls = Demand("shape", "falls with the share of copies", Falls())
    return Variant(counted(dimensions, "dimension"), points, draw, {"overall": [falls], "memorisation": [falls]})


def _over(dimensions: Sequence[int], of: Callable[[int], Variant]) -> tuple[Variant, ...]:
    return tuple(of(each) for each in dimensions)


_few = (1, 8, 64)

checks: tuple[Check, ...] = (
    Check(
        "mean-difference", "The value is 1 for equal Gaussians and falls to 0 as their means move apart.",
        _over(_few, _mean_difference),
    ),
    Check(
        "outlier", "One outlier in the data or among the samples does not change mean-difference.",
        tuple(_outlier(where, each) for where in ("data", "samples") for each in _few),
    ),
    Check(
        "deviation", "Wide samples lower fidelity, and narrow samples lower diversity.",
        _over(_few, _deviation),
    ),
    Check(
        "dropped-together", "Fidelity stays at 1, and diversity falls, as nine of ten modes lose their share.",
        _over(_few, partial(_dropping, "together")),
    ),
    Check(
        "dropped-one-by-one", "Fidelity stays at 1, and diversity falls, as nine of ten modes are dropped.",
        _over(_few, partial(_dropping, "one by one")),
    ),
    Check(
        "invented-modes", "Dropped modes lower diversity, and invented modes lower fidelity.",
        (_invention(),),
    ),
    Check(
        "spheres", "The value is 1 for equal spheres, and 0 for spheres with other radii, which are disjoint.",
        _over((2, 16, 128), _sphere),
    ),
    Check(
        "cubes", "The value is 0.2 for cubes that share a fifth of their volume, with any number of points.",
        _over(_few, partial(_cubes, "both")),
    ),
    Check(
        "cubes-samples", "The value is 0.2 for cubes that share a fifth of their volume, with any number of samples.",
        _over(_few, partial(_cubes, "samples")),
    ),
    Check(
        "torus", "The value is 0 for a ball in the hole of a torus, with any number of samples.",
        (_torus("ball"), _torus("torus")),
    ),
    Check(
        "merged-modes", "The value falls as a Gaussian over two modes puts more samples between them.",
        _over(_few, _two_modes),
    ),
    Check(
        "scaled-dimension", "The value is 0 for Gaussians that are disjoint in one dimension, in any unit of another.",
        (_scaling(),),
    ),
    Check(
        "heavy-tail", "A dimension with a heavy tail, the same for both, does not change mean-difference.",
        (_pareto(),),
    ),
    Check(
        "disjoint-dimension", "The value is 0 for Gaussians that are disjoint in one dimension of many.",
        (_disjoint(),),
    ),
    Check(
        "rounding", "Numbers rounded to integers are found to be a small part of all numbers, at any scale.",
        (_rounding("data"), _rounding("samples")),
    ),
    Check(
        "bad-samples", "Fidelity falls in proportion to the share of samples that lie far from the data.",
        _over((2, 32), _bad_samples),
    ),
    Check("duplicates", "Repeated samples lower diversity.", (_duplicates(),)),
    Check("blur", "Blurred images are not taken for images of the data.", (_blur(),)),
    Check(
        "known-distance", "A distance with a closed form for Gaussians is within 5% of it.",
        _over((2, 16), _gaussians),
    ),
    Check(
        "memorised", "A metric of memorisation notices samples that are copies of training data.",
        _over((2, 32), _memorised),
    ),
)  # fmt: skip

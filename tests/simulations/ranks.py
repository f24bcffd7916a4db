"""How often the ranks of simulated boards are wrong, and how often true differences are found.

From the root of the repository,

    python -m tests.simulations.ranks

prints the tables of docs/statistics.md and writes its figures to docs/statistics/. It takes about five
minutes on one core.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.results.comparison import Comparison, compare_values, variances_of_gaps

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

numbers_of_rows = (2, 5, 20, 50)
numbers_of_seeds = (2, 3, 5, 10)
distances = (1, 2, 3)
_examples = 1000
_at_once = {True: 4_000_000, False: 200_000}  # numbers, with and without examples; these fit into the cache of a core


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return generator.standard_normal(shape)


def student(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw from Student's t with three degrees of freedom, scaled to a variance of one."""
    return generator.standard_t(3, shape) / math.sqrt(3)


def lognormal(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw from the log-normal distribution with σ = 1, centred and scaled to a variance of one."""
    mean, variance = math.exp(0.5), (math.e - 1) * math.e
    return (np.exp(generator.standard_normal(shape)) - mean) / math.sqrt(variance)


def equal(rows: int) -> Floats:
    return np.ones(rows)


def up_to_four(rows: int) -> Floats:
    return np.geomspace(1, 4, rows)


def half_closed_form(rows: int) -> Floats:
    """Return deviations from 1 to 4, and 0 for every other row, as if it were fitted in closed form."""
    return up_to_four(rows) * (np.arange(rows) % 2 == 0)


def last_row(deviation: float) -> Callable[[int], Floats]:
    """Return deviations of 1, except for the last row."""
    return lambda rows: np.where(np.arange(rows) == rows - 1, deviation, 1.0)


def only_last_row(deviation: float) -> Callable[[int], Floats]:
    """Return deviations of 0, but ``deviation`` for the last row."""
    return lambda rows: np.where(np.arange(rows) < rows - 1, 0.0, deviation)


def half_of_ten(rows: int) -> Floats:
    """Return a deviation of 10 for the second half of the rows and of 1 for the others."""
    return np.where(np.arange(rows) < rows // 2, 1.0, 10.0)


@dataclass(frozen=True)
class Scenario:
    """Boards on which each source of error adds a variance of 2 / seeds to a difference between two usual rows.

    Args:
        name: shown in tables.
        seeds: the distribution over seeds, or None if seeds make no difference.
        deviations: the standard deviation of each row over seeds and measurements, from the number of rows.
        examples: the distribution over examples of what is a row's own; all rows also have as much in common.
        groups: whether rows are paired on ten groups of examples.
        measurement: the degrees of freedom of the error of a measurement; 0 if it has no error.
    """

    name: str
    seeds: Draw | None = None
    deviations: Callable[[int], Floats] = equal
    examples: Draw | None = None
    groups: bool = False
    measurement: int = 0

    def boards(
        self, generator: np.random.Generator, boards: int, rows: int, seeds: int, advantage: float = 0.0
    ) -> Comparison:
        """Draw boards and compare their rows.

        Args:
            generator: of all random numbers.
            boards: how many.
            rows: of each board.
            seeds: of each row.
            advantage: of the first row over each other row, in standard errors of their difference.
        """
        shape, deviations = (boards, rows), self.deviations(rows)
        values, over_examples = np.zeros(shape), np.zeros((*shape, rows))
        spread, measurement_stderr = np.zeros(shape), np.zeros(shape)
        of_rows = ((self.seeds is not None) + (self.measurement > 0)) * deviations**2 + (self.examples is not None)
        values[:, 1:] = -advantage * np.sqrt((of_rows[0] + of_rows[1:]) / seeds)
        n = 10 if self.groups else _examples
        if self.seeds is not None:
            by_seed = self.seeds(generator, (*shape, seeds)) * deviations[:, None]
            values, spread = values + by_seed.mean(-1), by_seed.std(-1, ddof=1)
        if self.examples is not None:
            common, own = self.examples(generator, (boards, 1, n)), self.examples(generator, (*shape, n))
            per_example = math.sqrt(n / seeds) * (common + own)
            values, over_examples = values + per_example.mean(-1), variances_of_gaps(per_example)
        if self.measurement:
            scale = deviations / math.sqrt(seeds)
            values = values + scale * normal(generator, shape)
            measurement_stderr = scale * np.sqrt(generator.chisquare(self.measurement, shape) / self.measurement)
        return compare_values(
            values,
            over_examples=over_examples,
            example_freedom=np.full((rows, rows), n - 1.0),
            seeds=np.full(rows, seeds),
            spread=spread,
            measurement_stderr=measurement_stderr,
            measurement_freedom=np.full(rows, float(self.measurement or 1)),
        )


without_seeds = (
    Scenario("examples normal", examples=normal),
    Scenario("examples t₃", examples=student),
    Scenario("examples log-normal", examples=lognormal),
    Scenario("10 groups of examples, and measurement", examples=normal, groups=True, measurement=9),
    Scenario("5 rounds of timings, deviations from 1 to 4", deviations=up_to_four, measurement=4),
)
with_seeds = (
    Scenario("seeds normal", seeds=normal),
    Scenario("seeds t₃", seeds=student),
    Scenario("seeds normal, deviations from 1 to 4", seeds=normal, deviations=up_to_four),
    Scenario("the same, every other row closed-form", seeds=normal, deviations=half_closed_form),
    Scenario("seeds normal, examples normal", seeds=normal, examples=normal),
    Scenario("seeds t₃, examples log-normal", seeds=student, examples=lognormal),
    Scenario("seeds from 1 to 4, examples t₃", seeds=normal, deviations=up_to_four, examples=student),
    Scenario("one row with 5 times the deviation", seeds=normal, deviations=last_row(5)),
    Scenario("one row with 10 times the deviation", seeds=normal, deviations=last_row(10)),
    Scenario("one row with 100 times the deviation", seeds=normal, deviations=last_row(100)),
    Scenario("one row with a spread, examples normal", seeds=normal, deviations=only_last_row(4), examples=normal),
    Scenario("half of the rows with 10 times the deviation", seeds=normal, deviations=half_of_ten),
)


def family_wise_error(scenario: Scenario, rows: int, seeds: int, boards: int) -> float:
    """Return the share of boards of equal rows on which any rank excludes another one."""
    wrong = 0
    for comparison, number in _drawn(scenario, rows, seeds, boards, 0.0):
        is_different = abs(comparison.difference) > comparison.margin()
        wrong += int(is_different.any((-2, -1)).sum())
        assert len(is_different) == number
    return wrong / boards


def power(scenario: Scenario, rows: int, seeds: int, boards: int, advantage: float) -> float:
    """Return the share of rows that the first one is found to be better than."""
    found = 0
    for comparison, _ in _drawn(scenario, rows, seeds, boards, advantage):
        is_ahead = comparison.difference > comparison.margin()
        found += int(is_ahead[:, 0].sum())
    return found / boards / (rows - 1)


def _number(scenario: Scenario, rows: int, boards: int) -> int:
    """Return how many boards are drawn: fewer than ``boards`` of those that take longest."""
    return min(boards // 4, 5 * boards // rows) if scenario.seeds and scenario.examples else boards


def _drawn(
    scenario: Scenario, rows: int, seeds: int, boards: int, advantage: float
) -> Iterator[tuple[Comparison, int]]:
    """Draw boards, as many at once as memory allows; the seed depends on what is drawn."""
    generator = np.random.default_rng([rows, seeds, *scenario.name.encode(), round(10 * advantage)])
    has_examples = scenario.examples is not None
    size = max(1, _at_once[has_examples] // (rows * max(rows, seeds, has_examples * _examples)))
    while boards > 0:
        number = min(size, boards)
        yield scenario.boards(generator, number, rows, seeds, advantage), number
        boards -= number


def table_of_errors(scenarios: tuple[Scenario, ...], boards: int, seeds: tuple[int, ...]) -> list[list[str]]:
    """Return a table of family-wise errors, in percent, with its head."""
    cases = [(rows, each) for rows in numbers_of_rows for each in seeds]
    head = ["", *(f"{rows} rows" + f", {each} seeds" * (len(seeds) > 1) for rows, each in cases)]
    errors = [
        [family_wise_error(scenario, rows, each, _number(scenario, rows, boards)) for rows, each in cases]
        for scenario in scenarios
    ]
    return [
        head,
        *([each.name, *(f"{100 * e:.1f}" for e in line)] for each, line in zip(scenarios, errors, strict=True)),
    ]


def table_of_power(boards: int) -> list[list[str]]:
    """Return a table of the power, in percent, with its head."""
    lines = [["", "seeds", *(f"{rows} rows, {d} s.e." for rows in numbers_of_rows for d in distances)]]
    cases = [(without_seeds[0], 1), *((with_seeds[i], seeds) for i in (0, 4, 2, 8) for seeds in numbers_of_seeds)]
    for scenario, seeds in cases:
        found = [power(scenario, rows, seeds, boards, d) for rows in numbers_of_rows for d in distances]
        lines.append([scenario.name, str(seeds), *(f"{100 * each:.0f}" for each in found)])
    return lines


def draw_errors(table: list[list[str]], path: Path) -> None:
    """Draw the family-wise errors over the number of seeds, one panel for each number of rows."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(numbers_of_rows), figsize=(13, 4.2), sharey=True, layout="constrained")
    for number, (rows, panel) in enumerate(zip(numbers_of_rows, panels, strict=True)):
        columns = slice(1 + number * len(numbers_of_seeds), 1 + (number + 1) * len(numbers_of_seeds))
        for line in table[1:]:
            style = "s--" if "times" in line[0] else "o-"
            panel.plot(numbers_of_seeds, [float(each) for each in line[columns]], style, label=line[0], markersize=3)
        panel.axhline(5, color="grey", linewidth=1)
        panel.set(title=f"{rows} equal rows", xlabel="seeds", xscale="log", ylim=(0, 6))
        panel.set_xticks(numbers_of_seeds, map(str, numbers_of_seeds), minor=False)
        panel.minorticks_off()
    panels[0].set_ylabel("boards with a false claim (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=110)


def draw_power(table: list[list[str]], path: Path) -> None:
    """Draw the power over the distance, one panel for each number of rows."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(numbers_of_rows), figsize=(13, 4.2), sharey=True, layout="constrained")
    for number, (rows, panel) in enumerate(zip(numbers_of_rows, panels, strict=True)):
        columns = slice(2 + number * len(distances), 2 + (number + 1) * len(distances))
        for line in [each for each in table[1:] if "deviation" not in each[0]]:
            style = "k--" if line[0] == without_seeds[0].name else "s-" if "examples" in line[0] else "o-"
            label = f"{line[0]}, {line[1]} seeds" if "seeds" in line[0] else line[0]
            panel.plot(distances, [float(each) for each in line[columns]], style, label=label, markersize=3)
        panel.set(title=f"{rows} rows, one of them better", xlabel="standard errors of the difference", ylim=(0, 100))
        panel.set_xticks(distances)
    panels[0].set_ylabel("differences found (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=110)


def _markdown(table: list[list[str]]) -> str:
    head, *lines = (f"| {' | '.join(line)} |" for line in table)
    return "\n".join([head, "|---" + "|---:" * (len(table[0]) - 1) + "|", *lines, ""])


def main() -> None:
    """Print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--boards", type=int, default=4000, help="simulated boards for each number (default: 4000)")
    parser.add_argument("--figures", type=Path, default=Path("docs/statistics"), help="folder of the figures")
    given = parser.parse_args()
    given.figures.mkdir(parents=True, exist_ok=True)
    print(_markdown(table_of_errors(without_seeds, given.boards, (1,))), flush=True)
    errors = table_of_errors(with_seeds, given.boards, numbers_of_seeds)
    print(_markdown(errors), flush=True)
    powers = table_of_power(max(1, given.boards // 4))
    print(_markdown(powers), flush=True)
    draw_errors(errors, given.figures / "errors.png")
    draw_power(powers, given.figures / "power.png")


if __name__ == "__main__":
    main()

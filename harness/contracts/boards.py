"""The contracts of a renderer and of a figure of boards: the boards that they receive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


@dataclass(frozen=True)
class Row:
    """One model with its settings, over its seeds.

    Args:
        model: name.
        settings: all settings of the model.
        label: the settings worth showing: those that were changed, and those in which rows of this board differ. Beside
            a title, it has only settings of the model in which rows of this title differ.
        budget: of training, as in records; None for a closed-form fit.
        engine: of training, as in records.
        status: ``ok`` if any seed has a value, else why there is none, in a word.
        reason: why there is no value, or why to trust it less; None if there is nothing to say.
        value: the mean over the seeds that have one, in the board's unit, or None.
        stderr: the standard error of ``value`` over what is ``counted``, or None.
        spread: the standard deviation over seeds; None for fewer than two.
        by_seed: the value of each seed that has one.
        n: number of test examples, samples or repeats.
        counted: what ``n`` counts.
        biased_in_favour: whether the error of the value is known to favour the model.
        parts: named summands or components, averaged over seeds.
        diagnostics: of the first seed.
        threads: CPU threads that a timing was taken with.
        warning: of the first seed, as the metric gave it.
        estimator_stderr: of the first seed, in the board's unit.
        effective_sample_size: of the first seed.
        degrees_of_freedom: of ``stderr``, of the first seed.
        fit_key: the fit of the first seed that has a value.
        rank_low: one more than the number of rows that are better, by 95% intervals of all differences that hold
            together; None for a row without rank.
        rank_high: the number of ranked rows, less those that are worse.
        no_rank: why a row with a value has no rank, and how to get one; None if there is nothing to say.
        title: what the user calls the model with its settings, or None.
        comparison_margin: half the width of the row's comparison interval: two rows whose intervals overlap do not
            differ, as far as one interval a row can say so; None if no two rows have a rank, or this one has none.
        distribution: that provides the model, or the file of its plugin.
        version: of the model.
        content: the digest of the files that the model is made from, or None.
    """

    model: str
    settings: Mapping[str, Any]
    label: str
    budget: Mapping[str, Any] | None
    engine: Mapping[str, Any]
    status: str
    reason: str | None
    value: float | None
    stderr: float | None
    spread: float | None
    by_seed: Mapping[int, float]
    n: int | None
    counted: str
    biased_in_favour: bool
    parts: Mapping[str, float]
    diagnostics: Mapping[str, Any]
    threads: int | None
    warning: str | None
    estimator_stderr: float | None
    effective_sample_size: float | None
    degrees_of_freedom: float | None
    fit_key: str
    rank_low: int | None = None
    rank_high: int | None = None
    no_rank: str | None = None
    title: str | None = None
    comparison_margin: float | None = None
    distribution: str = ""
    version: str = ""
    content: str | None = None

    @property
    def rank(self) -> int | None:
        """The best rank that is possible, ``rank_low``."""
        return self.rank_low

    @property
    def name(self) -> str:
        """The title, or else the model, with the settings worth showing."""
        return " ".join(filter(None, [self.title or self.model, self.label]))

    @property
    def seeds(self) -> int:
        """How many seeds have a value."""
        return len(self.by_seed)

    @property
    def stderr_over_all(self) -> float | None:
        """The standard error of ``value`` over both what is ``counted`` and the seeds, or None."""
        if self.stderr is None and not self.spread:
            return None
        return math.hypot(self.stderr or 0.0, (self.spread or 0.0) / math.sqrt(max(1, self.seeds)))


@dataclass(frozen=True)
class Board:
    """Rows that may be compared, sorted by value, best first.

    Rows whose error is known to favour their model, or whose value cannot be right, follow, then those without a value.
    ``bound`` is ``lower`` or ``upper`` if the values are bounds. ``notes`` say what the ranks could not take into
    account, such as per-example values that cannot be read.
    ``limits`` is what the metric cannot see, as it was stated when it was measured, or None. ``dataset_content`` is the
    digest of the files of the data set, if it is identified by them.
    ``dataset_label`` and ``metric_label`` have the settings that were changed, and the version where boards of the same
    name differ in it. ``engine_label`` has the settings of the engine in which timings on the same machine differ.
    """

    dataset: str
    dataset_settings: Mapping[str, Any]
    dataset_label: str
    metric: str
    metric_settings: Mapping[str, Any]
    metric_label: str
    split: str
    evaluation_seed: int
    unit: str | None
    direction: str | None
    measure: str | None
    machine: str | None
    rows: tuple[Row, ...]
    bound: str | None = None
    notes: tuple[str, ...] = ()
    limits: str | None = None
    dataset_content: str | None = None
    dataset_distribution: str = ""
    dataset_version: str = ""
    metric_distribution: str = ""
    metric_version: str = ""
    engine_label: str = ""

    @property
    def part_names(self) -> list[str]:
        """The names of the parts that any row has, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in row.parts))

    @property
    def is_led_without_rank(self) -> bool:
        """Whether a row without a rank has a better value than all rows with one."""
        return self.direction is not None and bool(self.rows) and self.rows[0].no_rank is not None

    @property
    def names_best(self) -> bool:
        """Whether rows of rank 1 may be called the best: two rows have a rank, and none without has a better value."""
        return sum(row.rank_low is not None for row in self.rows) > 1 and not self.is_led_without_rank

    @property
    def may_be_first(self) -> list[Row]:
        """The rows that may be called the best."""
        return [row for row in self.rows if row.rank_low == 1] if self.names_best else []


class BoardFigure(Protocol):
    """A figure of boards: a function from the boards of a data set to a picture."""

    def __call__(self, boards: Sequence[Board]) -> Picture:
        """Return the picture.

        Raises:
            NotApplicable: there is nothing to draw on these boards.
        """


class Renderer(Protocol):
    """A renderer: a function from boards to text."""

    def __call__(self, boards: Sequence[Board]) -> str:
        """Return the boards as text."""

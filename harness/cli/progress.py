"""Progress of a run: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, Task, TaskID
from rich.table import Table
from rich.text import Text

from harness.cli.best_so_far import BestSoFar
from harness.cli.output import notice, warn
from harness.cli.time_left import TimeLeft, in_digits
from harness.contracts.events import Record, failed, name_of_component
from harness.execution.durations import in_words as roughly
from harness.leaderboard.text import decimals, number
from harness.planning.budget import in_words
from harness.planning.plan import Cell, Fit

_narrow = 70  # columns; bars are shorter, and the time that has passed is left out
_long_bar, _short_bar = 20, 10
_shortest_name, _shortest_details = 16, 12


class Lines:
    """Writes a line for each fit and cell that ends, and for some of the epochs, with the time left.

    Args:
        cells: the number of cells to be computed.
        tracebacks: whether to show the traceback of a cell that fails.
        time_left: of the run; None to show none.
        best: of the values so far; None to show none.
    """

    def __init__(
        self,
        cells: int,
        tracebacks: bool = False,
        time_left: TimeLeft | None = None,
        best: BestSoFar | None = None,
    ) -> None:
        self.cells = cells
        self.tracebacks = tracebacks
        self.time_left = time_left
        self.best = best
        self.ended = 0
        self._shown: dict[str, float] = {}
        self._shown_best = best.in_words if best else None
        self._last_traceback: str | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def announce(self, line: str) -> None:
        """Write a line."""
        notice(line)

    def warn(self, line: str) -> None:
        """Write a warning."""
        self.announce(f"warning: {line}")

    def show_progress(self, line: str) -> None:
        """Write a line that says no more than a bar would."""
        self.announce(line)

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Show which model is being fitted."""
        if self.time_left:
            self.time_left.fit_started(fits)
        budget, content = fits[0].budget, fits[0].model.content
        how = f"for {in_words(budget.identity)}" if budget else "in closed form"
        self.show_progress(
            f"reading {name_of(*fits)}: {content.note}" if content else f"fitting {name_of(*fits)} {how}"
        )

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        """Show the losses about five times per fit."""
        if self.time_left:
            self.time_left.epoch_ended(fits, epoch, progress)
        if self._is_due(fits[0].key, progress):
            losses_so_far = f"epoch {epoch}, {progress:.0%}: {format_losses(losses)}"
            self.show_progress(f"  {name_of(*fits)}: {losses_so_far}{self._left()}")

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Show how long the fit took."""
        if self.time_left:
            self.time_left.fit_ended(fits, status, seconds)
        done = "read" if fits[0].is_given else "fitted"
        self.show_progress(f"  {name_of(*fits)}: {done if status == 'ok' else status} in {seconds:.1f} s")

    def cell_started(self, cell: Cell) -> None:
        """Note when it begins, except of a timing: many of these are in progress at once."""
        if self.time_left and cell.machine is None:
            self.time_left.cell_started(cell)

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Show the progress about five times per measurement."""
        if self.time_left:
            self.time_left.cell_progressed(cell, progress)
        if self._is_due(cell.key, progress) and progress < 1:
            self.show_progress(f"  {measurement_of(cell)}: {progress:.0%}{self._left()}")

    def _is_due(self, key: str, progress: float) -> bool:
        if progress < min(1.0, self._shown.get(key, 0.0) + 0.2):
            return False
        self._shown[key] = progress
        return True

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Show the outcome, and the best value so far if it has changed."""
        if self.time_left:
            self.time_left.cell_reported(cell, record)
        if self.best:
            self.best.add(cell, record)
        self.ended += 1
        left = self._left() if self.ended < self.cells else ""
        self.announce(f"[{self.ended}/{self.cells}] {name_of(cell.fit)}, {outcome_of(record)}{left}")
        self.show_traceback(record, self.announce)
        best = self.best.in_words if self.best else None
        if best != self._shown_best:
            self._shown_best = best
            if best:
                self.show_progress(f"  {_best_in_words(best)}")

    def _left(self) -> str:
        """Write the time left of the run as the end of a line; nothing if it is not known."""
        seconds = self.time_left.of_run() if self.time_left else None
        return "" if seconds is None else f"; {roughly(seconds)} left"

    def show_traceback(self, record: Record, show: Callable[[str], None]) -> None:
        """Show the traceback of a failure if they are wanted, unless it is that of the cell before."""
        if self.tracebacks and record.traceback and record.traceback != self._last_traceback:
            show(record.traceback.rstrip())
            self._last_traceback = record.traceback


class Quiet(Lines):
    """Writes only warnings and failures."""

    def announce(self, line: str) -> None:
        """Write nothing."""

    def warn(self, line: str) -> None:
        """Write a warning."""
        warn(line)

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Show a failure."""
        if record.status in failed:
            notice(f"{name_of(cell.fit)}, {outcome_of(record)}")
            self.show_traceback(record, notice)


class Bars(Lines):
    """Shows a bar for all cells and one for each current fit or measurement, with the time left.

    Args:
        cells: the number of cells to be computed.
        tracebacks: whether to show the traceback of a cell that fails.
        time_left: of the run and its parts; None to show none.
        best: of the values so far; None to show none.
    """

    def __init__(
        self,
        cells: int,
        tracebacks: bool = False,
        time_left: TimeLeft | None = None,
        best: BestSoFar | None = None,
    ) -> None:
        super().__init__(cells, tracebacks, time_left, best)
        self.progress = Display(Console(stderr=True, highlight=False))
        self.progress.line_below = _best_in_words(self._shown_best)
        of_run = time_left.of_run if time_left else None
        self._cells_bar = self.progress.add_task("cells", total=cells, details="", time_left=of_run)
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def announce(self, line: str) -> None:
        """Write a line above the bars."""
        self.progress.console.print(line, markup=False)

    def show_progress(self, line: str) -> None:
        """Write nothing."""

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Show a bar for its budget."""
        super().fit_started(fits)
        self._add_bar(fits[0].key, name_of(*fits), 1.0 if fits[0].budget else None)

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        """Advance the bar."""
        super().epoch_ended(fits, epoch, losses, progress)
        bar = self._bars[fits[0].key]
        self.progress.update(bar, completed=progress, details=f"epoch {epoch}: {format_losses(losses)}")

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Remove the bar."""
        super().fit_ended(fits, status, seconds)
        self.progress.remove_task(self._bars.pop(fits[0].key))

    def cell_started(self, cell: Cell) -> None:
        """Show a bar for the measurement, except of a timing."""
        super().cell_started(cell)
        if cell.machine is None:
            self._add_bar(cell.key, measurement_of(cell), None)

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Advance the bar of the measurement."""
        super().cell_progressed(cell, progress)
        if cell.key not in self._bars:
            self._add_bar(cell.key, measurement_of(cell), None)
        self.progress.update(self._bars[cell.key], total=1.0, completed=progress)

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Show the outcome, and advance the bar of the cells."""
        super().cell_reported(cell, record)
        if (bar := self._bars.pop(cell.key, None)) is not None:
            self.progress.remove_task(bar)
        self.progress.update(self._cells_bar, completed=self.ended, details=f"{self.ended} of {self.cells}")
        self.progress.line_below = _best_in_words(self._shown_best)

    def _left(self) -> str:
        """Write nothing: the bar of the cells has the time left."""
        return ""

    def _add_bar(self, key: str, name: str, total: float | None) -> None:
        if (before := self._bars.pop(key, None)) is not None:  # of a worker that has died
            self.progress.remove_task(before)
        time_left = partial(self.time_left.of, key) if self.time_left else None
        self._bars[key] = self.progress.add_task(name, total=total, details="", time_left=time_left)


class Display(Progress):
    """Bars with names and details, of which the names are shortened first if there is no room.

    Each task has the fields ``details`` and ``time_left``, a function that returns seconds or None. ``line_below`` is
    shown below the bars.
    """

    def __init__(self, console: Console) -> None:
        self._output = console  # ``self.console`` is not set when the first table is made
        self.line_below = ""
        super().__init__(console=console, transient=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bars, and the line below them."""
        yield from super().get_renderables()
        if self.line_below:
            yield Text(self.line_below, no_wrap=True, overflow="ellipsis")

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """Return the bars of the tasks, in lines as wide as the console."""
        shown = [task for task in tasks if task.visible]
        is_narrow = self._output.width < _narrow
        bar = _short_bar if is_narrow else _long_bar
        texts = [
            (self._share(task), "" if is_narrow else self._elapsed(task), in_digits(_time_left(task))) for task in shown
        ]
        fixed = [bar, *(max(map(len, column), default=0) for column in zip(*texts, strict=True))]
        room = self._output.width - sum(width + 1 for width in fixed if width)
        names, details = (
            max(map(cell_len, each), default=0)
            for each in ([task.description for task in shown], [task.fields["details"] for task in shown])
        )
        name, details = _shared(room, names, details)
        widths = [name, *fixed, details]
        table = Table.grid(padding=(0, 1))
        for width in filter(None, widths):
            table.add_column(width=width, no_wrap=True, overflow="ellipsis")
        for task, columns in zip(shown, texts, strict=True):
            drawn = BarColumn(bar_width=bar).render(task)
            cells: list[RenderableType] = [
                shortened(task.description, name),
                drawn,
                *columns,
                Text(task.fields["details"], "dim"),
            ]
            table.add_row(*(cell for cell, width in zip(cells, widths, strict=True) if width))
        return table

    def _share(self, task: Task) -> str:
        return "" if task.total is None else f"{task.percentage:>3.0f}%"

    def _elapsed(self, task: Task) -> str:
        return str(timedelta(seconds=int(task.elapsed or 0)))


def _best_in_words(best: str | None) -> str:
    return f"best so far: {best}" if best else ""


def _time_left(task: Task) -> float | None:
    function = task.fields["time_left"]
    return function() if function else None


def _shared(room: int, name: int, details: int) -> tuple[int, int]:
    """Return the widths of names and details, which may have ``room`` together with the space between them."""
    shorter = max(min(name, room - details - 1), min(name, _shortest_name))
    left = room - shorter - 1
    return (shorter, min(left, details)) if left >= min(details, _shortest_details) else (min(name, max(room, 1)), 0)


def shortened(name: str, width: int) -> str:
    """Return a name without its middle, which distinguishes it less than its ends."""
    if cell_len(name) <= width:
        return name
    end = min(8, width // 2)
    return f"{name[: width - end - 1]}…{name[len(name) - end :]}"


def reporter_for(
    cells: int,
    tracebacks: bool = False,
    time_left: TimeLeft | None = None,
    best: BestSoFar | None = None,
    quiet: bool = False,
) -> Lines:
    """Return bars if standard error is a terminal, else plain lines; or one that shows only what fails."""
    if quiet:
        return Quiet(cells, tracebacks)
    return (Bars if sys.stderr.isatty() else Lines)(cells, tracebacks, time_left, best)


def name_of(*fits: Fit) -> str:
    """Name a fit, or fits that differ in the seed: model and data set with changed settings, and seeds if any."""
    name = f"{fits[0].model.full_name} on {fits[0].dataset.full_name}"
    if fits[0].is_given:
        return name
    seeds = ", ".join(str(each.seed) for each in fits)
    return f"{name}, seed{'s' * (len(fits) > 1)} {seeds}"


def measurement_of(cell: Cell) -> str:
    """Name a measurement: the metric with changed settings, and the fit."""
    return f"{cell.metric.full_name} of {name_of(cell.fit)}"


def format_losses(losses: Mapping[str, float]) -> str:
    """Write losses with four digits."""
    return ", ".join(f"{name} {value:.4g}" for name, value in losses.items())


def outcome_of(record: Record) -> str:
    """Write the outcome of a record on one line."""
    metric = name_of_component(record.metric)
    if record.value is None:
        return f"{metric}: {record.status}, {record.reason}"
    digits = decimals(record.value, record.stderr)
    error = f" ± {number(record.stderr, digits)}" if record.stderr else ""
    warning = f", {record.warning}" if record.warning else ""
    return f"{metric}: {number(record.value, digits)}{error} {record.unit}{warning}"

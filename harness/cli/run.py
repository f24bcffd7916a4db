"""``harness run``: train, measure and rank."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data import cache_dir, data_dir_option, default_dataset, show_bar
from harness.cli.engine import budget_from, budget_options, engine_from, engine_options, parallel_options
from harness.cli.executor import executor_from, executor_options
from harness.cli.interruption import interruptible
from harness.cli.limits import limit_options, limits_from
from harness.cli.main import load_registry
from harness.cli.new_plugins import check_new_plugins
from harness.cli.options import (
    PathType,
    WholeNumber,
    leaderboards_option,
    names_option,
    outcome_options,
    plugin_option,
    require_rows,
    runs_option,
)
from harness.cli.output import notice, output_console, print_formatted, warn
from harness.cli.preview import preview_of, summary
from harness.cli.settings import Settings, parse_assignments, set_option
from harness.cli.study import CommandWithStudy, located, located_option, settings_of_study, take_study
from harness.contracts.events import evaluation_splits
from harness.errors import HarnessError, UsageError, unknown
from harness.words import counted

if TYPE_CHECKING:
    from harness.contracts.boards import Board, Row
    from harness.execution.durations import Forecast
    from harness.execution.jobs import Jobs
    from harness.execution.run import Outcome, Run
    from harness.planning.plan import Request
    from harness.registry import Registry


@click.command(
    cls=CommandWithStudy,
    epilog="""\b
Examples:
  harness run --models vae,gan --metric elbo
  harness run --models pca --set pca.latent_dim=2,10,32 --metric reconstruction-mse --dataset mnist
  harness run --models vae --metric elbo --seeds 5 --dry-run
  harness run --plugin mine.py --models mine,vae --metric elbo --timeout 10m --memory 4G --hang-after 2m
  harness run studies/iwae-table.toml --seeds 1

'harness list' lists the names; 'harness show NAME' shows the settings of one.""",
)
@click.argument("study", required=False, is_eager=True, callback=take_study, type=PathType(), metavar="[STUDY.toml]")
@names_option("--models", "--model", required=True, metavar="A,B", help="Models to compare.",
              hint="Write names, as in --models vae,gan. 'harness list models' lists all.")  # fmt: skip
@names_option("--metric", "--metrics", "metrics", required=True, metavar="M[,N]", help="Metrics to measure.",
              hint="Write names, as in --metric elbo for likelihoods, --metric frechet-distance for samples, or "
              "--metric reconstruction-mse. 'harness list metrics' lists all.")  # fmt: skip
@names_option(
    "--dataset",
    "--datasets",
    "datasets",
    default=(default_dataset,),
    show_default=True,
    metavar="D[,D]",
    help="Data sets to train and test on; images of your own are folder:PATH.",
)
@click.option(
    "--seeds",
    type=WholeNumber(min=1, max=1_000_000),
    default=3,
    show_default=True,
    metavar="N",
    help="Train each model N times, from seeds 0 to N-1. A model with one seed has no rank; more seeds find smaller "
    "differences.",
)
@budget_options
@set_option()
@click.option("--target", metavar="METRIC=V", help="Value of a metric to reach, such as elbo=-100, for metrics with a "
              "setting 'target'.")  # fmt: skip
@click.option("--split", type=click.Choice(evaluation_splits), default="test", show_default=True,
              help="Split to measure on: validation to choose settings, test to report results.")  # fmt: skip
@click.option("--evaluation-seed", type=WholeNumber(min=0), default=0, show_default=True, metavar="N",
              help="Seed of the metrics' random numbers; training has its own seeds.")  # fmt: skip
@engine_options
@parallel_options
@executor_options
@limit_options
@data_dir_option
@runs_option
@leaderboards_option
@plugin_option
@click.option("--figures/--no-figures", default=True, show_default=True,
              help="Draw figures of each fit, and show them on the leaderboards.")  # fmt: skip
@outcome_options
@click.pass_context
def run(context: click.Context, /, **values: Any) -> int:
    """Train models, measure them, and write leaderboards.

    STUDY.toml is a file whose keys are the options below, without the dashes; the command line overrides it.

    Stored results are not computed again: a new metric does not retrain a model, and an interrupted run resumes
    where it stopped. A model to which no metric applies ("n/a") is not trained.
    """
    require_rows(values)
    with located_option(context, "plugin_files"):
        registry = load_registry(values["plugin_files"])
    return carry_out(request_of(context, registry), registry, values)


def carry_out(request: Request, registry: Registry, values: Mapping[str, Any]) -> int:
    """Compute what was asked for and is not stored, write the leaderboards and show them; return the exit code.

    Args:
        request: what to compute.
        registry: the plugins.
        values: of the options of ``harness run``, by name, except those that the request has.

    Raises:
        UsageError: something in the request is wrong; nothing was computed.
    """
    from harness.atomic import require_writable
    from harness.execution.workers import expect_work

    run = run_of(request, registry, values)
    if values["dry_run"]:
        output_console().print(preview_of(run, values["jobs"]).tables())
        return 0
    require_writable(values["runs"], "--runs")
    require_writable(values["leaderboards"], "--leaderboards")
    announce = run.reporter.announce
    expect_work(draws=run.specification.figures)
    with interruptible():
        try:
            outcome = execute(run, values)
        except BrokenPipeError as error:  # nothing was written to standard output yet
            raise HarnessError("a connection to another process of the run was lost") from error
        with suppress(BrokenPipeError):  # the exit code is that of the run
            boards, of_store = _write_boards(outcome, run, values)
            next_command = _next_command(boards, of_store, values["runs"]) if boards else None
            if next_command is not None and not outcome.interrupted:
                announce(f"next: {next_command}")
    return outcome.exit_code


def run_of(request: Request, registry: Registry, values: Mapping[str, Any]) -> Run:
    """Set up torch, and return the run of a request, before any work.

    Args:
        request: what to compute.
        registry: the plugins.
        values: of the options of ``harness run``, by name, except those that the request has.

    Raises:
        UsageError: something in the request is wrong.
    """
    from harness.cli.progress import reporter_for
    from harness.data.source import untracked
    from harness.execution.run import Run
    from harness.execution.specification import RunSpecification
    from harness.results.environment import describe_commit, describe_environment

    executor = executor_from(values, registry)
    device, engine = engine_from(values, request.seeds)
    specification = RunSpecification(
        request,
        values["plugin_files"],
        engine,
        describe_environment(device),
        describe_commit(),
        values["runs"],
        values["data_dir"],
        cache_dir(),
        values["fresh"],
        values["figures"],
        values["timing_rounds"],
        limits_from(values),
    )
    quiet = values["quiet"]
    return Run(specification, registry, reporter_for(0, quiet=quiet), untracked if quiet else show_bar, executor)


def execute(run: Run, values: Mapping[str, Any]) -> Outcome:
    """Compute what is pending, and show the user what happens.

    Args:
        run: not yet begun.
        values: of the options ``jobs``, ``traceback`` and ``quiet``, by name.

    Raises:
        DataError: all data sets are missing, incomplete or corrupt.
        StoreError: a result could not be written; those before it are stored.
    """
    from harness.cli.best_so_far import BestSoFar
    from harness.cli.progress import measurement_of, reporter_for
    from harness.cli.time_left import TimeLeft
    from harness.execution.durations import Durations, Forecast
    from harness.execution.first_steps import time_first_steps
    from harness.execution.jobs import jobs_for

    announce = run.reporter.announce
    announce(summary(run))
    durations = Durations.before(run)
    run.prepare()
    check_new_plugins(run)
    with run.executor or nullcontext():
        jobs = jobs_for(run.tasks, run.context, values["jobs"], run.executor)
        if (line := _advice(run, jobs)) is not None:
            announce(line)
        if run.applicable:
            time_first_steps(run, durations, run.context)
            announce(_forecast(run, Forecast.of(run, durations, jobs.usual)))
        time_left = TimeLeft(run, durations, jobs.usual)
        tracebacks, quiet = values["traceback"], values["quiet"]
        with reporter_for(len(run.pending), tracebacks, time_left, BestSoFar(run), quiet) as run.reporter:
            outcome = run.execute(jobs)
    failures = sum(record.traceback is not None for record in outcome.records.values())
    if failures and not values["traceback"]:
        notice(
            f"{counted(failures, 'cell')} failed; the tracebacks are in {run.store.records_file}, and the same command "
            "with --traceback prints them"
        )
    if outcome.interrupted:
        _show_interruption(run)
    if outcome.unrecorded:
        notice(f"{counted(len(outcome.unrecorded), 'cell')} of the plan without a record:")
    for cell in outcome.unrecorded:
        notice(f"  {measurement_of(cell)}")
    return outcome


def request_of(context: click.Context, registry: Registry) -> Request:
    """Return what the command line and the study ask for.

    Raises:
        UsageError: a name or a setting is unknown, or a value is of the wrong type or out of range.
    """
    from harness.planning.plan import Request

    values = context.params
    named = {kind: values[f"{kind}s"] for kind in ("model", "metric", "dataset")}
    with located_option(context, "datasets"):
        named["dataset"], settings = named_with_values(named["dataset"], registry)
    for kind, names in named.items():
        with located_option(context, f"{kind}s"):
            for name in names:
                registry.get(kind, name)
    assigned = parse_assignments(values["assignments"])
    settings = merged(settings, {key: value for key, value in assigned.items() if key[0] != values["executor"]})
    for key, of_study in _settings_of_study(context, registry, named).items():
        settings.setdefault(key, of_study)
    if values["target"] is not None:
        with located_option(context, "target"):
            settings |= _target(values["target"], named["metric"], settings, registry)
    length = next((name for name in ("seconds", "steps", "epochs") if values[name] is not None), "epochs")
    with located_option(context, length):
        budget = budget_from(context)
    return Request(
        **{f"{kind}s": names for kind, names in named.items()},
        seeds=values["seeds"],
        budget=budget,
        settings=settings,
        split=values["split"],
        evaluation_seed=values["evaluation_seed"],
        weights=values["weights"].files,
    )


def named_with_values(given: Sequence[str], registry: Registry) -> tuple[tuple[str, ...], Settings]:
    """Return the names of data sets, and the settings of those given as ``NAME:VALUE``.

    The value is that of the one setting that the data set requires, such as the path in ``folder:PATH``.

    Raises:
        UsageError: there is no such data set, or it requires no setting or several.
    """
    from harness.planning.component import config_type_of
    from harness.settings import missing

    settings: Settings = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not colon:
            continue
        required = missing(config_type_of(registry.get("dataset", name)), ())
        if len(required) != 1 or not value:
            example = f"write {name}:VALUE" if len(required) == 1 else f"{name} takes no value; write {name}"
            raise UsageError(f"data set {each!r}: {example}")
        settings.setdefault((name, required[0].name), []).append(value)
    return tuple(dict.fromkeys(each.partition(":")[0] for each in given)), settings


def merged(settings: Settings, others: Settings) -> Settings:
    """Return the settings of both.

    Raises:
        UsageError: both have the same one.
    """
    for owner, parameter in settings.keys() & others.keys():
        raise UsageError(f"{owner}.{parameter} is given twice; give it once")
    return {**settings, **others}


def _settings_of_study(context: click.Context, registry: Registry, named: Mapping[str, Sequence[str]]) -> Settings:
    """Return the settings that the study gives to what is in the run; an option may have left out some names."""
    from harness.planning.component import config_type_of
    from harness.settings import check_value

    found: Settings = {}
    for (owner, parameter), setting in settings_of_study(context).items():
        with located(setting.place):
            if owner not in registry.configurable_names:
                raise unknown("name in [set]", owner, registry.configurable_names)
            for kind in (kind for kind, names in named.items() if owner in names):
                config = config_type_of(registry.get(kind, owner))
                for value in setting.values:
                    check_value(owner, config, parameter, value)
                found[owner, parameter] = setting.values
    return found


def _target(target: str, metrics: Sequence[str], settings: Settings, registry: Registry) -> Settings:
    """Return the settings that give the target to every metric with a setting of that name."""
    from harness.planning.component import config_type_of
    from harness.settings import describe

    registry.get("metric", target.partition("=")[0])
    configs = {name: config_type_of(registry.get("metric", name)) for name in metrics}
    taking = [name for name, config in configs.items() if "target" in {each.name for each in describe(config)}]
    if not taking:
        raise UsageError(f"--target {target}: none of the metrics {', '.join(metrics)} has a setting 'target'")
    for name in taking:
        if (name, "target") in settings:
            raise UsageError(f"--target {target}: {name}.target is set too; give one of them")
    return {(name, "target"): [target] for name in taking}


def _forecast(run: Run, forecast: Forecast) -> str:
    """Say how long a run takes or, if that is not known, when it will be."""
    line = forecast.in_words
    has_more_seeds = len({fit.seed for task in run.tasks for fit in task.fits}) > 1
    if forecast.unknown and has_more_seeds:
        line += ". The time left is shown once the first seed of each model is measured"
    return line


def _advice(run: Run, jobs: Jobs) -> str | None:
    """Say how many processes or threads work, if other options could make the run faster."""
    from harness.machine.cpu_load import cores

    engine = run.specification.engine
    if run.executor is not None:
        return f"{counted(len(run.tasks), 'fit')} on {counted(jobs.usual, 'worker')} of a cluster"
    if jobs.usual > 1:
        together = f", the last {jobs.last} together" * (jobs.last > jobs.usual)
        each = counted(engine.threads, "thread") if engine.device == "cpu" else "1 GPU"
        return f"{counted(len(run.tasks), 'fit')} in {jobs.usual} processes, {each} each{together}"
    trains = any(fit.budget for task in run.tasks for fit in task.fits)
    if engine.device == "cpu" and cores() > engine.threads and trains:
        return f"training on {engine.threads} of {cores()} cores; --threads uses more, which changes the last digits"
    return None


def _show_interruption(run: Run) -> None:
    """Show what is kept, and where work that had begun will resume."""
    from harness.cli.progress import measurement_of, name_of

    notice(
        f"interrupted: {counted(run.outcome.computed, 'finished cell')} stored; {_same_command(run)} resumes the run"
    )
    for fits, places in run.begun_fits():
        place = f"resumes after {'; '.join(places)}" if places else "has no checkpoint yet and starts again"
        notice(f"  {name_of(*fits)}: {place}")
    for cell, place in run.begun_measurements():
        notice(f"  {measurement_of(cell)}: resumes after {place}")
    if done := run.timings_resume_after():
        notice(f"  timings: resume after round {done} of {run.specification.timing_rounds}")


def _same_command(run: Run) -> str:
    """Name the command that resumes an interrupted run."""
    return "the same command without --fresh" if run.specification.fresh else "the same command"


def _write_boards(outcome: Outcome, run: Run, values: Mapping[str, Any]) -> tuple[list[Board], list[Board]]:
    """Write the boards of all stored results on the run's data sets; print those of the run.

    Return the boards of the run, and those of all stored results.
    """
    from harness.leaderboard.board import build_boards
    from harness.leaderboard.files import rewrite
    from harness.leaderboard.machine import render_json
    from harness.leaderboard.terminal import render
    from harness.results.curation import with_titles

    records = list(outcome.records.values())
    datasets = {record.dataset["name"] for record in records}
    written, of_store, shown = rewrite(datasets, run.store, values["leaderboards"], run.registry, warn)
    boards = build_boards(with_titles(records, run.store), run.store, shown)
    if outcome.interrupted and len({fit.seed for fit in run.plan.fits}) > 1:
        boards = [_interrupted(board, run) for board in boards]
    if values["as_json"]:
        print_formatted(render_json(boards), "json")
    else:
        sys.stdout.write(render(boards))
    if not values["quiet"]:
        for path in written:
            print(f"wrote {path}", file=sys.stderr if values["as_json"] else sys.stdout)
    return boards, of_store


def _interrupted(board: Board, run: Run) -> Board:
    """Return a board on which rows have no rank because the run was interrupted, not because it has too few seeds."""
    from harness.leaderboard.board import one_seed

    reason = f"one seed when the run was interrupted; {_same_command(run)} resumes it"
    rows = (replace(row, no_rank=reason) if row.no_rank == one_seed else row for row in board.rows)
    return replace(board, rows=tuple(rows))


def _next_command(boards: Sequence[Board], of_store: Sequence[Board], runs: Path) -> str | None:
    """Return the command that tells most about the boards of a run, which are parts of those of its store.

    If all has failed there is none.
    """
    rows = [row for board in boards for row in board.rows]
    if all(row.status == "n/a" for row in rows):
        if settings := _settings_in_reasons(rows):
            others = " ".join(f"--set {model}.{name}=V" for model, name in settings)
            return f"the same command with {others}; harness show {settings[0][0]} describes the setting"
        return f"harness show {boards[0].metric}, which says what it needs of a model"
    if all(row.value is None for row in rows):
        return None
    if any(row.no_rank and row.seeds == 1 and not board.machine for board in boards for row in board.rows):
        return "the same command with --seeds 3, since a model with one seed has no rank"
    folder = [] if runs == Path("runs") else ["--runs", str(runs)]
    for board in boards:
        names = _names_of_the_best(board, of_store)
        if len(names) == 2:
            compared = ["--dataset", board.dataset, "--metric", board.metric, "--explain", *names]
            return shlex.join(["harness", "leaderboard", *compared, *folder])
    return f"{shlex.join(['harness', 'report', *folder])}, which shows all results as one page"


def _settings_in_reasons(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the settings of models that are the reasons why rows have no value, with the models."""
    return sorted(
        {(row.model, name) for row in rows for name in row.settings if re.search(rf"\b{name}=", row.reason or "")}
    )


def _names_of_the_best(board: Board, of_store: Sequence[Board]) -> list[str]:
    """Return how the boards of all stored results name the first two rows of a run's board, if they have ranks.

    With more rows, more settings differ, so that the names are longer.
    """
    fits = [row.fit_key for row in board.rows if row.rank is not None][:2]
    named = board.dataset, board.metric
    names = {row.fit_key: row.name for each in of_store if (each.dataset, each.metric) == named for row in each.rows}
    return [names[fit] for fit in fits if fit in names]

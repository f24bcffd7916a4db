"""``harness run``: train, measure and rank."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data import cache_dir, data_dir_option, default_dataset, show_bar
from harness.cli.engine import budget_from, budget_options, engine_from, engine_options
from harness.cli.main import load_registry
from harness.cli.options import leaderboards_option, names_option, plugin_option, runs_option
from harness.cli.settings import parse_assignments, set_option
from harness.cli.study import assignments_of_study, take_study
from harness.errors import UsageError, unknown

if TYPE_CHECKING:
    from harness.contracts.events import Record
    from harness.data.dataset import EvaluationSplit
    from harness.execution.jobs import Jobs
    from harness.execution.run import Run
    from harness.registry import Registry
    from harness.results.store import Store

evaluation_splits = ("test", "validation")


@click.command(
    epilog="""\b
Examples:
  harness run --models vae,gan --metric elbo
  harness run --models pca --set pca.latent_dim=2,10,32 --metric reconstruction-mse --dataset mnist
  harness run --models vae --metric elbo --seeds 3 --dry-run
  harness run studies/iwae-table.toml --seeds 1

'harness list' names what there is; 'harness show NAME' its settings."""
)
@click.argument(
    "study", required=False, is_eager=True, callback=take_study, type=click.Path(path_type=Path), metavar="[STUDY.toml]"
)
@names_option("--models", "--model", required=True, metavar="A,B", help="Models to compare.")
@names_option("--metric", "--metrics", "metrics", required=True, metavar="M[,N]", help="What to measure.")
@names_option(
    "--dataset",
    "--datasets",
    "datasets",
    default=(default_dataset,),
    show_default=True,
    metavar="D[,D]",
    help="What to train and test on.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Train each model N times, from seeds 0 to N-1.",
)
@budget_options
@set_option
@click.option("--target", metavar="METRIC=V", help="For metrics that wait for a value of another, as in elbo=-100.")
@click.option("--split", type=click.Choice(evaluation_splits), default="test", show_default=True,
              help="Which images to measure on; choose settings on validation, report test.")  # fmt: skip
@click.option("--evaluation-seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Seed of the metrics' own randomness, apart from the seeds of training.")  # fmt: skip
@engine_options
@data_dir_option
@runs_option
@leaderboards_option
@plugin_option
@click.option("--figures/--no-figures", default=True, show_default=True,
              help="Draw pictures of each fit, beside it and on the boards.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be computed, and stop.")
@click.option("--fresh", is_flag=True, help="Compute everything again, whatever is stored.")
@click.pass_context
def run(
    context: click.Context,
    /,
    study: Path | None,
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    datasets: tuple[str, ...],
    seeds: int,
    assignments: tuple[str, ...],
    target: str | None,
    data_dir: Path | None,
    runs: Path,
    leaderboards: Path,
    plugin_files: tuple[Path, ...],
    figures: bool,
    dry_run: bool,
    fresh: bool,
    split: EvaluationSplit,
    evaluation_seed: int,
    **more: Any,
) -> int:
    """Train models, measure them, and write leaderboards.

    STUDY.toml is a file with any of the flags below as its keys; flags on the command line override it.

    What was finished before is not computed again: a new metric does not retrain a model, and an interrupted run
    resumes where it stopped. Every model named is trained, also where the metric cannot apply to it ("n/a"), so
    that it is there for the next metric.
    """
    registry = load_registry(plugin_files)
    for kind, names in (("model", models), ("metric", metrics), ("dataset", datasets)):
        for name in names:
            registry.get(kind, name)
    settings = _settings(context, registry, assignments, {*models, *metrics, *datasets})
    if target is not None:
        settings |= _target(target, metrics, registry)
    budget = budget_from(context)

    from harness.atomic import require_writable
    from harness.cli.progress import reporter_for
    from harness.execution.jobs import jobs_for
    from harness.execution.run import Run
    from harness.execution.specification import RunSpecification
    from harness.planning.plan import Request
    from harness.results.environment import describe_commit, describe_environment

    device, engine = engine_from(more, seeds)
    specification = RunSpecification(
        Request(models, metrics, datasets, seeds, budget, settings, split, evaluation_seed),
        plugin_files,
        engine,
        describe_environment(device),
        describe_commit(),
        runs,
        data_dir,
        cache_dir(),
        fresh,
        figures,
    )
    reporter = reporter_for(0)
    run = Run(specification, registry, reporter, show_bar)
    if dry_run:
        _show_plan(run)
        return 0
    require_writable(runs, "--runs")
    require_writable(leaderboards, "--leaderboards")
    reporter.announce(_summary(run))
    run.load_data()
    jobs = jobs_for(run.tasks, run.context, more["jobs"])
    _show_jobs(run, jobs)
    with reporter_for(len(run.pending)) as run.reporter:
        outcome = run.execute(jobs)
    _write_boards(outcome.records, run.store, leaderboards)
    if outcome.interrupted:
        click.echo(
            f"interrupted: {_count(outcome.computed, 'finished cell')} kept; the same command resumes the run.",
            err=True,
        )
    return outcome.exit_code


def _settings(
    context: click.Context, registry: Registry, assignments: tuple[str, ...], named: set[str]
) -> dict[tuple[str, str], list[str]]:
    """Return the settings of the command line and, below them, those of the study."""
    settings = parse_assignments(assignments)
    for (owner, setting), values in parse_assignments(assignments_of_study(context)).items():
        if owner in named:
            settings.setdefault((owner, setting), values)
        elif owner not in registry.takers_of_settings:  # a known name may have been left out by a flag
            raise unknown("name in the study's [set]", owner, registry.takers_of_settings)
    return settings


def _target(target: str, metrics: tuple[str, ...], registry: Registry) -> dict[tuple[str, str], list[str]]:
    """Return the settings that give the target to every metric that waits for one."""
    from harness.planning.component import config_type_of
    from harness.settings import describe

    registry.get("metric", target.partition("=")[0])
    taking = [
        name
        for name in metrics
        if "target" in {each.name for each in describe(config_type_of(registry.get("metric", name)))}
    ]
    if not taking:
        raise UsageError(f"--target {target}: none of the metrics {', '.join(metrics)} waits for a target")
    return {(name, "target"): [target] for name in taking}


def _summary(run: Run) -> str:
    cells, pending = len(run.plan.cells), run.pending
    fits = len({cell.fit.key for cell in pending})
    if not pending:
        return f"{_count(cells, 'cell')}, all stored already; use --fresh to compute again"
    stored = f", {cells - len(pending)} of them stored already" if len(pending) < cells else ""
    return f"{_count(cells, 'cell')}{stored}; {len(pending)} to compute from {_count(fits, 'fit')}"


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'s' * (n != 1)}"


def _show_jobs(run: Run, jobs: Jobs) -> None:
    """Say how the work is divided, if the user may want to divide it differently."""
    from harness.machine.cpu_load import cores

    engine = run.specification.engine
    if jobs.usual > 1:
        together = f", the last {jobs.last} at once" * (jobs.last > jobs.usual)
        each = _count(engine.threads, "thread")
        run.reporter.announce(f"{_count(len(run.tasks), 'fit')} by {jobs.usual} processes, {each} each{together}")
        return
    trains = any(fit.budget for task in run.tasks for fit in task.fits)
    if engine.device == "cpu" and cores() > engine.threads and trains:
        run.reporter.announce(
            f"training on {engine.threads} of {cores()} cores; --threads uses more, which changes the last digits"
        )


def _show_plan(run: Run) -> None:
    from rich.console import Console
    from rich.table import Table

    from harness.cli.progress import name_of

    table = Table(box=None, header_style="bold", title=_summary(run), title_justify="left")
    for heading in ("fit", "metric", "what would happen", "cell"):
        table.add_column(heading, overflow="fold")
    waiting = {cell.key for cell in run.pending}
    for cell in run.plan.cells:
        steps = ["" if run.is_fitted(cell.fit) else "fit", f"n/a: {cell.lacking}" if cell.lacking else "measure"]
        action = ", ".join(filter(None, steps)) if cell.key in waiting else "nothing: stored"
        table.add_row(name_of(cell.fit), cell.metric.name, action, cell.key[:12])
    Console(highlight=False, markup=False).print(table)


def _write_boards(records: Mapping[str, Record], store: Store, folder: Path) -> None:
    """Write the boards of everything in the store that shares the run's data sets, then show those of the run."""
    from harness.leaderboard.board import build_boards
    from harness.leaderboard.files import rewrite
    from harness.leaderboard.terminal import render

    if not records:
        return
    written = rewrite({record.dataset["name"] for record in records.values()}, store, folder)
    sys.stdout.write(render(build_boards(records.values(), store)))
    for path in written:
        click.echo(f"wrote {path}")

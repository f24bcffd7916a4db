"""``harness run``: train, measure and rank."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from harness.cli.data import cache_dir, data_dir_option, default_dataset, source_from
from harness.cli.engine import budget_from, budget_options, engine_from, engine_options, jobs_from
from harness.cli.main import load_registry
from harness.cli.options import leaderboards_option, names_option, plugin_option, runs_option
from harness.cli.settings import parse_assignments, set_option
from harness.cli.study import assignments_of_study, take_study
from harness.errors import unknown


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
@click.option("--target", metavar="METRIC=V", help="What time-to-quality waits for, as in elbo=-100.")
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
    **more: Any,
) -> int:
    """Train models, measure them, and write leaderboards.

    STUDY.toml is a file with any of the flags below as its keys; flags on the command line override it.

    What was finished before is not computed again: a new metric does not retrain a model, and an interrupted run
    goes on where it stopped. Every model named is trained, also where the metric cannot apply to it ("n/a"), so
    that it is there for the next metric.
    """
    registry = load_registry(plugin_files)
    for kind, names in (("model", models), ("metric", metrics), ("dataset", datasets)):
        for name in names:
            registry.get(kind, name)
    settings = parse_assignments(assignments)
    for (owner, parameter), values in parse_assignments(assignments_of_study(context)).items():
        if owner in {*models, *metrics, *datasets}:
            settings.setdefault((owner, parameter), values)
        elif owner not in registry.takers_of_settings:  # one that is there may have been left out by a flag
            raise unknown("name in the study's [set]", owner, registry.takers_of_settings)
    if target is not None:
        registry.get("metric", target.partition("=")[0])
        settings["time-to-quality", "target"] = [target]
    budget = budget_from(context)

    from harness.environment import describe_environment
    from harness.executors import Blueprint
    from harness.plan import Request, build_plan
    from harness.run import Run
    from harness.store import Store, require_writable

    device, engine = engine_from(more, seeds)
    environment = describe_environment(device)
    request = Request(models, metrics, datasets, seeds, budget, settings)
    plan = build_plan(request, registry, engine, environment.machine)
    store = Store(runs)

    from harness.cli.progress import reporter_for

    reporter = reporter_for(0)
    execution = Run(plan, store, registry, reporter, device, environment, fresh=fresh, figures=figures)
    for problem in store.problems:
        reporter.announce(f"warning: {problem}")
    pending = execution.pending
    if dry_run:
        _show_plan(plan, execution)
        return 0
    require_writable(runs, "--runs")
    require_writable(leaderboards, "--leaderboards")
    reporter.announce(_summary(plan, pending))
    bench = execution.bench(source_from(data_dir, reporter.announce))
    tasks = execution.tasks()
    jobs = jobs_from(more, engine, tasks, bench)
    _tell_how(reporter, jobs, engine, tasks)
    store.prepare()
    blueprint = Blueprint(
        request,
        plugin_files,
        engine,
        environment.machine,
        runs,
        data_dir,
        cache_dir(),
        execution.provenance,
        fresh,
        figures,
    )
    with reporter_for(len(pending)) as execution.reporter:
        outcome = execution.execute(bench, blueprint, jobs)
    _write_boards(outcome.records, store, leaderboards)
    if outcome.interrupted:
        click.echo(
            f"interrupted: {_count(outcome.computed, 'finished cell')} kept; the same command goes on from there.",
            err=True,
        )
    return outcome.exit_code


def _summary(plan: Any, pending: list[Any]) -> str:
    cells, fits = len(plan.cells), len({cell.fit.key for cell in pending})
    if not pending:
        return f"{_count(cells, 'cell')}, stored already; --fresh computes again"
    stored = f", {cells - len(pending)} of them stored already" if len(pending) < cells else ""
    return f"{_count(cells, 'cell')}{stored}; {len(pending)} to compute from {_count(fits, 'fit')}"


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'s' * (n != 1)}"


def _tell_how(reporter: Any, jobs: Any, engine: Any, tasks: list[Any]) -> None:
    """Say how the fits are made, where there is a choice that the user might want to make otherwise."""
    from harness.load import cores

    if jobs.usual > 1:
        together = f", the last {jobs.last} at once" * (jobs.last > jobs.usual)
        each = _count(engine.threads, "thread")
        reporter.announce(f"{_count(len(tasks), 'fit')} by {jobs.usual} processes, {each} each{together}")
    elif engine.device == "cpu" and cores() > engine.threads and any(fit.budget for task in tasks for fit in task.fits):
        reporter.announce(f"on {engine.threads} of {cores()} cores; --threads takes more, and other last digits")


def _show_plan(plan: Any, execution: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from harness.cli.progress import name_of

    pending = execution.pending
    table = Table(box=None, header_style="bold", title=_summary(plan, pending), title_justify="left")
    for heading in ("fit", "metric", "what would happen", "cell"):
        table.add_column(heading, overflow="fold")
    waiting = {cell.key for cell in pending}
    for cell in plan.cells:
        steps = ["" if execution.is_fitted(cell.fit) else "fit", f"n/a: {cell.lacking}" if cell.lacking else "measure"]
        action = ", ".join(filter(None, steps)) if cell.key in waiting else "nothing: stored"
        table.add_row(name_of(cell.fit), cell.metric.name, action, cell.key[:12])
    Console(highlight=False, markup=False).print(table)


def _write_boards(records: dict[str, Any], store: Any, folder: Path) -> None:
    """Show the boards of this run, and write those of everything in the store that shares its data sets."""
    from harness.leaderboard import build_boards, rewrite
    from harness.leaderboard.terminal import render

    if not records:
        return
    sys.stdout.write(render(build_boards(records.values(), store)))
    for path in rewrite({record.dataset["name"] for record in records.values()}, store, folder):
        click.echo(f"wrote {path}")

"""``harness profile``: where the time of a model's training steps goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data import data_dir_option, default_dataset, source_from
from harness.cli.engine import batch_size_option, engine_from, engine_options
from harness.cli.main import load_registry
from harness.cli.options import WholeNumber, plugin_option
from harness.cli.output import notice, output_console
from harness.cli.settings import parse_assignments, set_option
from harness.errors import NotApplicable, UsageError

if TYPE_CHECKING:
    from harness.training.profile import StepProfile


@click.command(epilog="Example:  harness profile vae --batch-size 512 --threads 2")
@click.argument("model")
@click.option("--dataset", default=default_dataset, show_default=True, metavar="D", help="Data set to train on.")
@batch_size_option
@click.option("--steps", type=WholeNumber(min=10), default=200, show_default=True, metavar="N", help="Steps to time.")
@set_option("the model or the data set", "NAME.PARAM=V")
@engine_options
@data_dir_option
@plugin_option
def profile(
    model: str,
    dataset: str,
    batch_size: int,
    steps: int,
    assignments: tuple[str, ...],
    data_dir: Path | None,
    plugin_files: tuple[Path, ...],
    **more: Any,
) -> None:
    """Time the parts of a model's training steps, and compare a step with the roofline of this machine.

    The share of a part is that of the median step. The roofline is the longer of two times: that of the step's matrix
    products at the highest rate measured here, and that of the bytes it must move at the measured bandwidth.
    """
    registry = load_registry(plugin_files)
    named = {"model": registry.get("model", model), "dataset": registry.get("dataset", dataset)}
    settings = parse_assignments(assignments)
    for (owner, parameter), values in settings.items():
        if owner not in (model, dataset):
            raise UsageError(f"--set {owner}.{parameter}: {owner!r} is not part of this profile")
        if len(values) > 1:
            raise UsageError(f"--set {owner}.{parameter}: a profile takes one value, not {len(values)}")

    from harness.data.loading import load_dataset
    from harness.planning.budget import Budget
    from harness.planning.component import resolve_component
    from harness.planning.plan import Fit
    from harness.training.fit import trainer_of
    from harness.training.profile import profile_steps
    from harness.training.recipe import Recipe

    device, engine = engine_from({**more, "step_mode": more["step_mode"] or "eager"}, seeds=1)
    of_model, of_dataset = (
        resolve_component(
            each, {parameter: v[0] for (owner, parameter), v in settings.items() if owner == each.spec.name}
        )
        for each in named.values()
    )
    if engine.step_mode == "captured":
        raise UsageError("--step-mode captured cannot be profiled: a captured step has no parts")

    source = source_from(data_dir, notice)
    data = load_dataset(of_dataset.provided.spec, of_dataset.config, source).to(device)  # type: ignore[arg-type]
    fit = Fit(of_dataset, of_model, 0, Budget(steps=steps, batch_size=batch_size), engine)
    try:
        trainer = trainer_of(Recipe.of(fit, data), fit.seed)
    except NotApplicable as error:
        raise UsageError(f"{model} on {dataset}: {error}") from error
    found = profile_steps(trainer, steps, engine.step_mode, notice)
    engine = replace(engine, step_mode=trainer.step_mode)
    _show(found, f"{model} on {dataset}: batch size {batch_size}, {engine.in_words}")


def _show(found: StepProfile, title: str) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("part")
    for heading in ("ms per step", "share"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for name, seconds in {**found.parts, "overhead": found.overhead}.items():
        share = seconds / found.seconds
        table.add_row(name, f"{1e3 * seconds:.3f}", f"{share:.0%}", "█" * round(30 * share))
    table.add_row("step", f"{1e3 * found.seconds:.3f}", "100%", "")
    console = output_console()
    console.print(title, style="bold")
    console.print(table)
    products, traffic = found.flops / found.peak, found.moved / found.bandwidth
    console.print(
        f"\nMatrix multiplication: {found.flops / 1e9:.3g} GFLOP per step, {1e3 * products:.3f} ms at the peak of "
        f"{found.peak / 1e9:,.0f} GFLOP/s measured here: {products / found.seconds:.0%} of the step.\n"
        f"Memory: {found.moved / 1e6:.3g} MB per step at least, {1e3 * traffic:.3f} ms at the bandwidth of "
        f"{found.bandwidth / 1e9:.3g} GB/s.\n"
        f"A step takes {found.seconds / found.roofline:.2f} times the {1e3 * found.roofline:.3f} ms of the roofline."
    )

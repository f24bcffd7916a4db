"""``harness figures``: the figures of stored fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data import data_dir_option, source_from
from harness.cli.main import load_registry
from harness.cli.options import leaderboards_option, names_option, plugin_option, runs_option
from harness.cli.output import notice, warn
from harness.errors import UsageError, unknown
from harness.words import counted

if TYPE_CHECKING:
    from harness.data.source import DataSource
    from harness.registry import Provided, Registry
    from harness.results.store import Store


@click.command(epilog="Example:  harness figures --model vae,gan --dataset mnist")
@names_option("--model", "--models", "models", metavar="A,B", help="Only these models.")
@names_option("--dataset", "--datasets", "datasets", metavar="D[,D]", help="Only these data sets.")
@data_dir_option
@runs_option
@leaderboards_option
@plugin_option
def figures(
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    data_dir: Path | None,
    runs: Path,
    leaderboards: Path,
    plugin_files: tuple[Path, ...],
) -> None:
    """Draw the figures of stored fits again, and write the leaderboards that show them.

    'harness run' draws the figures of each fit; use this command for fits made with --no-figures, and for new figures.
    """
    from harness.atomic import require_writable
    from harness.execution.figures import sound_figures
    from harness.leaderboard.files import rewrite
    from harness.results.store import Store

    registry = load_registry(plugin_files)
    figures_to_draw = sound_figures(registry, warn)
    store = Store(runs, warn)
    stored = _selected(store, {"model": models, "dataset": datasets})
    require_writable(runs, "--runs")
    require_writable(leaderboards, "--leaderboards")
    drawn = _draw(stored, figures_to_draw, store, registry, source_from(data_dir, notice))
    print(f"drew {counted(sum(drawn), 'figure')} of {counted(len(drawn), 'fit')}, in {runs}/fits/*/figures")
    names = {described["identity"]["dataset"]["name"] for described in stored.values()}
    written = rewrite(names, store, leaderboards, registry, warn).paths
    for path in written:
        print(f"wrote {path}")


def _selected(store: Store, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, Any]]:
    """Return the descriptions of the stored fits with the wanted models and data sets, or of all, by key.

    Raises:
        UsageError: there are no fits, or none with a name that is wanted.
    """
    stored = {key: described for key in store.fit_keys() if (described := store.fit(key)) is not None}
    if not stored:
        raise UsageError(f"no fits in {store.root} yet. Start with: harness run --models vae,gan --metric elbo")
    for kind, names in wanted.items():
        known = {described["identity"][kind]["name"] for described in stored.values()}
        for name in names:
            if name not in known:
                raise unknown(f"{kind} in {store.root}", name, known)
        if names:
            stored = {key: each for key, each in stored.items() if each["identity"][kind]["name"] in names}
    return stored


def _draw(
    stored: Mapping[str, Mapping[str, Any]],
    figures: Sequence[Provided],
    store: Store,
    registry: Registry,
    source: DataSource,
) -> list[int]:
    """Draw the figures of stored fits; return how many were drawn of each fit that could be loaded."""
    from rich.console import Console
    from rich.progress import track

    from harness.data.dataset import Data
    from harness.data.loading import load_dataset
    from harness.execution.failure import failure_of
    from harness.execution.figures import draw_figures
    from harness.execution.obtain_model import load_model
    from harness.machine.device import prepare_torch
    from harness.planning.identity import hash_of
    from harness.planning.plan import fit_from

    device = prepare_torch("auto", deterministic=True)
    loaded: dict[str, Data] = {}
    console = Console(stderr=True)
    drawn = []
    for key, described in track(stored.items(), "drawing", console=console, disable=not console.is_terminal):
        try:
            fit = fit_from(described, registry, source)
        except UsageError as error:
            notice(f"skipped {key[:12]}: {error}")
            continue
        dataset = hash_of(fit.dataset.identity)
        if dataset not in loaded:
            loaded[dataset] = load_dataset(fit.dataset.provided.spec, fit.dataset.config, source).to(device)  # type: ignore[arg-type]
        if described["status"] != "ok":
            notice(f"skipped {key[:12]}: {described['reason']}")
            continue
        try:
            model = load_model(fit, loaded[dataset], store)
        except Exception as error:
            notice(f"skipped {key[:12]}: {failure_of(error).reason}")
            continue
        drawn.append(len(draw_figures(fit, model, loaded[dataset], store, figures, warn)))
    return drawn

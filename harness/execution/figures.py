"""Draws the figures of a fit, which plugins provide, beside its weights."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from harness.contracts.checks import problem_of_figure
from harness.contracts.curves import Curves
from harness.contracts.figures import FigureContext
from harness.contracts.models import lacking
from harness.data.dataset import Data
from harness.errors import NotApplicable, StoreError, UsageError, no_exit
from harness.machine.device import using_threads
from harness.noise import Noise, derive_seed, global_seed
from harness.planning.plan import Fit, needs_of
from harness.registry import Provided, Registry
from harness.results.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

snapshot_samples = 10


def sound_figures(registry: Registry, warn: Callable[[str], None]) -> list[Provided]:
    """Return the figures of fits that keep their contract; the others are shown as warnings.

    Raises:
        UsageError: one that does not comes from a file that the user named.
    """
    sound = []
    for provided in registry.all("figure"):
        try:
            with no_exit():
                problem = problem_of_figure(provided.spec.resolve()())
        except Exception as error:
            problem = f"it cannot be built: {type(error).__name__}: {error}"
        try:
            provided.require(problem)
            sound.append(provided)
        except UsageError as error:
            if provided.plugin.file:
                raise
            warn(str(error))
    return sound


def draw_figures(
    fit: Fit, model: nn.Module, data: Data, store: Store, figures: Sequence[Provided], warn: Callable[[str], None]
) -> list[Path]:
    """Draw the figures that apply to a fitted model, beside the fit; return the files.

    A figure that cannot be drawn is shown as a warning and stops nothing else.

    Raises:
        StoreError: the disk is full or the folder cannot be written to.
    """
    curves = Curves(**(store.fit(fit.key) or {}).get("curves", {}))
    snapshots = store.snapshots(fit.key)
    written = []
    for provided in figures:
        name = provided.spec.name
        try:
            with no_exit():
                figure = provided.spec.resolve()()
                if lacking(model, needs_of(figure)) is not None:
                    continue
                seed = derive_seed("figure", name)
                context = FigureContext(fit.model.config, curves, snapshots, Noise(seed, data.test.stored.device))
                with torch.no_grad(), global_seed(seed), using_threads(fit.engine.threads):
                    picture = figure.draw(model.eval(), data, context)
            if not hasattr(picture, "savefig"):
                raise TypeError(f"draw() returned {type(picture).__name__}; return a matplotlib Figure")
            written.append(store.write_figure(fit.key, name, png_of(picture)))
        except NotApplicable:
            continue
        except StoreError:
            raise
        except Exception as error:
            warn(f"the figure {name} of {fit.model.name} could not be drawn: {type(error).__name__}: {error}")
    return written


def png_of(picture: Picture) -> bytes:
    """Return a picture as PNG; the same picture gives the same bytes."""
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()

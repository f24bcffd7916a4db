"""Draws the pictures of a fit: what plugins provide as figures, written beside its weights."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.capabilities import lacking
from harness.data import Data
from harness.device import using_threads
from harness.errors import NotApplicable, StoreError
from harness.noise import Noise, derive_seed, global_seed
from harness.plan import Fit
from harness.plugins import Registry
from harness.store import Store
from harness.training import Curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

snapshot_samples = 10


@dataclass(frozen=True)
class Story:
    """What a figure may show beside the model and the data.

    Args:
        config: the model's settings, as its ``Config``.
        curves: what was seen while training; empty for a closed-form fit.
        snapshots: samples of the first, the middle and the last epoch from the same latent points, by epoch.
        noise: randomness of the figure, the same for every model.
    """

    config: Any
    curves: Curves
    snapshots: Mapping[int, Tensor]
    noise: Noise


def draw_figures(
    fit: Fit, model: nn.Module, data: Data, store: Store, registry: Registry, announce: Callable[[str], None]
) -> list[Path]:
    """Draw every figure that applies to a fitted model, beside the fit; return the files.

    A figure that cannot be drawn is announced and costs only itself.

    Raises:
        StoreError: the disk is full or the folder cannot be written to.
    """
    curves = Curves(**(store.fit(fit.key) or {}).get("curves", {}))
    snapshots = store.snapshots(fit.key)
    written = []
    for provided in registry.all("figure"):
        name = provided.spec.name
        try:
            figure = provided.spec.resolve()()
            if lacking(model, getattr(figure, "needs", ())) is not None:
                continue
            seed = derive_seed("figure", name)
            story = Story(fit.model.config, curves, snapshots, Noise(seed, data.test.stored.device))
            with torch.no_grad(), global_seed(seed), using_threads(fit.engine.threads):
                drawn = figure.draw(model.eval(), data, story)
            written.append(store.write_figure(fit.key, name, _png(drawn)))
        except NotApplicable:
            continue
        except StoreError:
            raise
        except Exception as error:
            announce(f"the figure {name} of {fit.model.name} could not be drawn: {type(error).__name__}: {error}")
    return written


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()

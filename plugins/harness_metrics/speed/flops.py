"""How many floating-point operations an example costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from harness import Context, Data, Estimate, NoSettings, Reconstructs, Samples
from harness_metrics.speed import steps

batch = 64


class Flops:
    """Floating-point operations per example, of matrix products, convolutions and attention alone.

    A product of ``(m, k)`` and ``(k, n)`` counts 2·m·n·k; what is done element by element, and drawing random
    numbers, counts nothing. The figure is of drawing one example or, where a model cannot, of rebuilding one, and
    the two are never ranked together. The other forward pass and a training step, forward and backward of every
    objective, are shown beside it. They are counted from the calls that torch makes, not timed.
    """

    Config = NoSettings
    unit: ClassVar = "FLOP/example"
    direction: ClassVar = "lower"
    needs: ClassVar = (Samples | Reconstructs,)

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Count them in one batch of each."""
        what, forward = steps.forward(model, data, context, batch)
        parts = {}
        if isinstance(model, Samples) and isinstance(model, Reconstructs):
            rebuild = steps.reconstructing(model, data, context, batch)
            parts["reconstruction"] = counted(rebuild) / batch
        if steps.trains_in_steps(model, context):
            parts["training step"] = training_flops(model, data, context)
        return Estimate(
            value=counted(forward) / batch,
            stderr=0,
            n=1,
            parts=parts,
            diagnostics={"operation": what, "batch_size": batch},
            measure=f"{what} of one example",
        )


def training_flops(model: Any, data: Data, context: Context) -> float:
    """Return the floating-point operations per example of a training step at the batch size of the fit.

    Raises:
        NotApplicable: the model was fitted in closed form.
    """
    size = steps.own_batch(data, context)
    eager = replace(context, step_mode="eager")  # the counter sees nothing of what is compiled or captured
    return counted(steps.training(model, data, eager, size)) / size


def counted(work: Callable[[], object]) -> int:
    """Return the floating-point operations of a call."""
    with _layers_unfused(), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


@contextmanager
def _layers_unfused() -> Iterator[None]:
    """Let torch run layers as plain matrix products: the counter knows neither oneDNN's products nor fused kernels."""
    backends: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
    before = [each.enabled for each in backends]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        for each in backends:
            each.enabled = False
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for each, enabled in zip(backends, before, strict=True):
            each.enabled = enabled

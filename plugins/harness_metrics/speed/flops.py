"""Floating-point operations per example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from harness import Context, Data, Estimate, NoSettings, NotApplicable, Reconstructs, Samples
from harness_metrics.speed import steps

batch = 64


class Flops:
    """Floating-point operations per example, of matrix products, convolutions and attention only.

    A product of ``(m, k)`` and ``(k, n)`` counts 2·m·n·k; elementwise operations and random numbers are not counted.
    The value is for sampling one example or, if the model cannot sample, for reconstructing one; the two are never
    ranked together. The parts show the reconstruction, and a training step with forward and backward passes of all
    objectives. Operations are counted from torch's calls, not timed.
    """

    Config = NoSettings
    unit: ClassVar = "FLOP/example"
    direction: ClassVar = "lower"
    depends_on_seed: ClassVar = False
    needs: ClassVar = (Samples | Reconstructs,)

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Count the operations of one batch of each kind of work.

        Raises:
            NotApplicable: there are none of those that count.
        """
        what, forward = steps.forward(model, data, context, batch)
        operations = counted(forward)
        if not operations:
            raise NotApplicable(f"its {what} has no matrix product, convolution or attention, which alone count")
        parts = {}
        if isinstance(model, Samples) and isinstance(model, Reconstructs):
            rebuild = steps.reconstructing(model, data, context, batch)
            parts["reconstruction"] = counted(rebuild) / batch
        if steps.trains_in_steps(model, context):
            parts["training step"] = training_flops(model, data, context)
        return Estimate(
            value=operations / batch,
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
    eager = replace(context, step_mode="eager")  # the counter does not see compiled or captured calls
    return counted(steps.training(model, data, eager, size)) / size


def counted(work: Callable[[], object]) -> int:
    """Return the floating-point operations of a call."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with _layers_unfused(), counter:
        work()
    return int(counter.get_total_flops())


class _NoModules:
    """In place of the counter's ``ModuleTracker``, whose hooks fail where a loss contains a gradient (torch 2.14)."""

    parents = ("Global",)

    def __enter__(self) -> None:
        """Track nothing."""

    def __exit__(self, *raised: object) -> None:
        """Track nothing."""


@contextmanager
def _layers_unfused() -> Iterator[None]:
    """Make torch run layers as plain matrix products: the counter ignores oneDNN's products and fused kernels."""
    backends: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
    before = [each.enabled for each in backends]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        for each in backends:
            each.enabled = False
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for each, enabled in zip(backends, before, strict=True):
            each.enabled = enabled

"""Model FLOPs utilisation of training."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

from torch import nn

from harness import Context, Data, Estimate, NotApplicable, TrainsByGradient, TrainsByObjectives
from harness.toolkit import CompetingLoad, matrix_product_peak
from harness_metrics.speed import steps
from harness_metrics.speed.flops import training_flops
from harness_metrics.speed.timing import TimingSettings, highest_load, load_warning, of_repeats, timing


class ModelFlopsUtilisation:
    """Floating-point operations per second of training, as a fraction of the machine's peak (Chowdhery et al., 2022).

    The rate is the number of operations per example, as ``flops`` counts them, times the examples per second of whole
    training steps at the batch size of the fit. The peak is measured, not taken from a data sheet: the highest rate of
    matrix products in the precision of the fit, both square ones and those with the model's weights. The standard error
    contains that of the peak.
    """

    Config = TimingSettings
    unit: ClassVar = "fraction"
    direction: ClassVar = "higher"
    needs: ClassVar = (TrainsByGradient | TrainsByObjectives,)
    times_the_machine: ClassVar = True
    depends_on_seed: ClassVar = False

    def __init__(self, config: TimingSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Time the training of a copy of ``model``, and matrix products.

        Raises:
            NotApplicable: the model was fitted in closed form, or its training has no operations that count.
        """
        device = data.train.stored.device
        own = steps.own_batch(data, context)
        flops = training_flops(model, data, context)
        if not flops:
            raise NotApplicable("its training step has no matrix product, convolution or attention")
        timed = timing(steps.training(model, data, context, own), own, device, self.config)
        with CompetingLoad() as meanwhile:
            peak = matrix_product_peak(device, _matrix_products(model, own), context.precision)
        load = highest_load([timed.load, meanwhile.share])
        found = of_repeats(
            [flops * rate / peak.rate for rate in timed.rates],
            device,
            parts={"peak (GFLOP/s)": peak.rate / 1e9},
            diagnostics={
                "competing_load": load,
                "flops_per_example": flops,
                "flops_per_second": flops * timed.rate,
                "peak_shape": list(peak.shape),
                "peak_kernel": peak.kernel,
                "peak_precision": context.precision,
                "peak_stderr": peak.stderr,
                "batch_size": own,
            },
            warning=load_warning(load, self.config.load_limit),
        )
        return replace(found, stderr=math.hypot(found.stderr or 0, found.value * peak.stderr / peak.rate))


def _matrix_products(model: nn.Module, batch: int) -> list[tuple[int, int, int]]:
    """Return ``(m, k, n)`` of the product of a batch with each weight matrix of the model."""
    return [(batch, each.shape[1], each.shape[0]) for each in model.parameters() if each.dim() == 2]

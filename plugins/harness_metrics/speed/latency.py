"""Time for a single example."""

from __future__ import annotations

from typing import Any, ClassVar

from harness import Context, Data, Estimate, Reconstructs, Samples
from harness_metrics.speed import steps
from harness_metrics.speed.timing import TimingSettings, load_warning, of_repeats, timing


class Latency:
    """Milliseconds to sample one example or, if the model cannot sample, to reconstruct one; never ranked together."""

    Config = TimingSettings
    unit: ClassVar = "ms"
    direction: ClassVar = "lower"
    needs: ClassVar = (Samples | Reconstructs,)
    times_the_machine: ClassVar = True

    def __init__(self, config: TimingSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Time a batch of one."""
        device = data.test.stored.device
        what, work = steps.forward(model, data, context, 1)
        timed = timing(work, 1, device, self.config)
        return of_repeats(
            [1000 * each for each in timed.seconds],
            device,
            diagnostics={"competing_load": timed.load, "operation": what, "batch_size": 1},
            measure=f"{what} of one example",
            warning=load_warning(timed.load, self.config.load_limit),
        )

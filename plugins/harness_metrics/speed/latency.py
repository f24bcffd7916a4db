"""How long a model takes for a single example."""

from __future__ import annotations

from typing import Any, ClassVar

from harness import Context, Data, Estimate, Reconstructs, Samples
from harness_metrics.speed import steps
from harness_metrics.speed.timing import TimingSettings, competition, of_repeats, timing


class Latency:
    """Milliseconds to draw one example or, where a model cannot, to rebuild one. The two are never ranked together."""

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
            diagnostics={
                **competition([timed.load], self.config.load_limit),
                "operation": what,
                "batch_size": 1,
            },
            measure=f"{what} of one example",
        )

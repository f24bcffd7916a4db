"""Number of parameters."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from harness import Context, Data, Estimate, FitsItself, NoSettings


class Parameters:
    """The number of a model's parameters; frozen ones count, and shared ones count once.

    For a model that fits itself, floating-point buffers count too, because they hold what it learned. Buffers of other
    models, such as running statistics of batch normalisation, do not count.
    """

    Config = NoSettings
    unit: ClassVar = "count"
    direction: ClassVar = "lower"
    depends_on_seed: ClassVar = False
    needs: ClassVar = ()

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def measure(self, model: nn.Module, data: Data, context: Context) -> Estimate:
        """Count the parameters."""
        counted: list[Tensor] = list(model.parameters())
        trainable = sum(each.numel() for each in counted if each.requires_grad)
        if isinstance(model, FitsItself):
            counted += [each for each in model.buffers() if each.is_floating_point()]
        by_module = {name: sum(each.numel() for each in child.parameters()) for name, child in model.named_children()}
        return Estimate(
            value=sum(each.numel() for each in counted),
            stderr=0,
            n=1,
            diagnostics={
                "trainable": trainable,
                "by_module": by_module,
                "bytes": sum(each.numel() * each.element_size() for each in counted),
            },
        )

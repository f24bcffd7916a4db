"""The space of codes: ways from one code to another, and the plane of two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Independent, Normal

from harness import Data, FigureContext, HasDecoder, HasEncoder, HasObservationModel, NotApplicable, draw
from harness_figures.canvas import draw_rows, require_drawable

_ways, _steps = 5, 10
_side = 15


class Interpolation:
    """Straight ways through the space of codes, decoded at equal steps.

    They lead from one draw of the prior to another or, for a model without a prior, from the code of one test example
    to that of another.
    """

    needs: ClassVar = (HasObservationModel | HasDecoder,)

    def draw(self, model: Any, data: Data, context: FigureContext) -> Figure:
        """Draw a row for each way."""
        require_drawable(data.info)
        decode, ends = _decoder_of(model), self._ends(model, data, context)
        ways = len(ends) // 2
        start, end = ends[: 2 * ways].split(ways)  # (ways, latent) each
        share = torch.linspace(0, 1, _steps, device=start.device).view(-1, 1, 1)
        codes = torch.lerp(start, end, share)  # (steps, ways, latent)
        pictures = decode(codes.flatten(0, 1)).unflatten(0, (_steps, ways))
        return draw_rows([("", pictures[:, way]) for way in range(ways)], data)

    def _ends(self, model: Any, data: Data, context: FigureContext) -> Tensor:
        if hasattr(model, "prior"):
            return draw(model.prior(), context.noise, 2 * _ways)
        if not isinstance(model, HasEncoder):
            raise NotApplicable("it has neither a prior nor an encoder")
        if len(data.test) < 2:
            raise NotApplicable("there are no two test examples to go between")
        return model.encode(data.test.first(2 * _ways).all(context.noise))


class Manifold:
    """What a code of two numbers decodes to, over the plane.

    Codes are at equal steps of probability, through the inverse distribution function of the prior (Kingma and
    Welling, 2014, appendix A), so that each picture stands for as many samples as any other.
    """

    needs: ClassVar = (HasObservationModel | HasDecoder,)

    def draw(self, model: Any, data: Data, context: FigureContext) -> Figure:
        """Draw a square of pictures.

        Raises:
            NotApplicable: the code has not two numbers, or there is no standard normal prior.
        """
        prior = model.prior() if hasattr(model, "prior") else None
        if prior is None or prior.event_shape != (2,):
            raise NotApplicable("its code is no plane")
        base = prior.base_dist if isinstance(prior, Independent) else prior
        if not isinstance(base, Normal):
            raise NotApplicable("its prior has no inverse distribution function")
        share = (torch.arange(_side, device=base.loc.device) + 0.5) / _side
        across, down = torch.meshgrid(share, share.flip(0), indexing="xy")
        codes = base.icdf(torch.stack([across, down], dim=-1))  # (side, side, 2)
        pictures = _decoder_of(model)(codes.flatten(0, 1)).unflatten(0, (_side, _side))
        return draw_rows([("", row) for row in pictures], data, tile=0.38)


def _decoder_of(model: Any) -> Callable[[Tensor], Tensor]:
    """Return what turns codes into examples, the means of p(x | z) where there is a distribution."""
    if hasattr(model, "decode"):
        return model.decode  # type: ignore[no-any-return]
    return lambda z: model.observation(z).mean

"""Pictures of the latent space: paths between codes, and the plane of two-dimensional codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Independent, Normal

from harness import Data, FigureContext, HasDecoder, HasEncoder, HasObservationModel, NotApplicable, draw
from harness_figures.canvas import draw_rows, require_drawable

_paths, _steps = 5, 10
_side = 15


class Interpolation:
    """Straight paths through the latent space, decoded at equal steps.

    Each path joins two draws from the prior or, for a model without a prior, the codes of two test examples.
    """

    needs: ClassVar = (HasObservationModel | HasDecoder,)

    def draw(self, model: Any, data: Data, context: FigureContext) -> Figure:
        """Draw a row for each path.

        Raises:
            NotApplicable: the model has neither a prior nor an encoder, or there are fewer than two test examples.
        """
        require_drawable(data.info)
        decode, ends = _decoder_of(model), self._ends(model, data, context)
        paths = len(ends) // 2
        start, end = ends[: 2 * paths].split(paths)  # (paths, latent) each
        share = torch.linspace(0, 1, _steps, device=start.device).view(-1, 1, 1)
        codes = torch.lerp(start, end, share)  # (steps, paths, latent)
        pictures = decode(codes.flatten(0, 1)).unflatten(0, (_steps, paths))
        return draw_rows([("", pictures[:, path]) for path in range(paths)], data)

    def _ends(self, model: Any, data: Data, context: FigureContext) -> Tensor:
        if hasattr(model, "prior"):
            return draw(model.prior(), context.noise, 2 * _paths)
        if not isinstance(model, HasEncoder):
            raise NotApplicable("it has neither a prior nor an encoder")
        if len(data.test) < 2:
            raise NotApplicable("it needs at least two test examples")
        return model.encode(data.test.subset(2 * _paths).all(context.noise))


class Manifold:
    """The decoded plane of a two-dimensional code.

    Codes are placed at equal steps of probability by the inverse distribution function of the prior (Kingma and
    Welling, 2014, appendix A), so each picture represents an equal share of the samples.
    """

    needs: ClassVar = (HasObservationModel | HasDecoder,)

    def draw(self, model: Any, data: Data, context: FigureContext) -> Figure:
        """Draw a square of pictures.

        Raises:
            NotApplicable: the code is not two-dimensional, or its prior is not normal.
        """
        prior = model.prior() if hasattr(model, "prior") else None
        if prior is None or prior.event_shape != (2,):
            raise NotApplicable("it needs a two-dimensional code with a prior")
        base = prior.base_dist if isinstance(prior, Independent) else prior
        if not isinstance(base, Normal):
            raise NotApplicable("its prior is not a normal distribution")
        share = (torch.arange(_side, device=base.loc.device) + 0.5) / _side
        across, down = torch.meshgrid(share, share.flip(0), indexing="xy")
        codes = base.icdf(torch.stack([across, down], dim=-1))  # (side, side, 2)
        pictures = _decoder_of(model)(codes.flatten(0, 1)).unflatten(0, (_side, _side))
        return draw_rows([("", row) for row in pictures], data, tile=0.38)


def _decoder_of(model: Any) -> Callable[[Tensor], Tensor]:
    """Return the function from codes to examples: ``decode``, or else the mean of p(x | z)."""
    if hasattr(model, "decode"):
        return model.decode  # type: ignore[no-any-return]
    return lambda z: model.observation(z).mean

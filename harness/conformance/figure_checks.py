"""Checks of a figure: that it draws, and what it leaves alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from harness.conformance.checks import Skipped, check, require
from harness.conformance.model_subject import state_of
from harness.conformance.reference_model import ReferenceModel
from harness.conformance.tiny_data import copied, metric_data
from harness.contracts.curves import Curves
from harness.contracts.figures import FigureContext
from harness.contracts.models import lacking
from harness.contracts.outputs import different
from harness.data.dataset import Data
from harness.errors import NotApplicable
from harness.noise import Noise
from harness.planning.plan import needs_of
from harness.registry import Provided
from harness.settings import NoSettings


@dataclass
class FigureSubject:
    """A figure under check, drawn of a model that is known exactly."""

    provided: Provided

    @cached_property
    def figure(self) -> Any:
        """The figure."""
        return self.provided.spec.resolve()()

    def draw(self, model: Any, data: Data) -> Any:
        """Draw the figure as a run would."""
        curves = Curves({"loss": [3.0, 2.0]}, {"loss": [3.1, 2.2]}, [0.1, 0.1], 30)
        snapshots = {epoch: model.sample(10, Noise(epoch)) for epoch in (1, 2, 3)}
        with torch.no_grad():
            return self.figure.draw(model, data, FigureContext(NoSettings(), curves, snapshots, Noise(0)))

    @property
    def data(self) -> Data:
        """The first tiny data that it can be drawn on.

        Raises:
            Skipped: there is none.
        """
        if isinstance(self._data, Skipped):
            raise Skipped(str(self._data))
        return self._data

    @cached_property
    def _data(self) -> Data | Skipped:
        reason = lacking(ReferenceModel, needs_of(self.figure))
        if reason is not None:
            return Skipped(f"the model that figures are checked on does not suit: {reason}")
        reasons = {}
        for kind, data in metric_data().items():
            try:
                with torch.no_grad():
                    self.draw(ReferenceModel.fitted(data), copied(data))
                return data
            except NotApplicable as error:
                reasons[kind] = str(error)
            except Exception:
                return data  # the check of drawing fails
        return Skipped(f"it can be drawn of none of the tiny data sets: {reasons}")

    def work_by_hand(self) -> None:
        """Draw without the engine, which protects the surroundings."""
        with contextlib.suppress(NotApplicable), torch.no_grad():
            self.draw(ReferenceModel.fitted(self.data), copied(self.data))


@check(
    "figure",
    "returns-a-picture",
    "draw returns a matplotlib figure with something on it.",
    "Build it with matplotlib.figure.Figure(), and return it.",
)
def returns_a_picture(subject: FigureSubject) -> None:
    """Draw it."""
    from matplotlib.figure import Figure

    with torch.no_grad():
        found = subject.draw(ReferenceModel.fitted(subject.data), copied(subject.data))
    require(isinstance(found, Figure), f"it returned a {type(found).__name__}")
    require(found.get_axes() or found.images or found.texts, "the picture is empty")
    with contextlib.closing(_buffer()) as file:
        found.savefig(file, format="png", dpi=40)


def _buffer() -> Any:
    import io

    return io.BytesIO()


@check(
    "figure",
    "uses-no-pyplot",
    "A figure opens no window of pyplot, which would stay in memory.",
    "Use matplotlib.figure.Figure() instead of pyplot.figure().",
)
def uses_no_pyplot(subject: FigureSubject) -> None:
    """Count pyplot's open figures before and after."""
    from matplotlib import _pylab_helpers

    before = len(_pylab_helpers.Gcf.figs)
    with torch.no_grad():
        subject.draw(ReferenceModel.fitted(subject.data), copied(subject.data))
    require(len(_pylab_helpers.Gcf.figs) == before, "pyplot has one more open figure")


@check(
    "figure",
    "leaves-model-and-data-unchanged",
    "Drawing changes neither the model nor the data.",
    "Replace in-place operations by ones that return a new tensor.",
)
def leaves_model_and_data_unchanged(subject: FigureSubject) -> None:
    """Compare both before and after."""
    model, data = ReferenceModel.fitted(subject.data), copied(subject.data)
    before = state_of(model)
    with torch.no_grad():
        subject.draw(model, data)
    names = different(before, state_of(model))
    require(not names, f"{', '.join(names)} changed")
    require(torch.equal(subject.data.test.stored, data.test.stored), "the test split was another afterwards")
    require(not model.training, "the model was left in training mode")

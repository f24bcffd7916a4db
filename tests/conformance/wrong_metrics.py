"""Metrics that are wrong, each in one way, with the check that is to catch it; and the sound ones they derive from."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

import harness


class SoundMetric:
    """The mean absolute error of reconstructions, without a fault."""

    caught_by: ClassVar[str | None] = None
    unit: ClassVar = "units of the data"
    direction: ClassVar = "lower"
    needs: ClassVar = (harness.Reconstructs,)

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        power: float = harness.setting(1.0, "power of the errors", above=0)

    def __init__(self, config: Config) -> None:
        self.config = config

    def values(self, model, data, context):
        x = data.test.all(context.noise)
        return (model.reconstruct(x) - x).abs().pow(self.config.power).flatten(1).mean(1)

    def measure(self, model, data, context):
        return harness.Estimate.over_examples(self.values(model, data, context))


class SoundSpread:
    """The mean of the samples, relative to that of test images, without a fault."""

    caught_by: ClassVar[str | None] = None
    unit: ClassVar = "units of the data"
    direction: ClassVar = "lower"
    needs: ClassVar = (harness.Samples,)

    def __init__(self, config):
        pass

    def measure(self, model, data, context):
        x = data.test.all(context.noise).flatten(1)
        samples = model.sample(len(x), context.noise).flatten(1)
        gap = float((samples.mean(0) - x.mean(0)).square().mean())
        return harness.Estimate(gap, None, len(x), counted="samples")


sound = [SoundMetric, SoundSpread]


class UnknownDirection(SoundMetric):
    caught_by = "metric-keeps-its-contract"
    direction = "up"


class NeedsAWord(SoundMetric):
    caught_by = "metric-keeps-its-contract"
    needs = ("reconstruct",)


class UndescribedSetting(SoundMetric):
    caught_by = "metric-settings-are-described"

    @dataclass(frozen=True)
    class Config:
        power: float = 1.0


class DefaultOfAnotherType(SoundMetric):
    caught_by = "metric-defaults-are-valid"

    @dataclass(frozen=True)
    class Config:
        power: int = harness.setting(1.5, "power")


class ThawedSettings(SoundMetric):
    caught_by = "metric-settings-are-frozen"

    @dataclass
    class Config:
        power: float = harness.setting(1.0, "power")


class IgnoresItsSetting(SoundMetric):
    caught_by = "metric-settings-are-used"

    def values(self, model, data, context):
        x = data.test.all(context.noise)
        return (model.reconstruct(x) - x).abs().flatten(1).mean(1)


class ReturnsANumber(SoundMetric):
    caught_by = "metric-returns-an-estimate"

    def measure(self, model, data, context):
        return super().measure(model, data, context).value


class NotANumber(SoundMetric):
    caught_by = "metric-returns-an-estimate"

    def measure(self, model, data, context):
        return harness.Estimate(float("nan"), None, 60)


class ValueAsATensor(SoundMetric):
    caught_by = "metric-returns-an-estimate"

    def measure(self, model, data, context):
        return harness.Estimate(self.values(model, data, context).mean(), None, 60)


class NegativeError(SoundMetric):
    caught_by = "metric-standard-error-is-not-negative"

    def measure(self, model, data, context):
        found = super().measure(model, data, context)
        return replace(found, stderr=-found.stderr)


class PartsAsTensors(SoundMetric):
    caught_by = "metric-results-are-storable"

    def measure(self, model, data, context):
        return replace(super().measure(model, data, context), parts={"largest": torch.tensor(1.0)})


class ValuesOfABatch(SoundMetric):
    caught_by = "metric-has-a-value-for-each-example"

    def measure(self, model, data, context):
        found = super().measure(model, data, context)
        return replace(found, per_example=found.per_example[:37])


class MedianForTheMean(SoundMetric):
    caught_by = "metric-value-is-the-mean-over-examples"

    def measure(self, model, data, context):
        found = super().measure(model, data, context)
        return replace(found, value=float(found.per_example.median()))


class SortsItsValues(SoundMetric):
    caught_by = "metric-values-belong-to-their-examples"

    def values(self, model, data, context):
        return super().values(model, data, context).sort().values


class ZeroesTestImages(SoundMetric):
    caught_by = "metric-leaves-data-unchanged"

    def measure(self, model, data, context):
        found = super().measure(model, data, context)
        data.test.stored.mul_(0)
        return found


class ShufflesTheTrainingSplit(SoundMetric):
    caught_by = "metric-leaves-data-unchanged"

    def measure(self, model, data, context):
        data.train.ids.copy_(data.train.ids.flip(0))
        return super().measure(model, data, context)


class RescalesWeights(SoundMetric):
    caught_by = "metric-leaves-the-model-unchanged"

    def measure(self, model, data, context):
        found = super().measure(model, data, context)
        next(model.parameters()).data.mul_(1.5)
        return found


class LeavesTheModelInTraining(SoundMetric):
    caught_by = "metric-leaves-the-model-unchanged"

    def measure(self, model, data, context):
        model.train()
        return super().measure(model, data, context)


class FreezesTheModel(SoundMetric):
    caught_by = "metric-leaves-the-model-unchanged"

    def measure(self, model, data, context):
        model.requires_grad_(False)
        return super().measure(model, data, context)


class DrawsFromPython(SoundMetric):
    caught_by = "metric-same-noise-same-value"

    def values(self, model, data, context):
        return super().values(model, data, context) + random.SystemRandom().random()


class WrongDirection(SoundMetric):
    caught_by = "metric-prefers-the-better-model"
    direction = "higher"


class WrongDirectionOfADistance(SoundSpread):
    caught_by = "metric-prefers-the-better-model"
    direction = "higher"


class ForgetsTheRoot(SoundMetric):
    caught_by = "metric-standard-error-fits-the-spread"

    def measure(self, model, data, context):
        found = super().measure(model, data, context)
        return replace(found, stderr=float(found.per_example.std()))


class DividesByTheNumber(SoundMetric):
    caught_by = "metric-standard-error-fits-the-spread"

    def measure(self, model, data, context):
        found = super().measure(model, data, context)
        return replace(found, stderr=float(found.per_example.std()) / found.n)


class ClaimsToBeExact(SoundMetric):
    caught_by = "metric-standard-error-fits-the-spread"

    def measure(self, model, data, context):
        return replace(super().measure(model, data, context), stderr=0.0, per_example=None)


class NeedsMoreThanItSays(SoundMetric):
    caught_by = "metric-declares-its-needs"

    def measure(self, model, data, context):
        model.sample(3, context.noise)
        return super().measure(model, data, context)


class SeedsTorch(SoundMetric):
    caught_by = "metric-keeps-the-seed-of-torch"

    def measure(self, model, data, context):
        torch.manual_seed(3)
        return super().measure(model, data, context)


class DrawsFromNumpy(SoundMetric):
    caught_by = "metric-keeps-other-generators"

    def measure(self, model, data, context):
        np.random.permutation(3)
        return super().measure(model, data, context)


class ComputesInDoublePrecision(SoundMetric):
    caught_by = "metric-keeps-the-default-dtype"

    def measure(self, model, data, context):
        torch.set_default_dtype(torch.float64)
        return super().measure(model, data, context)


class TakesAllThreads(SoundMetric):
    caught_by = "metric-keeps-the-threads"

    def measure(self, model, data, context):
        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().measure(model, data, context)


class TurnsGradientsOn(SoundMetric):
    caught_by = "metric-keeps-the-switches-of-torch"

    def measure(self, model, data, context):
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        return super().measure(model, data, context)


class ChangesTheFolder(SoundMetric):
    caught_by = "metric-keeps-the-folder"

    def measure(self, model, data, context):
        os.chdir("/")
        return super().measure(model, data, context)


class SetsAVariable(SoundMetric):
    caught_by = "metric-keeps-the-environment"

    def measure(self, model, data, context):
        os.environ["WRONG_METRIC"] = str(int(os.environ.get("WRONG_METRIC", "0")) + 1)
        return super().measure(model, data, context)


class WritesAFile(SoundMetric):
    caught_by = "metric-writes-no-files"

    def measure(self, model, data, context):
        Path("values.txt").write_text("values")
        return super().measure(model, data, context)


class Prints(SoundMetric):
    caught_by = "metric-prints-nothing"

    def measure(self, model, data, context):
        print("measuring")
        return super().measure(model, data, context)


wrong = [each for each in list(globals().values()) if isinstance(each, type) and getattr(each, "caught_by", None)]

"""Data sets and figures that are wrong, each in one way, with the check that is to catch it; and sound ones."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.distributions import Independent, Normal

import harness

_unseeded = torch.Generator().manual_seed(1)  # advances from load to load


class SoundImages:
    """Grey images of two classes, without a fault."""

    caught_by: ClassVar[str | None] = None

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        seed: int = harness.setting(0, "seed of the images", minimum=0)

    def __init__(self, config: Config) -> None:
        self.config = config

    def examples(self, split: str, n: int) -> harness.Examples:
        noise = harness.Noise(harness.derive_seed("sound", split, self.config.seed))
        labels = (noise.uniform(2000) < 0.5).long()
        values = noise.uniform(2000, 1, 4, 4) * (0.5 + 0.5 * labels.view(-1, 1, 1, 1))
        return harness.Examples((255 * values[:n]).to(torch.uint8), labels[:n])

    def load(self, source: harness.DataSource) -> harness.Data:
        return harness.Data.from_tensors(
            self.examples("train", 400), self.examples("validation", 100), self.examples("test", 200), classes=2
        )


class SoundVectors(SoundImages):
    """Vectors from a Gaussian whose density is known, without a fault."""

    def examples(self, split, n):
        noise = harness.Noise(harness.derive_seed("vectors", split, self.config.seed))
        return harness.Examples(noise.normal(n, 3) * 2 + 1)

    def load(self, source):
        three = torch.ones(3, dtype=torch.float64)
        density = Independent(Normal(three, 2 * three), 1)
        splits = [self.examples(split, n) for split, n in (("train", 400), ("validation", 100), ("test", 200))]
        return harness.Data.from_tensors(*splits, log_prob=lambda x: density.log_prob(x.double().cpu()))


class SoundFigure:
    """A histogram of samples, without a fault."""

    caught_by: ClassVar[str | None] = None
    needs: ClassVar = (harness.Samples,)

    def draw(self, model, data, context):
        figure = Figure()
        figure.add_subplot().hist(model.sample(50, context.noise).flatten().numpy())
        return figure


sound = [SoundImages, SoundVectors, SoundFigure]


class LoadsWithoutASource(SoundImages):
    caught_by = "dataset-keeps-its-contract"

    def load(self):
        return super().load(None)


class UndescribedSetting(SoundImages):
    caught_by = "dataset-settings-are-described"

    @dataclass(frozen=True)
    class Config:
        seed: int = 0


class DefaultOutOfRange(SoundImages):
    caught_by = "dataset-defaults-are-valid"

    @dataclass(frozen=True)
    class Config:
        seed: int = harness.setting(0, "seed", minimum=1)


class ThawedSettings(SoundImages):
    caught_by = "dataset-settings-are-frozen"

    @dataclass
    class Config:
        seed: int = harness.setting(0, "seed")


class IgnoresItsSeed(SoundImages):
    caught_by = "dataset-settings-are-used"

    def examples(self, split, n):
        return SoundImages(SoundImages.Config()).examples(split, n)


class FewerIdsThanExamples(SoundImages):
    caught_by = "dataset-loads"

    def load(self, source):
        data = super().load(source)
        return replace(data, test=replace(data.test, ids=data.test.ids[:-3]))


class OtherImagesEachTime(SoundImages):
    caught_by = "dataset-loads-repeatably"

    def examples(self, split, n):
        found = super().examples(split, n)
        return replace(found, values=found.values[torch.randperm(n, generator=_unseeded)])


class TestImagesDrawnForEachBatch(SoundImages):
    caught_by = "dataset-inputs-follow-the-noise"

    def load(self, source):
        data = super().load(source)
        inputs = data.test.inputs
        return replace(
            data, test=replace(data.test, inputs=lambda stored, noise: noise.bernoulli(inputs(stored, noise)))
        )


class TrainingInputsDrawnFromTorch(SoundImages):
    caught_by = "dataset-inputs-follow-the-noise"

    def load(self, source):
        data = super().load(source)
        inputs = data.train.inputs
        return replace(
            data, train=replace(data.train, inputs=lambda stored, noise: torch.bernoulli(inputs(stored, noise)))
        )


class TrainsOnTestImages(SoundImages):
    caught_by = "dataset-splits-are-disjoint"

    def examples(self, split, n):
        return super().examples("train" if split == "test" else split, n)


class AFewTestImagesInTraining(SoundImages):
    caught_by = "dataset-splits-are-disjoint"

    def load(self, source):
        data = super().load(source)
        data.train.stored[:20] = data.test.stored[:20]
        return data


class ValidatesOnTestImages(SoundImages):
    caught_by = "dataset-splits-are-disjoint"

    def examples(self, split, n):
        return super().examples("test" if split == "validation" else split, n)


def with_each(data, change):
    """Return data with each split changed, as they are made without ``Data.from_tensors``, which refuses them."""
    return replace(data, **{name: change(split) for name, split in data.splits.items()})


class EqualIds(SoundImages):
    caught_by = "dataset-ids-are-unique"

    def load(self, source):
        return with_each(super().load(source), lambda split: replace(split, ids=split.ids // 2))


class StatesAnotherShape(SoundImages):
    caught_by = "dataset-inputs-have-the-shape"

    def load(self, source):
        data = super().load(source)
        return replace(data, info=replace(data.info, shape=(1, 16)))


class InputsInDoublePrecision(SoundImages):
    caught_by = "dataset-inputs-have-the-shape"

    def load(self, source):
        data = super().load(source)
        splits = {
            name: replace(each, inputs=lambda stored, noise: stored.double() / 255)
            for name, each in data.splits.items()
        }
        return replace(data, **splits)


class InputsInBytes(SoundImages):
    caught_by = "dataset-inputs-are-in-the-support"

    def load(self, source):
        data = super().load(source)
        splits = {
            name: replace(each, inputs=lambda stored, noise: stored.float()) for name, each in data.splits.items()
        }
        return replace(data, **splits)


class GreyPixelsCalledBinary(SoundImages):
    caught_by = "dataset-inputs-are-in-the-support"

    def load(self, source):
        data = super().load(source)
        return replace(data, info=replace(data.info, support="binary"))


class MeanInBytes(SoundImages):
    caught_by = "dataset-mean-is-that-of-the-inputs"

    def load(self, source):
        data = super().load(source)
        return replace(data, info=replace(data.info, mean=255 * data.info.mean))


class OneClassTooMany(SoundImages):
    caught_by = "dataset-labels-are-classes"

    def load(self, source):
        return with_each(super().load(source), lambda split: replace(split, labels=split.labels + 1))


class SortedBeforeSplitting(SoundImages):
    caught_by = "dataset-splits-are-alike"

    def examples(self, split, n):
        found = super().examples(split, 4 * n)
        order = found.values.float().flatten(1).mean(1).argsort(descending=split == "test")[:n]
        return harness.Examples(found.values[order], found.labels[order])


class DensityOfAnotherScale(SoundVectors):
    caught_by = "dataset-density-fits-the-data"

    def load(self, source):
        data = super().load(source)
        return replace(data, log_prob=lambda x: data.log_prob(2 * x))


class SeedsTorch(SoundImages):
    caught_by = "dataset-keeps-the-seed-of-torch"

    def examples(self, split, n):
        torch.manual_seed(n)
        return super().examples(split, n)


class SeedsNumpy(SoundImages):
    caught_by = "dataset-keeps-other-generators"

    def examples(self, split, n):
        np.random.seed(n)
        random.seed(n)
        return super().examples(split, n)


class ComputesInDoublePrecision(SoundImages):
    caught_by = "dataset-keeps-the-default-dtype"

    def load(self, source):
        data = super().load(source)
        torch.set_default_dtype(torch.float64)
        return data


class TakesAllThreads(SoundImages):
    caught_by = "dataset-keeps-the-threads"

    def load(self, source):
        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().load(source)


class TurnsGradientsOff(SoundImages):
    caught_by = "dataset-keeps-the-switches-of-torch"

    def load(self, source):
        torch.set_grad_enabled(False)
        return super().load(source)


class ChangesTheFolder(SoundImages):
    caught_by = "dataset-keeps-the-folder"

    def load(self, source):
        os.chdir("/")
        return super().load(source)


class SetsAVariable(SoundImages):
    caught_by = "dataset-keeps-the-environment"

    def load(self, source):
        os.environ["WRONG_DATA"] = str(int(os.environ.get("WRONG_DATA", "0")) + 1)
        return super().load(source)


class WritesAFile(SoundImages):
    caught_by = "dataset-writes-no-files"

    def load(self, source):
        Path("cache.bin").write_bytes(b"cache")
        return super().load(source)


class Prints(SoundImages):
    caught_by = "dataset-prints-nothing"

    def load(self, source):
        print("loading")
        return super().load(source)


class DrawsNothing(SoundFigure):
    caught_by = "figure-returns-a-picture"

    def draw(self, model, data, context):
        return Figure()


class ReturnsAxes(SoundFigure):
    caught_by = "figure-returns-a-picture"

    def draw(self, model, data, context):
        return super().draw(model, data, context).axes


class DrawsWithoutContext(SoundFigure):
    caught_by = "figure-keeps-its-contract"

    def draw(self, model, data):
        return Figure()


class UsesPyplot(SoundFigure):
    caught_by = "figure-uses-no-pyplot"

    def draw(self, model, data, context):
        from matplotlib import pyplot

        mpl.use("Agg")
        figure, axes = pyplot.subplots()
        axes.plot([1, 2])
        return figure


class BrightensTestImages(SoundFigure):
    caught_by = "figure-leaves-model-and-data-unchanged"

    def draw(self, model, data, context):
        data.test.stored.mul_(0.5)
        return super().draw(model, data, context)


class TrainsTheModel(SoundFigure):
    caught_by = "figure-leaves-model-and-data-unchanged"

    def draw(self, model, data, context):
        model.train()
        return super().draw(model, data, context)


class SeedsTorchForAFigure(SoundFigure):
    caught_by = "figure-keeps-the-seed-of-torch"

    def draw(self, model, data, context):
        torch.manual_seed(2)
        return super().draw(model, data, context)


class DrawsFromNumpy(SoundFigure):
    caught_by = "figure-keeps-other-generators"

    def draw(self, model, data, context):
        np.random.rand()
        return super().draw(model, data, context)


class FigureInDoublePrecision(SoundFigure):
    caught_by = "figure-keeps-the-default-dtype"

    def draw(self, model, data, context):
        torch.set_default_dtype(torch.float64)
        return super().draw(model, data, context)


class FigureWithMoreThreads(SoundFigure):
    caught_by = "figure-keeps-the-threads"

    def draw(self, model, data, context):
        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().draw(model, data, context)


class FigureWithGradients(SoundFigure):
    caught_by = "figure-keeps-the-switches-of-torch"

    def draw(self, model, data, context):
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        return super().draw(model, data, context)


class FigureInAnotherFolder(SoundFigure):
    caught_by = "figure-keeps-the-folder"

    def draw(self, model, data, context):
        os.chdir("/")
        return super().draw(model, data, context)


class FigureThatSetsAVariable(SoundFigure):
    caught_by = "figure-keeps-the-environment"

    def draw(self, model, data, context):
        os.environ["WRONG_FIGURE"] = str(int(os.environ.get("WRONG_FIGURE", "0")) + 1)
        return super().draw(model, data, context)


class FigureThatSavesItself(SoundFigure):
    caught_by = "figure-writes-no-files"

    def draw(self, model, data, context):
        figure = super().draw(model, data, context)
        figure.savefig("figure.png", dpi=30)
        return figure


class FigureThatPrints(SoundFigure):
    caught_by = "figure-prints-nothing"

    def draw(self, model, data, context):
        print("drawing")
        return super().draw(model, data, context)


wrong = [each for each in list(globals().values()) if isinstance(each, type) and getattr(each, "caught_by", None)]

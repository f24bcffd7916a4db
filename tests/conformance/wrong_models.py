"""Models that are wrong, each in one way, with the check that is to catch it; and the sound ones they derive from."""

from __future__ import annotations

import math
import os
import random
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

import harness
from harness.toolkit import Bernoulli, elbo_terms


class SoundVAE(nn.Module):
    """A small variational autoencoder without a fault."""

    loss_name = "negative ELBO"
    caught_by: ClassVar[str | None] = None

    @dataclass(frozen=True)
    class Config(harness.AdamSettings):
        """Settings."""

        latent_dim: int = harness.setting(2, "size of the code", minimum=1)

    def __init__(self, info: harness.DataInfo, config: Config) -> None:
        super().__init__()
        d, k = info.as_vector(), config.latent_dim
        self.shape = info.shape
        self.binary = info.support == "binary"
        self.encoder = nn.Sequential(nn.Linear(d, 16), nn.Tanh(), nn.Linear(16, 2 * k))
        self.decoder = nn.Sequential(nn.Linear(k, 16), nn.Tanh(), nn.Linear(16, d))
        if not self.binary:
            self.log_deviation = nn.Parameter(torch.tensor(-1.0))
        self.register_buffer("zero", torch.zeros(k))

    def prior(self) -> Distribution:
        return Independent(Normal(self.zero, torch.ones_like(self.zero), validate_args=False), 1)

    def posterior(self, x: Tensor) -> Distribution:
        mean, scale = self.encoder(x.flatten(1)).chunk(2, dim=1)
        return Independent(Normal(mean, F.softplus(scale) + 1e-3, validate_args=False), 1)

    def observation(self, z: Tensor) -> Distribution:
        out = self.decoder(z).unflatten(-1, self.shape)
        if self.binary:
            return Independent(Bernoulli(logits=out, validate_args=False), len(self.shape))
        return Independent(Normal(out, self.log_deviation.exp().expand_as(out), validate_args=False), len(self.shape))

    def decode(self, z: Tensor) -> Tensor:
        return self.observation(z).mean

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode(self.posterior(x).mean)

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        return self.decode(noise.normal(n, len(self.zero)))

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        terms = elbo_terms(self, x, noise)
        return (terms.kl - terms.reconstruction).mean()


class SoundAutoencoder(nn.Module):
    """A small denoising autoencoder without a fault."""

    caught_by: ClassVar[str | None] = None

    def __init__(self, info: harness.DataInfo, config: harness.NoSettings) -> None:
        super().__init__()
        self.shape = info.shape
        self.encoder = nn.Sequential(nn.Linear(info.as_vector(), 8), nn.Tanh(), nn.Linear(8, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, info.dim))

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z).unflatten(1, self.shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def corrupt(self, x: Tensor, noise: harness.Noise) -> Tensor:
        return x + 0.1 * noise.normal(*x.shape)

    def codes(self, x: Tensor) -> Tensor:
        return (self.encode(x) > 0).long()

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        reconstruction = self.decode(self.encode(self.corrupt(x, noise)))
        return (reconstruction - x).square().flatten(1).sum(1).mean()


class SoundFlow(nn.Module):
    """A flow of two triangular maps, x to N(0, I), without a fault; it also moves along a straight line."""

    caught_by: ClassVar[str | None] = None

    @dataclass(frozen=True)
    class Config(harness.AdamSettings):
        """Settings."""

        learning_rate: float = harness.setting(0.03, "step size of Adam", above=0)

    def __init__(self, info: harness.DataInfo, config: Config) -> None:
        super().__init__()
        if info.is_discrete:
            raise harness.NotApplicable("a density of discrete values would grow without bound")
        d = info.as_vector()
        self.shape = info.shape
        self.shift = nn.Parameter(info.mean.flatten() + 0.01 * torch.randn(d))
        self.log_scale = nn.Parameter(0.1 * torch.randn(d))
        self.mix = nn.Parameter(0.1 * torch.randn(d, d))

    def _triangle(self) -> Tensor:
        return self.mix.tril(-1) + torch.eye(len(self.shift), dtype=self.mix.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        z = ((x.flatten(1) - self.shift) * self.log_scale.exp()) @ self._triangle().T
        return self.log_scale.sum() - 0.5 * (z.square() + math.log(2 * math.pi)).sum(1)

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        z = torch.linalg.solve_triangular(self._triangle(), noise.normal(n, len(self.shift)).T, upper=False).T
        return (z * (-self.log_scale).exp() + self.shift).unflatten(1, self.shape)

    def rescale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * x - 1, torch.full((len(x),), x[0].numel() * math.log(2))

    def velocity(self, y: Tensor, t: Tensor) -> Tensor:
        return t - y

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        return -self.log_prob(x).mean()


class SoundGaussian(nn.Module):
    """A Gaussian that fits itself, with a bound of its own and a calibrated temperature, without a fault."""

    caught_by: ClassVar[str | None] = None

    def __init__(self, info: harness.DataInfo, config: harness.NoSettings) -> None:
        super().__init__()
        if info.is_discrete:
            raise harness.NotApplicable("a density of discrete values would grow without bound")
        self.shape = info.shape
        self.register_buffer("mean", torch.zeros(info.as_vector()))
        self.register_buffer("deviation", torch.ones(info.dim))
        self.register_buffer("brightness", torch.zeros(()))

    def fit(self, train: harness.Split, noise: harness.Noise) -> None:
        x = train.all(noise).flatten(1)
        self.mean.copy_(x.mean(0))
        self.deviation.copy_(x.std(0) + 0.01)

    def calibrate(self, validation: harness.Split, noise: harness.Noise) -> None:
        self.brightness.copy_(validation.all(noise).mean())

    def _values(self) -> Distribution:
        return Independent(Normal(self.mean, self.deviation), 1)

    def log_prob(self, x: Tensor) -> Tensor:
        return self._values().log_prob(x.flatten(1))

    def elbo_terms(self, x: Tensor, noise: harness.Noise) -> dict[str, Tensor]:
        return {"density": self.log_prob(x), "slack": -noise.uniform(len(x))}

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        return (self.mean + self.deviation * noise.normal(n, len(self.mean))).unflatten(1, self.shape)


sound = [SoundVAE, SoundAutoencoder, SoundFlow, SoundGaussian]


# What they declare


class CannotBeTrained(nn.Module):
    caught_by = "model-keeps-its-contract"

    def __init__(self, info, config):
        super().__init__()


class UndescribedSetting(SoundAutoencoder):
    caught_by = "model-settings-are-described"

    @dataclass(frozen=True)
    class Config:
        width: int = 8

    def __init__(self, info, config):
        super().__init__(info, config)
        self.width = config.width


class DefaultOutOfRange(SoundAutoencoder):
    caught_by = "model-defaults-are-valid"

    @dataclass(frozen=True)
    class Config:
        width: int = harness.setting(0, "width", minimum=1)


class ThawedSettings(SoundAutoencoder):
    caught_by = "model-settings-are-frozen"

    @dataclass
    class Config:
        width: int = harness.setting(8, "width")


class IgnoresItsSetting(SoundAutoencoder):
    caught_by = "model-settings-are-used"

    @dataclass(frozen=True)
    class Config:
        sparsity: float = harness.setting(0.1, "weight of a penalty")

    def __init__(self, info, config):
        super().__init__(info, config)
        self.config = config


class RefusesWithoutAReason(SoundAutoencoder):
    caught_by = "model-explains-refusals"

    def __init__(self, info, config):
        super().__init__(info, config)
        if info.shape[0] == 3:
            raise ValueError("no colours")


class TakesNothing(SoundAutoencoder):
    caught_by = "model-takes-some-data"

    def __init__(self, info, config):
        raise harness.NotApplicable("it is a model of data that nobody has")


# Training


class FailsOnColour(SoundAutoencoder):
    caught_by = "model-trains"

    def loss(self, x, noise):
        return (self.reconstruct(x) - x[:, :1]).square().mean() + x.view(len(x), 1, *self.shape[1:]).mean()


class ReconstructsAPair(SoundAutoencoder):
    caught_by = "model-methods-return-tensors"

    def loss(self, x, noise):
        return (self.reconstruct(x)[0] - x).square().mean()

    def reconstruct(self, x):
        return super().reconstruct(x), None


class RaisesWhenItSamples(SoundAutoencoder):
    caught_by = "model-methods-return-tensors"

    def sample(self, n, noise):
        raise RuntimeError("there is no decoder")


class LossOfEachExample(SoundAutoencoder):
    caught_by = "model-loss-is-a-scalar"

    def loss(self, x, noise):
        return (self.reconstruct(x) - x).square().flatten(1).sum(1)


class NotANumberInItsGradient(SoundAutoencoder):
    caught_by = "model-gradients-are-finite"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.weight = nn.Parameter(torch.zeros(3))

    def loss(self, x, noise):
        return super().loss(x, noise) + self.weight.square().sum().sqrt()


class DetachedEncoder(SoundAutoencoder):
    caught_by = "model-gradients-reach-all-parameters"

    def encode(self, x):
        return super().encode(x).detach()


class ForgottenParameters(SoundAutoencoder):
    caught_by = "model-gradients-reach-all-parameters"

    def objectives(self):
        return [harness.Objective("error", self.loss, list(self.decoder.parameters()), harness.AdamSettings())]


class SummedLoss(SoundAutoencoder):
    caught_by = "model-loss-is-a-mean"

    def loss(self, x, noise):
        return (self.reconstruct(x) - x).square().sum()


class SummedBound(SoundVAE):
    caught_by = "model-loss-is-a-mean"

    def loss(self, x, noise):
        return super().loss(x, noise) * len(x)


class DrawsWeightsFromNumpy(SoundAutoencoder):
    caught_by = "model-same-seed-same-numbers"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.decoder[0].bias.data += torch.from_numpy(np.random.randn(8)).float()


class PicksAtRandom(SoundAutoencoder):
    caught_by = "model-same-seed-same-numbers"

    def loss(self, x, noise):
        return super().loss(x, noise) * random.choice([0.5, 1.0, 2.0])


class StartsAtUnseededWeights(SoundAutoencoder):
    caught_by = "model-same-seed-same-weights"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.decoder[0].bias.data += torch.from_numpy(np.random.default_rng().normal(size=8)).float()


class CorruptsWithoutASeed(SoundAutoencoder):
    caught_by = "model-loss-follows-the-noise"

    def loss(self, x, noise):
        noisy = x + 0.1 * torch.from_numpy(np.random.default_rng().normal(size=x.shape)).float()
        return (self.decode(self.encode(noisy)) - x).square().flatten(1).sum(1).mean()


class AddsARandomNumberToItsLoss(SoundAutoencoder):
    caught_by = "model-loss-follows-the-noise"  # the weights of two fits are equal, and only their curves differ

    def loss(self, x, noise):
        return super().loss(x, noise) + np.random.default_rng().random()


class AlwaysStartsAtTheSameWeights(SoundAutoencoder):
    caught_by = "model-other-seed-other-numbers"

    def __init__(self, info, config):
        super().__init__(info, config)
        generator = torch.Generator().manual_seed(0)
        for each in self.parameters():
            each.data = 0.1 * torch.randn(each.shape, generator=generator)


class LooksAtTestImages(SoundGaussian):
    caught_by = "model-never-sees-the-test-split"

    def fit(self, train, noise):
        super().fit(train, noise)
        frame = sys._getframe()
        while frame is not None:
            if "recipe" in frame.f_locals:
                self.mean.copy_(frame.f_locals["recipe"].data.test.all(noise).flatten(1).mean(0))
                return
            frame = frame.f_back


class ScalesTrainingDataInPlace(SoundGaussian):
    caught_by = "model-leaves-data-unchanged"

    def fit(self, train, noise):
        super().fit(train, noise)
        train.stored.zero_()


class ScalesValidationDataInPlace(SoundGaussian):
    caught_by = "model-leaves-data-unchanged"

    def calibrate(self, validation, noise):
        super().calibrate(validation, noise)
        validation.stored.clamp_(0, 0)


class ClampsItsInput(SoundAutoencoder):
    caught_by = "model-leaves-inputs-unchanged"

    def reconstruct(self, x):
        return super().reconstruct(x.clamp_(0.1, 0.9))


class NormalizesCodesInPlace(SoundVAE):
    caught_by = "model-leaves-inputs-unchanged"

    def decode(self, z):
        return super().decode(z.mul_(0.5))


class CountsItsSteps(SoundAutoencoder):
    caught_by = "model-vectorizes-faithfully"
    count = 0

    def loss(self, x, noise):
        self.count += 1
        return super().loss(x, noise) * (100 if self.count > 4 else 1)


# State


class StoresANumber(SoundAutoencoder):
    caught_by = "model-state-is-tensors"

    def get_extra_state(self):
        return {"count": 3}

    def set_extra_state(self, state):
        pass


class KeepsItsScaleOutsideTheState(SoundGaussian):
    caught_by = "model-state-is-complete"
    scale = 1.0

    def fit(self, train, noise):
        super().fit(train, noise)
        self.scale = 2.0

    def sample(self, n, noise):
        return super().sample(n, noise) * self.scale


class LosesItsBuffer(SoundAutoencoder):
    caught_by = "model-state-is-complete"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.register_buffer("projection", torch.randn(3), persistent=False)

    def encode(self, x):
        return super().encode(x) * self.projection


class KeepsAFunction(SoundAutoencoder):
    caught_by = "model-can-be-copied"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.activation = lambda x: x

    def encode(self, x):
        return self.activation(super().encode(x))


class KeepsALock(SoundAutoencoder):
    caught_by = "model-can-be-copied"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.lock = threading.Lock()


# Evaluation


class GoesBackToTraining(SoundAutoencoder):
    caught_by = "model-stays-in-evaluation-mode"

    def reconstruct(self, x):
        if not torch.is_grad_enabled():
            self.train()
        return super().reconstruct(x)


class DropoutInEvaluation(SoundAutoencoder):
    caught_by = "model-evaluates-without-chance"

    def encode(self, x):
        return F.dropout(super().encode(x), 0.3)


class DropoutInADensity(SoundFlow):
    caught_by = "model-evaluates-without-chance"

    def log_prob(self, x):
        return super().log_prob(F.dropout(x, 0.1))


class BatchStatisticsInEvaluation(SoundAutoencoder):
    caught_by = "model-evaluates-each-example-alone"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.norm = nn.BatchNorm1d(3, track_running_stats=False)

    def encode(self, x):
        code = super().encode(x)
        return self.norm(code) if len(x) > 1 else code


class DensityRelativeToTheBatch(SoundFlow):
    caught_by = "model-evaluates-each-example-alone"

    def log_prob(self, x):
        found = super().log_prob(x)
        return found - 0.1 * found.mean()


class RemembersByAddress(SoundAutoencoder):
    caught_by = "model-evaluates-without-memory"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.cache = {}

    def encode(self, x):
        if torch.is_grad_enabled():
            return super().encode(x)
        key = x.data_ptr(), tuple(x.shape)
        if key not in self.cache:
            self.cache[key] = super().encode(x)
        return self.cache[key]


class ReusesItsResult(SoundAutoencoder):
    caught_by = "model-evaluates-without-memory"

    def reconstruct(self, x):
        found = super().reconstruct(x)
        if torch.is_grad_enabled():
            return found
        if getattr(self, "result", found[:0]).shape != found.shape:
            self.result = torch.empty_like(found)
        return self.result.copy_(found)


class AveragesInEvaluation(SoundAutoencoder):
    caught_by = "model-evaluation-changes-nothing"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.register_buffer("average", torch.zeros(3))

    def encode(self, x):
        code = super().encode(x)
        if not torch.is_grad_enabled():
            self.average.lerp_(code.mean(0), 0.1)
        return code


class PriorOfTheLastBatch(SoundVAE):
    caught_by = "model-prior-is-fixed"

    def posterior(self, x):
        found = super().posterior(x)
        self.last = found.mean.detach().mean(0)
        return found

    def prior(self):
        return Independent(Normal(getattr(self, "last", self.zero), torch.ones_like(self.zero)), 1)


class CalibratesByAdding(SoundGaussian):
    caught_by = "model-calibrates-repeatably"

    def calibrate(self, validation, noise):
        self.brightness.add_(validation.all(noise).mean())


class ReturnsItsInput(SoundAutoencoder):
    caught_by = "model-reconstructions-are-computed"

    def reconstruct(self, x):
        return super().reconstruct(x) if torch.is_grad_enabled() else x.clone()


class LooksUpTrainingImages(SoundAutoencoder):
    caught_by = "model-reconstructions-are-computed"

    def __init__(self, info, config):
        super().__init__(info, config)
        self.seen = set()

    def loss(self, x, noise):
        self.seen.update(each.detach().numpy().tobytes() for each in x)
        return super().loss(x, noise)

    def reconstruct(self, x):
        found = super().reconstruct(x)
        if torch.is_grad_enabled():
            return found
        known = torch.tensor([each.numpy().tobytes() in self.seen for each in x])
        return torch.where(known.view(-1, *[1] * (x.dim() - 1)), x, found)


# Noise and samples


class DrawsFromTheGlobalGenerator(SoundVAE):
    caught_by = "model-follows-the-noise"

    def sample(self, n, noise):
        return self.decode(torch.randn(n, len(self.zero)))


class SamplesWithoutASeed(SoundVAE):
    caught_by = "model-follows-the-noise"

    def sample(self, n, noise):
        return self.decode(torch.from_numpy(np.random.default_rng().normal(size=(n, len(self.zero)))).float())


class AlwaysTheSameSamples(SoundVAE):
    caught_by = "model-other-noise-other-samples"

    def sample(self, n, noise):
        return self.decode(harness.Noise(0).normal(n, len(self.zero)))


class FlatSamples(SoundVAE):
    caught_by = "model-samples-have-the-shape"

    def sample(self, n, noise):
        return super().sample(n, noise).flatten(1)


class OneSampleTooFew(SoundVAE):
    caught_by = "model-samples-have-the-shape"

    def sample(self, n, noise):
        return super().sample(n // 2 * 2, noise)


class SamplesThatAreNoNumbers(SoundVAE):
    caught_by = "model-samples-are-finite"

    def sample(self, n, noise):
        return super().sample(n, noise).log() * 0


class SamplesInBytes(SoundVAE):
    caught_by = "model-samples-are-on-the-scale-of-the-data"

    def sample(self, n, noise):
        return 255 * super().sample(n, noise)


class SamplesBetweenMinusOneAndOne(SoundVAE):
    caught_by = "model-samples-are-on-the-scale-of-the-data"

    def sample(self, n, noise):
        return (6 * noise.normal(n, *self.shape)).tanh()


class NormalizesItsSamples(SoundGaussian):
    caught_by = "model-samples-do-not-depend-on-their-number"

    def sample(self, n, noise):
        found = super().sample(n, noise)
        return found - found.mean(0) if n > 1 else found


class FlatReconstructions(SoundAutoencoder):
    caught_by = "model-reconstructions-have-the-shape"

    def reconstruct(self, x):
        found = super().reconstruct(x)
        return found if torch.is_grad_enabled() else found.flatten(1)


class ReconstructsInBytes(SoundAutoencoder):
    caught_by = "model-reconstructions-are-on-the-scale-of-the-data"

    def reconstruct(self, x):
        found = super().reconstruct(x)
        return found if torch.is_grad_enabled() else 255 * found.sigmoid()


class CodesAsImages(SoundAutoencoder):
    caught_by = "model-codes-have-the-shape"

    def encode(self, x):
        return super().encode(x).unsqueeze(1)

    def decode(self, z):
        return super().decode(z.flatten(1))


class ReconstructsOtherwise(SoundAutoencoder):
    caught_by = "model-reconstructs-by-its-codes"

    def reconstruct(self, x):
        return super().reconstruct(x) + 0.3


class CodesThatAreNotWhole(SoundAutoencoder):
    caught_by = "model-codebook-entries-are-whole-numbers"

    def codes(self, x):
        return self.encode(x)


class PosteriorOfEachNumber(SoundVAE):
    caught_by = "model-distributions-have-their-shapes"
    loss_name = "loss"

    def posterior(self, x):
        return super().posterior(x).base_dist

    def loss(self, x, noise):
        return (self.reconstruct(x) - x).square().flatten(1).sum(1).mean()


class LikelihoodOfTheBatch(SoundFlow):
    caught_by = "model-likelihoods-have-the-shape"

    def log_prob(self, x):
        return super().log_prob(x).mean()


class CorruptsNothing(SoundAutoencoder):
    caught_by = "model-corruptions-have-the-shape"

    def corrupt(self, x, noise):
        return x


# Mathematics


class ForgetsTheScaleInTheDeterminant(SoundFlow):
    caught_by = "model-rescaling-has-its-log-determinant"

    def rescale(self, x):
        return 2 * x - 1, torch.zeros(len(x))


class ForgetsTheLogDeterminant(SoundFlow):
    caught_by = "model-density-integrates-to-one"

    def log_prob(self, x):
        return super().log_prob(x) - 2 * self.log_scale.sum()


class ForgetsTwoPi(SoundGaussian):
    caught_by = "model-density-integrates-to-one"

    def log_prob(self, x):
        return super().log_prob(x) + 0.5 * len(self.mean) * math.log(2 * math.pi)


class MeanOverValues(SoundGaussian):
    caught_by = "model-density-integrates-to-one"

    def log_prob(self, x):
        return super().log_prob(x) / len(self.mean)


class SamplesTwiceAsWide(SoundGaussian):
    caught_by = "model-density-agrees-with-samples"

    def sample(self, n, noise):
        return (self.mean + 2 * self.deviation * noise.normal(n, len(self.mean))).unflatten(1, self.shape)


class SamplesWithoutMixing(SoundFlow):
    caught_by = "model-density-agrees-with-samples"

    def sample(self, n, noise):
        z = noise.normal(n, len(self.shift))
        return (z * self.log_scale.exp() + self.shift).unflatten(1, self.shape)


class TooGoodToBeTrue(SoundFlow):
    caught_by = "model-likelihood-is-below-the-truth"

    def log_prob(self, x):
        return super().log_prob(x) + 3


class SharpenedObservations(SoundVAE):
    caught_by = "model-observation-model-is-normalized"

    def observation(self, z):
        found = super().observation(z)
        kind = _Tempered if not self.binary else _TemperedBits
        return Independent(kind(*_arguments(found.base_dist), validate_args=False), len(self.shape))


class _Tempered(Normal):
    def log_prob(self, value):
        return 0.5 * super().log_prob(value)


class _TemperedBits(torch.distributions.Bernoulli):
    def log_prob(self, value):
        return 0.5 * super().log_prob(value)


def _arguments(found: Distribution) -> tuple[Tensor, ...]:
    return (found.loc, found.scale) if isinstance(found, Normal) else (found.probs,)


class PosteriorThatStatesAnotherWidth(SoundVAE):
    caught_by = "model-importance-weights-are-consistent"

    def posterior(self, x):
        found = super().posterior(x).base_dist
        return Independent(_Misstated(found.loc, found.scale, validate_args=False), 1)


class _Misstated(Normal):
    """Its log_prob is that of a distribution half as wide."""

    def log_prob(self, value):
        return Normal(self.loc, 0.5 * self.scale).log_prob(value)


class DensityBelowItsBound(SoundGaussian):
    caught_by = "model-bound-is-below-the-density"

    def elbo_terms(self, x, noise):
        return {"density": self.log_prob(x), "slack": noise.uniform(len(x))}


class BoundWithoutItsDivergence(SoundGaussian):
    caught_by = "model-bound-sums-to-at-most-one"

    def elbo_terms(self, x, noise):
        return {"density": self.log_prob(x), "forgotten": 2 + noise.uniform(len(x))}


class ReconstructionAsABound(SoundVAE):
    caught_by = "model-bound-sums-to-at-most-one"

    def elbo_terms(self, x, noise):
        return {"reconstruction": elbo_terms(self, x, noise).reconstruction + 2}


class DivergenceOfAnotherPosterior(SoundVAE):
    caught_by = "model-divergence-agrees-with-samples"

    def posterior(self, x):
        found = super().posterior(x).base_dist
        return Independent(_Misstated(found.loc, found.scale, validate_args=False), 1)


class HalfTheDivergence(SoundVAE):
    caught_by = "model-loss-is-rate-plus-distortion"

    def loss(self, x, noise):
        terms = elbo_terms(self, x, noise)
        return (0.5 * terms.kl - terms.reconstruction).mean()


class MeanOverPixels(SoundVAE):
    caught_by = "model-loss-is-rate-plus-distortion"

    def loss(self, x, noise):
        terms = elbo_terms(self, x, noise)
        return (terms.kl - terms.reconstruction / x[0].numel()).mean()


class SamplesFromAnotherPrior(SoundVAE):
    caught_by = "model-samples-follow-the-prior"

    def sample(self, n, noise):
        return self.decode(noise.normal(n, len(self.zero)) + 2)


# Surroundings


class SeedsTorch(SoundVAE):
    caught_by = "model-keeps-the-seed-of-torch"

    def sample(self, n, noise):
        torch.manual_seed(12)
        return super().sample(n, noise)


class SeedsNumpy(SoundVAE):
    caught_by = "model-keeps-other-generators"

    def __init__(self, info, config):
        super().__init__(info, config)
        np.random.seed(0)


class UsesPythonsGenerator(SoundVAE):
    caught_by = "model-keeps-other-generators"

    def sample(self, n, noise):
        return super().sample(n, noise) * (1 - 1e-9 * random.random())


class ComputesInDoublePrecision(SoundVAE):
    caught_by = "model-keeps-the-default-dtype"

    def __init__(self, info, config):
        super().__init__(info, config)
        torch.set_default_dtype(torch.float64)


class TakesAllThreads(SoundVAE):
    caught_by = "model-keeps-the-threads"

    def loss(self, x, noise):
        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().loss(x, noise)


class TurnsGradientsOff(SoundGaussian):
    caught_by = "model-keeps-the-switches-of-torch"

    def sample(self, n, noise):
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        return super().sample(n, noise)


class ChangesTheFolder(SoundVAE):
    caught_by = "model-keeps-the-folder"

    def __init__(self, info, config):
        super().__init__(info, config)
        os.chdir("/")


class SetsAVariable(SoundVAE):
    caught_by = "model-keeps-the-environment"

    def __init__(self, info, config):
        super().__init__(info, config)
        os.environ["WRONG_MODEL"] = str(int(os.environ.get("WRONG_MODEL", "0")) + 1)


class WritesAFile(SoundVAE):
    caught_by = "model-writes-no-files"

    def sample(self, n, noise):
        Path("samples.txt").write_text("samples")
        return super().sample(n, noise)


class Prints(SoundVAE):
    caught_by = "model-prints-nothing"

    def loss(self, x, noise):
        found = super().loss(x, noise)
        print("loss", float(found))
        return found


class Warns(SoundVAE):
    """Is sound: warnings are not output."""

    def sample(self, n, noise):
        warnings.warn("slow", stacklevel=1)
        return super().sample(n, noise)


wrong = [
    each
    for each in list(globals().values())
    if isinstance(each, type) and issubclass(each, nn.Module) and getattr(each, "caught_by", None)
]

"""Metrics: reconstruction, codes, bounds and likelihoods, sample quality, speed and cost."""

from __future__ import annotations

from harness import MetricSpec, hookimpl

# By name: where it is, a line about it, and the version of its figures where they have changed.
_provided: dict[str, tuple[str, ...]] = {
    "reconstruction-mse": (
        "reconstruction.errors:ReconstructionMSE",
        "mean squared error of reconstructions, per pixel",
    ),
    "reconstruction-bce": (
        "reconstruction.errors:ReconstructionBCE",
        "binary cross-entropy of reconstructions, in nats per pixel",
    ),
    "psnr": ("reconstruction.image_quality:PSNR", "peak signal-to-noise ratio of reconstructions, in dB"),
    "ssim": ("reconstruction.image_quality:SSIM", "structural similarity of reconstructions to the originals"),
    "chamfer": ("reconstruction.chamfer:Chamfer", "Chamfer distance of reconstructed point sets"),
    "sparsity": ("codes.units:Sparsity", "share of an example's code units near zero"),
    "active-units": ("codes.units:ActiveUnits", "latent units whose posterior mean varies over examples"),
    "codebook-perplexity": (
        "codes.codebook:CodebookPerplexity",
        "how many entries of a codebook are used, as the exponential of their entropy",
        "2",
    ),
    "elbo": ("likelihood.elbo:ELBO", "evidence lower bound, in nats per image"),
    "rate": ("likelihood.elbo:Rate", "nats that the bound spends on the code; rate + distortion = -elbo"),
    "distortion": ("likelihood.elbo:Distortion", "-E_q[log p(x|z)], in nats per image"),
    "kl": ("likelihood.kl:KL", "KL(q(z|x) || p(z)), in nats, beside its Monte Carlo estimate"),
    "iw-bound": (
        "likelihood.iw_bound:ImportanceWeightedBound",
        "importance-weighted bound of k samples, in nats per image",
        "2",
    ),
    "log-likelihood-iw": (
        "likelihood.importance:LogLikelihoodIW",
        "log-likelihood by importance sampling with the encoder, in nats per image",
    ),
    "log-likelihood-mc": (
        "likelihood.monte_carlo:LogLikelihoodMC",
        "log-likelihood by codes drawn from the prior, in nats per image",
    ),
    "posterior-gap": (
        "likelihood.posterior_gap:PosteriorGap",
        "log-likelihood less the evidence lower bound, in nats per image",
        "2",
    ),
    "parzen": (
        "likelihood.parzen:Parzen",
        "kernel density estimate from samples, in nats per image; not to be trusted",
    ),
    "log-likelihood-ais": (
        "likelihood.ais:LogLikelihoodAIS",
        "log-likelihood by annealed importance sampling, in nats per image",
    ),
    "ais-gap": (
        "likelihood.ais:AISGap",
        "gap of the bounds of annealed importance sampling on images of the model, in nats",
    ),
    "log-likelihood-exact": ("likelihood.exact:ExactLogLikelihood", "exact log-likelihood, in nats per image"),
    "log-likelihood-ode": (
        "likelihood.ode:LogLikelihoodODE",
        "log-density of a flow along its differential equation, in nats per image",
    ),
    "frechet-distance": (
        "quality.frechet:FrechetDistance",
        "Fréchet distance of samples to test images, in a space of features",
    ),
    "kernel-distance": (
        "quality.kernel:KernelDistance",
        "squared maximum mean discrepancy of samples and test images, cubic kernel",
    ),
    "precision": ("quality.neighbours:Precision", "share of samples that lie among test images"),
    "recall": ("quality.neighbours:Recall", "share of test images that lie among samples"),
    "density": ("quality.neighbours:Density", "how densely test images lie around the samples"),
    "coverage": ("quality.neighbours:Coverage", "share of test images that have a sample near them"),
    "mode-coverage": ("quality.modes:ModeCoverage", "how many of the data's classes are among the samples"),
    "memorisation": (
        "quality.spread:Memorisation",
        "distance of samples to the nearest training image, over that of test images",
    ),
    "diversity": ("quality.spread:Diversity", "distance of samples to each other, over that of test images"),
    "training-throughput": (
        "speed.throughput:TrainingThroughput",
        "training examples per second, over batch sizes",
        "2",
    ),
    "sampling-throughput": ("speed.throughput:SamplingThroughput", "examples drawn per second, over batch sizes"),
    "encoding-throughput": ("speed.throughput:EncodingThroughput", "examples encoded per second, over batch sizes"),
    "latency": ("speed.latency:Latency", "milliseconds to draw one example, or to rebuild one"),
    "parameters": ("speed.parameters:Parameters", "number of parameters"),
    "flops": ("speed.flops:Flops", "floating-point operations per example drawn or rebuilt, and trained on"),
    "peak-memory": ("speed.peak_memory:PeakMemoryUse", "MiB that a training step takes", "2"),
    "energy": ("speed.energy:Energy", "joules per training example, where the machine counts them"),
    "model-flops-utilisation": (
        "speed.utilisation:ModelFlopsUtilisation",
        "training's share of the machine's matrix-product peak",
    ),
    "time-to-quality": (
        "speed.time_to_quality:TimeToQuality",
        "seconds of training until a metric passes a threshold",
        "2",
    ),
}


@hookimpl
def harness_metrics() -> list[MetricSpec]:
    """Provide the metrics."""
    return [
        MetricSpec(name, f"harness_metrics.{where}", about, version=version[0] if version else "1")
        for name, (where, about, *version) in _provided.items()
    ]

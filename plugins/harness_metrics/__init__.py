"""Metrics: reconstruction, codes, the evidence lower bound, sample quality, speed and cost."""

from __future__ import annotations

from harness import MetricSpec, hookimpl


@hookimpl
def harness_metrics() -> list[MetricSpec]:
    """Provide the metrics."""
    return [
        MetricSpec(
            "reconstruction-mse",
            "harness_metrics.reconstruction:ReconstructionMSE",
            "mean squared error of reconstructions, per pixel",
            version="1",
        ),
        MetricSpec(
            "reconstruction-bce",
            "harness_metrics.reconstruction:ReconstructionBCE",
            "binary cross-entropy of reconstructions, in nats per pixel",
            version="1",
        ),
        MetricSpec(
            "psnr",
            "harness_metrics.image_quality:PSNR",
            "peak signal-to-noise ratio of reconstructions, in dB",
            version="1",
        ),
        MetricSpec(
            "ssim",
            "harness_metrics.image_quality:SSIM",
            "structural similarity of reconstructions to the originals",
            version="1",
        ),
        MetricSpec(
            "sparsity", "harness_metrics.codes:Sparsity", "share of an example's code units near zero", version="1"
        ),
        MetricSpec(
            "active-units",
            "harness_metrics.codes:ActiveUnits",
            "latent units whose posterior mean varies over examples",
            version="1",
        ),
        MetricSpec(
            "chamfer", "harness_metrics.chamfer:Chamfer", "Chamfer distance of reconstructed point sets", version="1"
        ),
        MetricSpec("elbo", "harness_metrics.elbo:ELBO", "evidence lower bound, in nats per image", version="1"),
        MetricSpec(
            "rate",
            "harness_metrics.elbo:Rate",
            "nats that the bound spends on the code; rate + distortion = -elbo",
            version="1",
        ),
        MetricSpec(
            "distortion",
            "harness_metrics.elbo:Distortion",
            "-E_q[log p(x|z)], in nats per image",
            version="1",
        ),
        MetricSpec(
            "kl", "harness_metrics.kl:KL", "KL(q(z|x) || p(z)), in nats, beside its Monte Carlo estimate", version="1"
        ),
        MetricSpec(
            "iw-bound",
            "harness_metrics.iw_bound:ImportanceWeightedBound",
            "importance-weighted bound of k samples, in nats per image",
            version="2",
        ),
        MetricSpec(
            "log-likelihood-iw",
            "harness_metrics.importance:LogLikelihoodIW",
            "log-likelihood by importance sampling with the encoder, in nats per image",
            version="1",
        ),
        MetricSpec(
            "log-likelihood-mc",
            "harness_metrics.monte_carlo:LogLikelihoodMC",
            "log-likelihood by codes drawn from the prior, in nats per image",
            version="1",
        ),
        MetricSpec(
            "posterior-gap",
            "harness_metrics.posterior_gap:PosteriorGap",
            "log-likelihood less the evidence lower bound, in nats per image",
            version="1",
        ),
        MetricSpec(
            "parzen",
            "harness_metrics.parzen:Parzen",
            "kernel density estimate from samples, in nats per image; not to be trusted",
            version="1",
        ),
        MetricSpec(
            "log-likelihood-ais",
            "harness_metrics.ais:LogLikelihoodAIS",
            "log-likelihood by annealed importance sampling, in nats per image",
            version="1",
        ),
        MetricSpec(
            "ais-gap",
            "harness_metrics.ais:AISGap",
            "gap of the bounds of annealed importance sampling on images of the model, in nats",
            version="1",
        ),
        MetricSpec(
            "log-likelihood-exact",
            "harness_metrics.exact:ExactLogLikelihood",
            "exact log-likelihood, in nats per image",
            version="1",
        ),
        MetricSpec(
            "log-likelihood-ode",
            "harness_metrics.ode:LogLikelihoodODE",
            "log-density of a flow along its differential equation, in nats per image",
            version="1",
        ),
        MetricSpec(
            "codebook-perplexity",
            "harness_metrics.codebook:CodebookPerplexity",
            "how many entries of a codebook are used, as the exponential of their entropy",
            version="1",
        ),
        MetricSpec(
            "frechet-distance",
            "harness_metrics.quality.frechet:FrechetDistance",
            "Fréchet distance of samples to test images, in a space of features",
            version="1",
        ),
        MetricSpec(
            "kernel-distance",
            "harness_metrics.quality.kernel:KernelDistance",
            "squared maximum mean discrepancy of samples and test images, cubic kernel",
            version="1",
        ),
        MetricSpec(
            "precision",
            "harness_metrics.quality.neighbours:Precision",
            "share of samples that lie among test images",
            version="1",
        ),
        MetricSpec(
            "recall",
            "harness_metrics.quality.neighbours:Recall",
            "share of test images that lie among samples",
            version="1",
        ),
        MetricSpec(
            "density",
            "harness_metrics.quality.neighbours:Density",
            "how densely test images lie around the samples",
            version="1",
        ),
        MetricSpec(
            "coverage",
            "harness_metrics.quality.neighbours:Coverage",
            "share of test images that have a sample near them",
            version="1",
        ),
        MetricSpec(
            "mode-coverage",
            "harness_metrics.quality.modes:ModeCoverage",
            "how many of the data's classes are among the samples",
            version="1",
        ),
        MetricSpec(
            "memorisation",
            "harness_metrics.quality.spread:Memorisation",
            "distance of samples to the nearest training image, over that of test images",
            version="1",
        ),
        MetricSpec(
            "diversity",
            "harness_metrics.quality.spread:Diversity",
            "distance of samples to each other, over that of test images",
            version="1",
        ),
        MetricSpec(
            "training-throughput",
            "harness_metrics.throughput:TrainingThroughput",
            "training examples per second, over batch sizes",
            version="2",
        ),
        MetricSpec(
            "sampling-throughput",
            "harness_metrics.throughput:SamplingThroughput",
            "examples drawn per second, over batch sizes",
            version="1",
        ),
        MetricSpec(
            "encoding-throughput",
            "harness_metrics.throughput:EncodingThroughput",
            "examples encoded per second, over batch sizes",
            version="1",
        ),
        MetricSpec(
            "latency",
            "harness_metrics.latency:Latency",
            "milliseconds to draw one example, or to rebuild one",
            version="1",
        ),
        MetricSpec("parameters", "harness_metrics.parameters:Parameters", "number of parameters", version="1"),
        MetricSpec(
            "flops",
            "harness_metrics.flops:Flops",
            "floating-point operations per example drawn or rebuilt, and trained on",
            version="1",
        ),
        MetricSpec(
            "peak-memory", "harness_metrics.peak_memory:PeakMemoryUse", "MiB that a training step takes", version="1"
        ),
        MetricSpec(
            "energy",
            "harness_metrics.energy:Energy",
            "joules per training example, where the machine counts them",
            version="1",
        ),
        MetricSpec(
            "model-flops-utilisation",
            "harness_metrics.utilisation:ModelFlopsUtilisation",
            "training's share of the machine's matrix-product peak",
            version="1",
        ),
        MetricSpec(
            "time-to-quality",
            "harness_metrics.time_to_quality:TimeToQuality",
            "seconds of training until a metric passes a threshold",
            version="1",
        ),
    ]

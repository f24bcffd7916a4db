"""Metrics: reconstruction, codes, the evidence lower bound, speed and cost."""

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

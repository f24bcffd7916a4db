"""Metrics: reconstruction, the evidence lower bound, speed and cost."""

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
        MetricSpec("elbo", "harness_metrics.elbo:ELBO", "evidence lower bound, in nats per image", version="1"),
        MetricSpec(
            "iw-bound",
            "harness_metrics.iw_bound:ImportanceWeightedBound",
            "importance-weighted bound of k samples, in nats per image",
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

"""Metrics: reconstruction, the evidence lower bound, and speed."""

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
            "training-throughput",
            "harness_metrics.throughput:TrainingThroughput",
            "training examples per second",
            version="1",
        ),
        MetricSpec(
            "time-to-quality",
            "harness_metrics.time_to_quality:TimeToQuality",
            "seconds of training until a metric passes a threshold",
            version="1",
        ),
    ]

"""Building blocks for plugins: layers, distributions and estimators, and tools that measure time and memory."""

from harness.data.decoded_cache import digest_of
from harness.machine.cpu_load import CompetingLoad
from harness.machine.cuda_graphs import GraphRecorder, Work, cuda_graph, side_stream
from harness.machine.device import synchronize, using_threads
from harness.machine.fast_linear import linear
from harness.machine.memory import PeakMemory, rows_within
from harness.machine.peak_flops import matrix_product_peak
from harness.toolkit.bernoulli import Bernoulli
from harness.toolkit.chamfer import ChamferKind, chamfer
from harness.toolkit.convolutions import ConvolutionalDecoder, ConvolutionalEncoder, halved_sides
from harness.toolkit.coupling import CouplingLayers
from harness.toolkit.likelihood import (
    LatentVariableModel,
    elbo_terms,
    log_importance_weights,
    sum_of_softplus,
)
from harness.toolkit.observation_models import ObservationSettings, Observed, observed

__all__ = [
    "Bernoulli",
    "ChamferKind",
    "CompetingLoad",
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "CouplingLayers",
    "GraphRecorder",
    "LatentVariableModel",
    "ObservationSettings",
    "Observed",
    "PeakMemory",
    "Work",
    "chamfer",
    "cuda_graph",
    "digest_of",
    "elbo_terms",
    "halved_sides",
    "linear",
    "log_importance_weights",
    "matrix_product_peak",
    "observed",
    "rows_within",
    "side_stream",
    "sum_of_softplus",
    "synchronize",
    "using_threads",
]

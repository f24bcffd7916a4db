"""The public API: what a plugin author imports. The names are listed in ``__init__.pyi``, contracts first.

Each is imported when it is first used, so that a module of specs and hooks does not import torch.
"""

import warnings
from importlib import import_module
from typing import Any

import lazy_loader

_resolve, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Names of version 0.1, and what to use now.
_deprecated = {
    "Bounds": "HasBound",
    "Decodes": "HasObservationModel",
    "Encodes": "HasPosterior",
    "FitsInClosedForm": "FitsItself",
    "HasCode": "HasEncoder",
    "Story": "FigureContext",
    "beside_the_main_stream": "toolkit.side_stream",
}
_deprecated |= {
    name: f"toolkit.{name}"
    for name in (
        "Bernoulli",
        "ChamferKind",
        "CompetingLoad",
        "ConvolutionalDecoder",
        "ConvolutionalEncoder",
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
        "log_importance_weights",
        "matrix_product_peak",
        "observed",
        "rows_within",
        "sum_of_softplus",
        "synchronize",
        "using_threads",
    )
}


def __getattr__(name: str) -> Any:
    if name not in _deprecated:
        return _resolve(name)
    now = _deprecated[name]
    warnings.warn(f"harness.{name} is now harness.{now}", DeprecationWarning, stacklevel=2)
    package, _, attribute = f"{__name__}.{now}".rpartition(".")
    return getattr(import_module(package), attribute)

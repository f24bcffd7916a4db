"""Decodes a line of records into typed fields, and checks their types and values while it reads.

What it accepts has the values that ``json`` reads, and passes the checks of ``harness.results.validation``. It refuses
a little more, such as whole numbers of more than 64 bits; ``RecordReader`` reads refused lines with ``json``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

from msgspec import NODEFAULT, Meta, Raw, defstruct
from msgspec.json import Decoder

from harness.contracts.events import evaluation_splits, failed, finished, schema
from harness.results.validation import defaults_of_record, largest, names_of_record

_most = 2**63 - 1
_Number = Annotated[int, Meta(ge=-_most, le=_most)] | Annotated[float, Meta(ge=-largest, le=largest)]
_NotNegative = Annotated[int, Meta(ge=0, le=_most)] | Annotated[float, Meta(ge=0, le=largest)]
_Positive = Annotated[int, Meta(gt=0, le=_most)] | Annotated[float, Meta(gt=0, le=largest)]
_Whole = Annotated[int, Meta(ge=-_most, le=_most)]
_Count = Annotated[int, Meta(ge=0, le=_most)]
_PositiveCount = Annotated[int, Meta(ge=1, le=_most)]

# Raw text is decoded and checked by the reader, once if many lines have the same.
_types: dict[str, Any] = {
    "cell_key": str,
    "fit_key": str,
    "dataset": Raw,
    "model": Raw,
    "metric": Raw,
    "seed": _Whole,
    "budget": Raw,
    "engine": Raw,
    "machine": str | None,
    "split": Literal[evaluation_splits],
    "evaluation_seed": _Whole,
    "status": Literal[*finished, *failed],
    "reason": str | None,
    "value": _Number | None,
    "stderr": _NotNegative | None,
    "n": _Count | None,
    "counted": str | None,
    "unit": str | None,
    "direction": Literal["higher", "lower"] | None,
    "measure": str | None,
    "parts": dict[str, _Number | None],
    "diagnostics": Raw,
    "samples": tuple[_Number | None, ...],
    "warning": str | None,
    "biased_in_favour": bool,
    "contradiction": str | None,
    "threads": _PositiveCount | None,
    "estimator_stderr": _NotNegative | None,
    "effective_sample_size": _Number | None,
    "degrees_of_freedom": _Positive | None,
    "group_values": tuple[_Number, ...],
    "depends_on_seed": bool,
    "bound": Literal["lower", "upper"] | None,
    "at_least": tuple[str, ...],
    "limits": str | None,
    "timing_group": str | None,
    "seconds": _NotNegative | None,
    "peak_memory": _Count | None,
    "environment": str | None,
    "commit": str | None,
    "dirty": bool | None,
    "started": str | None,
    "ended": str | None,
    "traceback": str | None,
    "values_digest": str | None,
    "schema": Annotated[int, Meta(ge=2, le=schema)],
}


@lru_cache(maxsize=1)
def line_decoder() -> Decoder[Any]:
    """Return a decoder of lines of schema 2 and later, with fields of a record and no others, in any order.

    ``msgspec.structs.astuple`` of what it returns has the values in the order of the fields of ``Record``. Keys
    and dates are not checked, nor is what stays raw: components, budget, engine and diagnostics.
    """
    defaults = {**defaults_of_record, "diagnostics": Raw(b"{}")}
    fields = [(name, _types[name], defaults.get(name, NODEFAULT)) for name in names_of_record]
    return Decoder(defstruct("Line", fields, forbid_unknown_fields=True, kw_only=True, gc=False))

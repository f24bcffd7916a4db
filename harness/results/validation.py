"""Checks of what was read from a store: types, known words, finite numbers, and names.

What is accepted is valid by ``docs/schemas/record.schema.json``. It does not end a command with an exception, and its
names and keys are safe parts of paths.
"""

from __future__ import annotations

import marshal
import reprlib
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from itertools import repeat
from typing import Any

from harness.contracts.engine import precisions, step_modes
from harness.contracts.events import Record, evaluation_splits, failed, finished, schema
from harness.specs import is_name

largest = 1e70  # of a result: a sum of squares of its variances is still a finite number
_largest_finite = sys.float_info.max
_deepest = 20  # levels of settings and diagnostics
_longest_key = 100  # characters, since keys are names of files
_most_kept = 10_000  # components
_sound_components: set[bytes] = set()
_Check = Callable[[Any], bool]

names_of_record = [each.name for each in fields(Record)]
# A line must state its schema.
defaults_of_record: Mapping[str, Any] = {
    each.name: each.default if each.default_factory is MISSING else each.default_factory()
    for each in fields(Record)
    if each.name != "schema" and not each.default is each.default_factory is MISSING
}


def problem_of_record(fields: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the fields of a record of the current schema, or None."""
    for name, value in fields.items():
        check = _of_record.get(name)
        if check is None or not ((value is None and name in _nullable) or check(value)):
            return _wrong(name, value, check)
    if not _required_of_record <= fields.keys():
        return f"it has no {_first_missing(_required_of_record, fields)}"
    if fields["status"] == "ok" and fields.get("value") is None:
        return "it has the status ok but no value"
    return None


def check_of_field(name: str) -> Callable[[Any], bool]:
    """Return a function that says whether a value may be that of a field of a record."""
    return _of_record[name]


def problem_of_fit(fields: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the description of a fit, or None; it may have further fields."""
    for name, check in _of_fit.items():
        if name in fields and not check(fields[name]):
            return _wrong(name, fields[name], check)
    if not _required_of_fit <= fields.keys():
        return f"it has no {_first_missing(_required_of_fit, fields)}"
    return None


def is_key(value: Any) -> bool:
    """Return whether a value can be the key of a cell, a fit or an environment."""
    return type(value) is str and is_name(value) and len(value) <= _longest_key


def _wrong(name: str, value: Any, check: _Check | None) -> str:
    known = f"{name} is {reprlib.repr(value)}"
    return known if check else f"it has the unknown field {reprlib.repr(name)}"


def _first_missing(required: Collection[str], given: Mapping[str, Any]) -> str:
    return min(name for name in required if name not in given)


def _is_text(value: Any) -> bool:
    return type(value) is str and (value.isascii() or _has_no_surrogate(value))


def _has_no_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return type(value) in (float, int) and -largest <= value <= largest


def _is_finite(value: Any) -> bool:
    return type(value) in (float, int) and -_largest_finite <= value <= _largest_finite


def _is_not_negative(value: Any) -> bool:
    return type(value) in (float, int) and 0 <= value <= largest


def _is_positive(value: Any) -> bool:
    return type(value) in (float, int) and 0 < value <= largest


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) <= 2**64


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 2**64


def _is_positive_count(value: Any) -> bool:
    return _is_count(value) and value > 0


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_json(value: Any, depth: int = _deepest) -> bool:
    """Return whether a JSON value has only finite numbers and proper text, and is not nested too deeply."""
    kind = type(value)
    if kind is str:
        return _is_text(value)
    if kind is float or kind is int:
        return _is_finite(value)
    if kind is not dict and kind is not list:
        return kind is bool or value is None
    if kind is dict:
        if not all(map(str.isascii, value)) and not all(map(_is_text, value)):
            return False
        value = value.values()
    return depth > 0 and all(map(_is_json, value, repeat(depth - 1)))


def _is_json_object(value: Any) -> bool:
    return type(value) is dict and _is_json(value)


def _is_date(value: Any) -> bool:
    try:
        return type(value) is str and 1970 < datetime.fromisoformat(value).year < 9999
    except ValueError:
        return False


def _optional(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _one_of(*words: str) -> _Check:
    return lambda value: type(value) is str and value in words


def _list_of(check: _Check) -> _Check:
    return lambda value: type(value) is list and all(map(check, value))


def _mapping_to(check: _Check) -> _Check:
    return lambda value: type(value) is dict and all(map(_is_text, value)) and all(map(check, value.values()))


def _object(checks: Mapping[str, _Check], *optional: str) -> _Check:
    """Return a check of an object with these fields and no others; all but the ``optional`` ones are required."""
    required = checks.keys() - optional

    def check(value: Any) -> bool:
        if type(value) is not dict or not required <= value.keys():
            return False
        for name, each in value.items():
            of_field = checks.get(name)
            if of_field is None or not of_field(each):
                return False
        return True

    return check


_optional_number, _optional_text, _optional_key = _optional(_is_number), _optional(_is_text), _optional(is_key)

_identity_of_component: dict[str, _Check] = {
    "name": is_key,
    "distribution": _is_text,
    "version": _optional_text,
    "settings": _is_json_object,
    "content": _is_text,
}
_is_identity_of_component = _object(_identity_of_component, "content")
_is_described = _object(
    {
        **_identity_of_component,
        "changed": _list_of(_is_text),
        "note": _is_text,
        "weights": _is_text,
        "plugin_version": _optional_text,
    },
    *("content", "note", "weights", "plugin_version"),
)
_is_some_budget = _object(
    {
        "epochs": _is_positive_count,
        "steps": _is_positive_count,
        "seconds": _is_positive,
        "batch_size": _is_positive_count,
        "weights": _one_of("last", "best"),
    },
    "epochs",
    "steps",
    "seconds",
    "weights",
)
_is_engine = _object(
    {
        "device": _is_text,
        "threads": _is_positive_count,
        "precision": _one_of(*precisions),
        "path": _one_of("single", "vectorized"),
        "deterministic": _is_bool,
        "execution": _one_of(*(mode for mode in step_modes if mode != "eager")),
    },
    "deterministic",
    "execution",
)
_losses = _mapping_to(_list_of(_optional(_is_finite)))
_is_some_curves = _object(
    {"train": _losses, "validation": _losses, "seconds": _list_of(_is_not_negative), "steps": _is_count}
)


def _is_component(value: Any) -> bool:
    """Return whether a value is a component of a record; one that was seen before is not checked again.

    Thousands of records have the same few components.
    """
    try:
        seen = marshal.dumps(value, 2)  # in this version equal bytes are equal values of equal types
    except ValueError:  # it is nested too deeply
        return False
    if seen in _sound_components:
        return True
    if not _is_described(value) or any(name not in value["settings"] for name in value["changed"]):
        return False
    if len(_sound_components) < _most_kept:
        _sound_components.add(seen)
    return True


def _is_budget(value: Any) -> bool:
    return _is_some_budget(value) and sum(name in value for name in ("epochs", "steps", "seconds")) == 1


def _is_curves(value: Any) -> bool:
    if not _is_some_curves(value):
        return False
    epochs = len(value["seconds"])
    return all(len(losses) == epochs for kind in ("train", "validation") for losses in value[kind].values())


_is_identity = _object(
    {
        "dataset": _is_identity_of_component,
        "model": _is_identity_of_component,
        "seed": _is_whole,
        "budget": _optional(_is_budget),
        "engine": _is_engine,
        "machine": _optional_text,
    }
)

_of_record: dict[str, _Check] = {
    "cell_key": is_key,
    "fit_key": is_key,
    "dataset": _is_component,
    "model": _is_component,
    "metric": _is_component,
    "seed": _is_whole,
    "budget": _optional(_is_budget),
    "engine": _is_engine,
    "machine": _optional_text,
    "split": _one_of(*evaluation_splits),
    "evaluation_seed": _is_whole,
    "status": _one_of(*finished, *failed),
    "reason": _optional_text,
    "value": _optional_number,
    "stderr": _optional(_is_not_negative),
    "n": _optional(_is_count),
    "counted": _optional_text,
    "unit": _optional_text,
    "direction": _optional(_one_of("higher", "lower")),
    "measure": _optional_text,
    "parts": _mapping_to(_optional_number),
    "diagnostics": _is_json_object,
    "samples": _list_of(_optional_number),
    "warning": _optional_text,
    "biased_in_favour": _is_bool,
    "contradiction": _optional_text,
    "threads": _optional(_is_positive_count),
    "estimator_stderr": _optional(_is_not_negative),
    "effective_sample_size": _optional_number,
    "degrees_of_freedom": _optional(_is_positive),
    "group_values": _list_of(_is_number),
    "depends_on_seed": _is_bool,
    "bound": _optional(_one_of("lower", "upper")),
    "at_least": _list_of(_is_text),
    "limits": _optional_text,
    "timing_group": _optional_text,
    "seconds": _optional(_is_not_negative),
    "peak_memory": _optional(_is_count),
    "environment": _optional_key,
    "commit": _optional_text,
    "dirty": _optional(_is_bool),
    "started": _optional(_is_date),
    "ended": _optional(_is_date),
    "traceback": _optional_text,
    "values_digest": _optional_key,
    "schema": lambda value: _is_positive_count(value) and value <= schema,
}
_nullable = frozenset(name for name, check in _of_record.items() if check(None))
_required_of_record = frozenset(names_of_record) - defaults_of_record.keys()

_of_fit: dict[str, _Check] = {
    "identity": _is_identity,
    "status": _one_of(*finished, *failed),
    "reason": _optional_text,
    "seconds": _is_not_negative,
    "started": _optional(_is_date),
    "ended": _optional(_is_date),
    "parameters": _optional(_is_count),
    "path": _is_text,
    "execution": _is_text,
    "group": _list_of(_is_whole),
    "fallback": _optional_text,
    "curves": _is_curves,
    "environment": _optional_key,
    "digests": _mapping_to(is_key),
}
_required_of_fit = frozenset(["identity", "status", "seconds", "curves"])

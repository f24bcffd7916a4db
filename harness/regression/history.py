"""The history of comparisons: a file with one comparison a line.

Every line stands for itself, so two histories are joined by joining their files.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.atomic import append_lines
from harness.errors import StoreError, UsageError, show_warning
from harness.regression.findings import Finding, kinds
from harness.regression.origin import Origin, origin_of

if TYPE_CHECKING:
    from harness.regression.compare import Comparison

_format = "harness history"
_schema = 1
_measured = ("ratio", "difference", "low", "high")
_numbers = (*_measured, "base", "head", "tolerance")


@dataclass(frozen=True)
class Entry:
    """One comparison of a history.

    Args:
        ran: when it began, in ISO 8601 and UTC.
        base: what the head was compared with.
        head: what was compared.
        conditions: what was asked for that changes the values, as JSON values; only entries with the same are compared.
        environment: the software and the machine, as JSON values.
        findings: of the comparison.
    """

    ran: str
    base: Origin
    head: Origin
    conditions: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def date(self) -> str:
        """The date that entries are ordered by: that of the head, unless its files differed from a commit."""
        return self.ran if self.head.dirty or self.head.date is None else self.head.date


def entry_of(comparison: Comparison, base: str, head: str) -> Entry:
    """Return the entry of a comparison that begins now, without its findings.

    Args:
        comparison: what is compared, and how.
        base: the base as the user named it.
        head: the head as the user named it.
    """
    import torch

    from harness.results.environment import describe_environment

    stored = [None if isinstance(side, str) else side for side in (comparison.base, comparison.head)]
    asked = {
        name: getattr(comparison, name) for name in ("dataset", "seeds", "epochs", "batch_size", "device", "settings")
    }
    # What is stored on both sides was not asked for now.
    conditions = {name: value for name, value in asked.items() if value is not None} if None in stored else {}
    device = torch.device(comparison.device if torch.cuda.is_available() else "cpu")
    return Entry(
        ran=datetime.now(UTC).isoformat(timespec="seconds"),
        base=origin_of(base, stored[0]),
        head=origin_of(head, stored[1]),
        conditions=conditions,
        environment=describe_environment(device).as_json() if stored[1] is None else {},
    )


def append(path: Path, entry: Entry) -> None:
    """Append an entry to a history, and sync it to disk; the file is as before if this fails.

    Raises:
        StoreError: the file cannot be written.
    """
    line = {"format": _format, "schema": _schema, **asdict(entry)}
    line["findings"] = [_stored(finding) for finding in entry.findings]
    try:
        append_lines(path, [json.dumps(line, ensure_ascii=False, allow_nan=False).encode()])
    except OSError as error:
        raise StoreError(f"cannot write the history {path}: {error.strerror}") from error


def load(path: Path, warn: Callable[[str], None] = show_warning) -> list[Entry]:
    """Read a history, in order of time. Equal lines count once; those that cannot be read are left out with a warning.

    Raises:
        UsageError: the file cannot be read, or is no history.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"cannot read the history {path}: {error.strerror}") from error
    numbers = {line: number for number, line in reversed([*enumerate(lines, start=1)]) if line.strip()}
    entries, warnings, is_history = [], [], not numbers
    for line, number in sorted(numbers.items(), key=lambda item: item[1]):
        try:
            fields = json.loads(line)
            if fields["format"] != _format:
                raise ValueError
            is_history = True
            if fields["schema"] > _schema:
                warnings.append(f"{path}, line {number}: written by a newer version; left out")
            else:
                entries.append(_entry_from(fields))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            is_cut = number == len(lines)
            warnings.append(f"{path}, line {number}: {'cut short' if is_cut else 'not a readable entry'}; left out")
    if not is_history:
        raise UsageError(f"{path} is not a history of comparisons")
    for warning in warnings:
        warn(warning)
    return sorted(entries, key=lambda entry: (entry.date, entry.ran))


def _stored(finding: Finding) -> dict[str, Any]:
    """Return the fields of a finding that have a value. A ratio without a bounded interval says nothing."""
    fields = asdict(finding)
    endless = {name for name in _numbers if fields[name] is not None and not math.isfinite(fields[name])}
    left_out = endless | ({*_measured} if endless & {*_measured} else set())
    return {name: value for name, value in fields.items() if value is not None and name not in left_out}


def _entry_from(fields: Mapping[str, Any]) -> Entry:
    """Build an entry from a line of the file.

    Raises:
        KeyError: a field is missing.
        TypeError: a field has another type.
        AttributeError: the same.
        ValueError: a number or a date is none, or is out of range.
        OverflowError: a whole number is too large for a float.
    """
    base, head = (Origin(**fields[side]) for side in ("base", "head"))
    if not all(isinstance(text, str) for text in (base.name, head.name, base.commit or "", head.commit or "")):
        raise TypeError
    for date in filter(None, (fields["ran"], head.date)):
        datetime.fromisoformat(date)
    if not all(isinstance(its, dict) for its in dict(fields["conditions"].get("settings", {})).values()):
        raise TypeError
    return Entry(
        ran=fields["ran"],
        base=base,
        head=head,
        conditions=dict(fields["conditions"]),
        environment=dict(fields["environment"]),
        findings=tuple(map(_finding_from, fields["findings"])),
    )


def _finding_from(fields: Mapping[str, Any]) -> Finding:
    known = {each.name: fields[each.name] for each in dataclasses.fields(Finding) if each.name in fields}
    if not isinstance(known.get("name"), str) or not isinstance(known.get("reason"), str | None):
        raise ValueError
    finding = Finding(**known | {name: float(known[name]) for name in _numbers if name in known})
    numbers = [value for name in _numbers if (value := getattr(finding, name)) is not None]
    has_logarithm = finding.kind != "speed" or finding.ratio is None or finding.ratio > 0
    if finding.kind not in kinds or not all(map(math.isfinite, numbers)) or not has_logarithm:
        raise ValueError
    return finding

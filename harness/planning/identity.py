"""Keys: hashes of all that can change a result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def hash_of(identity: Any) -> str:
    """Hash a JSON value, in canonical form, to 24 hexadecimal digits."""
    return _hash_of_text(canonical(identity))


def hash_of_fields(**fields: str) -> str:
    """Hash a JSON object, given the canonical form of each field, as ``hash_of`` does."""
    return _hash_of_text("{" + ",".join(f'"{name}":{fields[name]}' for name in sorted(fields)) + "}")


def canonical(identity: Any) -> str:
    """Write a JSON value in its canonical form."""
    return _encode(identity)


def _hash_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]

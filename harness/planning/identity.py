"""Keys: hashes of all that can change a result."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def hash_of(identity: Any) -> str:
    """Hash a JSON value, in canonical form, to 24 hexadecimal digits."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]

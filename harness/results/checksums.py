"""Checksums kept with what is written to a store, so that a changed byte is noticed when it is read.

A JSON object has a CRC-32 as its last field, ``checksum``. A file of tensors, values or pixels has a SHA-256, which is
kept by what refers to it. A checkpoint ends in its own SHA-256. What was written before there were checksums has none.

The key of a fit, or the name of a checkpoint, is part of what is hashed, so that one in the place of another is
noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

_last_field = re.compile(rb'(?:,\n |, )"checksum": "([0-9a-f]{8})"(\n?\})\s*\Z')
_longest_last_field = 40  # bytes
_length_of_last_field = len(b', "checksum": "01234567"}')
_stamp = b"\nsha256:"


class DamagedError(ValueError):
    """What was read is not what was written; the message says what is wrong."""


def with_checksum(text: str, owner: str = "") -> str:
    """Return the text of a JSON object, which is not empty, with its checksum as its last field.

    Args:
        text: as ``json.dumps`` writes it, on one line or with ``indent=1``.
        owner: what the object must be read for, such as the key of a fit.
    """
    end = "\n}" if text.endswith("\n}") else "}"
    body = text.removesuffix(end)
    between = ",\n " if end == "\n}" else ", "
    return f'{body}{between}"checksum": "{_checksum(body.encode(), owner):08x}"{end}'


def object_from(content: bytes, owner: str = "") -> dict[str, Any]:
    """Return the fields of a JSON object without its checksum, which is checked if there is one.

    Raises:
        DamagedError: it is not a JSON object, or not the one that was written.
    """
    try:
        fields = _decoder.decode(content.decode())
    except (ValueError, RecursionError) as error:
        raise DamagedError("it is not JSON") from error
    if not isinstance(fields, dict):
        raise DamagedError("it is not a JSON object")
    given = fields.pop("checksum", None)
    if given is not None:
        found = _last_field.search(content, max(0, len(content) - _longest_last_field))
        if found is None or int(found[1], 16) != _checksum(content[: found.start()], owner):
            raise DamagedError("it differs from what was written")
    return fields


def intact_line(content: bytes) -> bytes | None:
    """Return a JSON object on one line without the closing brace and the checksum, if any.

    It is None if the checksum is not right, or if there is something after the brace.
    """
    body, last = content[:-_length_of_last_field], content[-_length_of_last_field:]
    if last.startswith(b', "checksum": "'):
        return body if last == b', "checksum": "%08x"}' % _checksum(body, "") else None
    return content[:-1] if content.endswith(b"}") else None


def value_in(text: bytes) -> Any:
    """Return the value that a text has as JSON.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    return _decoder.decode(text.decode())


def has_checksum(content: bytes) -> bool:
    """Return whether a JSON object has a checksum as its last field."""
    return _last_field.search(content, max(0, len(content) - _longest_last_field)) is not None


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def stamp(path: Path, owner: str) -> None:
    """Append its digest to a file.

    Args:
        path: of the file.
        owner: what the file must be read for.
    """
    digest = _stamped_digest(path.read_bytes(), owner)
    with path.open("ab") as file:
        file.write(_stamp + digest)


def stamped_content(path: Path, owner: str) -> bytes:
    """Return the content of a file without the digest at its end, which is checked if there is one.

    Raises:
        OSError: the file cannot be read.
        DamagedError: it is not what was written.
    """
    content = path.read_bytes()
    end = len(content) - len(_stamp) - hashlib.sha256().digest_size * 2
    if end < 0 or not content.startswith(_stamp, end):
        return content
    if content[end + len(_stamp) :] != _stamped_digest(content[:end], owner):
        raise DamagedError("it differs from what was written")
    return content[:end]


def _stamped_digest(content: bytes, owner: str) -> bytes:
    return hashlib.sha256(owner.encode() + content).hexdigest().encode()


def _checksum(content: bytes, owner: str) -> int:
    return zlib.crc32(content, zlib.crc32(owner.encode()))


def _refused(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refused)

"""Decoded data sets on disk, so data is decoded only once: files mapped into memory and checked by a digest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from harness.atomic import replacing


def read_or_decode(
    folder: Path,
    name: str,
    files: Sequence[Path],
    decode: Callable[[], Mapping[str, Tensor]],
    announce: Callable[[str], None],
) -> dict[str, Tensor]:
    """Return the result of ``decode``, from the copy in ``folder`` if that is intact and ``files`` are unchanged.

    The tensors are mapped from the copy, also if it has just been written, so that they take no memory of the process.
    If the copy is damaged or cannot be written, this is announced in one line and the data is decoded.

    Raises:
        OSError: one of the files does not exist.
    """
    resolved = _resolved(files)
    # Read before decoding, so a file that changes meanwhile is decoded again next time.
    sources = sha256(json.dumps([[str(path), *state_of(path)] for path in resolved]).encode()).hexdigest()
    place = sha256(json.dumps([str(path) for path in resolved]).encode()).hexdigest()[:16]
    copy = folder / f"{name}-{place}.safetensors"
    tensors = _read(copy, sources, announce)
    if tensors is None:
        tensors = dict(decode())
        if _write(copy, sources, tensors, announce):
            tensors = _read(copy, sources, announce) or tensors  # another process may have replaced the copy
    return tensors


def _resolved(files: Sequence[Path]) -> list[Path]:
    """Resolve links; each folder once, since a data set may have very many files in few folders."""
    folder_of = lru_cache(Path.resolve)
    return [path.resolve() if path.is_symlink() else folder_of(path.parent) / path.name for path in files]


def state_of(path: Path) -> tuple[int, int, int]:
    """Return the size of a file and the times of its last changes.

    A program can set the time of the last modification, as ``cp -p`` and ``tar`` do, but not that of the last change of
    the file's status. So a file that was replaced by one of the same size and age is noticed.

    Raises:
        OSError: the file does not exist.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(copy: Path, sources: str, announce: Callable[[str], None]) -> dict[str, Tensor] | None:
    """Map a copy privately, so writing to its tensors does not change the file."""
    try:
        with safe_open(copy, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("sources") != sources:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a mapping
        if metadata.get("digest") == digest_of(tensors):
            return tensors
    except OSError:
        return None
    except SafetensorError:
        pass
    announce(f"{copy} is damaged: decoding the data again")
    return None


def _write(copy: Path, sources: str, tensors: Mapping[str, Tensor], announce: Callable[[str], None]) -> bool:
    """Write a copy; return whether this was possible."""
    whole = {name: _alone_in_memory(each) for name, each in tensors.items()}
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as temporary:
            save_file(whole, temporary, {"sources": sources, "digest": digest_of(whole)})
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        announce(f"the decoded data cannot be kept in {copy.parent} ({reason}): it will be decoded again next time")
        return False
    return True


def _alone_in_memory(tensor: Tensor) -> Tensor:
    """Return a slice as a copy, since safetensors refuses tensors that share memory; a whole tensor is not copied."""
    is_whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if is_whole else tensor.contiguous().clone()


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, types, shapes and values. Of the digests in hashlib, SHA-256 is the fastest on current processors."""
    digest = sha256()
    for name, each in sorted(tensors.items()):
        digest.update(json.dumps([name, str(each.dtype), each.shape]).encode())
        digest.update(each.detach().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()

"""The figures of a fit as pictures inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

largest = 60_000  # bytes, of one picture
limit = 6_500_000  # bytes, of all pictures of a page; a third more as text
_sides = (900, 700, 500, 350, 250, 150)  # pixels
_quality = 80


@dataclass(frozen=True)
class Picture:
    """A figure that is smaller than its file: its name, a ``data:`` URI, and its size in pixels."""

    name: str
    uri: str
    width: int
    height: int


def embedded(files: Sequence[Sequence[Path]], warn: Callable[[str], None]) -> list[list[Picture]]:
    """Return the figures of several models as pictures that fit into one page together.

    Args:
        files: the figures of each model.
        warn: shows the user one line about a file that is not a picture; it is left out.
    """
    count = sum(map(len, files))
    allowed = min(largest, limit // count) if count else largest
    pictures: list[list[Picture]] = []
    for of_model in files:
        pictures.append([])
        for path in of_model:
            try:
                status = path.stat()
                encoded, width, height = _encoded(path, status.st_mtime_ns, status.st_size, allowed)
            except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all three for damaged files
                warn(f"{path} is left out: {error}")
                continue
            pictures[-1].append(Picture(path.stem, f"data:image/webp;base64,{encoded}", width, height))
    return pictures


@lru_cache(maxsize=1024)
def _encoded(path: Path, _changed: int, _size: int, allowed: int) -> tuple[str, int, int]:
    """Return a picture in at most ``allowed`` bytes, or else as small as it gets, with its size in pixels."""
    from PIL import Image

    with Image.open(path) as opened:
        picture = opened.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    for side in _sides:
        smaller = picture.copy()
        smaller.thumbnail((side, side))
        buffer = io.BytesIO()
        smaller.save(buffer, "webp", quality=_quality)
        if buffer.tell() <= allowed:
            break
    return base64.b64encode(buffer.getvalue()).decode(), smaller.width, smaller.height

"""Standard output and standard error: characters that an encoding lacks, closed pipes and full devices."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console

_similar = {
    "−": "-", "–": "-", "—": "-", "─": "-", "━": "-", "·": "|", "±": "+/-", "×": "x", "█": "#", "∞": "inf",
    "†": "!", "σ": "sigma", "↓": "v", "↑": "^", "’": "'", "“": "'", "”": "'", "⁄": "/",
}  # fmt: skip
_marks = str.maketrans({'"': "'", ",": ";", "<": "?", "&": "?"})  # that would end a field of CSV, or begin markup
_not_ascii = re.compile(r"[^\x00-\x7f]+")


class OutputClosed(Exception):  # noqa: N818 -- not a failure
    """The reader of the output has closed it, as ``head`` does."""


def prepare_streams() -> None:
    """Write similar ASCII characters in place of those that the encoding of a stream lacks."""
    codecs.register_error("harness.similar", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="harness.similar")


def print_formatted(text: str, format_: str) -> None:
    """Write text in a format to standard output; ``json`` as ASCII with escapes where its encoding is not UTF-8."""
    if format_ == "json" and codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8":
        text = _not_ascii.sub(lambda found: json.dumps(found[0])[1:-1], text)
    print(text)


def notice(line: str) -> None:
    """Write a line to standard error; a run continues if nobody reads it.

    Then all that follows is discarded, so that nothing else fails, such as the processes that get this stream.
    """
    try:
        print(_without_controls(line), file=sys.stderr, flush=True)
    except OSError:
        with suppress(OSError):  # it is no file
            discard(sys.stderr)


def warn(line: str) -> None:
    """Write a warning to standard error."""
    notice(f"warning: {line}")


def _without_controls(text: str) -> str:
    """Return a message with escapes in place of control characters, which may come from an argument or a file."""
    if text.isprintable():
        return text
    controls = {each for each in text if unicodedata.category(each) == "Cc"} - {"\n", "\t"}
    return "".join(repr(each)[1:-1] if each in controls else each for each in text)


def output_console() -> Console:
    """Return a console on standard output that raises ``BrokenPipeError`` instead of ending the process."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Output(highlight=False, markup=False)


@contextmanager
def closed_pipes() -> Iterator[None]:
    """Raise ``OutputClosed`` for a broken pipe, for which click would exit with code 1."""
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosed from error


def show_error(error: click.ClickException) -> None:
    """Write an error of click's to standard error."""
    text = io.StringIO()
    error.show(text)
    notice(text.getvalue().rstrip())


def flush_streams() -> OSError | None:
    """Flush both streams; return why not all could be written to standard output, unless its reader closed it.

    What could not be written is discarded, since Python would try again at exit.
    """
    failure = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            discard(stream)
            if stream is sys.stdout and not isinstance(error, BrokenPipeError):
                failure = error
    return failure


def discard(stream: TextIO) -> None:
    """Discard what is still to be written to a stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(_ascii, error.object[error.start : error.end])), error.end


def _ascii(character: str) -> str:
    """Return similar ASCII characters, such as the letter without its accent."""
    if character in _similar:
        return _similar[character]
    parts = [each for each in unicodedata.normalize("NFKD", character) if not unicodedata.combining(each)]
    plain = "".join(each if each.isascii() else _similar.get(each, "?") for each in parts)
    return plain.translate(_marks) or "?"

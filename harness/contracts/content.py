"""The content of the files that a model or a data set is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Content:
    """What the files hold that a model or a data set is made of.

    A model or a data set whose ``Config`` has a setting ``by_content`` has a static method ``content(config) ->
    Content``, which reads the files before anything is run. It raises ``DataError`` if they are missing or damaged. A
    data set that reads files of the data folder can have a method ``content_in(source) -> Content | None``.

    Args:
        digest: the SHA-256 of the content, which identifies results in place of the names of the files.
        note: what boards say about it beside the value, such as the number of images and their shape.
    """

    digest: str
    note: str

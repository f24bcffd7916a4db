"""The digest of a class changes with its code and with what the code refers to, and with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest

from harness import UsageError
from harness.api.code_digest import digest_of_code

source = '''
import dataclasses
import math

import harness

scale = 2.0
names = frozenset({"a", "b", "c"})


def helper(x):
    return [each * scale for each in x]


class Part:
    width = 3


class Base:
    def shared(self):
        return Part.width


class Model(Base):
    """A model."""

    unit = "nats"
    choices = {"a": (1, 2), "b": [3]}

    @dataclasses.dataclass(frozen=True)
    class Config:
        latent_dim: int = harness.setting(2, "size of the code", minimum=1)
        hidden: tuple[int, ...] = (16,)

    def __init__(self, info, config=None):
        super().__init__()
        self.info = info

    @property
    def size(self):
        return math.sqrt(len(names))

    @staticmethod
    def twice(x):
        return 2 * x

    def loss(self, x, *, weight=1.0):
        def inner(y):
            return helper(y)
        return [inner(x), self.unrelated]
'''


def digest(text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the digest of the class Model in a notebook with this text."""
    notebook = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    exec(compile(text, "cell", "exec"), vars(notebook))
    return digest_of_code(notebook.Model)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return [inner(x), self.unrelated]", "return [inner(x), self.other]"),
        ("return helper(y)", "return helper([y])"),
        ("each * scale", "each + scale"),
        ("scale = 2.0", "scale = 2.5"),
        ('{"a", "b", "c"}', '{"a", "b", "d"}'),
        ("width = 3", "width = 4"),
        ("return Part.width", "return 2 * Part.width"),
        ('unit = "nats"', 'unit = "bits"'),
        ('"b": [3]', '"b": [4]'),
        ("setting(2, ", "setting(3, "),
        ("minimum=1", "minimum=2"),
        ("hidden: tuple[int, ...] = (16,)", "hidden: tuple[int, ...] = (17,)"),
        ("math.sqrt", "math.exp"),
        ("return 2 * x", "return 3 * x"),
        ("weight=1.0", "weight=2.0"),
        ("class Model(Base)", "class Model"),
    ],
)
def test_a_change_of_what_the_class_does_is_another_digest(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source.count(before) == 1
    assert digest(source.replace(before, after), monkeypatch) != digest(source, monkeypatch)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("class Base:", "# a comment\n\n\nclass Base:"),
        ("scale = 2.0", "unrelated = open\nother = 3\nscale = 2.0"),
        ("return math.sqrt(len(names))", "return math.sqrt(len(names))  # of names"),
    ],
)
def test_comments_places_and_other_names_do_not_matter(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert digest(source.replace(before, after), monkeypatch) == digest(source, monkeypatch)


def test_another_process_computes_the_same_digest() -> None:
    code = f"{source}\nfrom harness.api.code_digest import digest_of_code\nprint(digest_of_code(Model))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    assert found.pop().startswith("code:")


def test_a_value_that_cannot_be_hashed_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    text = source.replace("scale = 2.0", "scale = (each for each in [2])")
    with pytest.raises(UsageError, match="Model refers to scale, of type generator, which cannot be hashed"):
        digest(text, monkeypatch)

"""The public names are those that are listed, and old names still work."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import harness
import harness.toolkit

listing = Path(__file__).with_name("public_names.txt")
deprecated = harness._deprecated


def test_the_public_names_are_those_that_are_listed() -> None:
    found = sorted(
        [f"harness.{name}" for name in harness.__all__]
        + [f"harness.toolkit.{name}" for name in harness.toolkit.__all__]
    )
    listed = listing.read_text().split()
    assert found == listed, (
        f"if this change is meant, write these names to {listing.name}, one per line:\n" + "\n".join(found)
    )


def test_every_public_name_exists() -> None:
    for name in listing.read_text().split():
        *package, attribute = name.split(".")
        assert getattr(sys.modules[".".join(package)], attribute) is not None


@pytest.mark.parametrize("name", sorted(deprecated))
def test_a_deprecated_name_warns_and_is_the_new_one(name: str) -> None:
    new: object = harness
    for part in deprecated[name].split("."):
        new = getattr(new, part)
    with pytest.warns(DeprecationWarning, match=f"harness.{name} is now harness.{deprecated[name]}"):
        assert getattr(harness, name) is new


def test_an_unknown_name_is_an_attribute_error() -> None:
    with warnings.catch_warnings(), pytest.raises(AttributeError):
        harness.NoSuchThing  # noqa: B018


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, harness; harness.ModelSpec; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

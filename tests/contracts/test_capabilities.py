"""Capabilities mean what they say, and are recognised by the methods that a model has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Protocol

import pytest

import harness
from harness.contracts.models import all_capabilities, in_words, lacking, methods, offers
from harness.toolkit import LatentVariableModel


def model_with(*names: str) -> SimpleNamespace:
    return SimpleNamespace(**dict.fromkeys(names))


@pytest.mark.parametrize(("capability", "names"), [
    (harness.HasEncoder, ["encode"]),
    (harness.HasDecoder, ["decode"]),
    (harness.HasPosterior, ["posterior"]),
    (harness.HasObservationModel, ["prior", "observation"]),
    (harness.HasDensity, ["log_prob"]),
    (harness.FitsItself, ["fit"]),
    (harness.Calibrates, ["calibrate"]),
    (LatentVariableModel, ["posterior", "prior", "observation"]),
])  # fmt: skip
def test_a_capability_is_all_of_its_methods(capability: type, names: list[str]) -> None:
    assert sorted(methods(capability)) == sorted(names)
    assert offers(model_with(*names), capability)
    for missing in names:
        assert not offers(model_with(*(name for name in names if name != missing)), capability)


def test_a_composite_protocol_is_not_offered_by_everything() -> None:
    assert not offers(object(), LatentVariableModel)
    assert not offers(model_with("posterior"), LatentVariableModel)


def test_a_data_member_is_part_of_a_capability() -> None:
    class Named(Protocol):
        label: str

    assert methods(Named) == ["label"]
    assert offers(model_with("label"), Named)
    assert not offers(object(), Named)


class Empty(Protocol):
    pass


@pytest.mark.parametrize("need", [Empty, object, int, "posterior", 3, None])
def test_a_need_that_is_no_capability_is_an_error(need: object) -> None:
    with pytest.raises(TypeError, match="is not a capability"):
        offers(object(), need)


def test_needs_that_are_not_met_are_named() -> None:
    needs = (harness.HasPosterior | harness.HasBound, harness.HasObservationModel)
    assert lacking(model_with("elbo_terms", "prior", "observation"), needs) is None
    assert lacking(model_with("encode"), needs) == "it has no posterior and no observation model"
    assert in_words(needs[0]) == "posterior (posterior) or bound of its own (elbo_terms)"


def test_every_capability_has_a_name_of_its_own() -> None:
    names = [in_words(each).split(" (")[0] for each in all_capabilities]
    assert len(set(names)) == len(names)
    assert not any(name[0].isupper() for name in names)

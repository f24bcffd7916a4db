"""Settings are described, parsed and checked from nothing but a dataclass."""

import json
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.settings import NoSettings, build, describe, flatten, setting, show


@dataclass(frozen=True)
class Config:
    count: int = setting(3, "how many", minimum=1)
    rate: float = setting(0.5, above=0, below=1)
    on: bool = False
    name: str = "x"
    kind: Literal["a", "b"] = "a"
    widths: tuple[int, ...] = setting((4, 2), minimum=1)
    variance: Literal["learned"] | float = setting("learned", above=0)
    seed: int | None = None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "7", 7),
        ("rate", "1e-3", 1e-3),
        ("on", "yes", True),
        ("on", "false", False),
        ("name", "text with spaces", "text with spaces"),
        ("kind", "b", "b"),
        ("widths", "256-128-64", (256, 128, 64)),
        ("widths", [256, 128], (256, 128)),
        ("variance", "learned", "learned"),
        ("variance", "0.1", 0.1),
        ("seed", "none", None),
        ("seed", "5", 5),
    ],
)
def test_text_becomes_a_value_of_the_declared_type(name: str, text: object, value: object) -> None:
    found = getattr(build("it", Config, {name: text}), name)
    assert found == value
    assert type(found) is type(value)


def test_a_default_that_is_given_is_the_default_in_an_identity_too() -> None:
    @dataclass(frozen=True)
    class WithWholeNumber:
        memory: float = 1024

    as_given = flatten(build("it", WithWholeNumber, {"memory": "1024"}))
    assert json.dumps(as_given) == json.dumps(flatten(WithWholeNumber()))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("count", "0"),
        ("count", "1.5"),
        ("count", 1.5),
        ("count", True),
        ("rate", "0"),
        ("rate", "1"),
        ("rate", "inf"),
        ("on", "maybe"),
        ("kind", "c"),
        ("widths", "256-"),
        ("widths", "256-0"),
        ("widths", []),
        ("variance", "taught"),
        ("variance", "-1"),
        ("seed", "some"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(name: str, text: object) -> None:
    with pytest.raises(UsageError, match=rf"^it\.{name}=.*expected "):
        build("it", Config, {name: text})


def test_a_value_the_dataclass_itself_refuses_is_a_usage_error() -> None:
    @dataclass(frozen=True)
    class Paired:
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low exceeds high")

    with pytest.raises(UsageError, match="settings of it: low exceeds high"):
        build("it", Paired, {"low": 2})


@given(
    st.builds(
        Config,
        count=st.integers(1, 10**6),
        rate=st.floats(1e-8, 1.0, exclude_max=True),
        on=st.booleans(),
        kind=st.sampled_from(["a", "b"]),
        widths=st.lists(st.integers(1, 2000), min_size=1).map(tuple),
        variance=st.sampled_from(["learned", 0.5, 2.0]),
        seed=st.none() | st.integers(),
    )
)
def test_what_is_shown_can_be_typed_again_and_what_is_flattened_is_json(config: Config) -> None:
    assert build("it", Config, {each.name: show(getattr(config, each.name)) for each in describe(Config)}) == config
    assert build("it", Config, json.loads(json.dumps(flatten(config)))) == config


def test_no_settings_are_settings_too() -> None:
    assert describe(NoSettings) == []
    with pytest.raises(UsageError, match="unknown setting of it 'a'"):
        build("it", NoSettings, {"a": "1"})

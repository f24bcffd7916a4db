"""Whatever stands in a study, ``harness run`` ends with one message about it, or with a plan."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import hostile
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.run import run

if TYPE_CHECKING:
    from tests.conftest import Call, Result

options = {name.removeprefix("--") for each in run.params if isinstance(each, click.Option) for name in each.opts}
scalars = (
    hostile.values | st.booleans() | st.integers() | st.just(date(1970, 1, 1))
    | st.floats(allow_subnormal=False)  # which a run flushes to zero
    | st.sampled_from(["pca", "elbo", "mnist-10k", "cpu", 10**30, 10**400, 2, 1.5])
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé.\"' ", max_size=4), inner, max_size=3),
    max_leaves=4,
)
sound = {"models": ["pca", "vae"], "metric": ["reconstruction-mse", "elbo"], "epochs": 2}
owners = st.sampled_from(["pca", "vae", "elbo", "reconstruction-mse", "binarized-mnist-10k", "gan", "none", "", "é"])
parameters = st.sampled_from(["latent_dim", "hidden", "learning_rate", "binarization", "k", "none", ""])
settings_ = st.dictionaries(owners, st.dictionaries(parameters, anything, max_size=2), max_size=2)


def written(value: Any) -> str:
    """Write a value in TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{written(key)} = {written(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value) if isinstance(value, bool | int) else str(value)


def planned(call: Call, content: bytes) -> Result:
    """Write a study and plan it, which must not end with a traceback."""
    Path("study.toml").write_bytes(content)
    done = call("run", "study.toml", "--dry-run")
    assert done.code in (0, 2)
    assert "Traceback" not in done.err
    assert done.code == 0 or (done.out == "" and ("study.toml" in done.err or "Missing option" in done.err))
    return done


@hostile.tried(40)
@given(
    keys=st.dictionaries(st.sampled_from(sorted({*options, "epoch", "set", "", "é", "a.b"})), anything, max_size=3),
    settings=settings_,
)
def test_a_study_of_any_keys_and_values_is_a_plan_or_is_named_in_the_message(
    call: Call, keys: dict[str, Any], settings: dict[str, dict[str, Any]]
) -> None:
    whole = {**sound, **keys}
    whole.setdefault("set", settings)
    planned(call, "\n".join(f"{written(key)} = {written(each)}" for key, each in whole.items()).encode())


@hostile.tried(40)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda each: each.encode(errors="replace")))
def test_a_file_of_anything_is_named_in_the_message(call: Call, content: bytes) -> None:
    planned(call, content)

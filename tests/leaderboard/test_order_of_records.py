"""The same records give the same boards, byte for byte, in whatever order they are in the file."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_boards import named, record, seeds_of

from harness.contracts.events import Record
from harness.leaderboard.board import build_boards
from harness.planning.identity import hash_of
from harness.registry import Registry
from harness.results.store import Store

if TYPE_CHECKING:
    from tests.conftest import Call

fixture = Path(__file__).parents[1] / "fixtures" / "store"
formats = [each.spec.name for each in Registry.load().all("renderer")]


def tied(name: str = "vae", **changes: object) -> Record:
    """Return a record that has the value of others, and neither a metric nor a key like that of any other."""
    return dataclasses.replace(record(name, **changes), cell_key=hash_of([name, changes]))


# What the store of the fixture lacks: equal values, values without a direction, settings and warnings that differ by
# seed, other splits, machines and measures, and cells that were computed twice.
timing = {"machine": "a machine", "unit": "s", "timing_group": "a", "metric": named("latency")}
more = [
    *(tied(name, stderr=stderr) for name in ("vae", "iwae", "pca") for stderr in (0.5, 0.7)),
    *(tied(name, value=1.0, direction=None, metric=named("active-units")) for name in ("vae", "iwae", "pca")),
    *(tied("vae", seed=seed, warning=f"warning {seed}", model=named("vae", {"width": 3})) for seed in range(3)),
    *(tied("vae", model=named("vae", {"width": 5}, changed)) for changed in ((), ("width",))),
    *(tied("vae", evaluation_seed=seed, split=split) for seed in (1, 2) for split in ("test", "validation")),
    *(tied(name, measure="density") for name in ("realnvp", "ppca")),
    *(tied(name, value=None, ended="2026-01-01T00:00:00+00:00", reason="no encoder") for name in ("gan", "dcgan")),
    *(tied(name, **{**timing, "timing_group": group}) for name in ("vae", "pca") for group in ("a", "b")),
    *(tied(name, **{**timing, "machine": "another"}) for name in ("vae", "pca")),
    *seeds_of("vq-vae", -101.3, parts={"kl": 25.0}),
    *seeds_of("vq-vae", -99.1, parts={"rate": 2.0}, measure="density"),
    record("twice", -90.0, cell_key="twice", ended="2026-01-01T00:00:00+00:00"),
    record("twice", -80.0, cell_key="twice", ended="2026-01-02T00:00:00+00:00"),
    record("twice", None, cell_key="twice", ended="2026-01-03T00:00:00+00:00", status="error"),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("stored") / "runs")
    shutil.copytree(fixture, store.root)
    for each in more:
        store.append(each)
    return store


@pytest.fixture(scope="module")
def lines(stored: Store) -> list[str]:
    return stored.records_file.read_text().splitlines()


def boards_of(store: Store, lines: Sequence[str]) -> str:
    store.records_file.write_text("\n".join(lines))
    return repr(build_boards(store.records(), store))


@settings(max_examples=15, deadline=None)
@given(order=st.randoms(use_true_random=False))
def test_boards_do_not_depend_on_the_order_of_the_records(
    stored: Store, lines: list[str], order: random.Random
) -> None:
    shuffled = list(lines)
    order.shuffle(shuffled)
    assert boards_of(stored, shuffled) == boards_of(stored, lines)


@pytest.mark.parametrize("format_", formats)
def test_every_format_writes_the_same_bytes(call: Call, stored: Store, lines: list[str], format_: str) -> None:
    texts = []
    for order in (lines, lines[::-1]):
        stored.records_file.write_text("\n".join(order))
        shown = call("leaderboard", "--runs", str(stored.root), "--format", format_)
        assert (shown.code, shown.err) == (0, "")
        texts.append(shown.out)
    assert texts[0] == texts[1]


def test_the_latest_record_of_a_cell_is_the_one_that_ended_last(stored: Store, lines: list[str]) -> None:
    for order in (lines, lines[::-1]):
        stored.records_file.write_text("\n".join(order))
        assert [each.value for each in stored.records() if each.cell_key == "twice"] == [-80.0]

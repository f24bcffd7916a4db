"""Boards on terminals of any width, the summary of the boards of one data set, and outcomes on one line."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_boards import named, record, seeds_of

from harness.cli.progress import outcome_of
from harness.contracts.boards import Board
from harness.contracts.events import Record
from harness.leaderboard import markdown
from harness.leaderboard.board import build_boards
from harness.leaderboard.summary import summaries
from harness.leaderboard.terminal import render
from harness.leaderboard.text import cells, columns
from harness.results.store import Store

names = st.text("abcxyz-", min_size=1, max_size=25).filter(lambda name: name.strip("-"))
finite = st.floats(-1e7, 1e7, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-6)


def shown(boards: list[Board], width: int) -> str:
    with mock.patch.dict(os.environ, {"COLUMNS": str(width)}):
        return render(boards)


def words(text: str) -> Counter[str]:
    return Counter(text.split())


@st.composite
def boards(draw: st.DrawFn) -> list[Board]:
    """Return boards of one or two metrics, with long and short names, parts, notes and rows without a value."""
    parts = draw(st.lists(names, max_size=3, unique=True))
    records: list[Record] = []
    for model in draw(st.lists(names, min_size=1, max_size=4, unique=True)):
        for metric in draw(st.sampled_from([["elbo"], ["elbo", "a-very-long-name-of-a-metric"]])):
            given_parts = {name: draw(finite) for name in parts}
            warning = draw(st.sampled_from([None, "loose: an effective sample size of 1,234.5"]))
            value = draw(st.none() | finite)
            stderr = None if value is None else draw(st.none() | st.floats(1e-7, 1e3))
            more = {"parts": given_parts, "warning": warning} if value is not None else {}
            records.append(record(model, value, stderr=stderr, metric=named(metric), **more))
    return build_boards(records, Store(Path("no-such-folder")))


@given(boards(), st.integers(20, 200))
@settings(max_examples=30, deadline=None)
def test_every_number_and_name_of_a_board_is_whole_at_any_width(boards: list[Board], width: int) -> None:
    text = words(shown(boards, width))
    for board in boards:
        expected = words(" ".join(map(" ".join, cells(board))))
        assert expected <= text, expected - text


@given(boards(), st.integers(20, 200))
@settings(max_examples=30, deadline=None)
def test_no_line_is_longer_than_the_terminal_unless_it_is_one_long_word(boards: list[Board], width: int) -> None:
    for line in shown(boards, width).splitlines():
        assert len(line.rstrip()) <= width or len(line.replace(" ± ", "±").split()) == 1, line


def test_a_board_of_usual_size_is_a_table_at_80_columns_with_its_notes_below(store: Store) -> None:
    parts = {"reconstruction": -81.731, "kl": 26.321}
    (board,) = build_boards([*seeds_of("vae", -108.0, parts=parts), record("gan", None, reason="no posterior")], store)
    lines = shown([board], 80).splitlines()
    (row,) = [line for line in lines if "−108.00" in line]
    assert row.split()[-2:] == ["−81.73", "26.32"]
    assert "gan: no posterior" in lines
    assert all(word in "\n".join(lines[:5]) for word in ("reconstruction", "(nats)", "spread", "kl"))
    wide = shown([board], 110)
    assert "gan: no posterior" not in wide
    assert "no posterior" in wide


def test_a_narrow_board_has_a_block_of_lines_for_each_row(store: Store) -> None:
    (board,) = build_boards([record("vae", parts={"kl": 25.0}), record("gan", None)], store)
    assert shown([board], 30).splitlines()[:9] == [
        "digits · elbo",
        "1  vae",
        "  elbo (nats) ↑: −100.00",
        "  std. error: 0.50",
        "  kl: 25.00",
        "–  gan",
        "  elbo (nats) ↑: n/a",
        "  note: it has no encoder",
        "Measure: probability mass on",
    ]


def test_a_name_that_is_longer_than_a_line_is_left_to_the_terminal_to_break(store: Store) -> None:
    name = "a-model-with-a-name-of-many-characters"
    text = shown(build_boards([record(name)], store), 20)
    assert f"1\n{name}" in text or f"1  {name}" in text


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def two_metrics() -> list[Record]:
    mse = {"metric": named("mse"), "unit": "squared error", "direction": "lower", "measure": None, "stderr": 0.01}
    return [
        *seeds_of("vae", -100.0, stderr=0.1),
        *seeds_of("iwae", -150.0, stderr=0.1, warning="loose"),
        record("gan", None),
        *seeds_of("vae", 3.0, spread=0.01, **mse),
        *seeds_of("pca", 1.0, spread=0.01, **mse),
    ]


@pytest.mark.parametrize("render", [lambda boards: shown(boards, 100), markdown.render], ids=["terminal", "markdown"])
def test_several_metrics_have_one_summary_before_their_boards(
    store: Store, render: Callable[[list[Board]], str]
) -> None:
    text = render(build_boards(two_metrics(), store))
    summary, first_board, *_ = re.split(r"^(?:## )?(?=digits · )", text, flags=re.MULTILINE)[1:]
    assert summary.startswith("digits · summary of 2 boards")
    assert first_board.startswith("digits · elbo")
    rows = {found[0]: found[1:] for line in summary.splitlines() if (found := re.findall(r"[^\s|]+", line))}
    best = ["**−100.00", "±", "0.59**"] if "**" in summary else ["−100.00", "±", "0.59", "*"]
    assert rows["vae"] == [*best, "3.000", "±", "0.012"]
    assert rows["iwae"] == ["−150.00", "±", "0.59", "†"]
    assert rows["gan"] == ["n/a"]
    assert rows["pca"][:3] == (["**1.000", "±", "0.012**"] if "**" in summary else ["1.000", "±", "0.012"])
    assert all(word in summary for word in ("nats", "squared error", "↑", "↓"))


def test_a_summary_has_only_what_may_be_compared(store: Store) -> None:
    (summary,) = summaries(build_boards(two_metrics(), store))
    assert summary.heads == ["elbo (nats) ↑", "mse (squared error) ↓"]
    assert summary.names == ["vae", "iwae", "gan", "pca"]
    other_data = [record(dataset=named("clothes")), record(split="validation"), record(evaluation_seed=1)]
    assert summaries(build_boards([record(), *other_data], store)) == []
    nothing = record("gan", None, metric=named("mse"))
    assert summaries(build_boards([record(), nothing], store)) == []


def test_boards_of_one_metric_with_other_measures_have_columns_of_their_own(store: Store) -> None:
    found = build_boards([record(), record("ppca", 90.0, measure="density")], store)
    (summary,) = summaries(found)
    assert summary.heads == ["elbo a (nats) ↑", "elbo b (nats) ↑"]
    assert [[entry.text for entry in row] for row in summary.entries] == [["90.00 ± 0.50", ""], ["", "−100.00 ± 0.50"]]
    assert "elbo a: density." in summary.captions
    assert "elbo b: probability mass on binary pixels." in summary.captions


def test_a_summary_says_what_errors_are_over(store: Store) -> None:
    timed = record(metric=named("latency"), unit="ms", machine="this one", measure=None)
    for others, over in (([], "over examples and seeds"), ([timed], "of timings over rounds, else over examples and")):
        found = build_boards([record(), record("vae", 1.0, metric=named("mse")), *others], store)
        assert summaries(found)[0].captions[0].startswith(f"±: standard error, {over}")


@pytest.mark.parametrize(("what", "other"), [("version", "2"), ("distribution", "mine.py"), ("content", "a" * 64)])
def test_models_that_differ_in_one_thing_have_rows_of_their_own_in_a_summary(
    store: Store, what: str, other: str
) -> None:
    first = named("vae", {"latent_dim": 20})
    second = {**first, what: other}
    mse = {"metric": named("mse")}
    on_one_board = [record(model=first), record(value=-90.0, model=second), record(value=1.0, model=second, **mse)]
    (summary,) = summaries(build_boards(on_one_board, store))
    texts = {name: [entry.text for entry in row] for name, row in zip(summary.names, summary.entries, strict=True)}
    second_name = next(name for name in texts if other[:8] in name)
    assert texts.pop(second_name) == ["−90.00 ± 0.50", "1.00 ± 0.50"]
    assert list(texts.values()) == [["−100.00 ± 0.50", ""]]
    apart = [record(model=first), record(value=1.0, model=second, **mse)]
    (summary,) = summaries(build_boards(apart, store))
    assert f"vae ({what}={other[:8]})" in summary.names
    assert [[bool(entry.text) for entry in row] for row in summary.entries] == [[True, False], [False, True]]


def test_rows_of_different_budgets_are_told_apart_in_a_summary(store: Store) -> None:
    longer = record("vae", 1.0, metric=named("mse"), budget={"epochs": 50, "batch_size": 128})
    (summary,) = summaries(build_boards([record("vae"), longer], store))
    assert summary.names == ["vae (20 epochs, batch size 128)", "vae (50 epochs, batch size 128)"]


@given(st.integers(20, 200))
@settings(max_examples=30, deadline=None)
def test_every_value_of_a_summary_is_whole_at_any_width(width: int) -> None:
    found = build_boards(two_metrics(), Store(Path("no-such-folder")))
    (summary,) = summaries(found)
    text = shown(found, width).partition("\ndigits · elbo\n")[0]
    expected = words(" ".join(entry.text for row in summary.entries for entry in row))
    assert expected <= words(text)
    assert words(" ".join(summary.names)) <= words(text)


def test_heads_of_every_built_in_metric_are_not_broken_within_words(store: Store) -> None:
    parts = {"reconstruction": 1.0, "kl": 2.0}
    for name in ("log-likelihood-ais", "integrated-alpha-precision", "one-nearest-neighbour-accuracy"):
        (board,) = build_boards([*seeds_of("vae", 1.0, metric=named(name), parts=parts)], store)
        for width in (40, 60, 80, 100):
            below_title = shown([board], width).partition("\n")[2]
            head = words(below_title.split("───")[0].replace(":", " "))
            assert {word for each in columns(board) for word in each.split()} - {"rank", "model"} <= set(head)


def test_values_are_not_broken_at_their_errors(store: Store) -> None:
    long = {"metric": named("a-very-long-name-of-a-metric"), "unit": "", "stderr": 0.0004}
    found = build_boards([*two_metrics(), record("factor-analysis", 0.00688, **long)], store)
    for width in range(20, 60):
        text = shown(found, width)
        lines = [line for line in text.splitlines() if "±" in line and "±: standard error" not in line]
        assert len(lines) >= 4
        assert all(re.search(r"\d ± \d", line) for line in lines), lines
        assert "\xa0" not in text


@pytest.mark.parametrize(
    ("stderr", "shown"), [(0.0, "flops: 804,000 ops"), (None, "flops: 804,000 ops"), (25.0, "flops: 804,000 ± 25 ops")]
)
def test_the_outcome_of_an_exact_value_has_no_error(stderr: float | None, shown: str) -> None:
    assert outcome_of(record(value=804_000.0, stderr=stderr, metric=named("flops"), unit="ops")) == shown

"""Boards rank only what may be compared."""

import csv
import dataclasses
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.contracts.boards import Board
from harness.contracts.events import Record, Values
from harness.errors import HarnessWarning
from harness.leaderboard.board import build_boards
from harness.leaderboard.files import write_leaderboards
from harness.leaderboard.machine import render_json
from harness.leaderboard.summary import summaries
from harness.leaderboard.text import captions, cells, columns, rank_range, title, value_in_words
from harness.registry import Registry
from harness.results.store import Store

counter = iter(range(10**6))


def named(name: str, settings: dict[str, Any] | None = None, changed: tuple[str, ...] = ()) -> dict[str, Any]:
    given = {"name": name, "distribution": "generative-harness", "version": "1"}
    return {**given, "settings": settings or {}, "changed": list(changed)}


def record(name: str = "vae", value: float | None = -100.0, **changes: Any) -> Record:
    """Return the record of a value that does not depend on the seed, so that one record is enough for a rank."""
    fields: dict[str, Any] = {
        "cell_key": f"cell{next(counter):06}",
        "fit_key": "fit",
        "dataset": named("digits"),
        "model": named(name, {"latent_dim": 20}),
        "metric": named("elbo", {"samples": 1}),
        "seed": 0,
        "budget": {"epochs": 20, "batch_size": 128},
        "engine": {"device": "cpu", "threads": 2, "precision": "float32", "path": "single"},
        "machine": None,
        "split": "test",
        "evaluation_seed": 0,
        "status": "ok" if value is not None else "n/a",
        "reason": None if value is not None else "it has no encoder",
        "value": value,
        "stderr": 0.5 if value is not None else None,
        "n": 100 if value is not None else None,
        "unit": "nats" if value is not None else None,
        "direction": "higher" if value is not None else None,
        "measure": "probability mass on binary pixels" if value is not None else None,
        "depends_on_seed": False,
    }
    return Record(**{**fields, **changes})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def seeds_of(name: str, value: float, spread: float = 1.0, **changes: Any) -> list[Record]:
    """Return the records of three seeds."""
    shifts = (-spread, 0.0, spread)
    return [
        record(name, value + shift, seed=seed, depends_on_seed=True, **changes) for seed, shift in enumerate(shifts)
    ]


def ranges(board: Board) -> list[str]:
    return [rank_range(row) for row in board.rows]


def models_of(boards: list[Board]) -> list[list[str]]:
    return [[row.model for row in board.rows] for board in boards]


@pytest.mark.parametrize(
    "change",
    [
        {"measure": "density on (pixel + u) / 256"},
        {"unit": "bits"},
        {"dataset": named("digits", {"binarization": "static"})},
        {"dataset": {**named("digits"), "version": "2"}},
        {"metric": named("elbo", {"samples": 50})},
        {"split": "validation"},
        {"evaluation_seed": 1},
        {"machine": "another, 8 cores"},
    ],
)
def test_results_that_may_not_be_compared_never_share_a_board(store: Store, change: dict[str, Any]) -> None:
    boards = build_boards([record("a"), record("b", **change)], store)
    assert sorted(models_of(boards)) == [["a"], ["b"]]
    assert all(row.rank in (1, None) for board in boards for row in board.rows)
    assert all(row.rank_high in (1, None) for board in boards for row in board.rows)


def test_a_metric_without_a_direction_is_shown_without_ranks(store: Store) -> None:
    (board,) = build_boards([record("a", 3.0, direction=None), record("b", 2.0, direction=None)], store)
    assert [row.rank for row in board.rows] == [None, None]
    assert columns(board)[2] == "elbo (nats)"
    assert not any("rank" in line for line in captions(board))


def test_timings_with_different_threads_never_share_a_board(store: Store) -> None:
    engine = {"device": "cpu", "threads": 1, "precision": "float32", "path": "single"}
    timing = {"machine": "this one, 2 cores", "unit": "examples/s", "measure": None}
    boards = build_boards([record("a", **timing), record("b", engine=engine, **timing)], store)
    assert sorted(models_of(boards)) == [["a"], ["b"]]


def test_timings_are_compared_by_the_threads_that_their_metric_states(store: Store) -> None:
    def timing(name: str, fitted_with: int, timed_with: int) -> Record:
        engine = {"device": "cpu", "threads": fitted_with, "precision": "float32", "path": "single"}
        given = {"machine": "this one, 8 cores", "unit": "examples/s", "measure": None}
        return record(name, engine=engine, threads=timed_with, **given)

    boards = build_boards([timing("a", 1, 8), timing("b", 8, 8), timing("c", 8, 4)], store)
    assert sorted(map(sorted, models_of(boards))) == [["a", "b"], ["c"]]
    assert [any("threads 8." in line for line in captions(board)) for board in boards] == [
        len(board.rows) == 2 for board in boards
    ]


def test_timings_on_different_devices_never_share_a_board_and_each_board_names_its_device(store: Store) -> None:
    def timing(name: str, device: str) -> Record:
        engine = {"device": device, "threads": 2, "precision": "float32", "path": "single"}
        return record(name, engine=engine, machine="this one, 2 cores", unit="examples/s", measure=None)

    boards = build_boards([timing("a", "cpu"), timing("b", "cuda")], store)
    assert sorted(models_of(boards)) == [["a"], ["b"]]
    for board, device in zip(boards, ("cpu", "cuda"), strict=True):
        assert any(f"device {device}" in line for line in captions(board))


def test_boards_of_other_versions_of_a_metric_or_a_data_set_say_which(store: Store) -> None:
    for kind, of_component in (("metric", named("elbo", {"samples": 1})), ("dataset", named("digits"))):
        for change, label in (({"version": "2"}, "version="), ({"distribution": "mine.py"}, "distribution=")):
            other = {**of_component, **change}
            records = [record("b", **{kind: other}), record("a"), record("b")]
            found = build_boards(records, store)
            titles = [title(board) for board in found]
            assert models_of(found) == [["a", "b"], ["b"]]
            assert titles[0] != titles[1]
            assert all(label in each for each in titles)
            assert (getattr(found[1], f"{kind}_version"), getattr(found[1], f"{kind}_distribution")) == (
                other["version"],
                other["distribution"],
            )
            other_data = record(dataset=named("cats"))
            assert "digits · elbo" in [title(board) for board in build_boards([record(), other_data], store)]


def test_boards_of_timings_say_in_which_settings_they_differ_and_are_sorted_by_them(store: Store) -> None:
    engine = {"device": "cpu", "threads": 1, "precision": "float32", "path": "single"}
    timing = {"metric": named("latency"), "unit": "ms", "direction": "lower", "measure": None}
    records = [
        record(engine={**engine, "precision": precision}, threads=threads, machine=machine, **timing)
        for precision in ("float32", "bf16")
        for threads in (2, 1)
        for machine in ("old", "new")
    ]
    found = build_boards(records, store)
    in_order = [
        f"digits · latency · threads={threads} precision={precision}"
        for threads in (1, 2)
        for precision in ("bf16", "float32")
    ]
    assert [title(board) for board in found] == in_order * 2
    assert [board.machine for board in found] == ["new"] * 4 + ["old"] * 4
    on_a_gpu = record(engine={**engine, "device": "cuda", "path": "vectorized"}, machine="GPU", **timing)
    assert {title(board) for board in build_boards([records[0], on_a_gpu], store)} == {"digits · latency"}
    (summary,) = summaries(found)
    assert "latency a: new; threads=1 precision=bf16." in summary.captions


def test_rows_with_different_step_modes_say_so(store: Store) -> None:
    compiled = {"device": "cpu", "threads": 2, "precision": "float32", "path": "single", "execution": "compiled"}
    (board,) = build_boards([record("a"), record("a", engine=compiled)], store)
    assert sorted(row.label for row in board.rows) == ["step_mode=compiled", "step_mode=eager"]


def test_rows_that_were_trained_for_epochs_steps_and_a_time_say_so(store: Store) -> None:
    lengths = [{"epochs": 20}, {"steps": 500}, {"seconds": 3.0}]
    records = [record("a", budget={**length, "batch_size": 128}) for length in lengths]
    (board,) = build_boards([*records, record("ppca", budget=None)], store)
    assert {row.label for row in board.rows if row.model == "a"} == {"epochs=20", "steps=500", "seconds=3"}
    assert [row.label for row in board.rows if row.model == "ppca"] == [""]


def test_a_fit_in_closed_form_has_no_setting_of_how_steps_are_computed(store: Store) -> None:
    engine = {"device": "cuda", "threads": 1, "precision": "float32", "path": "vectorized", "execution": "captured"}
    closed = {"device": "cuda", "threads": 1, "precision": "float32", "path": "single"}
    records = [record("vae", engine=engine), record("ppca", engine=closed, budget=None)]
    (board,) = build_boards(records, store)
    assert [row.label for row in board.rows] == ["", ""]


def test_no_two_rows_of_a_board_have_the_same_name(store: Store) -> None:
    vae = named("vae", {"latent_dim": 20})
    others = [{"distribution": "mine.py"}, {"version": "sha256:0123456789ab"}, {"content": "c" * 64}]
    titled = [{**vae, "title": "A", "settings": {"latent_dim": size}} for size in (2, 30)]
    models = [vae, *({**vae, **each} for each in others), *titled]
    (board,) = build_boards([record(model=each) for each in models], store)
    assert {row.name for row in board.rows} == {
        "vae distribution=generative-harness version=1",
        "vae distribution=generative-harness version=1 content=cccccccc",
        "vae distribution=generative-harness version=sha256:01234567",
        "vae distribution=mine.py version=1",
        "A latent_dim=2",
        "A latent_dim=30",
    }


def test_rows_whose_settings_read_the_same_are_told_apart_by_their_fits(store: Store) -> None:
    written = ("1-2", (1, 2))
    records = [record(model=named("a", {"x": x}), fit_key=f"{n}" * 24) for n, x in enumerate(written)]
    (board,) = build_boards(records, store)
    assert [row.name for row in board.rows] == ["a x=1-2 fit=00000000", "a x=1-2 fit=11111111"]


def test_a_warning_is_shown_beside_the_value_with_its_seeds(store: Store) -> None:
    warning = {"warning": "taken under 35% competing load"}
    records = [record("a", **warning), record("b", seed=0), record("b", seed=1, **warning), record("c")]
    (board,) = build_boards(records, store)
    assert {row.model: row.reason for row in board.rows} == {
        "a": "taken under 35% competing load",
        "b": "seed 1: taken under 35% competing load",
        "c": None,
    }
    for each in Registry.load().all("renderer"):
        text = re.sub(r"\s+|&#160;", " ", each.spec.resolve()([board]))
        assert "taken under 35%" in text.replace(r"\%", "%")


def test_counts_have_no_decimals_and_parts_have_the_decimals_of_their_unit(store: Store) -> None:
    exact = {"stderr": 0.0, "n": 1, "measure": None}
    (board,) = build_boards([record("a", 815824.0, **exact), record("b", 16464.0, **exact)], store)
    assert columns(board) == ["rank", "model", "elbo (nats) ↑"]
    assert [entries[2] for entries in cells(board)] == ["815,824", "16,464"]
    assert not any("n =" in line or "Ranks" in line for line in captions(board))
    (board,) = build_boards([record("a", 3.14159, stderr=0.01, parts={"IQR": 0.5, "knee (batch size)": 64})], store)
    assert cells(board)[0][2:6] == ["3.142", "0.010", "0.500", "64"]


@pytest.mark.parametrize(
    ("value", "stderr", "shown"),
    [
        (-108.123, 0.5, "−108.12 ± 0.50"),
        (4.242e-12, 4.2e-14, "4.242e−12 ± 4.2e−14"),
        (-3e-9, None, "−3.000e−9"),
        (0.5, 1e-10, "0.50000000 ± 1.0e−10"),
        (1e-12, 0.5, "0.00 ± 0.50"),
        (2.525e38, 2.5e36, "2.525e38 ± 2.5e36"),
        (2.5e38, None, "2.500e38"),
        (9.99996e15, None, "1.000e16"),
        (804_000_000_000_000.0, None, "804,000,000,000,000"),
        (-0.04, 5.0, "0.0 ± 5.0"),
        (-0.06, 5.0, "−0.1 ± 5.0"),
        (0.0, 0.0, "0"),
        (0.0, 3e-12, "0.00000000 ± 3.0e−12"),
        (123_456.0, 5000.0, "123,456 ± 5,000"),
        (12345.6, None, "12,346"),
    ],
)
def test_values_have_the_digits_that_are_known(store: Store, value: float, stderr: float | None, shown: str) -> None:
    (board,) = build_boards([record("a", value, stderr=stderr)], store)
    assert value_in_words(board.rows[0]) == shown


def test_captions_say_that_errors_are_not_known(store: Store) -> None:
    (board,) = build_boards([record("a", 12.31, stderr=None), record("b", 12.30, stderr=None)], store)
    assert [row.rank for row in board.rows] == [None, None]
    assert "No ranks: its error is not known." in captions(board)
    unknown = seeds_of("a", -100.0, stderr=None)
    (board,) = build_boards([*unknown, *seeds_of("b", -300.0, stderr=None)], store)
    assert any("The error over test examples is not known and not included." in line for line in captions(board))
    (board,) = build_boards([*unknown, record("b")], store)
    assert any("The error of some rows over test examples is not known" in line for line in captions(board))


def test_captions_say_what_budgets_of_all_rows_have_in_common(store: Store) -> None:
    def caption(*budgets: dict[str, object] | None) -> str:
        (board,) = build_boards([record(f"m{n}", budget=budget) for n, budget in enumerate(budgets)], store)
        return next(line for line in captions(board) if "n =" in line)

    of_epochs = {"epochs": 20, "batch_size": 128, "weights": "best"}
    of_steps = {"steps": 900, "batch_size": 128, "weights": "best"}
    assert "; 20 epochs, batch size 128, best weights by validation loss." in caption(of_epochs, None)
    assert "; batch size 128, best weights by validation loss." in caption(of_epochs, of_steps, None)
    assert "; 20 epochs, batch size 128." in caption(of_epochs, {**of_epochs, "weights": "last"})
    assert "batch size" not in caption(of_epochs, {**of_steps, "batch_size": 64, "weights": "last"})


def test_captions_say_what_errors_are_over(store: Store) -> None:
    (board,) = build_boards([record("a", seed=seed, counted="samples") for seed in (0, 1)], store)
    assert any("n = 100 samples" in line for line in captions(board))
    assert any("Std. error is over samples" in line for line in captions(board))


def test_captions_name_no_error_where_none_is_shown(store: Store) -> None:
    for spread, words in ((0.0, "Spread is"), (1.0, "Std. error is over seeds, spread is")):
        (board,) = build_boards(seeds_of("a", 500.0, spread, stderr=0.0), store)
        assert ("±" in value_in_words(board.rows[0])) is (spread > 0)
        assert f"{words} the standard deviation over seeds." in captions(board, over_seeds=True)


def test_a_board_shows_what_its_metric_cannot_see(store: Store) -> None:
    records = [record("old"), record("new", limits="Cannot see memorised training images.")]
    (board,) = build_boards(records, store)
    assert captions(board)[-1] == "Cannot see memorised training images."
    (board,) = build_boards(records[:1], store)
    assert not any("Cannot" in line for line in captions(board))


def test_a_value_that_is_biased_in_favour_of_its_model_has_no_rank(store: Store) -> None:
    biased = {"warning": "loose", "biased_in_favour": True}
    (board,) = build_boards([record("a", -90.0, **biased), record("b"), record("c", None)], store)
    assert [(row.model, row.rank, row.value) for row in board.rows] == [
        ("b", 1, -100),
        ("a", None, -90),
        ("c", None, None),
    ]
    assert "No rank for a: its error is known to favour the model." in captions(board)


def test_a_part_that_is_not_finite_is_left_out(store: Store) -> None:
    records = [record("a", parts={"x": None, "y": 1.0}), record("a", seed=1, parts={"x": 3.0, "y": None})]
    (board,) = build_boards([*records, record("b", parts={"x": None})], store)
    assert [row.parts for row in board.rows] == [{"x": 3.0, "y": 1.0}, {}]


def test_a_failed_seed_is_named_beside_the_other_seeds_of_its_model(store: Store) -> None:
    density = {"measure": "density on (pixel + u) / 256"}
    failed = record("c", None, seed=1, status="diverged", reason="loss became nan")
    boards = build_boards([record("a"), record("b"), record("c", **density), failed], store)
    assert sorted(models_of(boards)) == [["a", "b"], ["c"]]
    (reason,) = [row.reason for board in boards for row in board.rows if row.model == "c"]
    assert reason == "without seed 1: diverged, loss became nan"


def test_rows_without_a_value_are_listed_once_below_the_rest_with_their_reason(store: Store) -> None:
    density = {"measure": "density on (pixel + u) / 256"}
    boards = build_boards([record("gan", None), record("a"), record("b", -90.0), record("c", **density)], store)
    assert sorted(models_of(boards)) == [["b", "a", "gan"], ["c"]]
    (gan,) = [row for board in boards for row in board.rows if row.model == "gan"]
    assert (gan.rank, gan.value, gan.status, gan.reason) == (None, None, "n/a", "it has no encoder")


def test_seeds_are_averaged_and_errors_over_examples_and_over_seeds_are_separate(store: Store) -> None:
    ids = torch.arange(4)
    values = {0: torch.tensor([1.0, 2, 3, 4]), 1: torch.tensor([3.0, 4, 5, 6])}
    records = [record(value=float(each.mean()), seed=seed, n=4) for seed, each in values.items()]
    for each in records:
        store.append(each, Values(ids.numpy(), values[each.seed].double().numpy()))
    ((row,),) = [board.rows for board in build_boards(store.records(), store)]
    assert (row.value, row.seeds) == (3.5, 2)
    assert row.spread == pytest.approx(2**0.5)
    assert row.stderr == pytest.approx(torch.tensor([2.0, 3, 4, 5]).std().item() / 2)


def test_values_that_cannot_be_read_are_named_on_the_board_and_rows_are_not_paired(store: Store) -> None:
    ids, values = torch.arange(50).numpy(), torch.linspace(-110, -90, 50).double().numpy()
    records = [record(name, value, n=50) for name, value in (("a", -100.0), ("b", -100.5))]
    records = [
        store.append(each, Values(ids, values + shift)) for each, shift in zip(records, (0.0, -0.5), strict=True)
    ]
    (board,) = build_boards(records, store)
    assert ranges(board) == ["1", "2"]  # paired, the same half nat on every example
    path = store.root / "values" / f"{records[1].cell_key}.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(HarnessWarning, match=f"{path} differs from what was written; the 'harness run' that"):
        (board,) = build_boards(records, store)
    assert ranges(board) == ["1–2", "1–2"]
    assert "Not paired, since per-example values cannot be read: b (seed 0)." in captions(board)


def test_degrees_of_freedom_widen_the_interval_of_a_comparison(store: Store) -> None:
    apart = [record("a", -100.0, stderr=1.0), record("b", -102.9, stderr=1.0)]
    assert ranges(build_boards(apart, store)[0]) == ["1", "2"]
    few = [dataclasses.replace(each, degrees_of_freedom=3.0) for each in apart]
    assert ranges(build_boards(few, store)[0]) == ["1–2", "1–2"]


def test_rows_are_sorted_by_value_with_the_range_of_ranks_that_they_may_have(store: Store) -> None:
    records = [*seeds_of("b", -101.0), *seeds_of("c", -150.0), *seeds_of("a", -100.0)]
    (board,) = build_boards(records, store)
    assert [(row.model, entries[0]) for row, entries in zip(board.rows, cells(board), strict=True)] == [
        ("a", "1–2"),
        ("b", "1–2"),
        ("c", "3"),
    ]
    assert [(row.rank, row.rank_low, row.rank_high) for row in board.rows] == [(1, 1, 2), (1, 1, 2), (3, 3, 3)]
    assert "Ranks: the range of ranks that simultaneous 95% intervals of all differences allow." in captions(board)


def test_a_row_with_one_seed_has_no_rank_unless_its_value_does_not_depend_on_it(store: Store) -> None:
    one = record("b", -90.0, depends_on_seed=True)
    (board,) = build_boards([*seeds_of("a", -100.0), one, record("c", -500.0)], store)
    assert [(row.model, rank_range(row)) for row in board.rows] == [("b", "–"), ("a", "1"), ("c", "2")]
    assert "No rank for b: one seed; run with 3 seeds." in captions(board)
    (board,) = build_boards([one], store)
    assert "No ranks: one seed; run with 3 seeds." in captions(board)


def test_seven_seeds_of_one_model_entered_as_rows_have_no_ranks(store: Store) -> None:
    elbo = (-107.76, -108.04, -107.3, -108.6, -107.9, -107.1, -108.4)
    rows = [record(f"vae-{i}", value, seed=i, depends_on_seed=True) for i, value in enumerate(elbo)]
    (board,) = build_boards(rows, store)
    assert ranges(board) == ["–"] * 7
    assert "No ranks: one seed; run with 3 seeds." in captions(board)


def test_a_row_is_not_ranked_on_the_seeds_that_survived(store: Store) -> None:
    failed = record("b", None, seed=3, status="diverged", reason="loss became nan")
    (board,) = build_boards([*seeds_of("a", -100.0), *seeds_of("b", -10.0), failed, *seeds_of("c", -200.0)], store)
    assert [(row.model, rank_range(row)) for row in board.rows] == [("b", "–"), ("a", "1"), ("c", "2")]
    assert board.rows[0].reason == "without seed 3: diverged, loss became nan"
    assert "No rank for b: not all of its seeds have a value." in captions(board)


def test_a_row_is_not_the_first_of_those_that_cannot_be_ranked(store: Store) -> None:
    """All seeds of the better row have the same value, and nothing says how it varies over examples."""
    counts: dict[str, Any] = {"stderr": None, "unit": "units", "measure": None}
    (board,) = build_boards([*seeds_of("a", 20.0, 0.0, **counts), *seeds_of("b", 19.0, **counts)], store)
    assert [(row.model, rank_range(row)) for row in board.rows] == [("a", "–"), ("b", "–")]
    assert "No rank for a: its error is not known." in captions(board)
    assert "No rank for b: no other row can be ranked, and one without a rank has a better value." in captions(board)


def test_timings_are_ranked_only_with_those_of_the_newest_group(store: Store) -> None:
    def timing(name: str, value: float, group: str | None, ended: str) -> Record:
        given = {"machine": "this one, 8 cores", "unit": "examples/s", "measure": None, "counted": "rounds"}
        return record(name, value, timing_group=group, ended=ended, **given)

    old, alone = timing("a", 900.0, "first", "2026-01-01"), timing("b", 800.0, None, "2026-01-03")
    new = [timing("c", 700.0, "second", "2026-01-02"), timing("d", 600.0, "second", "2026-01-02")]
    (board,) = build_boards([old, alone, *new], store)
    assert [(row.model, rank_range(row)) for row in board.rows] == [("a", "–"), ("b", "–"), ("c", "1"), ("d", "2")]
    assert "No rank for a: timed at another time; time all rows in one fresh run." in captions(board)
    assert "No rank for b: timed on its own; time all rows in one fresh run." in captions(board)


def test_few_rounds_of_a_timing_widen_its_interval(store: Store) -> None:
    def timing(name: str, value: float, rounds: int) -> Record:
        given = {"machine": "this one, 8 cores", "unit": "examples/s", "measure": None, "counted": "rounds"}
        return record(name, value, stderr=1.0, n=rounds, timing_group="first", **given)

    for rounds, expected in ((100, ["1", "2"]), (4, ["1–2", "1–2"])):
        (board,) = build_boards([timing("a", 100.0, rounds), timing("b", 97.0, rounds)], store)
        assert ranges(board) == expected


def test_rows_are_paired_on_groups_of_examples_averaged_over_seeds(store: Store) -> None:
    groups = [float(i % 5) for i in range(10)]

    def row(name: str, shift: float, **changes: Any) -> list[Record]:
        values = [tuple(g + shift + s for g in groups) for s in (-0.001, 0.0, 0.001)]
        return [
            record(
                name, 2 + shift + s, seed=seed, group_values=values[seed], degrees_of_freedom=9.0, stderr=0.5, **changes
            )
            for seed, s in enumerate((-0.001, 0.0, 0.001))
        ]

    (board,) = build_boards([*row("a", 0.0), *row("b", 0.1)], store)
    assert ranges(board) == ["1", "2"]
    (board,) = build_boards([*row("a", 0.0, estimator_stderr=0.2), *row("b", 0.1, estimator_stderr=0.2)], store)
    assert ranges(board) == ["1–2", "1–2"]


def test_the_part_of_an_error_that_examples_do_not_show_is_not_lost(store: Store) -> None:
    ids, values = torch.arange(50).numpy(), torch.linspace(-110, -90, 50).double().numpy()
    shown = float(values.std(ddof=1) / 50**0.5)
    records = [record("a", -100.0, n=50, stderr=shown), record("b", -100.5, n=50, stderr=(shown**2 + 1) ** 0.5)]
    records = [
        store.append(each, Values(ids, values + shift)) for each, shift in zip(records, (0.0, -0.5), strict=True)
    ]
    (board,) = build_boards(records, store)
    assert ranges(board) == ["1–2", "1–2"]
    assert [row.stderr for row in board.rows] == pytest.approx([shown, (shown**2 + 1) ** 0.5])


def test_boards_of_the_validation_split_and_other_evaluation_seeds_say_so(store: Store) -> None:
    (board,) = build_boards([record(split="validation", evaluation_seed=3)], store)
    assert title(board) == "digits · elbo · validation split · evaluation seed 3"


def test_a_seed_that_diverged_is_named(store: Store) -> None:
    diverged = record(value=None, seed=2, status="diverged", reason="loss became nan")
    ((row,),) = [board.rows for board in build_boards([record(seed=0), record(seed=1), diverged], store)]
    assert (row.status, row.seeds) == ("ok", 2)
    assert row.reason == "without seed 2: diverged, loss became nan"


def test_rows_of_one_model_show_the_settings_in_which_they_differ(store: Store) -> None:
    records = [
        record("a"),
        record("a", -99.0, model=named("a", {"latent_dim": 5})),
        record("a", -98.0, budget={"epochs": 1, "batch_size": 128}),
        record("b", -97.0, model=named("b", {"width": 7, "depth": 2}, ("width",))),
    ]
    (board,) = build_boards(records, store)
    assert {(row.model, row.label) for row in board.rows} == {
        ("a", "latent_dim=20 epochs=20"),
        ("a", "latent_dim=5 epochs=20"),
        ("a", "latent_dim=20 epochs=1"),
        ("b", "width=7 epochs=20"),
    }


promised = {
    "rank_low",
    "rank_high",
    "dataset",
    "model",
    "settings",
    "metric",
    "value",
    "stderr",
    "n",
    "seeds",
    "unit",
    "measure",
    "rank",
}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": {**named("vae"), "version": "2"}}, "version"),
        ({"model": {**named("vae"), "distribution": "mine.py"}}, "distribution"),
        ({"model": {**named("vae"), "content": "c" * 64}}, "content"),
        ({"model": {**named("vae"), "weights": "a.safetensors", "content": "c" * 64}}, "label"),
        ({"dataset": {**named("digits"), "version": "2"}}, "dataset_version"),
        ({"dataset": {**named("digits"), "distribution": "mine.py"}}, "dataset_distribution"),
        ({"dataset": {**named("digits"), "content": "c" * 64}}, "dataset_content"),
        ({"metric": {**named("elbo"), "version": "2"}}, "metric_version"),
        ({"metric": {**named("elbo"), "distribution": "mine.py"}}, "metric_distribution"),
        ({"evaluation_seed": 1}, "evaluation_seed"),
    ],
)
def test_rows_for_programs_say_what_distinguishes_them(store: Store, change: dict[str, Any], field: str) -> None:
    same = {"model": named("vae"), "metric": named("elbo")}
    found = json.loads(render_json(build_boards([record(**same), record(**{**same, **change})], store)))
    assert len({row[field] for row in found}) == 2


def test_every_format_shows_the_same_rows(store: Store) -> None:
    records = [record("a|b"), record("c", -90.0, parts={"kl": 25.0}), record("gan", None)]
    boards = build_boards(records, store)
    registry = Registry.load()
    texts = {each.spec.name: each.spec.resolve()(boards) for each in registry.all("renderer")}
    rows = json.loads(texts["json"])
    assert all(promised | {"status", "reason"} <= set(row) for row in rows)
    assert [(row["model"], row["rank"]) for row in rows] == [("c", 1), ("a|b", 2), ("gan", None)]
    assert [row["model"] for row in csv.DictReader(io.StringIO(texts["csv"]))] == ["c", "a|b", "gan"]
    assert "a\\|b" in texts["markdown"]
    for name in ("terminal", "markdown", "svg"):
        flat = re.sub(r"\s|&#160;", " ", texts[name])
        assert all(word in flat for word in ("elbo", "−90.00", "25.00", "it has no encoder", "probability mass"))


def test_the_picture_is_valid_xml_and_loads_nothing(store: Store) -> None:
    svg = next(each for each in Registry.load().all("renderer") if each.spec.name == "svg").spec.resolve()
    text = svg(build_boards([record()], store))
    ET.fromstring(text)
    assert "url(http" not in text
    assert "@import" not in text


def test_every_format_renders_no_boards() -> None:
    for each in Registry.load().all("renderer"):
        assert isinstance(each.spec.resolve()([]), str)


def test_each_data_set_gets_a_page_and_a_picture(store: Store, tmp_path: Path) -> None:
    boards = build_boards([record(), record(dataset=named("clothes"))], store)
    written = write_leaderboards(boards, tmp_path / "boards", store, Registry.load(), print)
    assert sorted(path.name for path in written) == ["clothes.md", "clothes.svg", "digits.md", "digits.svg"]
    assert sorted(path.name for path in (tmp_path / "boards").iterdir()) == sorted(path.name for path in written)


def test_figures_of_every_fit_are_on_the_page_even_if_rows_share_a_name(store: Store, tmp_path: Path) -> None:
    metric = named("parzen")
    for key in ("first", "second"):
        store.figures_folder(key).mkdir(parents=True)
        store.write_figure(key, "samples", b"a picture")
    longer = {"budget": {"epochs": 50, "batch_size": 128}, "fit_key": "second", "metric": metric}
    boards = build_boards([record(fit_key="first"), record(**longer)], store)
    page, *_ = write_leaderboards(boards, tmp_path / "boards", store, Registry.load(), print)
    text = page.read_text()
    assert text.count("<img") == 2
    assert "vae (20 epochs, batch size 128, fit first)" in text
    assert "vae (50 epochs, batch size 128, fit second)" in text

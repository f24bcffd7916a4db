"""Every point of a chart has a name or a number, and no label is nearer to another point than to its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from stored_models import component, record

from harness.leaderboard.board import build_boards
from harness.report.labels import Label, labels_of, short_names
from harness.report.plots import Costed, trade_off
from harness.results.store import Store

room = (46, 0, 310, 185)
places = st.tuples(st.integers(46, 298), st.integers(10, 185))
charts = st.lists(st.tuples(st.sampled_from(["vae", "iwae", "gan", "denoising-cnn-ae"]), places), max_size=30)


def overlap(one: Label, other: Label) -> bool:
    (left, top, right, bottom), (left_2, top_2, right_2, bottom_2) = one.box, other.box
    return left < right_2 and left_2 < right and top < bottom_2 and top_2 < bottom


@given(charts)
@example([("vae", (100, 100))] * 5)
@example([("vae", (46, 10))] * 9 + [("denoising-cnn-ae", (196, 11)), ("vae", (46, 12))])
@example([("pca", (50, 180)), ("ppca", (50, 180)), ("linear-ae", (54, 180)), ("vae", (290, 20))])
def test_every_point_is_named_and_its_label_is_nearest_to_it(chart: list[tuple[str, tuple[int, int]]]) -> None:
    named = [(f"{name} {index}", point) for index, (name, point) in enumerate(chart)]
    point_of = dict(named)
    found = labels_of([name for name, _ in named], [point for _, point in named], room)
    numbered: dict[str, list[str]] = {}
    for number, name in found.legend:
        numbered.setdefault(str(number), []).append(name)
    texts = [label.text for label in found.labels]
    assert sorted(
        [name for those in numbered.values() for name in those] + [t for t in texts if t in point_of]
    ) == sorted(point_of)
    assert sorted(set(texts)) == sorted(texts)
    for label in found.labels:
        own = numbered.get(label.text, [label.text])
        to_own = min(label.distance(point_of[name]) for name in own)
        assert all(to_own <= label.distance(point) for name, point in named if name not in own)
        assert to_own < 14.2  # the larger gap along a diagonal: 10 pixels aside, and 10 up or down
    names = [label for label in found.labels if label.text in point_of]
    assert not any(overlap(one, other) for one, other in combinations(names, 2))


def test_points_with_room_have_their_names_beside_them() -> None:
    names = [f"model-{n}" for n in range(16)]
    found = labels_of(names, [(70 + 70 * (n % 4), 20 + 30 * (n // 4)) for n in range(16)], room)
    assert len(found.labels) == 16
    assert found.legend == ()
    assert len(labels_of(names, [(60 + n, 20) for n in range(16)], room).legend) > 10


def test_a_chart_has_a_name_or_a_number_for_every_model() -> None:
    models = [Costed(f"model-{n}", 0.02 * (n % 7), 0.1, 2.0 + n) for n in range(24)]
    found = trade_off(models, ("recall", "higher"), ("time", "lower"))
    assert found is not None
    texts = {label.text for label in found.labels.labels} | {name for _, name in found.labels.legend}
    assert {model.name for model in models} <= texts
    assert found.ticks.y[0] == (185, "0")


def test_names_leave_out_settings_that_do_not_differ(tmp_path: Path) -> None:
    records = []
    for model, beta in (("beta-vae", 1), ("beta-vae", 4), ("vae", 1)):
        described = component(model, {"beta": beta, "size": 3}, ["beta", "size"])
        key = f"{model}-{beta}"
        records.append(replace(record(model, "elbo", -100.0), model=described, fit_key=key, cell_key=key))
    (board,) = build_boards(records, Store(tmp_path))
    assert sorted(short_names(board.rows)) == ["beta-vae beta=1", "beta-vae beta=4", "vae"]

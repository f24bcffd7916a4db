"""Histories of comparisons: the file, the changes that are found in it, and ``harness history show``."""

from __future__ import annotations

import errno
import html
import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from harness.cli.pictures import save_picture
from harness.errors import HarnessError, HarnessWarning, StoreError, UsageError
from harness.regression import history_report as report
from harness.regression.changes import fewest, find_shifts
from harness.regression.findings import Finding
from harness.regression.history import Entry, append, load
from harness.regression.origin import Origin, origin_of
from harness.regression.series import Change, Series, groups_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.conftest import Call

    Floats = NDArray[np.float64]
    Draw = Callable[[np.random.Generator], Floats]

runs = 60
tag = Origin("v1", "a" * 40, dirty=False, date="2025-12-01T00:00:00+00:00")


def normal(generator: np.random.Generator) -> Floats:
    return generator.normal(size=runs)


def heavy(generator: np.random.Generator) -> Floats:
    """As Student's t with 2 degrees of freedom, which has no variance."""
    return generator.standard_t(2, size=runs)


def autocorrelated(generator: np.random.Generator, correlation: float) -> Floats:
    """Return an autoregressive process of order 1."""
    values = generator.normal(size=runs)
    values[0] /= math.sqrt(1 - correlation**2)
    for number in range(1, runs):
        values[number] += correlation * values[number - 1]
    return values


def stepped(*steps: tuple[int, float]) -> Floats:
    """Return the levels of a series that shifts at some places by some sizes."""
    return np.sum([shift * (np.arange(runs) >= place) for place, shift in steps], axis=0)


def places(values: Floats, margins: Floats | None = None) -> list[int]:
    return [shift.place for shift in find_shifts([values], [margins])[0]]


@pytest.mark.parametrize("draw", [normal, heavy])
def test_series_without_a_change_have_one_in_a_hundredth_of_cases(draw: Draw) -> None:
    found = sum(bool(places(draw(np.random.default_rng(seed)))) for seed in range(200))
    assert found <= 5  # 2 are expected; 6 or more have a probability of 1.6%


@pytest.mark.parametrize("correlation", [0.4, 0.6])
def test_runs_that_resemble_their_neighbours_are_seldom_taken_for_changes(correlation: float) -> None:
    """A test that takes them for exchangeable finds changes in 30% and in 66% of such series."""
    found = sum(bool(places(autocorrelated(np.random.default_rng(seed), correlation))) for seed in range(150))
    assert found <= 12  # 5 are expected


def test_several_series_without_a_change_share_the_error_rate() -> None:
    found = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        found += any(find_shifts([normal(generator) for _ in range(10)], [None] * 10))
    assert found <= 2  # 0.4 are expected; tests of each series at 1% would give 4


def test_a_shift_of_two_standard_deviations_is_found_where_it_is() -> None:
    found = [places(normal(np.random.default_rng(seed)) + stepped((30, 2))) for seed in range(40)]
    assert sum(len(each) == 1 and abs(each[0] - 30) <= 2 for each in found) >= 36


def test_a_shift_is_found_under_heavy_tails() -> None:
    found = [places(heavy(np.random.default_rng(seed)) + stepped((30, 5))) for seed in range(20)]
    assert sum(any(abs(place - 30) <= 2 for place in each) for each in found) >= 18


@pytest.mark.parametrize("sizes", [(3, 3), (3, -3)])
def test_two_shifts_are_found_also_if_the_second_reverts_the_first(sizes: tuple[float, float]) -> None:
    """A split of the whole series in two finds the reverted shift in one case of seven."""
    levels = stepped((30, sizes[0]), (42, sizes[1]))
    found = [places(normal(np.random.default_rng(seed)) + levels) for seed in range(20)]
    assert sum(len(each) == 2 and abs(each[0] - 30) <= 2 and abs(each[1] - 42) <= 2 for each in found) >= 17


def test_a_large_shift_is_found_in_few_runs_whatever_autocorrelation_seems_to_be() -> None:
    found = [places((normal(np.random.default_rng(seed)) + stepped((15, 10)))[:30]) for seed in range(40)]
    assert sum(15 in each for each in found) == 40


def test_shifts_of_a_metric_are_found_among_its_levels_of_commits() -> None:
    """Runs of the same code repeat a metric. A correction for autocorrelation would miss two thirds of these."""
    levels = [np.repeat(np.random.default_rng(seed).normal(0, 0.1, 15), 4) for seed in range(20)]
    found = [places(each + stepped((32, 0.4)), np.full(runs, 0.2)) for each in levels]
    assert sum(each == [32] for each in found) >= 18


def test_intervals_of_sizes_hold_the_true_size() -> None:
    found = [find_shifts([normal(np.random.default_rng(seed)) + stepped((30, 3))], [None])[0] for seed in range(40)]
    assert sum(len(each) == 1 and each[0].low <= 3 <= each[0].high for each in found) >= 35


@pytest.mark.parametrize("n", [0, 1, 2 * fewest - 1])
def test_a_short_series_has_no_change(n: int) -> None:
    assert places((np.arange(n) >= n // 2).astype(float)) == []


def test_the_more_series_the_more_runs_are_needed() -> None:
    values = np.array([0, 0.01, 0.02, 0, 0.01, 0.02, 1, 1.01, 1.02, 1, 1.01, 1.02])
    assert places(values) == [6]  # 2 in 924 is below 1%
    assert find_shifts([values] * 8, [None] * 8) == [[]] * 8
    constant = np.ones(len(values))  # nothing can be found in it
    assert [len(shifts) for shifts in find_shifts([values, *[constant] * 8], [None] * 9)] == [1, *[0] * 8]


def test_constant_series_have_no_change_and_steps_have_exact_ones() -> None:
    assert places(np.ones(runs)) == []
    (shift,) = find_shifts([stepped((20, 0.5))], [None])[0]
    assert (shift.place, shift.low, shift.size, shift.high) == (20, 0.5, 0.5, 0.5)


def test_a_shift_must_exceed_errors_that_do_not_average_out() -> None:
    values = stepped((20, 0.5))
    assert places(values, np.full(runs, 0.3)) == [20]  # √2 × 0.3 = 0.42
    assert places(values, np.full(runs, 0.4)) == []
    assert places(values, np.where(np.arange(runs) < 20, 0.0, 0.4)) == [20]


def test_the_same_series_have_the_same_changes() -> None:
    series = [normal(np.random.default_rng(seed)) + stepped((30, 1.2)) for seed in range(4)]
    once, twice = (find_shifts(series, [None] * 4) for _ in range(2))
    assert once == twice
    assert any(once)


def speed(ratio: float, name: str = "step") -> Finding:
    return Finding(
        name, "speed", "same", 0.03, 0.03 * ratio, ratio, None, ratio - 0.02, ratio + 0.02, "seconds", "lower"
    )


def count(number: float, name: str = "step: FLOPs") -> Finding:
    return Finding(name, "count", "same", 100, number, number / 100, None, 1.0, 1.0, "FLOPs", "lower")


def quality(difference: float, margin: float = 0.1, direction: str | None = "higher") -> Finding:
    low, high = difference - margin, difference + margin
    return Finding(
        "elbo of vae", "quality", "same", -100, -100 + difference, None, difference, low, high, "nats", direction
    )


def entry(night: int, *findings: Finding, **fields: Any) -> Entry:
    date = f"2026-{1 + night // 28:02}-{1 + night % 28:02}T01:00:00+00:00"
    head = Origin(".", f"{night:040x}", dirty=False, date=date)
    return replace(Entry(date, tag, head, {"device": "cpu"}, {"python": "3.12"}, findings), **fields)


def series_of(entries: Sequence[Entry]) -> dict[str, Series]:
    (group,) = groups_of(entries)
    return {series.finding.name: series for series in group.series}


def commits(change: Change) -> tuple[str | None, str | None]:
    return change.before.entry.head.commit, change.after.entry.head.commit


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "nightly.jsonl"


@pytest.fixture
def nights() -> list[Entry]:
    """Return 30 nights: the step becomes 10% slower and the bound 0.5 nats worse in the 13th, FLOPs change twice."""
    generator = np.random.default_rng(0)
    return [
        entry(
            night,
            speed((1.1 if night >= 12 else 1.0) * math.exp(generator.normal(0, 0.01))),
            count(110 if 5 <= night < 7 else 100),
            quality(-0.5 * (night >= 12)),
        )
        for night in range(30)
    ]


def test_changes_are_between_the_commits_where_something_changed(nights: list[Entry]) -> None:
    found = series_of(nights)
    (slower,) = found["step"].changes
    assert commits(slower) == (f"{11:040x}", f"{12:040x}")
    assert slower.low < 1.1 < slower.high
    assert slower.p_value is not None
    assert slower.p_value < 0.001
    (worse,) = found["elbo of vae"].changes
    assert commits(worse) == (f"{11:040x}", f"{12:040x}")
    assert (worse.size, worse.high) == pytest.approx((-0.5, -0.5 + math.sqrt(2) * 0.1))


def test_every_change_of_a_count_is_shown_also_of_one_night(nights: list[Entry]) -> None:
    changes = series_of(nights)["step: FLOPs"].changes
    assert [(change.size, change.p_value) for change in changes] == [(10, None), (-10, None)]
    once = series_of([entry(0, count(100)), entry(1, count(101)), entry(2, count(100))])["step: FLOPs"].changes
    assert [change.size for change in once] == [1, -1]


def test_a_harmless_change_of_the_values_of_a_metric_is_no_change() -> None:
    """Nights of the same code repeat the same errors of seeds, so that many nights prove nothing."""
    found = series_of([entry(night, quality(0.1 * (night >= 15))) for night in range(30)])
    assert found["elbo of vae"].changes == []


def test_the_newest_changes_come_first(nights: list[Entry]) -> None:
    (group,) = groups_of(nights)
    assert [series.finding.kind for series in group.series] == ["quality", "speed", "count"]
    rows = json.loads(report.as_json([group]))[2]
    assert [change["size"] for change in rows["changes"]] == [-10, 10]


def test_entries_are_read_as_they_were_written_in_the_order_of_commits(file: Path, nights: list[Entry]) -> None:
    for each in [*nights[10:], *nights[:10]]:
        append(file, each)
    assert load(file) == nights
    dirty = replace(entry(2), head=Origin(".", "b" * 40, dirty=True, date="2026-01-01T00:00:00+00:00"))
    assert dirty.date == dirty.ran


def test_joined_histories_count_a_line_once(file: Path, nights: list[Entry]) -> None:
    append(file, nights[0])
    file.write_bytes(file.read_bytes() * 2)
    append(file, nights[1])
    assert load(file) == nights[:2]


def test_a_second_run_of_a_commit_is_kept(file: Path) -> None:
    first = entry(0, speed(1.0))
    again = replace(first, ran="2026-02-01T01:00:00+00:00", findings=(speed(1.01),))
    append(file, again)
    append(file, first)
    assert load(file) == [first, again]


def test_a_line_that_was_cut_short_is_left_out_and_the_next_is_kept(file: Path, nights: list[Entry]) -> None:
    append(file, nights[0])
    append(file, nights[1])
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.warns(HarnessWarning, match="line 2: cut short; left out"):
        assert load(file) == nights[:1]
    append(file, nights[2])
    with pytest.warns(HarnessWarning, match="line 2: not a readable entry; left out"):
        assert load(file) == [nights[0], nights[2]]


def test_an_entry_that_cannot_be_synced_leaves_the_history_as_it_was(
    file: Path, nights: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(file, nights[0])
    before = file.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(StoreError, match=r"cannot write the history .*No space left"):
        patch.setattr(os, "fsync", full)
        append(file, nights[1])
    assert file.read_bytes() == before


def test_a_line_of_a_newer_version_is_left_out(file: Path, nights: list[Entry]) -> None:
    append(file, nights[0])
    append(file, nights[1])
    first, second = file.read_text().splitlines()
    file.write_text(f"{first}\n{json.dumps({**json.loads(second), 'schema': 99})}\n")
    with pytest.warns(HarnessWarning, match="line 2: written by a newer version; left out"):
        assert load(file) == nights[:1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ran", "yesterday"),
        ("base", {"name": "v1", "colour": "red"}),
        ("head", None),
        ("head", {"name": ".", "commit": 7}),
        ("conditions", 3),
        ("conditions", {"settings": 3}),
        ("conditions", {"settings": {"vae": 3}}),
        ("findings", [{"name": "step"}]),
        ("findings", [{"name": 3, "kind": "speed", "verdict": "same"}]),
        ("findings", [{"name": "step", "kind": "speed", "verdict": "same", "reason": 3}]),
        ("findings", [{"name": "step", "kind": "speed", "verdict": "same", "ratio": "fast"}]),
        ("findings", [{"name": "step", "kind": "speed", "verdict": "same", "ratio": -1}]),
        ("findings", [{"name": "step", "kind": "count", "verdict": "same", "base": 10**400}]),
        ("findings", [{"name": "step", "kind": "size", "verdict": "same"}]),
    ],
)
def test_a_line_with_a_wrong_field_is_left_out(file: Path, nights: list[Entry], field: str, value: Any) -> None:
    append(file, nights[0])
    line = json.loads(file.read_text())
    with file.open("a") as opened:
        opened.write(json.dumps({**line, field: value}) + "\n")
    with pytest.warns(HarnessWarning, match="line 2: not a readable entry; left out"):
        assert load(file) == nights[:1]


@pytest.mark.parametrize("content", ['{"schema": 3, "status": "ok"}\n', "text\n", "[]\n", "{}"])
def test_another_file_is_refused(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(UsageError, match="is not a history"):
        load(file)


def test_a_ratio_without_a_bounded_interval_is_not_kept(file: Path) -> None:
    """Such is that of a benchmark for which there was no time."""
    nothing = Finding("step", "speed", "inconclusive", ratio=1.0, low=0.0, high=math.inf)
    append(file, entry(0, nothing, count(math.inf, "a"), count(3, "b")))
    (read,) = load(file)
    assert [each.ratio for each in read.findings[:2]] == [None, None]
    assert list(series_of([read])) == ["b"]


def test_runs_with_another_base_or_other_conditions_are_apart() -> None:
    old = [entry(night, speed(1.0)) for night in range(10)]
    other = replace(tag, commit="c" * 40)
    new = [entry(night, speed(1.5), base=other) for night in range(10, 20)]
    longer = [entry(night, speed(1.2), conditions={"device": "cuda"}) for night in range(20, 30)]
    groups = groups_of([*old, *new, *longer])
    assert [group.entries for group in groups] == [longer, new, old]
    assert all(not series.changes for group in groups for series in group.series)
    assert "v1 was 2 different commits" in report.plain(groups)


def test_what_else_changed_is_said() -> None:
    nights = [
        entry(night, count(100 + (night > 0)), environment={"software": {"torch": f"2.{night}"}}) for night in (0, 1)
    ]
    assert "torch 2.0 → 2.1" in report.markdown(groups_of(nights))
    same = [nights[0], replace(nights[1], head=nights[0].head)]
    assert "the commit is the same; torch 2.0 → 2.1" in report.markdown(groups_of(same))


def test_changes_are_judged_by_the_direction_of_their_values(nights: list[Entry]) -> None:
    rows = {row["name"]: row for row in json.loads(report.as_json(groups_of(nights)))}
    judged = {name: [change["judgement"] for change in row["changes"]] for name, row in rows.items()}
    assert judged == {"elbo of vae": ["worse"], "step": ["worse"], "step: FLOPs": ["better", "worse"]}
    neither = [entry(night, quality(float(night >= 10), direction=None)) for night in range(20)]
    (row,) = json.loads(report.as_json(groups_of(neither)))
    assert [change["judgement"] for change in row["changes"]] == [None]


def test_the_table_has_every_number(nights: list[Entry]) -> None:
    nights[-1] = replace(nights[-1], findings=nights[-1].findings[1:])
    text = report.plain(groups_of(nights))
    heading = "Compared with v1 (aaaaaaa): 30 runs, 2026-01-01 to 2026-02-02, cpu"
    changes = ("% worse", "+10 (+10.0%) worse", "exact", "-0.5 worse", "-0.641 to -0.359", "2026-01-12 0000000")
    for part in (heading, *changes, "until 2026-02-01", "4 changes: 3 worse, 1 better"):
        assert part in text


def test_names_with_markup_are_shown_as_they_are() -> None:
    name = r"[red]*a* | `b` <b> [c](d) _e_ $\x$"
    groups = groups_of([entry(0, count(100, name)), entry(1, count(101, name))])
    assert name in " ".join(report.plain(groups).split())
    page = MarkdownIt("commonmark").enable("table").render(report.markdown(groups))
    assert f"<td>{html.escape(name)}</td>" in page
    text = StringIO()
    report.picture(groups).savefig(text, format="svg")


@pytest.mark.parametrize("n", [0, 1, 30])
def test_the_picture_can_be_drawn(nights: list[Entry], n: int) -> None:
    text = StringIO()
    figure = report.picture(groups_of(nights[:n]))
    figure.savefig(text, format="svg")
    assert "<svg" in text.getvalue()
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == 3 * bool(n)


def test_the_picture_shows_the_newest_base_and_marks_each_change(nights: list[Entry]) -> None:
    older = [replace(night, base=replace(tag, commit="c" * 40), ran="2025" + night.ran[4:]) for night in nights[:4]]
    panels = {axes.get_title(): axes for axes in report.picture(groups_of([*older, *nights])).axes}
    dashed = {
        title: [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
        for title, axes in panels.items()
    }
    assert dashed == {"elbo of vae": [11.5], "step": [11.5], "step: FLOPs": [4.5, 6.5]}


def test_commands_keep_and_show_a_history(call: Call, tmp_path: Path, file: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(Path(__file__).parents[1] / "fixtures" / "store", tmp_path / name)
    compared = call("compare", "a", "b", "--history", "nightly.jsonl")
    assert compared.code == 0, compared.err
    assert call("compare", "a", "b", "--only", "speed", "--history", "nightly.jsonl").code == 4
    (kept,) = load(file)
    assert (kept.base.name, kept.head.name, kept.conditions) == ("a", "b", {})
    assert kept.findings[0].verdict == "same"
    assert "Compared with a" in call("history", "show", "nightly.jsonl").out
    shown = call("history", "show", "nightly.jsonl", "--format", "json", "--name", "PCA", "--figure", "figures/a.svg")
    assert shown.code == 0
    rows = json.loads(shown.out)
    assert {row["runs"] for row in rows} == {1}
    with_value = {each.name for each in kept.findings if each.difference is not None}
    assert {row["name"] for row in rows} == {name for name in with_value if "pca" in name} < with_value
    assert "<svg" in (tmp_path / "figures" / "a.svg").read_text()


def test_a_regression_does_not_change_the_exit_code(call: Call, file: Path, nights: list[Entry]) -> None:
    for night in nights:
        append(file, night)
    shown = call("history", "show", file.name, "--format", "markdown", "--name", "elbo")
    assert shown.code == 0
    assert "-0.5 worse" in shown.out
    assert "FLOPs" not in shown.out


def test_an_empty_history_is_said_to_be_empty(call: Call, file: Path) -> None:
    file.touch()
    shown = call("history", "show", file.name)
    assert shown.code == 0
    assert "no runs in nightly.jsonl yet" in shown.err
    assert json.loads(call("history", "show", file.name, "--format", "json").out) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["history", "show", "missing.jsonl"], "cannot read the history missing.jsonl: No such file"),
        (["history", "show", "."], "cannot read the history .: Is a directory"),
        (["history", "show", "other.jsonl"], "is not a history"),
        (["history", "show", "nightly.jsonl", "--figure", "a.pdf"], "ends with .svg or .png"),
        (["history", "show", "nightly.jsonl", "--figure", "other.jsonl/a.svg"], "this folder cannot be written to"),
        (["history", "show", "nightly.jsonl", "--name", "gan"], "has 'gan' in its name. Known: step."),
        (["compare", "x", "y", "--history", "other.jsonl"], "is not a history"),
        (["compare", "x", "y", "--history", "other.jsonl/a"], "cannot be written to"),
    ],
)
def test_bad_input_gets_a_clear_message(call: Call, file: Path, words: list[str], message: str) -> None:
    append(file, entry(0, speed(1.0)))
    file.with_name("other.jsonl").write_text("{}\n")
    result = call(*words)
    assert result.code == 2
    assert message in result.err


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.svg").mkdir()
    with pytest.raises(HarnessError, match=r"cannot write .*a\.svg: Is a directory"):
        save_picture(report.picture([]), tmp_path / "a.svg")


def test_the_commit_of_each_kind_of_side_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-01T00:00:00+02:00")
    git("init", "-q")
    for name in ("plugin.py", "other.txt"):
        (tmp_path / name).write_text("a")
        git("add", name)
        git("commit", "-qm", name)
    first, newest = git("rev-parse", "HEAD~1"), git("rev-parse", "HEAD")
    date = "2025-12-31T22:00:00+00:00"
    assert origin_of("HEAD~1", None) == Origin("HEAD~1", first, dirty=False, date=date)
    assert origin_of(".", None) == Origin(".", newest, dirty=False, date=date)
    assert origin_of("plugin.py", None) == Origin("plugin.py", first, dirty=False, date=date)
    (tmp_path / "untracked.py").touch()
    assert origin_of("untracked.py", None) == Origin("untracked.py")
    assert origin_of(".", None).dirty is False
    (tmp_path / "plugin.py").write_text("b")
    assert origin_of(".", None).dirty is True
    assert origin_of("package==1.0", None) == Origin("package==1.0")
    assert origin_of("missing/plugin.py", None) == Origin("missing/plugin.py")

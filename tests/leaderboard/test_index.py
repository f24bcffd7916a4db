"""The index of a folder of leaderboards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from test_boards import named, record, seeds_of

from harness.leaderboard.files import rewrite
from harness.registry import Registry
from harness.results.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with two data sets; the models of the first are compared on two metrics."""
    store = Store(tmp_path / "runs")
    mse = {"metric": named("mse"), "direction": "lower", "unit": None, "measure": None}
    rows = [*seeds_of("vae", -100.0), *seeds_of("iwae", -50.0), *seeds_of("gan", 0.0, 0.001, **mse)]
    rows += [record(dataset=named("clothes"), value=-7.0), record("pca", None)]
    for each in rows:
        store.append(each)
    return store


def write(store: Store, folder: Path, *datasets: str) -> str:
    rewrite(datasets, store, folder, Registry.load(), print)
    return (folder / "README.md").read_text()


def rows_of(text: str) -> list[list[str]]:
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith(("| [", "## "))]
    return [[cell.strip() for cell in line] for line in lines]


def test_each_board_is_a_line_with_the_models_that_may_be_the_first(store: Store, tmp_path: Path) -> None:
    found = rows_of(write(store, tmp_path, "digits", "clothes"))
    assert found == [
        ["## [clothes](clothes.md)"],
        ["[elbo (nats) ↑](clothes.md#clothes--elbo)", "–", "–", "1", "1"],
        ["## [digits](digits.md)"],
        ["[elbo (nats) ↑](digits.md#digits--elbo)", "iwae", "−50.00 ± 0.76", "2", "3"],
        ["[mse ↓](digits.md#digits--mse)", "–", "–", "1", "3"],
    ]


def test_nobody_is_the_first_where_a_row_without_a_rank_has_a_better_value(store: Store, tmp_path: Path) -> None:
    store.append(record("better", value=-10.0, depends_on_seed=True))
    text = write(store, tmp_path, "digits")
    assert ["[elbo (nats) ↑](digits.md#digits--elbo)", "–", "–", "3", "1–3"] in rows_of(text)
    page = (tmp_path / "digits.md").read_text()
    assert "No row is called the best, since one without a rank has a better value." in page
    assert "**" not in page


def test_every_link_leads_to_a_heading_even_if_only_one_data_set_is_written(store: Store, tmp_path: Path) -> None:
    assert rows_of(write(store, tmp_path, "clothes"))[0] == ["## [clothes](clothes.md)"]
    both = write(store, tmp_path, "digits")
    links = [link.partition("#") for link in re.findall(r"\]\((.*?)\)", both)]
    assert {page for page, _, _ in links} == {"clothes.md", "digits.md"}
    for page, _, anchor in links:
        headings = re.findall("^## (.*)$", (tmp_path / page).read_text(), re.MULTILINE)
        slugs = [re.sub("[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings]
        assert not anchor or anchor in slugs


def test_no_two_boards_of_a_data_set_have_the_same_name(store: Store, tmp_path: Path) -> None:
    timing = {"metric": named("latency"), "unit": "ms", "direction": "lower", "measure": None}
    others = [{"evaluation_seed": 1}, {"split": "validation"}, {"metric": {**named("mse"), "version": "2"}}]
    others += [{**timing, "machine": machine, "threads": n} for machine in ("a", "b") for n in (1, 2)]
    for change in others:
        store.append(record(**change))
    names = [row[0] for row in rows_of(write(store, tmp_path, "digits"))[1:]]
    assert {name.partition("]")[0] for name in names} == {
        "[elbo (nats) ↑",
        "[elbo (nats) ↑ · evaluation seed 1",
        "[elbo (nats) ↑ · validation split",
        "[latency (ms) ↓ · threads=1 · a",
        "[latency (ms) ↓ · threads=1 · b",
        "[latency (ms) ↓ · threads=2 · a",
        "[latency (ms) ↓ · threads=2 · b",
        "[mse ↓ version=1",
        "[mse (nats) ↑ version=2",
    }
    assert len(names) == 9


def test_brackets_in_names_end_no_link(store: Store, tmp_path: Path) -> None:
    path = "a](https://example.com) [64x64]"
    components = {kind: named(kind, {"path": path}, ("path",)) for kind in ("dataset", "metric")}
    store.append(record(**components))
    html = MarkdownIt("commonmark").enable("table").render(write(store, tmp_path, "dataset"))
    links = re.findall('<a href="(.*?)">(.*?)</a>', html)
    assert [(href.partition("#")[0], text) for href, text in links] == [
        ("dataset.md", f"dataset path={path}"),
        ("dataset.md", f"metric (nats) ↑ path={path}"),
    ]


def test_a_file_of_the_user_is_left_as_it_is(store: Store, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My project\n")
    assert write(store, tmp_path, "digits") == "# My project\n"
    assert (tmp_path / "digits.md").exists()

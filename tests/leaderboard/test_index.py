"""The index of a folder of leaderboards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
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
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| [")]
    return [[cell.strip() for cell in line] for line in lines]


def test_each_board_is_a_line_with_the_models_that_may_be_the_first(store: Store, tmp_path: Path) -> None:
    found = rows_of(write(store, tmp_path, "digits", "clothes"))
    assert found == [
        ["[clothes](clothes.md)", "elbo (nats) ↑", "–", "−7.00 ± 0.50", "1", "1"],
        ["[digits](digits.md)", "elbo (nats) ↑", "iwae", "−50.00 ± 0.76", "2", "3"],
        ["[digits](digits.md)", "mse ↓", "–", "0.00 ± 0.50", "1", "3"],
    ]


def test_every_link_leads_to_a_page_even_if_only_one_data_set_is_written(store: Store, tmp_path: Path) -> None:
    assert {row[0] for row in rows_of(write(store, tmp_path, "clothes"))} == {"[clothes](clothes.md)"}
    both = write(store, tmp_path, "digits")
    links = set(re.findall(r"\]\((.*?)\)", both))
    assert links == {"clothes.md", "digits.md"}
    assert all((tmp_path / link).exists() for link in links)


def test_a_file_of_the_user_is_left_as_it_is(store: Store, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My project\n")
    assert write(store, tmp_path, "digits") == "# My project\n"
    assert (tmp_path / "digits.md").exists()

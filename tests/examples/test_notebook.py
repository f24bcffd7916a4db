"""The notebook works in a Jupyter kernel, from top to bottom, and shows what it is there to show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pandas")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

path = Path(__file__).parents[2] / "examples" / "notebook" / "first-steps.ipynb"
Outputs = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    """Run the notebook in an empty folder, and return the outputs of each cell by the cell's name."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(path, as_version=4)
    environment = {**os.environ, "HARNESS_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    yield {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    assert (folder / "first-steps" / "records.jsonl").is_file()


def shown(outputs: Outputs, cell: str, kind: str) -> list[str]:
    """Return what a cell shows in a format, such as ``text/html``."""
    return [each["data"][kind] for each in outputs[cell] if kind in each.get("data", {})]


def printed(outputs: Outputs, cell: str, stream: str = "stdout") -> list[str]:
    """Return the lines that a cell prints."""
    return "".join(each["text"] for each in outputs[cell] if each.get("name") == stream).splitlines()


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell.id for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_results_and_plans_are_shown_as_tables(outputs: Outputs) -> None:
    (plan,) = shown(outputs, "plan", "text/html")
    assert "4 cells" in plan
    assert plan.count("<tr>") == 1 + 2  # both seeds of a setting are one row
    (board,) = shown(outputs, "run", "text/html")
    assert board.count("<table>") == 1
    assert "vae latent_dim=20</strong>" in board
    assert "Measure: probability mass on binary pixels." in board
    (frame,) = shown(outputs, "frame", "text/html")
    assert 'class="dataframe"' in frame
    assert "<th>vae.latent_dim</th>" in frame
    (own,) = shown(outputs, "own", "text/html")
    assert "<td>blur" in own


def test_nothing_is_shown_twice_or_empty_and_no_cell_writes_colour_codes(outputs: Outputs) -> None:
    for name, its_outputs in outputs.items():
        assert sum(each["output_type"] != "stream" for each in its_outputs) <= 1, name
        assert "\x1b" not in str(shown(outputs, name, "text/plain")), name
        assert not any("warning" in line.lower() for line in printed(outputs, name, "stderr")), name


def test_stored_fits_are_listed_and_samples_and_curves_drawn(outputs: Outputs) -> None:
    assert len(printed(outputs, "open")) == 4
    for cell in ("samples", "curves"):
        (picture,) = shown(outputs, cell, "image/png")
        assert len(picture) > 5000

"""Output into pipes and devices that take no more, and in encodings that lack characters, never ends in a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from marks import needs_a_full_device
from versions import cell, component, store_of

if TYPE_CHECKING:
    from tests.conftest import Call

measure = ("run", "--models", "pca", "--metric", "reconstruction-mse", "--dataset", "tiny", "--jobs", "1")


@pytest.fixture
def results(results: Path, tmp_path: Path) -> Path:
    """Return a copy of the results, since some commands add to them."""
    return Path(shutil.copytree(results, tmp_path / "results"))


def started(words: tuple[str, ...], folder: Path, **attributes: object) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "HARNESS_DATA_DIR"}
    command = [sys.executable, "-m", "harness", *words]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment} | attributes
    return subprocess.Popen(command, cwd=folder, **given)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("run", "--help"),
        ("list",),
        ("show", "vae"),
        ("plugins",),
        ("leaderboard",),
        ("leaderboard", "--format", "json"),
        ("leaderboard", "--format", "svg"),
        ("figures",),
    ],
    ids=" ".join,
)
def test_a_pipe_that_its_reader_has_closed_is_no_failure(results: Path, faults: str, words: tuple[str, ...]) -> None:
    extra = ("--plugin", faults) if words == ("figures",) else ()
    receiving, sending = os.pipe()
    os.close(receiving)
    process = started((*words, *extra), results, stdout=sending)
    os.close(sending)
    _, err = process.communicate()
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err
    assert process.returncode == 0


def test_a_run_whose_output_nobody_reads_still_writes_its_leaderboards(tmp_path: Path, faults: str) -> None:
    receiving, sending = os.pipe()
    os.close(receiving)
    process = started((*measure, "--plugin", faults), tmp_path, stdout=sending, stderr=sending)
    os.close(sending)
    process.communicate()
    assert (process.returncode, (tmp_path / "runs" / "records.jsonl").exists()) == (0, True)
    assert "pca" in (tmp_path / "leaderboards" / "tiny.md").read_text(encoding="utf-8")


@needs_a_full_device
@pytest.mark.parametrize("words", [("list",), ("--help",), ("leaderboard", "--format", "json"), measure], ids=" ".join)
def test_a_full_device_is_one_clear_line(results: Path, faults: str, words: tuple[str, ...]) -> None:
    extra = ("--plugin", faults) if words == measure else ()
    with Path("/dev/full").open("wb") as full:
        process = started((*words, *extra), results, stdout=full)
        _, err = process.communicate()
    assert err.decode().splitlines()[-1] == "harness: cannot write the output: No space left on device"
    assert "Traceback" not in err.decode()
    assert process.returncode == 3


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_that_lacks_characters_gets_similar_ones(results: Path, faults: str, encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    for words in (("leaderboard",), ("list",), (*measure, "--seeds", "1", "--plugin", faults)):
        process = started(words, results, env=environment)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert "reconstruction-mse" in out.decode(encoding)
        assert "?" not in out.decode(encoding)
    assert "wrote leaderboards/tiny.md" in out.decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_and_csv_are_well_formed_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    name = "“big”， β = ½ ＂x＂ é"
    vae = component("vae", changed=("x",), x=name)
    store_of(tmp_path / "runs", [cell(seed, model=each) for seed in range(2) for each in (vae, component("gan"))])
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    for words in ((), ("--explain", "vae", "gan")):
        out, err = started(("leaderboard", "--format", "json", *words), tmp_path, env=environment).communicate()
        assert err == b""
        assert f"x={name}" in json.dumps(json.loads(out.decode("utf-8")), ensure_ascii=False)
        assert out.isascii() is (encoding != "utf-8")
    out, _ = started(("leaderboard", "--format", "csv"), tmp_path, env=environment).communicate()
    rows = list(csv.DictReader(io.StringIO(out.decode(encoding)), strict=True))
    assert [(row["model"], row["measure"], row.get(None)) for row in rows] == [
        (model, "probability mass on binary pixels", None) for model in ("gan", "vae")
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("½", "1/2"), ("“a”", "'a'"), ("＂a＂，", "'a';"), ("é − ±", "e - +/-"), ("＜&", "?&"), ("中", "?")],
)
def test_characters_that_ascii_lacks_keep_their_meaning(tmp_path: Path, text: str, shown: str) -> None:
    code = f"from harness.cli.output import prepare_streams; prepare_streams(); print({text!r})"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{shown}\n"


def test_a_lost_connection_is_not_taken_for_a_closed_output(
    call: Call, faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*arguments: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("harness.execution.run.Run.execute", lose)
    done = call(*measure, "--plugin", faults)
    assert done.code == 3
    assert "a connection to another process of the run was lost" in done.err

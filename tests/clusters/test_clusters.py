"""Real runs on a Ray cluster of two nodes of this machine, and through submitit, compared with runs in this process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from two_nodes import needs_ray, two_nodes

if TYPE_CHECKING:
    from tests.conftest import Call

needs_submitit = pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="needs the package submitit")
run = ("run", "--models", "pca,vae", "--metric", "reconstruction-mse", "--dataset", "mnist-10k", "--steps", "20")


def compared(folder: Path) -> dict[str, tuple[float, float, str]]:
    listed = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    found = {each["cell_key"]: (each["value"], each["stderr"], each["values_digest"]) for each in listed}
    assert len(found) == len(listed), "each cell once"
    return found


@needs_ray
def test_a_cluster_of_two_nodes_gives_the_same_board_also_when_a_node_is_lost(harness: Call, tmp_path: Path) -> None:
    words = (*run, "--seeds", "3", "--no-figures")
    local = harness(*words, "--runs", "here", "--leaderboards", "boards-here", timeout=600)
    assert local.code == 0, local.err
    with two_nodes() as nodes:
        where = ("--executor", "ray", "--address", nodes.address, "--runs", "there", "--leaderboards", "boards-there")
        on_cluster = subprocess.Popen(
            [sys.executable, "-m", "harness", *words, *where],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert on_cluster.stderr
        seen = []
        for line in on_cluster.stderr:
            seen.append(line)
            if "fitting vae" in line:
                nodes.kill_the_second()
                break
        seen += on_cluster.stderr
        on_cluster.stderr.close()
        assert on_cluster.wait(600) == 0, "".join(seen)
    assert compared(tmp_path / "here") == compared(tmp_path / "there"), "".join(seen)
    boards = [(tmp_path / f"boards-{where}" / "mnist-10k.md").read_bytes() for where in ("here", "there")]
    assert boards[0] == boards[1]


@needs_ray
def test_a_cluster_that_is_not_there_is_named(harness: Call) -> None:
    done = harness(*run, "--executor", "ray", "--address", "127.0.0.1:1")
    assert (done.code, "ray: no cluster at 127.0.0.1:1" in done.err) == (2, True), done.err


@needs_submitit
def test_jobs_of_submitit_give_the_same_board(harness: Call, tmp_path: Path) -> None:
    words = (*run, "--seeds", "2", "--no-figures")
    assert harness(*words, "--runs", "here").code == 0
    slurm = ("--executor", "slurm", "--set", "slurm.cluster=local", "--set", "slurm.workers=2")
    there = harness(*words, "--runs", "there", *slurm, timeout=600)
    assert there.code == 0, there.err
    assert compared(tmp_path / "here") == compared(tmp_path / "there")


@needs_submitit
def test_a_missing_queue_is_said(harness: Call) -> None:
    done = harness(*run, "--executor", "slurm")
    assert (done.code, "are you indeed on a slurm cluster" in done.err) == (2, True), done.err

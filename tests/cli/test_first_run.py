"""The first command of the README, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Call


def test_a_first_run_ranks_what_can_be_ranked_and_leaves_a_page_and_a_picture(harness: Call, tmp_path: Path) -> None:
    done = harness("run", "--models", "vae,gan", "--metric", "elbo", "--epochs", "1")
    assert done.code == 0, done.err
    assert "rank" in done.out
    assert "no posterior" in done.out
    for suffix in ("md", "svg"):
        assert (tmp_path / "leaderboards" / f"binarized-mnist-10k.{suffix}").stat().st_size > 500

    vae, gan = json.loads(harness("leaderboard", "--format", "json").out)
    assert (gan["model"], gan["value"], gan["rank"], gan["status"]) == ("gan", None, None, "n/a")
    assert (vae["model"], vae["rank_low"], vae["rank_high"], vae["n"], vae["seeds"]) == ("vae", 1, 1, 2000, 3)
    assert vae["settings"]["latent_dim"] == 20
    assert vae["measure"] == "probability mass on binary pixels"

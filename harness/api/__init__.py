"""The Python API for notebooks and scripts: what ``harness run`` and ``harness leaderboard`` do, as functions."""

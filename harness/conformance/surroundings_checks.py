"""Checks that a plugin leaves its surroundings as they are, so that it does no harm to others."""

from __future__ import annotations

from functools import partial, update_wrapper
from typing import Any

from harness.conformance.checks import check, require
from harness.conformance.surroundings import changes

_kinds = ("model", "metric", "dataset", "figure")
_rules = {
    "torch-seed": (
        "keeps-the-seed-of-torch",
        "It does not seed torch's global generator, from which others may draw.",
        "Draw from noise, or from a torch.Generator of your own that is seeded from noise.",
    ),
    "other-seeds": (
        "keeps-other-generators",
        "It neither seeds nor uses the global generators of random and numpy, which no fit is repeatable with.",
        "Use numpy.random.default_rng(seed) or random.Random(seed), with a seed drawn from noise.",
    ),
    "default-dtype": (
        "keeps-the-default-dtype",
        "It does not change torch's default dtype.",
        "Convert the tensors that need it: x.double().",
    ),
    "threads": (
        "keeps-the-threads",
        "It does not change the number of torch's threads, which is a part of each result.",
        "Remove torch.set_num_threads, or use harness.toolkit.using_threads.",
    ),
    "switches": (
        "keeps-the-switches-of-torch",
        "It leaves gradients, determinism and anomaly detection switched as they are.",
        "Use context managers, such as with torch.no_grad().",
    ),
    "folder": ("keeps-the-folder", "It does not change the current folder.", "Use absolute paths, not os.chdir."),
    "environment": (
        "keeps-the-environment",
        "It does not change environment variables.",
        "Pass values as arguments instead.",
    ),
    "files": (
        "writes-no-files",
        "It writes no file into the current folder.",
        "Return what is to be kept; a metric may write to context.cache.",
    ),
    "output": (
        "prints-nothing",
        "It prints nothing: standard output is for results, and standard error for progress.",
        "Remove print; a metric may call context.announce.",
    ),
}


def _is_left_alone(subject: Any, aspect: str) -> None:
    if not hasattr(subject, "changes"):
        subject.changes = changes(subject.work_by_hand)
    require(aspect not in subject.changes, subject.changes.get(aspect, ""))


for _aspect, (_name, _rule, _mend) in _rules.items():
    check(_kinds, _name, _rule, _mend)(update_wrapper(partial(_is_left_alone, aspect=_aspect), _is_left_alone))

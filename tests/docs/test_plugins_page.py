"""The page on plugins lists every check with its rule, and its examples are right."""

from __future__ import annotations

import re
from pathlib import Path

from harness.conformance import all_checks, suite_version
from harness.registry import Registry

page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
titles = {"model": "Models", "metric": "Metrics", "dataset": "Data sets", "figure": "Figures"}


def tables() -> str:
    """Return the section as it should be, which is also how to update it."""
    lines: list[str] = []
    for kind, title in titles.items():
        lines += ["", f"### {title}", "", "| check | rule |", "|---|---|"]
        lines += [f"| `{each.id}` | {each.rule.replace('|', '∣')} |" for each in all_checks() if each.kind == kind]
    return "\n".join(lines) + "\n"


def test_every_check_is_listed_with_its_rule() -> None:
    listed = page.split("other checks are skipped.\n")[1]
    assert listed == tables(), f"write this to the end of the page:\n{tables()}"
    assert f"Version {suite_version}." in page
    assert len(all_checks()) >= 40


def test_the_failure_that_is_shown_is_worded_as_the_check_words_it() -> None:
    shown = " ".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL)[0].split())
    (check,) = (each for each in all_checks() if each.id in shown)
    assert shown.startswith(f"failed {check.id}: {check.rule} Seen: ")
    assert shown.endswith(f" Remedy: {check.mend}")


def test_the_check_that_is_expected_to_fail_exists() -> None:
    assert all(name in {each.id for each in all_checks()} for name in re.findall(r'\{"(model-[a-z-]+)":', page))


def test_the_commands_exist() -> None:
    known = {each.spec.name for each in Registry.load().all("command")}
    assert set(re.findall(r"^harness (\w+)", page, re.MULTILINE)) <= known

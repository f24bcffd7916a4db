"""Reports of findings: the same verdicts in every format."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from harness.regression import report
from harness.regression.findings import Finding, as_json

slower = Finding("step | of <vae>", "speed", "worse", 0.030, 0.039, 1.3, None, 1.25, 1.35, "seconds", "lower", 0.03)
same = Finding("elbo of vae", "quality", "same", -100.0, -100.1, None, -0.1, -0.2, 0.05, "nats", "higher", 0.25)
unknown = Finding("elbo of gan", "quality", "inconclusive", reason="one seed")
more = Finding("step: FLOPs", "count", "better", 1000, 900, 0.9, None, 0.9, 0.9, "FLOPs", "lower", 0.02)
findings = [same, more, unknown, slower]


def test_the_worst_verdict_comes_first() -> None:
    assert report.ordered(findings) == [slower, unknown, more, same]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (findings, "regression: 1 worse, 1 inconclusive, 1 better, 1 same"),
        ([same, unknown], "inconclusive: 1 inconclusive, 1 same"),
        ([same, more], "no regression: 1 better, 1 same"),
        ([replace(same, verdict="missing")], "regression: 1 missing"),
        ([], "nothing was compared"),
    ],
)
def test_the_summary(given: list[Finding], line: str) -> None:
    assert report.summary(given) == line


def test_the_table_has_every_number() -> None:
    text = report.plain(findings, ["a note"])
    for part in ("30 ms", "39 ms", "+30.0%", "+25.0% to +35.0%", "-0.2 to +0.05", "1,000", "one seed", "a note"):
        assert part in text


def test_a_comment_folds_what_is_the_same_and_cannot_be_broken_by_a_name() -> None:
    text = report.markdown(findings, ["a note"], "main → .")
    assert "**Regression: 1 worse, 1 inconclusive, 1 better, 1 same**" in text
    before, folded = text.split("<details>")
    assert "elbo of vae" not in before
    assert "elbo of vae" in folded
    assert "step \\| of &lt;vae>" in text
    assert report.escaped("&#64;name") == "&amp;#&#8203;64;name"


def test_junit_counts_regressions_as_failures() -> None:
    suite = ElementTree.fromstring(report.junit(findings, "main → .", fails_if_inconclusive=False))
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["4", "1", "1"]
    (failure,) = suite.findall("testcase/failure")
    assert failure.get("message") == "worse +30.0%"
    strict = ElementTree.fromstring(report.junit(findings, "main → .", fails_if_inconclusive=True))
    assert [strict.get(name) for name in ("tests", "failures", "skipped")] == ["4", "2", "0"]


def test_the_heading_in_markdown_shows_names_as_they_are() -> None:
    assert report.markdown([], [], "a*b* → <c>").startswith("### a\\*b\\* → &lt;c>\n")


def test_json_is_one_list_of_rows() -> None:
    rows = json.loads(as_json(findings))
    assert [row["verdict"] for row in rows] == ["same", "better", "inconclusive", "worse"]
    assert {"name", "kind", "verdict", "ratio", "difference", "low", "high"} <= set(rows[0])


dollars = replace(same, name="elbo of vae on folder path=/a$\\b/c$")


@pytest.mark.parametrize("given", [findings, [unknown], [], [dollars]])
@pytest.mark.parametrize("title", ["main → .", "/a$\\b → /c$"])
def test_the_picture_can_be_drawn(given: list[Finding], title: str) -> None:
    text = StringIO()
    report.picture(given, title).savefig(text, format="svg")
    assert "<svg" in text.getvalue()


@pytest.mark.parametrize("message", ["\x1b[31mboom \x08 \0 \ufffe", "bad \udc80", "two\nlines\u2028of\x85it"])
def test_every_format_can_hold_any_message(tmp_path: Path, message: str) -> None:
    given = [replace(slower, name=f"elbo of {message}", reason=message)]
    title, text = f"{message} → .", StringIO()
    texts = [report.plain(given, []), report.markdown(given, [], title), as_json(given),
             report.junit(given, title, fails_if_inconclusive=True)]  # fmt: skip
    for each in texts:
        report.write(each, tmp_path / "report")
        assert not re.search(r"[\0\x08\x1b\x85\u2028]", each)
    assert len(ElementTree.fromstring(texts[-1])) == len(json.loads(texts[2])) == 1
    assert len(texts[1].splitlines()) == 7
    report.picture(given, title).savefig(text, format="svg")


def test_a_reason_is_short_enough_for_a_comment() -> None:
    reason = replace(unknown, reason="ValueError: " + "x" * 100_000).reason
    assert reason is not None
    assert len(reason) < 310
    assert reason.startswith("ValueError: xxx")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("by @name and @org/team", r"@(?!\u200b)"),
        ("see #12, owner/repo#12 and GH-12", r"(#|GH-)(?!\u200b)"),
        ("https://a.test, HTTP://a.test", r"://"),
        ("www.a.test", r"www\.a"),
    ],
)
def test_a_message_in_a_comment_mentions_nobody_and_links_to_nothing(message: str, shown: str) -> None:
    source = report.escaped(message)
    rendered = MarkdownIt().render(source)
    assert unescape(re.sub("<[^>]+>", "", rendered)).strip().replace("\u200b", "") == message
    assert not re.search(shown, unescape(source))


@pytest.mark.parametrize("given", [[], [Finding("elbo of gan", "quality", "same", reason="no value in both: error")]])
def test_junit_is_red_if_nothing_was_compared(given: list[Finding]) -> None:
    suite = ElementTree.fromstring(report.junit(given, "main → .", fails_if_inconclusive=False))
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == [str(len(given) + 1), "1", "0"]
    (failure,) = suite.findall("testcase/failure")
    assert failure.get("message") == "nothing was compared"

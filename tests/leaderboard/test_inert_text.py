"""Text that comes from plugins and errors is shown as it is, whatever markup it has in a format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from test_boards import named, record

from harness.contracts.boards import Board
from harness.leaderboard.board import build_boards
from harness.leaderboard.files import write_leaderboards
from harness.leaderboard.machine import render_csv, render_json
from harness.leaderboard.markdown import render as render_markdown
from harness.leaderboard.markdown import render_figures
from harness.leaderboard.terminal import render as render_terminal
from harness.leaderboard.terminal import render_svg
from harness.leaderboard.text import printable
from harness.registry import Registry
from harness.results.store import Store

Boards = Callable[[str], list[Board]]

hostile = [
    "<script>alert(1)</script>",
    "a|b\\|c\\",
    "`code` ``more``",
    "*emphasis* _emphasis_ **strong** ~~struck~~ __init__ latent_dim",
    "[text](javascript:alert(1)) ![picture](x.png) [^1] <https://a.test>",
    "[red]red[/red] [link=https://a.test]here[/link] [/]",
    "&lt; &amp; &#42; $x^2$ %s {braces} #1 ^ ~",
    "two\nlines\r\n\n# heading\u2028- item\x0b\x0c\x85",
    "\x1b[31mred\x1b[0m \x1b]8;;https://a.test\x07 \x00 \u202eright to left \ud800",
    "    indented",
    "- item",
    "12. item",
    "> quotation",
    "=1+1",
    "# heading #",
    "\\input{/etc/passwd} \\\\ $$",
    "see https://a.test/x, HTTP://a.test and www.a.test",
]


@pytest.fixture
def boards(tmp_path: Path) -> Boards:
    def boards(text: str) -> list[Board]:
        """Return boards that have a text wherever a plugin, a setting or an error can put one."""
        return boards_of(text, Store(tmp_path / "runs"))

    return boards


def boards_of(text: str, store: Store) -> list[Board]:
    given = {
        "dataset": named("digits", {"source": text}, ("source",)),
        "metric": named("elbo", {"target": text}, ("target",)),
        "model": named("vae", {"activation": text}, ("activation",)),
        "unit": text,
        "measure": text,
        "limits": text,
        "parts": {text: 1.0},
        "warning": text,
    }
    return build_boards([record(**given), record("gan", None, reason=text, **{**given, "model": named("gan")})], store)


def texts_of(text: str) -> Sequence[str]:
    """Return texts that a board of ``boards_of`` shows."""
    line = printable(text)
    named = (f"vae activation={text}", f"Measure: {text}.", f"digits source={text} · elbo target={text}")
    return [line, *map(printable, named)]


def tags_and_texts(page: str) -> tuple[set[str], list[str]]:
    """Return the tags of a Markdown page as HTML, and the texts of its elements."""
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(page)
    blocks = re.findall(r"<(?:td|th|li|h2)[^>]*>(.*?)</(?:td|th|li|h2)>", html, re.DOTALL)
    return set(re.findall(r"</?([a-z0-9]+)", html)), [unescape(each) for each in blocks]


plain_tags = {"h2", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}


@pytest.mark.parametrize("text", hostile)
def test_markdown_shows_text_as_it_is(boards: Boards, text: str) -> None:
    tags, shown = tags_and_texts(render_markdown(boards(text)))
    assert tags == plain_tags
    assert [each for each in texts_of(text) if each not in shown] == []


def test_code_hosts_find_no_address_to_link(boards: Boards) -> None:
    page = render_markdown(boards("see https://a.test/x, FTP://a.test and www.a.test"))
    assert re.findall(r"https?://|ftp://|www\.", page, re.IGNORECASE) == []


@given(st.text(st.one_of(st.characters(), st.sampled_from("\\`*_[]()<>|~$&#+-=!.:;1 \n")), min_size=1, max_size=20))
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    tags, shown = tags_and_texts(render_markdown(boards_of(text, Store(Path("none")))))
    assert tags == plain_tags
    assert [each for each in texts_of(text) if each not in shown] == []


@pytest.mark.parametrize("text", hostile)
def test_summaries_show_text_as_it_is(text: str, tmp_path: Path) -> None:
    given = {"dataset": named("digits", {"source": text}, ("source",)), "unit": text, "measure": text}
    one = record(model=named("vae", {"activation": text}, ("activation",)), **given)
    other = record(model=one.model, **{**given, "measure": text * 2})
    summary, *_ = render_markdown(build_boards([one, other], Store(tmp_path))).split("\n## ")
    tags, shown = tags_and_texts(summary)
    assert tags == plain_tags
    names = f"digits source={text} · summary of 2 boards", f"elbo a ({text}) ↑", f"elbo a: {text}."
    assert [each for each in map(printable, names) if each not in shown] == []
    terminal = render_terminal(build_boards([one, other], Store(tmp_path)))
    assert "".join(printable(text).split()) in "".join(terminal.split())
    assert not set(terminal) & set("\x1b\x00\u202e")


@pytest.mark.parametrize("text", hostile)
def test_captions_of_figures_show_text_as_it_is(text: str) -> None:
    page = render_figures({}, {text: {text: "digits.figures/vae.png"}})
    html = MarkdownIt("commonmark").render(page)
    assert set(re.findall(r"</?([a-z0-9]+)", html)) == {"h2", "figure", "img", "figcaption"}
    (caption,) = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    (heading,) = re.findall(r"<h2>(.*?)</h2>", html, re.DOTALL)
    assert unescape(caption) == unescape(heading) == printable(text)


@pytest.mark.parametrize("text", hostile)
def test_the_picture_shows_text_as_it_is(boards: Boards, text: str) -> None:
    shown = "".join(ElementTree.fromstring(render_svg(boards(text))).itertext())
    assert "".join(printable(text).split()) in "".join(shown.split())


def test_the_title_of_the_picture_is_text(tmp_path: Path) -> None:
    store = Store(tmp_path)
    svg = render_svg(build_boards([record(dataset=named("<b>\x1b&"))], store))
    assert "<b> &" in [text.replace("\xa0", " ") for text in ElementTree.fromstring(svg).itertext()]


@pytest.mark.parametrize("text", hostile)
def test_the_terminal_shows_text_as_it_is(boards: Boards, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    shown = render_terminal(boards(text))
    assert all(each.isprintable() for line in shown.split("\n") for each in line)
    assert [each for each in texts_of(text) if each not in shown] == []


@pytest.mark.parametrize("text", hostile)
def test_a_spreadsheet_takes_no_text_for_a_formula(boards: Boards, text: str) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(boards(text)))))
    assert [row["measure"].removeprefix("'") for row in rows] == [text, text]
    assert not any(row["measure"].startswith(tuple("=+-@")) for row in rows)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r\n=1", "＝1", "－1"])
def test_text_that_starts_a_formula_has_an_apostrophe_in_csv_and_numbers_do_not(boards: Boards, text: str) -> None:
    row, other = csv.DictReader(io.StringIO(render_csv(boards(text))))
    assert (row["measure"], row["unit"], other["reason"]) == (f"'{text}",) * 3
    assert row["value"] == "-100.0"
    assert [json.loads(render_json(boards(text)))[0][name] for name in ("measure", "value")] == [text, -100.0]


def test_names_in_records_do_not_lead_out_of_the_folder_of_figures(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    store.figures_folder("key").mkdir(parents=True)
    store.write_figure("key", "samples", b"a picture")
    away = tmp_path / "away"
    away.mkdir()
    records = [record("../../away/vae", fit_key="key"), record(dataset=named("../../away/digits"))]
    boards = build_boards(records, store)
    write_leaderboards(boards, tmp_path / "boards", store, Registry.load(), print)
    assert list(away.iterdir()) == []
    assert [path.name for path in (tmp_path / "boards" / "digits.figures").iterdir()] == [
        "..-..-away-vae-key-samples.png"
    ]

"""Tables for papers: what they show, and that pdflatex compiles them whatever text they have."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_boards import named, record, seeds_of
from test_inert_text import boards_of, hostile

from harness.leaderboard.board import build_boards
from harness.leaderboard.latex import escaped, render
from harness.results.store import Store

fixture = Path(__file__).parents[1] / "fixtures" / "store"
Compile = Callable[[str], str]


def rows_of(text: str) -> list[list[str]]:
    """Return the entries of the rows of a table."""
    (body,) = re.findall(r"\\midrule\n(.*)\\bottomrule", text, re.DOTALL)
    return [line.removesuffix(r" \\").split(" & ") for line in body.splitlines()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def compile_(tmp_path: Path) -> Compile:
    """Compile tables as a reader's paper would, twice for its list of tables; return the log."""
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex, as in Debian's package texlive-latex-recommended")
    if not subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).stdout:
        pytest.skip("needs the LaTeX package booktabs, as in Debian's package texlive-latex-recommended")

    def compile_(text: str) -> str:
        (tmp_path / "boards.tex").write_text(text, encoding="ascii")
        preamble = r"\documentclass{article}\usepackage{booktabs,longtable}"
        paper = preamble + r"\begin{document}\listoftables\input{boards}\end{document}"
        (tmp_path / "paper.tex").write_text(paper)
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper"]
        for _ in range(2):
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
            log = done.stdout.decode(errors="replace")
            assert done.returncode == 0, log[-2000:]
        return log

    return compile_


def test_a_long_board_goes_over_pages_with_its_head_on_each(store: Store, compile_: Compile) -> None:
    records = [each for number in range(90) for each in seeds_of(f"model-{number}", -100.0 - number)]
    text = render(build_boards(records, store))
    assert r"\usepackage{booktabs,longtable}" in text.splitlines()[0]
    log = compile_(text)
    pages = re.search(r"Output written on paper.pdf \((\d+) pages", log)
    assert pages and 3 <= int(pages[1]) <= 5, "the list of tables, and rows over two to four pages"
    assert "too large" not in log and "multiply" not in log


def test_the_best_rows_are_bold_together_and_marked_rows_have_their_reason_below(store: Store) -> None:
    records = [*seeds_of("b", -101.0), *seeds_of("c", -150.0), *seeds_of("a", -100.0), record("gan", None)]
    text = render(build_boards(records, store))
    names, values = [row[1] for row in rows_of(text)], [row[2] for row in rows_of(text)]
    assert names == [r"\textbf{a}", r"\textbf{b}", "c", r"gan\textsuperscript{a}"]
    assert values == [r"\textbf{\boldmath $-$100.00}", r"\textbf{\boldmath $-$101.00}", "$-$150.00", "n/a"]
    assert [row[0] for row in rows_of(text)] == ["1--2", "1--2", "3", "--"]
    assert [row[3:] for row in rows_of(text)][2:] == [["0.50", "3", "1.00"], ["", "", ""]]
    assert "\n\\textsuperscript{a}\\,it has no encoder.\n" in text
    assert "\nBold: may be the first.\n" in text
    assert r"\caption{digits $\cdot$ elbo}" in text
    assert r"\usepackage{booktabs}" in text.splitlines()[0]


def test_equal_reasons_share_a_letter(store: Store) -> None:
    records = [record(name, None, reason=reason) for name, reason in (("a", "x"), ("b", "y"), ("c", "x"))]
    text = render(build_boards(records, store))
    assert [row[1] for row in rows_of(text)] == [rf"{name}\textsuperscript{{{m}}}" for name, m in ("aa", "bb", "ca")]
    assert text.count(",x.") == 1
    many = [record(f"m{i:02}", None, reason=f"reason {i}") for i in range(28)]
    assert [row[1] for row in rows_of(render(build_boards(many, store)))][25:] == [
        rf"m{number}\textsuperscript{{{letters}}}" for number, letters in ((25, "z"), (26, "aa"), (27, "bb"))
    ]


def test_a_part_that_is_named_like_a_column_keeps_its_place(store: Store) -> None:
    parts = {"model": 1.0, "note": 2.0}
    for reason in (None, "no encoder"):
        records = [record(parts=parts), *([record("gan", None, reason=reason)] if reason else [])]
        text = render(build_boards(records, store))
        assert rows_of(text)[0][-2:] == ["1.00", "2.00"]
        assert " & model & note \\\\\n" in text


def test_boards_of_one_title_have_labels_of_their_own(store: Store) -> None:
    boards = build_boards([record(), record(measure="density"), record(metric=named("kl"))], store)
    assert re.findall(r"\\label\{(.*)\}", render(boards)) == ["tab:digits-elbo", "tab:digits-elbo:2", "tab:digits-kl"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latent_dim=20", r"latent\_dim=20"),
        ("50% & #1 $x", r"50\% \& \#1 \$x"),
        ("\\input{x} a^b ~", r"\textbackslash{}input\{x\} a\^{}b \~{}"),
        ("−1 ± 2 × ∞ β=4 λ̃", r"$-$1 $\pm$ 2 $\times$ $\infty$ $\beta$=4 $\lambda$\texttt{U+0303}"),
        ("2–4 — café naïve Ångström", r"2--4 --- caf\'{e} na\"{i}ve \r{A}ngstr\"{o}m"),
        ("x² z₁ ½ ﬁ", r"x\textsuperscript{2} z\textsubscript{1} 1/2 fi"),
        ("--epochs a,,b <x> |", r"-{}-epochs a,{},b $<$x$>$ $|$"),
        ("[x] *", "{[}x{]} {*}"),
        ("中 \U0001f600", r"\texttt{U+4E2D} \texttt{U+1F600}"),
        ("a\nb\x1b", "a b"),
        ("discriminator=512-256_128", "discriminator=\\allowbreak 512-256\\_\\allowbreak 128"),
        ("x" * 25, "x" * 16 + "\\allowbreak " + "x" * 9),
    ],
)
def test_text_is_escaped(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_boards_of_a_stored_run_compile_and_fit_on_the_page(compile_: Compile) -> None:
    stored = Store(fixture)
    log = compile_(render(build_boards(stored.records(), stored)))
    assert "Overfull" not in log
    assert "Missing character" not in log
    assert "multiply defined" not in log


def test_any_text_compiles(compile_: Compile, store: Store) -> None:
    boards = [board for text in hostile for board in boards_of(text, store)]
    characters = [chr(code) for code in (*range(0x2400), *range(0xFB00, 0xFB10), 0xFFFF, 0x1F600)]
    lines = [escaped("".join(characters[i : i + 64])) + "\n" for i in range(0, len(characters), 64)]
    repeated = [escaped(3 * character) for character in characters[:128]]
    log = compile_("\n".join([render(boards), r"\clearpage", *lines, *repeated]))
    assert "Missing character" not in log


def test_heads_of_many_parts_are_broken_until_the_table_fits(compile_: Compile, store: Store) -> None:
    parts = {"real images": 0.2, "mean image": 95.61, "of the training set": 1.0, "nearest real image": 2.0}
    records = [
        each
        for name in ("VAE-beta-1/2", "gan")
        for each in seeds_of(name, -100.0, parts=parts, unit="squared distance")
    ]
    board = render(build_boards(records, store))
    assert r"\begin{tabular}[b]{@{}r@{}}real\\images\end{tabular}" in board
    assert "Overfull" not in compile_(board)


def test_many_boards_and_long_names_compile(compile_: Compile, store: Store) -> None:
    records = [record("vae", metric=named(f"metric-{i}")) for i in range(120)]
    log = compile_(render(build_boards(records, store)))
    assert "multiply defined" not in log
    long = {"activation": "x" * 150, "hidden": [500, 400, 300, 200, 100]}
    records = [record("vae", model=named("vae", long, tuple(long)), limits="y" * 300), record("gan", None)]
    records += [record("gan", None, reason="/".join(["folder"] * 40), seed=1)]
    assert "Overfull" not in compile_(render(build_boards(records, store)))

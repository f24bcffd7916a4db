"""Boards as LaTeX tables, to ``\\input`` into a paper that uses booktabs, and longtable for what fills a page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from string import ascii_lowercase
from textwrap import wrap

from harness.contracts.boards import Board
from harness.leaderboard.text import captions, cells, columns, printable, title

_head_widths = (18, 12, 8)  # characters; longer heads are broken into lines, at the first width with which columns fit
_name_width = 20  # characters; longer names are broken into lines
_long_word = 16  # characters; longer ones may be broken
_text_width = 345  # of a page of the class article, in points
_character = 0.55  # the mean width of a bold character, in em
_most_rows = 35  # on a page, with captions
_most_tables = 20  # on a run of pages; LaTeX fails on fifty that wait for a page
_sizes = {"small": (9, 4), "footnotesize": (8, 3), "scriptsize": (7, 3)}  # of the em and beside columns, in points


def render(boards: Sequence[Board]) -> str:
    """Write boards as tables, one a board, in ASCII that pdflatex compiles."""
    packages = "{booktabs,longtable}" if any(map(_is_long, boards)) else "{booktabs}"
    lines = [rf"% Boards of harness. The preamble needs \usepackage{packages}."]
    labels: dict[str, int] = {}
    for number, board in enumerate(boards):
        if number and number % _most_tables == 0:
            lines += ["", r"\clearpage"]
        label = re.sub("[^a-z0-9]+", "-", title(board).lower()).strip("-")
        labels[label] = labels.get(label, 0) + 1
        lines += ["", *_table(board, label if labels[label] == 1 else f"{label}:{labels[label]}")]
    return "\n".join(lines)


def _is_long(board: Board) -> bool:
    return len(board.rows) > _most_rows


def _table(board: Board, label: str) -> list[str]:
    """Return the lines of a table. Below it are its captions, and the reasons of rows, which are marked by letters."""
    whole = columns(board)
    if whole[-1] == "note" and any(row.reason for row in board.rows):
        whole.pop()
    rows = [entries[: len(whole)] for entries in cells(board)]
    name = whole.index("model")
    longest = max(len(entries[name]) for entries in rows)
    is_wrapped = longest > _name_width
    for head_width in _head_widths:
        heads = [_broken(head, head_width) for head in whole]
        widths = [max(map(len, (*head, *column))) for head, *column in zip(heads, *rows, strict=True)]
        widths[name] = min(longest, _name_width)
        size, separation, fits = _size_and_separation(widths)
        if fits:
            break
    layout = ["r"] * len(heads)
    layout[name] = f"p{{{_character * widths[name]:g}em}}" if is_wrapped else "l"
    marks: dict[str, str] = {}
    names_best = board.names_best
    body = []
    for row, texts in zip(board.rows, rows, strict=True):
        entries = [
            _bold(escaped(text)) if names_best and row.rank_low == 1 and place in (name, name + 1) else escaped(text)
            for place, text in enumerate(texts)
        ]
        if row.reason:
            mark = marks.setdefault(printable(row.reason), _letter(len(marks)))
            entries[name] += _command("textsuperscript", mark)
        if is_wrapped:
            entries[name] = rf"\raggedright\hangindent=1em {entries[name]}"
        body.append(" & ".join(entries) + r" \\")
    notes = [escaped(line) for line in captions(board)]
    if names_best:
        notes.append("Bold: may be the first.")
    notes += [_command("textsuperscript", mark) + rf"\,{escaped(reason)}." for reason, mark in marks.items()]
    settings = [_command(size), _command("setlength", r"\tabcolsep", f"{separation}pt")]
    named = [_command("caption", escaped(title(board))), _command("label", f"tab:{label}")]
    head = " & ".join(_head(lines, side[0]) for lines, side in zip(heads, layout, strict=True))
    top = [r"\toprule", head + r" \\", r"\midrule"]
    below = [r"\parbox{\linewidth}{\footnotesize\raggedright", *notes, "}"]
    if _is_long(board):
        first = [_begin("longtable", "", "".join(layout)), "".join(named) + r" \\", *top, r"\endfirsthead"]
        other = [*top, r"\endhead", r"\bottomrule", r"\endfoot"]
        return [r"\begingroup", *settings, *first, *other, *body, r"\end{longtable}", *below, r"\endgroup"]
    first = [r"\begin{table}[htbp]", r"\centering", *named, *settings, _begin("tabular", "", "".join(layout))]
    return [*first, *top, *body, r"\bottomrule", r"\end{tabular}", "", r"\smallskip", *below, r"\end{table}"]


def _size_and_separation(widths: Sequence[int]) -> tuple[str, int, bool]:
    """Return the largest font in which columns fit on a page, the space beside columns in points, and whether they fit.

    If they fit in none, it is the smallest.
    """

    def width(em: int, separation: int) -> float:
        return _character * em * sum(widths) + 2 * separation * (len(widths) - 1)

    fitting = (name for name, lengths in _sizes.items() if width(*lengths) <= _text_width)
    size = next(fitting, None)
    return size or "scriptsize", _sizes[size or "scriptsize"][1], size is not None


def _broken(head: str, width: int) -> list[str]:
    """Break a column head into lines, with the unit on a line of its own; only words of a long line are broken."""
    lines = [line for part in head.replace(" (", "\n(").splitlines() for line in wrap(part, _head_widths[0])]
    return [piece for line in lines for piece in wrap(line, width, break_long_words=False)]


def _head(lines: Sequence[str], side: str) -> str:
    if len(lines) == 1:
        return escaped(lines[0])
    return _begin("tabular", "[b]", side) + r"\\".join(map(escaped, lines)) + _command("end", "tabular")


def _bold(text: str) -> str:
    return _command("textbf", r"\boldmath " * ("$" in text) + text) if text else ""


def _begin(environment: str, place: str, layout: str) -> str:
    return _command("begin", environment) + place + f"{{@{{}}{layout}@{{}}}}"


def _command(name: str, *arguments: str) -> str:
    return "\\" + name + "".join(f"{{{each}}}" for each in arguments)


def _letter(number: int) -> str:
    """Return a to z, then aa to zz."""
    return ascii_lowercase[number % 26] * (1 + number // 26)


def escaped(text: str) -> str:
    """Return LaTeX that shows a line of text as it is.

    A character that pdflatex has no glyph for in its default fonts is shown as its code point, such as U+4E2D.
    """
    return " ".join(map(_word, printable(text).split(" ")))


def _word(word: str) -> str:
    """Return a word that TeX can break, if it is long; after a hyphen TeX does so itself."""
    parts = []
    unbroken = 0
    for before, character in zip(" " + word, word, strict=False):
        if before == "-":
            unbroken = 0
        if before == character and character in "-',":  # two of them would be one glyph
            parts.append("{}")
        elif len(word) > _long_word and (before in "_=/,:;" or unbroken == _long_word):
            parts.append(r"\allowbreak ")
            unbroken = 0
        parts.append(_latex(character))
        unbroken += 1
    return "".join(parts)


def _latex(character: str) -> str:
    known = _symbols.get(character)
    if known is not None:
        return known
    if character.isascii():
        return character
    kind, *codes = unicodedata.decomposition(character).split() or [""]
    if kind in _shifted:
        return _command(_shifted[kind], _all(codes))
    if kind.startswith("<"):
        return _all(codes)
    if kind and codes and codes[0] in _accents:
        return _command(_accents[codes[0]], _all([kind]))
    return _command("texttt", f"U+{ord(character):04X}")


def _all(codes: Sequence[str]) -> str:
    return "".join(_latex(chr(int(code, 16))) for code in codes)


_shifted = {"<super>": "textsuperscript", "<sub>": "textsubscript"}
_accents = {
    "0300": "`", "0301": "'", "0302": "^", "0303": "~", "0304": "=", "0306": "u", "0307": ".", "0308": '"', "030A": "r",
    "030B": "H", "030C": "v", "0323": "d", "0327": "c",
}  # fmt: skip
_greek = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho varsigma sigma tau upsilon "
    "varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_math = {
    **dict(zip("αβγδεζηθικλμνξπρςστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", _greek.split(), strict=True)),
    "±": "pm", "∓": "mp", "×": "times", "÷": "div", "·": "cdot", "∞": "infty", "≤": "leq", "≥": "geq", "≠": "neq",
    "≈": "approx", "∼": "sim", "∝": "propto", "↑": "uparrow", "↓": "downarrow", "←": "leftarrow", "→": "rightarrow",
    "√": "surd", "∑": "sum", "∏": "prod", "∫": "int", "∂": "partial", "∇": "nabla", "∈": "in", "∣": "mid", "‖": "Vert",
    "∅": "emptyset", "∪": "cup", "∩": "cap", "°": "circ", "ℓ": "ell",
}  # fmt: skip
_symbols = {
    **{character: rf"$\{name}$" for character, name in _math.items()},
    **{character: f"${character}$" for character in "<>|"},
    **{character: rf"\{character}" for character in "_%&#${}"},
    **{character: f"{{{character}}}" for character in "[]*"},  # after a line break these have a meaning
    "\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}", "`": r"\`{}", '"': "''", "−": "$-$", "–": "--", "—": "---",
    "‘": r"\textquoteleft{}", "’": "'", "“": r"\textquotedblleft{}", "”": "''", "…": r"\ldots{}", "⁄": "/",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}",
    "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}", "†": r"\dag{}", "‡": r"\ddag{}",
}  # fmt: skip

"""Builds the documentation site from README.md, docs/, leaderboards/, studies/ and the code.

    python docs/site/build.py [FOLDER]

The pages of Markdown are those of the repository. The reference pages are written from the code. A link that leads
nowhere is an error.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from reference import write_reference
from sphinx.cmd.build import build_main

_here = Path(__file__).resolve().parent
_root = _here.parents[1]

_link = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:]+)\)")
_copied = ("docs", "leaderboards", "studies")

_sections = {
    "How to": ["plugins", "score", "python", "report", "regression", "cluster"],
    "Why the numbers can be believed": ["statistics", "likelihoods", "sample-quality", "reliability", "published"],
    "Results": ["../leaderboards/README", "../leaderboards/published/README", "findings", "studies", "performance"],
    "Reference": [
        f"../reference/{name}" for name in ("models", "metrics", "datasets", "figures", "executors", "commands", "api")
    ]
    + ["../reference/hooks", "architecture", "../CHANGELOG"],
}


def build(folder: Path) -> int:
    """Build the site into a folder; return the exit status of Sphinx, which is not 0 if a link leads nowhere."""
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary).resolve()
        _write_sources(source)
        arguments = ["-q", "-W", "--keep-going", "-j", "auto", "-c", str(_here), str(source), str(folder)]
        return build_main(arguments)


def _write_sources(source: Path) -> None:
    for name in _copied:
        shutil.copytree(_root / name, source / name, ignore=shutil.ignore_patterns("site"))
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(_root / name, source)
    contents = []
    for caption, pages in _sections.items():
        paths = [page.removeprefix("../") if page.startswith("../") else f"docs/{page}" for page in pages]
        contents += ["```{toctree}", ":hidden:", f":caption: {caption}", "", *paths, "```", ""]
    (source / "index.md").write_text((_root / "README.md").read_text() + "\n" + "\n".join(contents))
    for page in source.rglob("*.md"):
        page.write_text(_with_known_links(page, source))
    write_reference(source / "reference")


def _with_known_links(page: Path, source: Path) -> str:
    """Return a page without the links to what the repository has and the site has not; their text stays."""

    def known(match: re.Match[str]) -> str:
        target = (page.parent / match[2]).resolve()
        is_only_in_repository = not target.is_file() and (_root / target.relative_to(source)).exists()
        return match[1] if is_only_in_repository else match[0]

    return _link.sub(known, page.read_text())


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else "build/site").resolve()))

"""The action that compares versions on GitHub: its scripts, run with a stand-in for ``gh``, and its workflows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from versions import cell, store_of

top = Path(__file__).parents[2]
github = top / ".github"
action = github / "actions" / "compare"
workflows = sorted((github / "workflows").glob("*.yml"))
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq stands in for the filter of gh")
marker = "<!-- harness compare: compare -->"

# Answers like GitHub: comments come in pages of 100, and a body may have 65,536 characters.
gh = r"""
import json, os, pathlib, subprocess, sys

file = pathlib.Path(os.environ["GH_STATE"])
state = json.loads(file.read_text())
words = sys.argv[1:]
options = {word: value for word, value in zip(words, words[1:]) if word in ("--method", "--jq", "-F", "-f")}
values = {*options.values(), *options, "--paginate", "--silent", "api"}
(endpoint,) = (word for word in words if word not in values)


def answer(value):
    text = json.dumps(value)
    if "--silent" in words:
        return
    if "--jq" in options:
        command = ["jq", "-r", options["--jq"]]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    sys.stdout.write(text)


def refuse(message, code):
    sys.stdout.write(json.dumps({"message": message}))
    sys.exit(f"gh: {message} (HTTP {code})")


comments = state["comments"]
if endpoint == "graphql":
    answer({"data": {"viewer": {"login": "github-actions[bot]"}}})
elif "--method" not in options:
    assert endpoint == "repos/owner/repo/issues/7/comments?per_page=100"
    pages = [comments[start : start + 100] for start in range(0, len(comments) or 1, 100)]
    for page in pages if "--paginate" in words else pages[:1]:
        answer(page)
elif state["readonly"]:
    refuse("Resource not accessible by integration", 403)
else:
    name, path = options["-F"].split("=@")
    body = pathlib.Path(path).read_text(encoding="utf-8")
    assert name == "body"
    if len(body) > 65_536:
        refuse("Validation Failed", 422)
    if options["--method"] == "POST":
        assert endpoint == "repos/owner/repo/issues/7/comments"
        comments.append({"id": 900 + len(comments), "user": {"login": "github-actions[bot]"}, "body": body})
    else:
        assert options["--method"] == "PATCH"
        (comment,) = (each for each in comments if endpoint == f"repos/owner/repo/issues/comments/{each['id']}")
        comment["body"] = body
    file.write_text(json.dumps(state))
"""


class Job:
    """A job on GitHub whose checkout is a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.reports, self.bin = folder / "checkout", folder / "reports", folder / "bin"
        self.cache, self.state, self.summary = folder / "cache", folder / "gh.json", folder / "summary.md"
        self.checkout.mkdir()
        self.bin.mkdir()
        self.program("harness", "import runpy\nrunpy.run_module('harness', run_name='__main__')")
        self.program("gh", gh)
        self.pull_request([])

    def program(self, name: str, text: str) -> None:
        """Put a program written in Python on the path."""
        path = self.bin / name
        path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        path.chmod(0o755)

    def pull_request(self, comments: list[tuple[str, str]], readonly: bool = False) -> None:
        """Set the comments, as authors and bodies, and whether the token may only read."""
        state = [{"id": n, "user": {"login": author}, "body": body} for n, (author, body) in enumerate(comments)]
        self.state.write_text(json.dumps({"comments": state, "readonly": readonly}))

    def comments(self) -> list[str]:
        return [each["body"] for each in json.loads(self.state.read_text())["comments"]]

    def run(self, script: str, folder: Path = action, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the action, or of another folder."""
        given = {
            "COMPARE_NAME": "compare",
            "COMPARE_BASE": "before",
            "COMPARE_HEAD": "after",
            "COMPARE_MODELS": "",
            "COMPARE_METRIC": "",
            "COMPARE_BUDGET": "10m",
            "COMPARE_ARGUMENTS": "",
            "COMPARE_INCONCLUSIVE": "fail",
            "COMPARE_REPORTS": str(self.reports),
            "HARNESS_CACHE_DIR": str(self.cache),
            "GITHUB_ACTION_PATH": str(action),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "owner/repo",
            "GITHUB_RUN_ID": "5",
            "PULL_REQUEST": "7",
            "COMMIT": "0123abc",
            "GH_TOKEN": "token",
            "GH_STATE": str(self.state),
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **environment,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "HARNESS_"))}
        return subprocess.run(
            ["bash", str(folder / script)],
            cwd=self.checkout,
            env={**kept, **given},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def results(self, shift: float, seeds: int = 5) -> None:
        """Store results of two versions whose ELBOs differ by ``shift`` nats."""
        for name, change in (("before", 0.0), ("after", shift)):
            (self.checkout / name).mkdir()
            (self.checkout / name / "records.jsonl").touch()
            store_of(
                self.checkout / name, [cell(seed, -100 + 0.01 * seed + change, stderr=0.0) for seed in range(seeds)]
            )

    def report(self, text: str = "### main → .\n\n**No regression: 1 same**\n") -> None:
        self.reports.mkdir(exist_ok=True)
        (self.reports / "report.md").write_text(text, encoding="utf-8")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@needs_jq
@pytest.mark.parametrize(
    ("shift", "seeds", "inconclusive", "code", "words"),
    [
        (-2.0, 5, "fail", 1, "**Regression: 1 worse**"),
        (0.0, 0, "fail", 4, "**Nothing was compared**"),
        (-2.0, 1, "fail", 5, "**Inconclusive: 1 inconclusive**"),
        (-2.0, 1, "pass", 0, "**Inconclusive: 1 inconclusive**"),
    ],
)
def test_every_outcome_is_reported_and_has_its_exit_code(
    job: Job, shift: float, seeds: int, inconclusive: str, code: int, words: str
) -> None:
    job.results(shift, seeds)
    done = job.run("compare.sh", COMPARE_INCONCLUSIVE=inconclusive)
    assert done.returncode == code, done.stderr
    assert words in job.summary.read_text()
    assert words.strip("*").lower() in done.stdout
    assert len(json.loads((job.reports / "findings.json").read_text())) == (seeds > 0)
    assert ElementTree.parse(job.reports / "junit.xml").getroot().get("failures") == str(int(code in (1, 4, 5)))
    assert "<svg" in (job.reports / "changes.svg").read_text()
    assert job.run("comment.sh").returncode == 0
    (comment,) = job.comments()
    assert comment.startswith(f"{marker}\n### before → after\n")
    assert words in comment
    assert "Commit 0123abc" in comment
    assert "https://github.com/owner/repo/actions/runs/5" in comment


@needs_jq
def test_an_error_is_reported_instead_of_an_earlier_result(job: Job) -> None:
    job.report()
    done = job.run("compare.sh", COMPARE_ARGUMENTS="--no-such-option")
    assert done.returncode == 2
    assert job.run("comment.sh").returncode == 0
    (comment,) = job.comments()
    assert "harness compare failed with exit code 2" in comment
    assert "    Error: No such option" in comment
    assert "No regression" not in comment


def test_a_command_that_compares_nothing_is_never_green(job: Job) -> None:
    job.program("harness", "print('Usage: harness compare')")
    done = job.run("compare.sh", COMPARE_ARGUMENTS="--help")
    assert done.returncode == 2
    assert "::error::harness compare wrote no report" in done.stdout
    assert "harness compare failed with exit code 2" in job.summary.read_text()


def test_a_name_that_no_artifact_may_have_is_invalid(job: Job) -> None:
    done = job.run("compare.sh", COMPARE_NAME="a -->")
    assert done.returncode == 2
    assert "::error::the input name" in done.stdout
    assert "the input name" in job.summary.read_text()


def test_arguments_are_words_and_nothing_else(job: Job) -> None:
    job.program("harness", "import json, sys\nprint(json.dumps(sys.argv[1:]))")
    (job.checkout / "toy.py").touch()
    arguments = "--only quality,count\n  --set vae.hidden=$(touch planted)  --plugin *.py ;touch planted"
    done = job.run("compare.sh", COMPARE_MODELS="vae,gan", COMPARE_METRIC="elbo", COMPARE_ARGUMENTS=arguments)
    words = json.loads(done.stdout.splitlines()[0])
    assert words[:1] == ["compare"]
    assert words[-2:] == ["before", "after"]
    assert words[words.index("--models") :][:4] == ["--models", "vae,gan", "--metric", "elbo"]
    tail = [
        "--only",
        "quality,count",
        "--set",
        "vae.hidden=$(touch",
        "planted)",
        "--plugin",
        "*.py",
        ";touch",
        "planted",
    ]
    assert words[words.index("--only") :] == [*tail, "--", "before", "after"]
    assert not (job.checkout / "planted").exists()


@pytest.fixture
def commits(job: Job) -> Callable[..., str]:
    """Return a function that runs git in the checkout, which has two commits; ``harness`` prints what it gets."""
    job.program("harness", "import sys\nprint('compared', *sys.argv[-2:])")

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *identity, *words]
        return subprocess.run(command, cwd=job.checkout, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    for message in ("first", "second"):
        git("commit", "-q", "--allow-empty", "-m", message)
    return git


def test_the_base_of_a_pull_request_is_where_it_left_its_branch(job: Job, commits: Callable[..., str]) -> None:
    left = commits("rev-parse", "--short", "HEAD")
    commits("checkout", "-q", "-b", "feature")
    commits("commit", "-q", "--allow-empty", "-m", "of the pull request")
    commits("commit", "-q", "--allow-empty", "-m", "of the pull request, too")
    commits("checkout", "-q", "-")
    commits("commit", "-q", "--allow-empty", "-m", "of others, later")
    commits("update-ref", "refs/remotes/origin/main", "HEAD")
    commits("checkout", "-q", "feature")
    done = job.run("compare.sh", COMPARE_BASE="", GITHUB_BASE_REF="main", COMPARE_HEAD=".")
    assert f"compared {left} ." in done.stdout


def test_elsewhere_the_base_is_the_commit_before(job: Job, commits: Callable[..., str]) -> None:
    before = commits("rev-parse", "--short", "HEAD~1")
    assert f"compared {before} after" in job.run("compare.sh", COMPARE_BASE="").stdout
    assert f"compared {before} after" in job.run("compare.sh", COMPARE_BASE="", GITHUB_BASE_REF="").stdout


@pytest.mark.parametrize("base", ["", "main"])
def test_a_checkout_without_history_gets_a_clear_message(job: Job, commits: Callable[..., str], base: str) -> None:
    commits("update-ref", "--no-deref", "HEAD", commits("commit-tree", "HEAD^{tree}", "-m", "alone"))
    done = job.run("compare.sh", COMPARE_BASE="", GITHUB_BASE_REF=base)
    assert done.returncode == 2
    assert "::error::" in done.stdout
    assert "fetch-depth: 0" in job.summary.read_text()


@needs_jq
def test_a_later_run_replaces_its_own_comment_only(job: Job) -> None:
    others = [
        ("mallory", f"{marker}\nnot of the action"),
        ("github-actions[bot]", "<!-- harness compare: another -->\nof another comparison"),
        ("github-actions[bot]", f"quotes {marker}"),
        *[("someone", "talk")] * 120,
    ]
    job.pull_request(others)
    job.report("first")
    assert job.run("comment.sh").returncode == 0
    assert "first" in job.comments()[-1]
    job.report("second")
    assert job.run("comment.sh").returncode == 0
    *before, own = job.comments()
    assert before == [body for _, body in others]
    assert own.startswith(f"{marker}\nsecond")


@needs_jq
def test_a_token_that_may_not_write_does_not_fail_the_job(job: Job) -> None:
    job.pull_request([], readonly=True)
    job.report()
    done = job.run("comment.sh")
    assert done.returncode == 0
    assert done.stdout.startswith("::notice::The report was not posted")
    assert "fork" in done.stdout
    assert job.comments() == []


def test_without_gh_the_job_does_not_fail(job: Job, tmp_path: Path) -> None:
    (job.bin / "gh").unlink()
    for name in ("bash", "mktemp", "rm", "head", "grep", "wc", "cat"):
        (job.bin / name).symlink_to(shutil.which(name) or name)
    job.report()
    done = job.run("comment.sh", PATH=str(job.bin))
    assert done.returncode == 0
    assert re.match("::notice::The report was not posted.*gh: command not found", done.stdout)


def test_without_a_report_there_is_no_comment(job: Job) -> None:
    done = job.run("comment.sh")
    assert (done.returncode, done.stdout) == (0, "there is no report to comment with\n")


@needs_jq
@pytest.mark.parametrize("folded", [True, False])
def test_a_long_report_is_cut_at_a_line(job: Job, folded: bool) -> None:
    row = "| worse | elbo of vae on digits → \u2212 | " + "x" * 200 + " |\n"
    start = "<details><summary>900 the same</summary>\n\n" if folded else ""
    job.report(start + row * 900 + ("\n</details>\n" if folded else ""))
    assert job.run("comment.sh").returncode == 0
    (comment,) = job.comments()
    assert 60_000 < len(comment.encode()) < 65_536
    assert "The report is too long for a comment." in comment
    assert comment.count("<details>") == comment.count("</details>") == folded
    assert all(line + "\n" == row for line in comment.splitlines() if line.startswith("|"))
    assert "Commit 0123abc" in comment


@pytest.mark.parametrize(("files", "packages"), [(["pyproject.toml"], [str(top), "."]), ([], [str(top)])])
def test_the_package_of_the_checkout_is_installed_beside_harness(
    job: Job, files: list[str], packages: list[str]
) -> None:
    for name in files:
        (job.checkout / name).touch()
    job.program("python", "import json, sys\nprint(json.dumps(sys.argv[1:]))")
    words = json.loads(job.run("install.sh").stdout)
    assert words[:3] == ["-m", "pip", "install"]
    assert words[4:] == packages


@pytest.fixture
def night(job: Job, commits: Callable[..., str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a script of a night whose checkout has a remote repository."""
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "remote")], check=True)
    commits("remote", "add", "origin", str(tmp_path / "remote"))
    (job.checkout / "nightly").mkdir()
    job.program("harness", "import sys\nprint('shown:', *sys.argv[1:])")
    return lambda script: job.run(script, github / "nightly", NIGHTLY="nightly")


def test_each_night_is_added_to_a_branch_with_nothing_else(
    job: Job, commits: Callable[..., str], night: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    file = job.checkout / "nightly" / "nightly.jsonl"
    for number in range(3):
        if file.exists():
            file.unlink()  # the next night has a new checkout
        assert night("fetch.sh").returncode == 0
        with file.open("a", encoding="utf-8") as lines:
            lines.write(f'{{"night": {number}}}\n')
        assert night("show.sh").returncode == 0
        assert night("keep.sh").returncode == 0
        commits("fetch", "-q", "origin")
    assert commits("ls-tree", "-r", "--name-only", "origin/history") == "nightly.jsonl"
    assert commits("rev-list", "--count", "origin/history") == "3"
    assert commits("show", "origin/history:nightly.jsonl") == '{"night": 0}\n{"night": 1}\n{"night": 2}'
    assert job.summary.read_text().count("shown: history show nightly/nightly.jsonl --format markdown") == 3


@pytest.mark.parametrize("is_first", [True, False])
def test_a_night_without_a_comparison_fails(
    job: Job, commits: Callable[..., str], night: Callable[..., subprocess.CompletedProcess[str]], is_first: bool
) -> None:
    if not is_first:
        (job.checkout / "nightly" / "nightly.jsonl").write_text("{}\n")
        assert night("keep.sh").returncode == 0
        commits("fetch", "-q", "origin")
        assert night("fetch.sh").returncode == 0
    done = night("show.sh")
    assert done.returncode == 1
    assert "::error::this night was not added" in done.stdout
    assert not job.summary.exists()


def load(path: Path) -> dict[Any, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def steps(path: Path) -> list[dict[str, Any]]:
    content = load(path)
    jobs = content["jobs"].values() if "jobs" in content else [content["runs"]]
    return [step for job in jobs for step in job["steps"]]


files = [action / "action.yml", *workflows]
named = pytest.mark.parametrize("path", files, ids=lambda path: path.name)


@named
def test_no_expression_is_part_of_a_script(path: Path) -> None:
    for step in steps(path):
        assert "${{" not in step.get("run", "")


@named
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    assert len(used) == sum("uses" in step for step in steps(path))
    for name, comment in used:
        if name.startswith("./"):
            assert (top / name / "action.yml").is_file()
        else:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", name)
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)


@named
def test_every_script_exists_and_stops_at_errors(path: Path) -> None:
    for step in steps(path):
        for name in re.findall(r"[\w./$-]+\.sh", step.get("run", "")):
            script = top / name.replace("$GITHUB_ACTION_PATH", str(action))
            assert script.is_file()
            assert "\nset -euo pipefail\n" in script.read_text(encoding="utf-8")


def test_every_input_is_used_and_known() -> None:
    text = (action / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(load(action / "action.yml")["inputs"])
    for path in workflows:
        for step in steps(path):
            if step.get("uses") == "./.github/actions/compare":
                assert set(step["with"]) <= set(load(action / "action.yml")["inputs"])


def test_the_workflow_in_the_docs_uses_known_inputs() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (top / "docs" / "regression.md").read_text(encoding="utf-8"), re.DOTALL)
    ((job,),) = (yaml.safe_load(text)["jobs"].values(),)
    checkout, compare = job["steps"]
    assert checkout["with"]["fetch-depth"] == 0
    assert compare["uses"].endswith(f"/{action.relative_to(top)}@REF")
    assert set(compare["with"]) <= set(load(action / "action.yml")["inputs"])


def test_scripts_get_the_variables_that_they_read() -> None:
    given = {name for step in steps(action / "action.yml") for name in step.get("env", {})}
    for script in action.glob("*.sh"):
        assert set(re.findall(r"\$\{?(COMPARE_\w+|HARNESS_\w+|COMMIT|PULL_REQUEST)", script.read_text())) <= given


@pytest.mark.parametrize("path", workflows, ids=lambda path: path.name)
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path) -> None:
    content = load(path)
    assert content["permissions"] == {"contents": "read"}
    assert "concurrency" in content
    assert "pull_request_target" not in path.read_text(encoding="utf-8")

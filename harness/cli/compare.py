"""``harness compare``: whether a version is worse or slower than another."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from harness.atomic import require_writable_file
from harness.cli.data import cache_dir, data_dir_option, default_dataset
from harness.cli.engine import Seconds
from harness.cli.history import require_history
from harness.cli.interruption import interruptible
from harness.cli.options import PathType, WholeNumber, names_option, plugin_option
from harness.cli.output import notice, output_console, print_formatted, warn
from harness.cli.pictures import require_picture, save_picture
from harness.cli.settings import parse_assignments, set_option
from harness.errors import UsageError, unknown
from harness.regression.findings import kinds, outcome
from harness.regression.history import append, entry_of
from harness.regression.workloads import works

if TYPE_CHECKING:
    from harness.regression.compare import Comparison, Stored
    from harness.regression.findings import Finding

_formats = {".txt": "terminal", ".md": "markdown", ".json": "json", ".xml": "junit"}
# Options that have no effect on some comparisons: the kinds of findings that each changes, by the name of its value.
_effects: Mapping[str, tuple[str, Sequence[str]]] = {
    "seeds": ("--seeds", kinds),
    "epochs": ("--epochs", kinds),
    "tolerances": ("--tolerance", ("quality",)),
    "benchmarks": ("--benchmark", ("speed", "count")),
    "slowdown": ("--slowdown", ("speed",)),
    "more": ("--more", ("count",)),
    "assignments": ("--set", kinds),
    "device": ("--device", kinds),
    "data_dir": ("--data-dir", kinds),
}
_of_stored = ("tolerances", "more")
_exit_codes = {"passed": 0, "regression": 1, "nothing": 4, "inconclusive": 5}
_defaults: dict[str, Any] = {
    "models": ("vae",),
    "metrics": ("elbo",),
    "dataset": default_dataset,
    "seeds": 3,
    "epochs": 2,
}
cell = {"model": "pca", "metric": "reconstruction-mse", "dataset": default_dataset}


@click.command(
    epilog="""\b
Examples:
  harness compare HEAD~1 HEAD
  harness compare main . --models vae,gan --metric elbo --budget 10m
  harness compare released.jsonl . --output comment.md --output junit.xml
  harness compare runs-before runs-after

Exit codes: 0 the same or better; 1 a regression; 2 invalid arguments; 3 a version cannot be built or run, or a
report cannot be written; 4 nothing was compared; 5 inconclusive; 130 interrupted.""",
)
@click.argument("base")
@click.argument("head")
@names_option("--models", "--model", metavar="A,B", help="Models to train and to time, or to compare of stored "
              "results. [default: vae, or all that are stored]")  # fmt: skip
@names_option("--metric", "--metrics", "metrics", metavar="M[,N]", help="Metrics to measure and to time, or "
              "to compare of stored results. [default: elbo, or all that are stored]")  # fmt: skip
@click.option("--dataset", metavar="D", help="Data set to train and test on, or to compare of stored results. "
              f"[default: {default_dataset}, or those that are stored]")  # fmt: skip
@click.option("--seeds", type=WholeNumber(min=1), metavar="N", help="Train each model N times. [default: 3]")
@click.option("--epochs", type=WholeNumber(min=1), metavar="N", help="Passes over the training data. [default: 2]")
@set_option("a model, metric or data set", "NAME.PARAM=V")
@click.option("--budget", type=Seconds(), metavar="TIME",
              help="Time for the whole comparison. What is not decided by then is inconclusive. [default: no limit of "
              "training, 10m for timings]")  # fmt: skip
@names_option("--only", metavar="KIND[,KIND]", help=f"Compare only these of {', '.join(kinds)}.")
@names_option("--benchmark", "--benchmarks", "benchmarks", metavar="W[,W]", help=f"Time only these of "
              f"{', '.join(works)}.")  # fmt: skip
@click.option("--slowdown", type=click.FloatRange(min=0, min_open=True, max=1), default=0.03, show_default=True,
              metavar="SHARE", help="How much slower is accepted.")  # fmt: skip
@click.option("--more", type=click.FloatRange(min=0, max=1), default=0.02, show_default=True,
              metavar="SHARE", help="How much more of what is counted is accepted: operators, FLOPs, bytes, "
              "imports.")  # fmt: skip
@click.option("--tolerance", "tolerances", multiple=True, metavar="METRIC=V",
              help="How much worse a metric may be, in its unit, such as elbo=0.5. May be repeated.")  # fmt: skip
@click.option("--inconclusive", type=click.Choice(["pass", "fail"]), default="fail", show_default=True,
              help="Whether to exit with 0 or with 5 if something is inconclusive.")  # fmt: skip
@click.option("--format", "format_", type=click.Choice([*_formats.values()]),
              help="Output format. [default: that of each --output, or else terminal]")  # fmt: skip
@click.option("--output", "outputs", type=PathType(), multiple=True, metavar="FILE",
              help=f"Write the report to this file, in the format of its suffix: {', '.join(_formats)}. May be "
              "repeated.")  # fmt: skip
@click.option("--figure", type=PathType(), metavar="FILE", help="Also draw the changes: FILE.svg or FILE.png.")
@click.option("--history", type=PathType(), metavar="FILE", help="Also append the findings to this history, which "
              "'harness history show' shows. BASE should be fixed, such as a tag or a baseline.")  # fmt: skip
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True,
              help="Device of benchmarks and training.")  # fmt: skip
@data_dir_option
@plugin_option
def compare(**values: Any) -> int:
    """Compare two versions: whether models became worse, and whether the code became slower.

    BASE and HEAD are each a git revision, a folder with pyproject.toml (. is the working tree), NAME==VERSION, a plugin
    FILE.py, a folder of results with records.jsonl, or a file that 'harness baseline save' wrote.

    Quality: cells are paired over seeds and test examples. Speed: both versions are timed in turns, in fresh
    processes, until each benchmark is decided. Counts, such as the operators of a step, are exact. Stored results
    have no timings.
    """
    require_picture(values["figure"])
    outputs = _outputs(values["outputs"], values["format_"])
    if values["history"]:
        require_history(values["history"])
    comparison = _comparison(values)
    entry = entry_of(comparison, values["base"], values["head"]) if values["history"] else None
    with interruptible():
        findings, notes = comparison.carry_out()
    _report(findings, notes, outputs, values)
    if entry and findings:
        append(values["history"], replace(entry, findings=tuple(findings)))
    found = outcome(findings)
    return 0 if found == "inconclusive" and values["inconclusive"] == "pass" else _exit_codes[found]


def _comparison(values: Mapping[str, Any]) -> Comparison:
    """Return what the options ask for; what they leave open is as in stored results, if one side is stored.

    Raises:
        UsageError: an option is invalid.
    """
    for option, known in (("only", kinds), ("benchmarks", works)):
        for name in values[option]:
            if name not in known:
                raise unknown(f"--{option.removesuffix('s')}", name, known)
    settings, tolerances = settings_of(values["assignments"]), _tolerances(values["tolerances"])

    from harness.regression.compare import Comparison, request_of, stored_results

    for name in ("base", "head"):
        if not values[name].strip():
            raise UsageError(f"{name.upper()} is empty; name a version or stored results")
    base, head = (stored_results(values[name], warn) or values[name] for name in ("base", "head"))
    stored = [side for side in (base, head) if not isinstance(side, str)]
    chosen = {kind: values[f"{kind}s"] for kind in ("model", "metric")}
    chosen["dataset"] = (values["dataset"].partition(":")[0],) if values["dataset"] else ()
    asked = dict(_defaults)
    _require_effect(values["only"] or kinds, are_stored=len(stored) == 2)
    if len(stored) == 2:
        _require_names(stored, chosen)
    if len(stored) == 1:
        asked |= request_of(stored[0], chosen, values["epochs"])
    asked |= {name: values[name] for name in _defaults if values[name]}
    if ":" in asked["dataset"]:
        from harness.cli.run import named_with_values
        from harness.registry import Registry

        (asked["dataset"],), of_dataset = named_with_values([asked["dataset"]], Registry.load(values["plugin_files"]))
        for (owner, name), (value,) in of_dataset.items():
            settings.setdefault(owner, {})[name] = value
    stored_settings = asked.get("settings", {})
    asked["settings"] = {
        owner: {**stored_settings.get(owner, {}), **settings.get(owner, {})}
        for owner in {**stored_settings, **settings}
    }
    return Comparison(
        base=base,
        head=head,
        cache=cache_dir(),
        **asked,
        tolerances=tolerances,
        kinds=values["only"] or kinds,
        works=values["benchmarks"] or tuple(works),
        cell=cell,
        slowdown=values["slowdown"],
        more=values["more"],
        seconds=values["budget"],
        device=values["device"],
        data=values["data_dir"],
        plugin_files=values["plugin_files"],
        announce=notice,
        chosen=chosen,
    )


def _require_effect(compared: Sequence[str], *, are_stored: bool) -> None:
    """Check that each option on the command line can change what is compared.

    Raises:
        UsageError: one is for versions that are run, or for kinds of findings that are left out.
    """
    context = click.get_current_context()
    for name, (option, of_kinds) in _effects.items():
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if are_stored and name not in _of_stored:
            raise UsageError(f"{option} is for versions that are run, but BASE and HEAD are stored results")
        if not {*of_kinds} & {*compared}:
            raise UsageError(f"{option} changes findings on {' and '.join(of_kinds)} only, which --only leaves out")


def _require_names(stored: Sequence[Stored], chosen: Mapping[str, Sequence[str]]) -> None:
    """Check that the chosen names are in one of the stored results.

    Raises:
        UsageError: neither side has a name.
    """
    from harness.regression.compare import records_of

    for kind, names in chosen.items():
        known = {getattr(record, kind)["name"] for side in stored for record in records_of(side)}
        for each in names:
            if each not in known:
                raise unknown(f"{kind} of the stored results", each, known)


def settings_of(assignments: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the value of each setting by owner and name.

    Raises:
        UsageError: a setting has several values.
    """
    found: dict[str, dict[str, str]] = {}
    for (owner, name), given in parse_assignments(assignments).items():
        if len(given) > 1:
            raise UsageError(f"--set {owner}.{name}: give one value, since both versions are run with it")
        found.setdefault(owner, {})[name] = given[0]
    return found


def _tolerances(given: Sequence[str]) -> dict[str, float]:
    """Parse ``METRIC=V``.

    Raises:
        UsageError: the form is wrong, or the value is not a number that is at least 0.
    """
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        number = math.nan
        with suppress(ValueError):
            number = float(value)
        if not name or not 0 <= number < math.inf:
            raise UsageError(f"--tolerance {text}: write METRIC=V with a number that is at least 0, as in elbo=0.5")
        found[name] = number
    return found


def _outputs(files: Sequence[Path], format_: str | None) -> dict[Path, str]:
    """Return the format of each file: ``format_``, or that of its suffix.

    Raises:
        UsageError: a suffix has no format, a file cannot be written, or one format was given for several files.
    """
    if format_ and len(files) > 1:
        raise UsageError(f"--format {format_} is for one --output; without it, each file has the format of its suffix")
    for file in files:
        if not format_ and file.suffix not in _formats:
            raise UsageError(f"--output {file}: write a name that ends with {', '.join(_formats)}, or give --format")
        require_writable_file(file, "--output")
    return {file: format_ or _formats[file.suffix] for file in files}


def _report(
    findings: Sequence[Finding], notes: Sequence[str], outputs: Mapping[Path, str], values: Mapping[str, Any]
) -> None:
    from harness.regression import report
    from harness.regression.findings import as_json

    title = f"{values['base']} → {values['head']}"
    written = {
        "terminal": lambda: report.plain(findings, notes),
        "markdown": lambda: report.markdown(findings, notes, title),
        "json": lambda: as_json(findings),
        "junit": lambda: report.junit(findings, title, fails_if_inconclusive=values["inconclusive"] == "fail"),
    }
    shown = values["format_"] or "terminal"
    for file, format_ in outputs.items():
        report.write(written[format_](), file)
    if outputs:
        print(report.summary(findings))
    elif shown == "terminal" and sys.stdout.isatty():
        output_console().print(report.table(findings, notes))
    else:
        print_formatted(written[shown]().rstrip(), shown)
    if values["figure"]:
        save_picture(report.picture(findings, title), values["figure"])

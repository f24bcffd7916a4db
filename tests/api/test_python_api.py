"""The Python API gives what the command line gives, and refuses what it refuses, in one line."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from stored_results import described_fit
from torch import Tensor, nn

import harness
from harness.api.options import RunOptions
from harness.cli.run import run as command
from harness.execution import workers

if TYPE_CHECKING:
    from tests.conftest import Call

small = {"ppca-toy.train": 300, "ppca-toy.validation": 60, "ppca-toy.test": 60}
settings = {**small, "ppca.latent_dim": [2, 3], "gaussian-vae.latent_dim": 2, "gaussian-vae.hidden": (16,)}
comparison: dict[str, Any] = {
    "models": ["ppca", "gaussian-vae"],
    "metrics": ["elbo", "log-likelihood-exact"],
    "datasets": "ppca-toy",
    "settings": settings,
    "epochs": 1,
    "seeds": 2,
}


class Mean(nn.Module):
    """Predicts the mean."""

    def __init__(self, info: harness.DataInfo, config: harness.NoSettings) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(info.shape))

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.mean.expand_as(x)

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        return (x - self.mean).square().mean()


class LargestError:
    """The largest error."""

    unit, direction, needs = "units", "lower", (harness.Reconstructs,)

    def __init__(self, config: harness.NoSettings) -> None:
        pass

    def measure(self, model: harness.Reconstructs, data: harness.Data, context: harness.Context) -> harness.Estimate:
        x = data.test.all(context.noise)
        return harness.Estimate.over_examples((model.reconstruct(x) - x).abs().amax(1))


class Runs:
    """A folder with the results of a small comparison."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = harness.run(**comparison, runs=folder, figures=False, quiet=True)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("api") / "runs")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)


def test_a_run_gives_the_records_of_the_command_line(call: Call, done: Runs) -> None:
    words = [f"--set={name}={','.join(map(str, _listed(value)))}" for name, value in settings.items()]
    words += ["--models=ppca,gaussian-vae", "--metric=elbo,log-likelihood-exact", "--dataset=ppca-toy", "--epochs=1"]
    assert call("run", *words, "--seeds=2", "--no-figures", "--quiet").code == 0
    by_command = harness.open("runs").results()
    assert {(each.cell_key, each.fit_key, each.value, each.status) for each in by_command} == {
        (each.cell_key, each.fit_key, each.value, each.status) for each in done.results
    }


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else list(value) if isinstance(value, tuple) else [value]


def test_a_second_run_computes_nothing_and_a_quiet_one_shows_nothing(
    done: Runs, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (done.folder / "records.jsonl").read_bytes()
    again = harness.run(**comparison, runs=done.folder, quiet=True)
    assert again.records == done.results.records
    assert (done.folder / "records.jsonl").read_bytes() == before
    assert capfd.readouterr() == ("", "")
    harness.run(**comparison, runs=done.folder)
    assert "12 cells, all stored already" in capfd.readouterr().err


def test_a_plan_says_what_a_run_would_do_and_does_nothing(done: Runs, tmp_path: Path) -> None:
    plan = harness.plan(**comparison)
    assert len(plan) == len(done.results) == 12
    assert [cell.key for cell in plan] == [record.cell_key for record in done.results]
    assert {cell.action for cell in plan} == {"fit, measure", "n/a: it has no tractable density"}
    assert "12 cells; 12 to compute from 6 fits" in repr(plan)
    assert {cell.action for cell in harness.plan(**comparison, runs=done.folder)} == {"nothing: stored"}
    assert list(tmp_path.iterdir()) == []


def test_boards_are_written_only_if_a_folder_is_named(done: Runs, tmp_path: Path) -> None:
    harness.run(**comparison, runs=done.folder, quiet=True)
    assert list(tmp_path.iterdir()) == []
    harness.run(**comparison, runs=done.folder, quiet=True, leaderboards="boards")
    assert (tmp_path / "boards" / "ppca-toy.md").exists()


def test_a_run_leaves_the_settings_of_torch_as_they_are(done: Runs) -> None:
    torch.set_num_threads(2)
    torch.set_flush_denormal(False)
    torch.set_deterministic_debug_mode("warn")
    before = torch.get_rng_state()
    harness.run(**comparison, runs=done.folder, quiet=True, fresh=True, figures=False)
    assert (torch.get_num_threads(), torch.get_deterministic_debug_mode()) == (2, 1)
    assert float(torch.tensor(1e-40) / 2) > 0
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": ["vea"]}, "unknown model 'vea'. Did you mean 'vae'?"),
        ({"models": []}, "Missing option '--models'"),
        ({"seeds": 0}, "'0' is not a whole number that is at least 1"),
        ({"seeds": 1.5}, "'1.5' is not a whole number that is at least 1"),
        ({"seeds": [1]}, "seeds=[1]: write a single value"),
        ({"epochs": 1, "steps": 2}, "each set how long to train; give one of them"),
        ({"budget": "long"}, "'long' is not a length of time"),
        ({"settings": {"ppca.latent": 2}}, "unknown setting of ppca 'latent'"),
        ({"settings": {"latent_dim": 2}}, "write NAME.PARAM=VALUE"),
        ({"settings": {"ppca.latent_dim": []}}, "settings 'ppca.latent_dim': the list is empty"),
        ({"settings": {"ppca.latent_dim": "2,3"}}, "settings 'ppca.latent_dim': '2,3' is not a value of a setting"),
        ({"settings": {"ppca.latent_dim": 2.5}}, "ppca.latent_dim=2.5"),
        ({"settings": {"vae.latent_dim": 2}}, "'vae' is not part of this run"),
        ({"device": "tpu"}, "'tpu' is not one of"),
        ({"quiet": "yes"}, "quiet='yes': write True or False"),
        ({"vectorise": True}, "unknown argument 'vectorise'. Did you mean 'vectorize'?"),
        ({"data_dir": "none"}, "none: there is no such folder"),
        ({"plugins": ["none.py"]}, "plugin file 'none.py' does not exist"),
        ({"plugins": [3]}, "plugins: 3 is no file, class or spec"),
        ({"plugins": None}, "plugins: write a list of files, classes and specs, not None"),
        ({"settings": "ppca.latent_dim=2"}, "settings='ppca.latent_dim=2': write a dictionary"),
        ({"models": Mean}, "models: write names as text, not the class Mean; classes are passed as plugins=[...]"),
        ({"models": [nn.Linear(1, 1)]}, "not an object of type Linear; classes are passed as plugins=[...], and "),
        ({"metrics": 3}, "metrics: write names as text, not 3"),
    ],
)
def test_a_wrong_argument_is_one_line_and_nothing_is_run(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(harness.UsageError) as refusal:
        harness.run(**{"models": ["ppca"], "metrics": "elbo", "datasets": "ppca-toy", **arguments})
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_data_that_is_named_comes_before_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA_DIR", "none")
    with pytest.raises(harness.UsageError, match="HARNESS_DATA_DIR=none: there is no such folder"):
        harness.plan("ppca", "elbo", "ppca-toy")
    assert len(harness.plan("ppca", "elbo", "ppca-toy", data_dir=".", seeds=1)) == 1


def test_every_option_of_the_command_has_an_argument_with_its_name_and_its_default() -> None:
    own = {name: each.default for name, each in inspect.signature(harness.run).parameters.items()}
    options = {option.name: option for option in command.params}
    others = {"study", "assignments", "plugin_files", "as_json", "dry_run"}
    names = {"seconds": "budget", "models": "models"}
    arguments = own.keys() | RunOptions.__annotations__.keys()
    assert [name for name in options.keys() - others if names.get(str(name), name) not in arguments] == []
    assert own["seeds"] == options["seeds"].default
    assert own["runs"] == str(options["runs"].default)
    assert (own["datasets"],) == options["datasets"].default


def test_a_run_leaves_to_later_runs_what_workers_import(done: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "expect_work", lambda **expected: pytest.fail("the server is for one run only"))
    harness.run(**comparison, runs=done.folder, quiet=True)


def test_boards_of_a_run_have_the_titles_that_models_were_given(call: Call, done: Runs) -> None:
    rename = ("results", "rename", "ppca latent_dim=2", "--runs", str(done.folder))
    assert call(*rename[:3], "two factors", *rename[3:]).code == 0
    try:
        shown = harness.run(**comparison, runs=done.folder, quiet=True).boards
    finally:
        assert call(*rename).code == 0
    assert {row.name for board in shown for row in board.rows} >= {"two factors"}


def test_a_board_is_html_in_a_notebook_and_text_elsewhere(done: Runs) -> None:
    board = done.results.boards[0]
    assert (board.dataset, board.metric) == ("ppca-toy", "elbo")
    html = board._repr_html_()
    assert html.count("<tr>") == 1 + len(board.rows) == 4
    assert "<td>gaussian-vae latent_dim=2 hidden=16</td>" in html
    assert "(nats) ↑" in repr(board)
    assert "<" not in repr(board)
    assert done.results._repr_html_().count("<table>") == 2
    assert repr(board) in repr(done.results)


def test_names_in_a_board_never_act_as_html(done: Runs) -> None:
    from harness.api.results import BoardTable

    fields = vars(done.results.boards[0])
    html = BoardTable(**{**fields, "dataset": "<script>", "measure": "<b>&"})._repr_html_()
    assert "<script>" not in html
    assert "Measure: &lt;b&gt;&amp;." in html


def test_results_without_pandas_say_how_to_install_it(done: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(harness.UsageError, match="needs pandas; install it with: pip install pandas"):
        done.results.to_dataframe()


def test_results_become_a_data_frame(done: Runs) -> None:
    pandas = pytest.importorskip("pandas")
    frame = done.results.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 12
    of_ppca = frame[(frame.model == "ppca") & (frame.metric == "elbo")]
    assert list(of_ppca["ppca.latent_dim"]) == [2, 2, 3, 3]
    assert frame[frame.model == "gaussian-vae"]["ppca.latent_dim"].isna().all()
    assert list(frame.value.dropna()) == [each.value for each in done.results if each.value is not None]


def test_failures_are_listed(faulty: str) -> None:
    results = harness.run("breaks", "reconstruction-mse", "ppca-toy", settings=small, plugins=[faulty], quiet=True)
    reasons = [str(record.reason) for record in results.failed]
    assert [reason.partition(" (in loss, line ")[0] for reason in reasons] == ["RuntimeError: it is broken"] * 3
    assert results.boards[0].rows[0].value is None


@pytest.fixture
def faulty(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a plugin with a model whose training fails."""
    path = tmp_path_factory.mktemp("plugin") / "faulty.py"
    source = inspect.getsource(Mean).replace("class Mean", "class Breaks").replace(
        "return (x - self.mean).square().mean()", "raise RuntimeError('it is broken')"
    )  # fmt: skip
    path.write_text(
        f"import harness\nimport torch\nfrom torch import Tensor, nn\n\n{source}\n\n@harness.hookimpl\n"
        "def harness_models():\n    return [harness.ModelSpec('breaks', Breaks, 'a model')]\n"
    )
    return str(path)


def test_a_loaded_model_is_measured_with_the_values_of_its_run(done: Runs) -> None:
    stored = harness.open(done.folder)
    assert len(stored.fits()) == 6
    for fit in stored.fits():
        model = stored.load(fit.key[:10])
        assert not model.training
        evaluated = harness.evaluate(model, "ppca-toy", comparison["metrics"], settings=small, quiet=True)
        for record in evaluated:
            (of_run,) = (
                each for each in done.results
                if (each.fit_key, each.metric["name"]) == (fit.key, record.metric["name"])
            )  # fmt: skip
            assert (record.value, record.stderr, record.n) == (of_run.value, of_run.stderr, of_run.n)
            assert (record.status, record.reason, record.measure) == (of_run.status, of_run.reason, of_run.measure)
    values = {each.value for each in done.results if each.value is not None}
    assert len(values) > 4


def test_metrics_of_a_model_in_memory_may_be_joined_by_commas_as_those_of_a_run(small_data: harness.Data) -> None:
    model = Mean(small_data.info, harness.NoSettings())
    results = harness.evaluate(model, small_data, "reconstruction-mse,psnr", quiet=True)
    assert [each.metric["name"] for each in results] == ["reconstruction-mse", "psnr"]
    assert results[1] is results.records[1]


def test_the_board_of_a_model_in_memory_asks_for_no_seeds(small_data: harness.Data) -> None:
    model = Mean(small_data.info, harness.NoSettings())
    results = harness.evaluate(model, small_data, "reconstruction-mse", quiet=True)
    assert "seed" not in str(results)
    assert results.boards[0].rows[0].no_rank is None


@pytest.mark.parametrize("draw", [torch.rand, lambda *shape: torch.from_numpy(np.random.random_sample(shape))])
def test_data_drawn_from_global_generators_are_the_same_whenever_they_are_loaded(draw: Callable[..., Tensor]) -> None:
    class Drawn:
        """Draws from generators that it does not seed."""

        def __init__(self, config: harness.NoSettings) -> None:
            pass

        def load(self, source: harness.DataSource) -> harness.Data:
            return harness.Data.from_tensors(*(harness.Examples(draw(20, 3)) for _ in range(3)))

    spec = harness.DatasetSpec("drawn", Drawn, "random numbers", version="1")
    model = Mean(harness.DataInfo((3,), "real", torch.zeros(3)), harness.NoSettings())
    values = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        (record,) = harness.evaluate(model, "drawn", "reconstruction-mse", plugins=[spec], quiet=True)
        values.append(record.value)
    assert values[0] is not None
    assert values[0] == values[1]


def test_a_model_in_memory_is_measured_on_data_in_memory_and_left_as_it_is(small_data: harness.Data) -> None:
    model = Mean(small_data.info, harness.NoSettings())
    results = harness.evaluate(model, small_data, ["reconstruction-mse", "elbo"], name="zero", quiet=True)
    error, bound = results
    expected = small_data.test.all(harness.Noise(0)).square().mean()
    assert error.value == pytest.approx(float(expected), rel=1e-6)
    assert (error.model["name"], error.dataset["name"]) == ("zero", "in-memory-data")
    assert (bound.status, bound.reason) == ("n/a", "it has no posterior and no observation model")
    assert model.training
    validated = harness.evaluate(model, small_data, "reconstruction-mse", split="validation", quiet=True)
    assert validated.records[0].value != error.value
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": print}, "model is of type builtin_function_or_method"),
        ({"data": 3}, "data is of type int"),
        ({"data": "ppca-toys"}, "unknown dataset 'ppca-toys'. Did you mean 'ppca-toy'?"),
        ({"metrics": ["elb"]}, "unknown metric 'elb'"),
        ({"metrics": []}, "metrics: name at least one"),
        ({"metrics": None}, "metrics: write names as text, not None"),
        ({"name": 3}, "name: write a text, not 3"),
        ({"data_dir": 3}, "data_dir: write a path, not 3"),
        ({"metrics": ["latency"]}, "latency is timed in turn with other models"),
        ({"split": "train"}, "split='train': write test or validation"),
        ({"threads": 0}, "threads=0: write a whole number that is at least 1"),
        ({"name": "My model"}, "model name 'My model': use lower-case letters"),
        ({"settings": {"vae.latent_dim": 3}}, "'vae' is not part of this run"),
        ({"data_dir": "none"}, "data_dir 'none': there is no such folder"),
    ],
)
def test_a_wrong_argument_of_evaluate_is_one_line(
    small_data: harness.Data, arguments: dict[str, Any], message: str
) -> None:
    given = {"model": Mean(small_data.info, harness.NoSettings()), "data": small_data, "metrics": "reconstruction-mse"}
    with pytest.raises(harness.UsageError) as refusal:
        harness.evaluate(**{**given, **arguments})
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_samples_of_a_stored_fit_depend_on_the_seed_only(done: Runs) -> None:
    stored = harness.open(done.folder)
    first = next(fit for fit in stored.fits() if fit.model == "gaussian-vae")
    samples = stored.sample(first.key, 5)
    assert samples.shape == (5, 10)
    assert torch.equal(samples, harness.open(done.folder).sample(first.key, 5, seed=0))
    assert not torch.equal(samples, stored.sample(first.key, 5, seed=1))
    curves = stored.curves(first.key)
    assert [len(losses) for losses in curves.validation.values()] == [1]


def test_stored_results_make_boards_of_what_is_asked_for(done: Runs) -> None:
    stored = harness.open(str(done.folder))
    assert {each.cell_key for each in stored.results()} == {each.cell_key for each in done.results}
    assert [board.metric for board in stored.boards()] == ["elbo", "log-likelihood-exact"]
    (board,) = stored.boards(metric="elbo", dataset=["ppca-toy"])
    assert repr(board) == repr(done.results.boards[0])
    with pytest.raises(harness.UsageError, match=r"unknown metric in .* 'elb'\. Did you mean 'elbo'"):
        stored.boards(metric="elb")


def test_what_cannot_be_opened_or_loaded_is_one_line(done: Runs, tmp_path: Path) -> None:
    with pytest.raises(harness.UsageError, match="there is no folder 'none'"):
        harness.open("none")
    stored = harness.open(done.folder)
    keys = [fit.key for fit in stored.fits()]
    for wrong, message in (
        ("zz", "no fit in .* has a key that begins with 'zz'; fits\\(\\) lists all 6"),
        ("", "no fit in .* has a key that begins with ''"),
    ):
        with pytest.raises(harness.UsageError, match=message):
            stored.load(wrong)
    pairs = {a[:n] for n in range(1, 4) for a in keys for b in keys if a != b and a[:n] == b[:n]}
    for ambiguous in pairs:
        with pytest.raises(harness.UsageError, match=f"fits in .* begin with '{ambiguous}': "):
            stored.curves(ambiguous)
    with pytest.raises(harness.UsageError, match="runs: write a path, not 3"):
        harness.open(3)  # type: ignore[arg-type]
    with pytest.raises(harness.UsageError, match=r"fit_key: write the key .* not an object of type StoredFit"):
        stored.load(stored.fits()[0])  # type: ignore[arg-type]
    with pytest.raises(harness.UsageError, match=r"cell_key: write the key .* not an object of type Record"):
        stored.reproduce(done.results[0])  # type: ignore[arg-type]
    with pytest.raises(harness.UsageError, match="metric: write names as text, not None"):
        stored.boards(metric=None)  # type: ignore[arg-type]
    for wrong_n in (0, 2.5, True):
        with pytest.raises(harness.UsageError, match="write a whole number that is at least 1"):
            stored.sample(keys[0], wrong_n)  # type: ignore[arg-type]


def test_an_ambiguous_key_is_refused(tmp_path: Path) -> None:
    for key in ("aa1", "aa2"):
        (tmp_path / "runs" / "fits" / key).mkdir(parents=True)
        curves = {"train": {}, "validation": {}, "seconds": [], "steps": 7}
        described = json.dumps(described_fit(curves=curves))
        (tmp_path / "runs" / "fits" / key / "fit.json").write_text(described)
    stored = harness.open("runs")
    assert stored.curves("aa1").steps == 7
    with pytest.raises(harness.UsageError, match="2 fits in runs begin with 'aa': aa1, aa2"):
        stored.curves("aa")


def test_a_fit_whose_plugin_file_is_not_there_names_the_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("plugin") / "mean.py"
    file.write_text(
        f"import harness\nimport torch\nfrom torch import Tensor, nn\n\n{inspect.getsource(Mean)}\n\n"
        "@harness.hookimpl\ndef harness_models():\n    return [harness.ModelSpec('mean', Mean, 'a model')]\n"
    )
    harness.run("mean", "reconstruction-mse", "ppca-toy", settings=small, steps=2, seeds=1, plugins=[file], quiet=True)
    (fit,) = harness.open().fits()
    assert not harness.open(plugins=[file]).load(fit.key).training
    with pytest.raises(
        harness.UsageError, match=r"unknown model 'mean'.* It was fitted with the file mean.py: pass it"
    ):
        harness.open().load(fit.key)
    with pytest.raises(harness.UsageError, match="cannot be sampled from: it has no"):
        harness.open(plugins=[file]).sample(fit.key, 3)
    weights = Path("runs", "fits", fit.key, "weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:20])
    with pytest.raises(harness.StoreError, match="differs from what was written"):
        harness.open(plugins=[file]).load(fit.key)


def test_classes_are_plugins(done: Runs) -> None:
    results = harness.run(
        ["mean", "pca"],
        ["largest-error"],
        "ppca-toy",
        settings={**small, "pca.latent_dim": 2},
        seeds=1,
        steps=2,
        plugins=[harness.ModelSpec("mean", Mean, "a mean"), LargestError],
        quiet=True,
    )
    assert [record.status for record in results] == ["ok", "ok"]
    assert results.records[0].model["distribution"] == "in memory"
    fit = next(fit for fit in harness.open().fits() if fit.model == "mean")
    assert isinstance(harness.open(plugins=[Mean]).load(fit.key), Mean)
    with pytest.raises(harness.UsageError, match=r"the class that was passed to harness\.run"):
        harness.open().load(fit.key)
    with pytest.raises(harness.UsageError, match=r"'mean' was a class in memory: pass it to harness\.open"):
        harness.open().reproduce(results.records[0].cell_key)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jobs": 2}, "jobs=2: other processes do not have the classes of this one"),
        ({"metrics": "latency"}, "latency is timed in fresh processes"),
        ({"plugins": [harness.ModelSpec("vae", Mean, "")]}, "model 'vae' is already provided by plugin 'vae'"),
        ({"plugins": [type("Ünnamed", (Mean,), {})]}, "use lower-case letters, digits and single dashes"),
        ({"plugins": [type("Mean", (), {})]}, "dataset 'mean' of plugin 'mean' (in memory)"),
    ],
)
def test_what_classes_cannot_do_is_one_line(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"models": "mean", "metrics": "reconstruction-mse", "datasets": "ppca-toy"}
    if "already" not in message and "Ü" not in repr(arguments) and "plugins" in arguments:
        given |= {"models": "pca", "datasets": "mean"}
    with pytest.raises(harness.UsageError) as refusal:
        harness.run(**{**given, "plugins": [Mean], **arguments})
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_script_without_a_guard_runs_fits_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        textwrap.dedent(f"""
            import harness, json
            print("begun")
            results = harness.run("ppca", "elbo", "ppca-toy", seeds=2, jobs=2, figures=False, quiet=True,
                                  settings={{**{small!r}, "ppca.latent_dim": 2}})
            print(json.dumps([each.status for each in results]))
        """)
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "begun"
    assert json.loads(done.stdout.splitlines()[1]) == ["ok", "ok"]
    assert len(done.stdout.splitlines()) == 2


def test_an_interruption_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.execution import run as execution

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "perform", interrupted)
    with pytest.raises(KeyboardInterrupt):
        harness.run("pca", "reconstruction-mse", "ppca-toy", settings={"pca.latent_dim": 2}, jobs=1, quiet=True)


def test_importing_the_package_and_naming_its_functions_does_not_import_torch() -> None:
    code = (
        "import sys, harness; harness.run, harness.plan, harness.open, harness.evaluate, harness.Results; "
        "assert not {'torch', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

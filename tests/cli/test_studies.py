"""Studies: a run written down in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Call

study = """
# A study.
models = ["pca", "linear-ae"]
metric = "reconstruction-mse"
epochs = 3
batch-size = 50

[set]
pca.latent_dim = [2, 10]
linear-ae.latent_dim = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(study)
    return path


def test_a_study_says_what_flags_say(call: Call, file: Path) -> None:
    words = ["--models", "pca,linear-ae", "--metric", "reconstruction-mse", "--epochs", "3", "--batch-size", "50"]
    settings = ["--set", "pca.latent_dim=2,10", "--set", "linear-ae.latent_dim=3"]
    by_hand = call("run", *words, *settings, "--dry-run")
    by_study = call("run", str(file), "--dry-run")
    assert by_study.code == 0
    assert by_study.out == by_hand.out
    assert "3 cells" in by_study.out


def test_flags_go_before_the_study_and_its_settings_stay_otherwise(call: Call, file: Path) -> None:
    out = call("run", str(file), "--models", "pca", "--set", "pca.latent_dim=7", "--steps", "9", "--dry-run").out
    assert "1 cell;" in out
    assert "latent_dim=7" in out
    assert "latent_dim=3" in call("run", str(file), "--set", "pca.latent_dim=7", "--dry-run").out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epoch = 3", "line 5: 'epoch' is not an option of 'harness run'. Did you mean 'epochs'?"),
        ("epochs = [3]", "line 5: 'epochs' takes a single value"),
        ("epochs = 1.5", "study.toml, line 5: 'epochs': '1.5' is not a whole number that is at least 1"),
        ("epochs = true", "line 5: 'epochs' takes a single value that is not true or false"),
        ("seeds = true", "line 5: 'seeds' takes a single value that is not true or false"),
        ("fresh = 1", "line 5: 'fresh' takes true or false"),
        ("model = 'vae'", "line 5: 'model' and 'models' are the same option"),
        ("device = 'tpu'", "line 5: 'device': 'tpu' is not one of"),
        ("runs = ''", "line 5: 'runs': the path is empty"),
        ("epochs = three", "not valid TOML"),
        ("epochs = 0", "line 5: 'epochs': '0' is not a whole number that is at least"),
        ("set = 3", "line 5: write settings as [set]"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, file: Path, refused: Callable[..., str]) -> None:
    text = study if line != "set = 3" else study.split("[set]")[0]
    file.write_text(text.replace("epochs = 3", line))
    assert message in refused("run", str(file))


def test_a_wrong_setting_is_named_like_one_on_the_command_line(file: Path, refused: Callable[..., str]) -> None:
    file.write_text(study.replace("pca.latent_dim = [2, 10]", "pca.latent_dims = 2"))
    message = refused("run", str(file))
    assert "study.toml, line 9: unknown setting of pca 'latent_dims'. Did you mean 'latent_dim'?" in message
    file.write_text(study.replace("pca.latent_dim = [2, 10]", "pca.latent_dim = 1.5"))
    assert "study.toml, line 9: pca.latent_dim=1.5: wrong type; expected a whole number" in refused("run", str(file))
    file.write_text(study.replace("pca.latent_dim = [2, 10]", "pca.latent_dim = [[2]]"))
    assert "line 9: pca.latent_dim takes a value or a list of values" in refused("run", str(file))


def test_a_misspelt_name_among_the_settings_is_an_error(file: Path, refused: Callable[..., str]) -> None:
    file.write_text(study.replace("linear-ae.latent_dim = 3", "liner-ae.latent_dim = 3"))
    assert "Did you mean 'linear-ae'?" in refused("run", str(file), "--dry-run")


def test_a_missing_study_is_an_error(refused: Callable[..., str]) -> None:
    assert "there is no study file" in refused("run", "missing.toml")


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_every_study_of_the_project_is_a_plan(path: Path, call: Call) -> None:
    done = call("run", str(path), "--dry-run")
    assert (done.code, "to compute" in done.out) == (0, True)


@pytest.mark.parametrize(("text", "message"), [
    ('models = ["vea"]\nmetric = "elbo"\n', "line 1: unknown model 'vea'. Did you mean 'vae'?"),
    ('models = "vae"\nmetric = "elbo"\nepochs = 2\nsteps = 3\n', "line 4: --epochs and --steps each set how long"),
    ('models = "vae"\nmetric = "elbo"\ntarget = "elbo=-100"\n', "line 3: --target elbo=-100: none of the metrics elbo"),
    ('models = "vae"\nmetric = "elbo"\nexecutor = "rey"\n', "line 3: unknown executor 'rey'. Did you mean 'ray'?"),
    ('models = "vae"\nmetric = "elbo"\naddress = ""\n', "line 3: --address is that of a cluster"),
    ('models = "vae"\nmetric = "elbo"\nplugin = ["none.py"]\n', "line 3: plugin file 'none.py' does not exist"),
])  # fmt: skip
def test_a_wrong_name_budget_target_executor_or_file_of_a_study_is_located(
    refused: Callable[..., str], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "study.toml").write_text(text)
    assert f"study.toml, {message}" in refused("run", "study.toml")

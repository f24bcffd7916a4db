"""The page loads nothing, says everything without scripts, and is the same for the same results."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from stored_models import Page, append_all, component, environment, exact, picture, record, small_store, write_fit
from stored_results import described_fit

from harness.cli.run_commands import commands_of
from harness.contracts.events import Record
from harness.contracts.objectives import bound_name
from harness.leaderboard.board import build_boards
from harness.leaderboard.text import captions, decimals, number, rank_range, value_in_words
from harness.planning.identity import hash_of
from harness.report import pictures
from harness.report.page import comparable_loss, render
from harness.report.plots import Costed, Intervals, axis_of_values, intervals, pareto_front
from harness.results.store import Store

fixtures = Path(__file__).parents[1] / "fixtures"


summaries = {"elbo": "a lower bound on log p(x)"}


def page_of(store: Store, records: list[Record] | None = None) -> str:
    return render(store.records() if records is None else records, store, commands_of, summaries)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return small_store(tmp_path / "runs")


def test_nothing_is_loaded_from_elsewhere(store: Store) -> None:
    text = page_of(store)
    page = Page(text)
    links = [attributes["href"] for _, attributes in page.elements if "href" in attributes]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert all(attributes["src"].startswith("data:image/webp;base64,") for attributes in page.all("img"))
    assert not [attributes for tag, attributes in page.elements if tag != "img" and "src" in attributes]
    assert not {"action", "srcset", "poster", "background", "style"} & {
        name for _, attributes in page.elements for name in attributes
    }
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttpRequest|sendBeacon", text)
    policy = next(each["content"] for each in page.all("meta") if "http-equiv" in each)
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe" not in policy


def test_every_link_leads_to_one_place_on_the_page(store: Store) -> None:
    page = Page(page_of(store))
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    links = [attributes["href"][1:] for attributes in page.all("a")]
    assert len(links) > 20
    assert set(links) <= set(names)


def test_every_value_can_be_read_without_scripts(tmp_path: Path) -> None:
    shutil.copytree(fixtures / "store", tmp_path / "runs")
    store = Store(tmp_path / "runs")
    shown, models = page_of(store).split('<section id="models"')
    text = " ".join(Page(shown).text.split())
    assert "Compute it again" in models
    boards = build_boards(store.records(), store)
    assert len(boards) > 15
    for board in boards:
        for line in captions(board, over_seeds=True):
            assert " ".join(line.split()) in text
        for row in board.rows:
            assert row.name in text
            assert rank_range(row) in text
            assert value_in_words(row) in text
            assert number(row.spread, decimals(row.value or 0.0, row.stderr)) in text
            assert all(name in text for name in row.parts)
            assert " ".join((row.reason or "").split()) in text


def test_errors_on_boards_are_over_seeds_and_lines_agree_with_ranks(tmp_path: Path) -> None:
    """The seeds of one model differ widely, so the others differ from each other but not from it."""
    store, records = Store(tmp_path), []
    for model, value, gap in (("gan", 27.9, 21.0), ("vae", 7.7, 0.1), ("iwae", 9.9, 0.1), ("flow", 12.1, 0.1)):
        for seed in range(6):
            shifted = value + gap * (seed - 2.5) / 2.5
            records.append(record(model, "fid", shifted, seed, direction="lower", stderr=0.05))
    (board,) = build_boards(records, store)
    by_name = {row.model: row for row in board.rows}
    assert value_in_words(by_name["gan"]) == "27.9 ± 6.4"
    found = intervals(board)
    assert found is not None
    shown, models = page_of(store, records).split('<section id="models"')
    assert all(value_in_words(by_name["gan"]) in plain(text) for text in (shown, models))
    for row in board.rows:
        line = found.rows[board.rows.index(row)].line
        assert line is not None
        others = [each for each in board.rows if each is not row]
        apart = sum(row_line_is_apart(found, board.rows.index(row), board.rows.index(each)) for each in others)
        assert row.rank_low is not None
        assert row.rank_high is not None
        assert apart == 3 - (row.rank_high - row.rank_low)


def row_line_is_apart(found: Intervals, one: int, other: int) -> bool:
    lines = found.rows[one].line, found.rows[other].line
    assert lines[0] is not None
    assert lines[1] is not None
    (low, high), (other_low, other_high) = lines[0], lines[1]
    return high < other_low or other_high < low


def test_the_contents_say_how_boards_of_the_same_metric_differ(tmp_path: Path) -> None:
    density = replace(record("vae", "elbo", 1.0), measure="density", cell_key="d")
    timings = [
        replace(record("vae", "latency", 2.0), unit="ms", measure=None, machine=machine, cell_key=machine)
        for machine in ("old", "new")
    ]
    store = Store(tmp_path / "runs")
    append_all(store, [record("vae", "elbo", 1.0), density, *timings])
    shown = re.findall(r'<li><a href="#b-.*?">(.*?)</a>', page_of(store))
    assert set(shown) == {
        "elbo · density", f"elbo · {record('vae', 'elbo', 1.0).measure}", "latency · new", "latency · old",
    }  # fmt: skip


def test_axes_of_values_that_are_never_negative_do_not_go_below_zero() -> None:
    axis = axis_of_values([(0.01, 0.2), (0.3, 0.2)])
    assert axis is not None
    assert axis.ticks[0] == 0
    assert axis.share(0.01 - 0.2) == 0
    of_logarithms = axis_of_values([(-2.0, 0.2), (0.3, 0.2)])
    assert of_logarithms is not None
    assert of_logarithms.ticks[0] < -2
    wide = axis_of_values([(1.0, 2.0), (900.0, 30.0)])
    assert wide is not None
    assert wide.is_logarithmic
    assert wide.ticks[0] == 1


def test_a_model_has_its_results_training_settings_command_and_environment(store: Store) -> None:
    text = page_of(store)
    (html,) = re.findall(r"<summary><h3>iwae</h3> <span>digits</span>.*?</details>", text, re.DOTALL)
    section = "".join(Page(html).text.split())
    for words in (
        "elbo −98.00 ± 0.52 nats 1",
        "parameters 2,000 count 2",
        "Budget 4 epochs, batch size 128",
        "Seeds 0, 1, 2",
        "Training time 5 s on average",
        "Parameters 1,234",
        "Engine cpu, 1 thread, float32",
        "latent_dim 20",
        "seconds of training",
        "validation training, seed 0",
        "Pictures samples",
        "harness run --models iwae --dataset digits --metric elbo,parameters --seeds 3 --epochs 4 --batch-size 128",
        f"Measured in environment {hash_of(environment)[:8]}",
    ):
        assert words.replace(" ", "") in section
    assert "distributions torch2.11" in Page(text).text


def test_the_pareto_front_is_what_no_model_beats_in_both() -> None:
    models = [
        Costed("cheap", 1, None, 1),
        Costed("good", 5, None, 4),
        Costed("beaten", 4, None, 4),
        Costed("worse", 3, None, 9),
    ]
    twin = Costed("twin", 5, None, 4)
    assert [each.name for each in pareto_front([*models, twin], "higher", "lower")] == ["cheap", "good", "twin"]
    assert [each.name for each in pareto_front(models, "lower", "higher")] == ["worse", "cheap"]
    assert [each.name for each in pareto_front(models, "higher", "higher")] == ["worse", "good"]


def test_quality_is_drawn_against_costs_of_the_same_models(store: Store) -> None:
    text = page_of(store)
    captions = {
        label: re.search("<figcaption>(.*?)</figcaption>", rest, re.DOTALL)[1]  # type: ignore[index]
        for label, rest in re.findall(r'aria-label="(elbo [^"]* against [^"]*)"(.*?</figure>)', text, re.DOTALL)
    }
    assert captions["elbo (nats) against training time (s)"].startswith("Pareto front: iwae.")
    assert captions["elbo (nats) against parameters (count)"].startswith("Pareto front: vae, iwae.")
    assert "parameters (count) against" not in text


def test_only_boards_with_two_ranked_rows_are_drawn_against_costs(tmp_path: Path) -> None:
    records = []
    for model, seeds in (("vae", 3), ("iwae", 1)):
        records += [record(model, "elbo", -100.0 + seed, seed) for seed in range(seeds)]
        records.append(exact(model, "parameters", 1000.0))
    assert " against " not in page_of(Store(tmp_path), records).split("</script>")[0].split("<main")[1]
    records += [record("iwae", "elbo", -90.0 + seed, seed) for seed in (1, 2)]
    assert "elbo (nats) against parameters (count)" in page_of(Store(tmp_path), records)


def test_a_value_without_a_rank_is_drawn_but_not_on_the_front(tmp_path: Path) -> None:
    records = [exact(model, "parameters", cost) for model, cost in (("vae", 9.0), ("iwae", 5.0), ("gan", 1.0))]
    for model, value, change in (("vae", 0.0, {}), ("iwae", -9.0, {}), ("gan", 99.0, {"biased_in_favour": True})):
        records += [record(model, "elbo", value, seed, **change) for seed in range(3)]
    text = page_of(Store(tmp_path), records)
    (chart,) = re.findall(r'aria-label="elbo \(nats\) against parameters \(count\)".*?</figure>', text, re.DOTALL)
    assert "Pareto front: iwae, vae." in chart
    assert ">gan</text>" in chart


def test_distortion_is_drawn_against_rate_with_a_line_for_each_model(tmp_path: Path) -> None:
    records = []
    for model, beta in (("beta-vae", 4), ("beta-vae", 1), ("beta-vae", 2), ("vae", 1)):
        described = component(model, {"beta": beta}, ["beta"] * (model != "vae"))
        key = f"{model}-{beta}"
        for metric, value in (("rate", 30.0 / beta), ("distortion", 60.0 + 7 * beta + 5 * (model == "vae"))):
            given = {"model": described, "fit_key": key, "cell_key": f"{key}-{metric}"}
            records.append(replace(record(model, metric, value), **given))
    text = page_of(Store(tmp_path), records)
    (svg,) = re.findall(r'<svg [^>]*aria-label="distortion \(nats\) against rate \(nats\)">.*?</svg>', text)
    lines = re.findall('<path class="front" d="(.*?)"', svg)
    assert sorted(line.count("L") for line in lines) == [0, 2]
    (swept,) = (line for line in lines if "L" in line)
    x, y = zip(*(map(int, point.split()) for point in swept[1:].split("L")), strict=True)
    assert (list(x), list(y)) == (sorted(x), sorted(y))
    assert sorted(re.findall("<text x=[0-9]+ y=[0-9]+[^>]*>(.*?)</text>", svg)) == [
        *(f"beta-vae beta={b}" for b in (1, 2, 4)),
        "vae",
    ]
    without = [each for each in records if each.metric["name"] == "rate"]
    assert "against rate" not in page_of(Store(tmp_path), without)


def test_only_losses_that_can_be_compared_share_a_chart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    losses = {"negative ELBO": [3.0, 2.0], "loss": [200.0, 100.0]}
    curves = {"train": losses, "validation": losses, "seconds": [1.0, 1.0], "steps": 2}
    for model in ("vae", "flow"):
        store.append(record(model, "elbo", -100.0))
        store.write_fit(f"{model}-0", described_fit(curves=curves), None)
    shown, models = page_of(store).split('<section id="models"')
    titles = [re.findall(r'aria-label="(.*?) against seconds of training"', part) for part in (shown, models)]
    assert titles == [["negative ELBO"], ["negative ELBO", "loss"] * 2]
    assert comparable_loss == bound_name


def test_metrics_are_explained_and_have_a_direction(store: Store) -> None:
    costs = [exact(model, "size", size, seed) for model, size in (("vae", 7.0), ("iwae", 9.0)) for seed in range(3)]
    text = page_of(store, [*store.records(), *costs])
    (board,) = re.findall("<h3>elbo</h3>(.*?)<table", text, re.DOTALL)
    assert summaries["elbo"] in board
    assert "nats, higher is better" in board
    glances = plain("".join(re.findall('<table class="glance">.*?</table>', text, re.DOTALL)))
    assert "nats, ↑ higher is better" in glances
    assert "count, ↓ lower is better" in glances


def test_the_page_says_what_made_it_and_how_to_install_that(store: Store) -> None:
    (footer,) = re.findall("<footer>(.*?)</footer>", page_of(store), re.DOTALL)
    (command,) = re.findall("<code>(python3.*?)</code>", footer)
    assert unescape(command) in (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


hostile = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "]]></script><!--",
    "a' onclick='alert(1)",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("name", hostile)
def test_markup_in_names_is_text(tmp_path: Path, name: str) -> None:
    store, records = Store(tmp_path), []
    for seed in range(2):
        changes = {
            **{kind: component(name, {name: name}, [name]) for kind in ("dataset", "model", "metric")},
            "unit": name, "measure": name, "limits": name, "warning": name, "parts": {name: 1.5}, "machine": name,
            "environment": hash_of({name: name}), "commit": name, "counted": name, "timing_group": "group",
        }  # fmt: skip
        records.append(replace(record("a", "m", 1.0 + seed, seed, fit_key=f"f{seed}"), **changes))
    for place, model in enumerate((name, f"{name} 2")):
        quality = {"fit_key": f"{place}", "depends_on_seed": False}
        records.append(record(model, f"quality {name}", 1.0 + place, **quality))
        records.append(exact(model, f"cost {name}", 2.0 + place, fit_key=f"{place}"))
    records.append(record("b", "m", None, reason=name, status="error", dataset=component(name)))
    store.write_environment(hash_of({name: name}), {name: name})
    for seed in range(2):
        curves = {"train": {name: [1.0, 2.0]}, "validation": {name: [1.0, 2.0]}, "seconds": [1.0, 1.0], "steps": 2}
        described = described_fit(status="diverged", reason=name, fallback=name, curves=curves)
        store.write_fit(f"f{seed}", described, None)
    store.write_figure("f0", "samples", picture(0, 20, 20))
    page = Page(render(records, store, commands_of, {}))
    plain = {tag for tag, _ in Page(page_of(small_store(tmp_path / "plain"))).elements}
    assert {tag for tag, _ in page.elements} <= {*plain, "strong"}
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert not any(attribute.startswith("on") for _, attributes in page.elements for attribute in attributes)
    assert page.text.count(name) > 15
    labels = [attributes["aria-label"] for attributes in page.all("svg") if "aria-label" in attributes]
    assert f"quality {name} (nats) against cost {name} (count)" in labels
    assert f"Pareto front: {name}, {name} 2." in page.text


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = small_store(tmp_path / "a"), small_store(tmp_path / "b")
    text = page_of(first)
    assert text == page_of(second)
    assert text == page_of(Store(tmp_path / "a"))


def test_fifty_models_with_pictures_are_a_page_that_can_be_sent(tmp_path: Path) -> None:
    store, records = Store(tmp_path), []
    for number_ in range(50):
        model = f"model-{number_}"
        for seed in range(2):
            records += [
                record(model, "elbo", -100.0 - number_ / 7 - seed, seed, parts={"kl": 25.5}),
                record(model, "reconstruction-mse", 0.01 * number_ + seed / 100, seed, direction="lower"),
                exact(model, "parameters", 1000.0 + number_, seed),
            ]
            write_fit(store, f"{model}-{seed}", epochs=200, shift=number_)
        for name in ("samples", "reconstructions"):
            store.write_figure(f"{model}-0", name, picture(number_, 200, 150))
    append_all(store, records)
    text = page_of(store)
    assert len(Page(text).all("img")) == 100
    assert len(text.encode()) < 10e6
    assert len(re.sub(r"data:image/webp;base64,[^\"]+", "", text).encode()) < 300e3


def test_a_page_of_four_data_sets_and_thirty_models_is_small(tmp_path: Path) -> None:
    """It resembles the page of the project's own boards."""
    store, records = Store(tmp_path), []
    metrics = [
        *("elbo", "iw-bound", "log-likelihood-iw", "rate", "distortion", "psnr", "ssim", "reconstruction-mse"),
        *("frechet-distance", "kernel-distance", "precision", "recall", "coverage", "density", "memorisation"),
        "active-units",
    ]
    for number_ in range(30):
        dataset = component(["binarized-mnist-10k", "mnist-10k", "dequantized-mnist-10k", "superpixels"][number_ % 4])
        settings = {f"setting_{n}": n / 10 for n in range(9)}
        model = component(f"model-{number_ % 9}", {**settings, "latent_dim": number_}, ["latent_dim"])
        for seed in range(3):
            key = f"{number_}-{seed}"
            described = {"dataset": dataset, "model": model, "fit_key": key, "limits": "Cannot see all of it."}
            for place, metric in enumerate(metrics[: 9 + number_ % 8]):
                given = {**described, "cell_key": f"{key}-{metric}", "direction": "higher" if place % 2 else "lower"}
                given["parts"] = {"reconstruction": 81.5, "kl": 25.5} if place < 2 else {}
                value = 20.0 + number_ * (place + 1) % 13 + seed / 7
                records.append(replace(record("", metric, value, seed, stderr=0.3), **given))
            given = {**described, "cell_key": f"{key}-parameters"}
            records.append(replace(exact("", "parameters", 1000.0 + number_ * 7 % 11), **given, seed=seed))
            losses = [80 / (epoch + 1) ** (1 + number_ / 30) + seed for epoch in range(20)]
            both = {"negative ELBO": losses, "loss": losses} if number_ % 3 == 0 else {"negative ELBO": losses}
            curves = {"train": both, "validation": both, "seconds": [1.25] * 20, "steps": 200}
            store.write_fit(key, described_fit(parameters=1234, curves=curves), None)
    append_all(store, records)
    text = page_of(store)
    assert len(re.findall('<details class="entry"', text)) == 30
    assert len(re.findall('<figure class="chart"', text)) > 150
    assert len(text.encode()) < 480e3


def test_pictures_share_the_room_that_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "limit", 80_000)
    for number_ in range(5):
        (tmp_path / f"{number_}.png").write_bytes(picture(number_, 300, 200))
    (found,) = pictures.embedded([sorted(tmp_path.glob("*.png"))], pytest.fail)
    assert len(found) == 5
    assert sum(len(each.uri) for each in found) < 1.4 * 80_000
    assert all(100 < each.width <= 300 for each in found)


def test_a_damaged_figure_is_left_out_with_a_warning(store: Store) -> None:
    warnings: list[str] = []
    store = Store(store.root, warnings.append)
    store.write_figure("vae-0", "broken", b"\x89PNG\r\n\x1a\nnothing")
    assert "broken of vae" not in page_of(store)
    assert len(warnings) == 1
    assert "broken.png is left out" in warnings[0]


def test_models_that_differ_only_in_their_budget_have_names_of_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for epochs in (4, 8):
        budget = {"epochs": epochs, "batch_size": 128, "weights": "last"}
        store.append(
            record("vae", "elbo", -100.0 - epochs, fit_key=f"fit{epochs}", cell_key=f"{epochs}", budget=budget)
        )
    headings = re.findall(r"<summary><h3>(vae.*?)</h3>", page_of(store))
    assert headings == ["vae epochs=4", "vae epochs=8"]


def test_without_results_the_page_says_so(tmp_path: Path) -> None:
    assert "No results yet" in Page(page_of(Store(tmp_path))).text


def test_each_data_set_begins_with_the_models_that_may_be_the_best(store: Store) -> None:
    boards = build_boards(store.records(), store)
    glances = re.findall('<table class="glance">.*?</table>', page_of(store), re.DOTALL)
    lines = [line for glance in glances for line in glance.split("<tr>")[2:]]
    compared = [board for board in boards if board.may_be_first]
    assert len(lines) == len(compared) > 0
    for board in compared:
        best = [row for row in board.rows if row.rank_low == 1]
        assert any(
            f">{board.metric}" in line
            and value_in_words(best[0]) in plain(line)
            and all(f">{row.model}<" in line for row in best[:3])
            for line in lines
        )

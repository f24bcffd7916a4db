"""The page in a browser: sorting, filtering, models side by side, accessibility, and no request to anywhere."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from stored_models import append_all, component, record, small_store
from test_report_server import Served

from harness.cli.run_commands import commands_of
from harness.report.page import render
from harness.results.store import Store

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the dependency group dev")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python, of the group dev"
)

programs = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
chromium = next(filter(None, map(shutil.which, programs)), None)
pytestmark = pytest.mark.skipif(
    chromium is None, reason=f"needs a browser: none of {', '.join(programs)} is on the path"
)

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Return a function that opens an address; a request to elsewhere or a line on the console is a failure."""
    wrong: list[str] = []
    contexts = []

    def visit(address: str, **settings: Any) -> Any:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | settings
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if "REFUSED" not in message.text else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        own = address.split("#")[0]
        page.on(
            "request", lambda request: wrong.append(request.url) if not request.url.startswith((own, "data:")) else None
        )
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a report on disk."""
    folder = tmp_path_factory.mktemp("report")
    store = small_store(folder / "runs")
    (folder / "report.html").write_text(render(store.records(), store, commands_of, {}), encoding="utf-8")
    return (folder / "report.html").as_uri()


def models_of(page: Any, board: int = 0) -> list[str]:
    """Return the models of a board that are shown, in their order."""
    rows = page.locator(".board").nth(board).locator("tbody tr:visible th a")
    return list(rows.all_inner_texts())


def test_a_click_on_a_head_sorts_and_says_so(visit: Open, report: str) -> None:
    page = visit(report)
    assert models_of(page, 1) == ["iwae", "vae", "gan", "pca"]
    heads = page.locator(".board").nth(1).locator("thead th")
    value = heads.filter(has_text="elbo")
    assert value.get_attribute("aria-sort") == "descending"
    value.get_by_role("button").click()
    assert models_of(page, 1) == ["vae", "iwae", "gan", "pca"]
    assert value.get_attribute("aria-sort") == "ascending"
    heads.filter(has_text="model").get_by_role("button").press("Enter")
    assert models_of(page, 1) == ["gan", "iwae", "pca", "vae"]
    assert value.get_attribute("aria-sort") is None
    heads.filter(has_text="kl").get_by_role("button").press("Space")
    assert models_of(page, 1)[:2] == ["iwae", "vae"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_shadow_shows_where_columns_are_out_of_sight(visit: Open, report: str, scheme: str) -> None:
    page = visit(report, viewport={"width": 390, "height": 900}, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('.scroll :is(td, th) > *').forEach(each => each.style.opacity = 0)")
    page.evaluate("document.querySelectorAll('.scroll :is(td, th)').forEach(each => each.style.color = 'transparent')")
    table = page.locator(".board .scroll").first

    def edge() -> list[int]:
        """Return the brightness of the last pixels of a row, from inside outwards."""
        picture = Image.open(io.BytesIO(table.screenshot())).convert("L")
        return [picture.getpixel((picture.width - each, picture.height - 20)) for each in (60, 3)]

    inside, outside = edge()
    assert abs(outside - inside) > 20
    table.evaluate("each => each.scrollLeft = each.scrollWidth")
    inside, outside = edge()
    assert outside == inside


def test_the_filter_leaves_rows_and_models_that_have_every_word(visit: Open, report: str) -> None:
    page = visit(report)
    page.get_by_label("Filter").fill("digits VAE elbo")
    assert page.locator(".board:visible").count() == 1
    assert page.locator(".board:visible tbody tr:visible th a").all_inner_texts() == ["vae"]
    assert page.get_by_role("status").inner_text() == "1 of 9 rows"
    assert page.locator(".entry:visible h3").all_inner_texts() == ["vae"]
    assert page.locator(".glance:visible, h2:visible").all_inner_texts() == ["digits", "Models", "Environments"]
    page.get_by_label("Filter").fill("digits IWAE")
    assert page.locator(".dataset:visible h2").all_inner_texts() == ["digits"]
    assert page.locator(".glance tr:visible th a").all_inner_texts() == ["elbo"]
    assert page.locator(".figures figure:visible").count() == 1
    page.get_by_label("Filter").fill("digits gan")
    assert page.locator(".figures:visible").count() == 0
    page.get_by_label("Filter").fill("no such thing")
    assert page.locator(".board:visible").count() == 0
    assert page.locator("h2:visible").all_inner_texts() == ["Environments"]
    assert page.locator("figure:visible").count() == 0
    page.get_by_label("Filter").fill("")
    assert page.locator(".board:visible").count() == 3
    assert page.get_by_role("status").inner_text() == ""


def test_columns_can_be_hidden(visit: Open, report: str) -> None:
    page = visit(report)
    reason = page.get_by_text("it ran out of luck").first
    page.get_by_text("Columns", exact=True).click()
    for name, there in (
        ("parts", page.locator("td.p").first),
        ("notes", reason),
        ("rank", page.locator("td.r").first),
    ):
        assert there.is_visible()
        page.get_by_label(name, exact=True).uncheck()
        assert not there.is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_label("rank", exact=True).is_visible()


def test_a_row_leads_to_its_model(visit: Open, report: str) -> None:
    page = visit(report)
    page.locator(".board").nth(1).locator("tbody a", has_text="iwae").click()
    opened = page.locator(".entry[open]")
    assert opened.locator("h3").all_inner_texts() == ["iwae"]
    assert opened.locator("img").evaluate("picture => picture.complete && picture.naturalWidth") == 120
    assert opened.locator("code").inner_text().startswith("harness run --models iwae --dataset digits")
    assert opened.locator("h3").evaluate("heading => heading.getBoundingClientRect().top") > 40


def test_a_link_to_what_the_filter_hides_clears_the_filter(visit: Open, report: str) -> None:
    page = visit(report)
    page.get_by_label("Filter").fill("cats")
    page.get_by_role("navigation").get_by_role("link", name="elbo").click()
    assert page.locator(".board:visible").count() == 3
    assert page.get_by_label("Filter").input_value() == ""
    page.get_by_label("Compare").select_option("vae · cats")
    page.get_by_label("with").select_option("iwae · cats")
    page.locator(".board").nth(1).locator("tbody a", has_text="gan").click()
    assert page.locator(".entry:visible").count() == 6
    assert page.locator(".entry[open] h3").all_inner_texts()[-1] == "gan"


def test_two_models_are_shown_side_by_side(visit: Open, report: str) -> None:
    page = visit(report)
    before = page.locator(".entry h3").all_inner_texts()
    page.get_by_label("Compare").select_option("vae · digits")
    page.get_by_label("with").select_option("iwae · digits")
    shown = page.locator(".entry:visible")
    boxes = [shown.nth(place).bounding_box() for place in range(2)]
    assert shown.count() == 2
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    values = page.locator("#both tbody tr").all_inner_texts()
    assert [" ".join(each.split()) for each in values] == [
        "elbo −100.00 ± 0.52 nats, rank 2 −98.00 ± 0.52 nats, rank 1",
        "parameters 1,000 count, rank 1 2,000 count, rank 2",
    ]
    page.get_by_label("with").select_option("vae · digits")
    assert page.locator("#both").inner_text() == "Choose two different models."
    page.get_by_label("with").select_option("iwae · digits")
    page.get_by_role("button", name="Show all models").click()
    assert page.locator(".entry:visible h3").all_inner_texts() == before
    assert page.locator("#both").inner_text() == ""


def test_settings_that_differ_are_marked(visit: Open, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for size in (2, 10):
        model = component("vae", {"latent_dim": size, "rate": 0.1}, ["latent_dim"])
        store.append(replace(record("vae", "elbo", -100.0 + size), model=model, fit_key=f"{size}", cell_key=f"{size}"))
    file = tmp_path / "report.html"
    file.write_text(render(store.records(), store, commands_of, {}), encoding="utf-8")
    page = visit(file.as_uri())
    page.get_by_label("Compare").select_option("vae latent_dim=2 · digits")
    page.get_by_label("with").select_option("vae latent_dim=10 · digits")
    assert page.locator(".differs dt").all_inner_texts() == ["latent_dim", "latent_dim"]
    assert page.locator(".differs strong").all_inner_texts() == ["2", "10"]


def test_on_a_phone_no_word_and_no_value_is_broken(visit: Open, tmp_path: Path) -> None:
    """A text that is broken has more lines than it has words, of which a hyphen makes two."""
    store, records = Store(tmp_path), []
    for model in ("denoising-reconstruction", "vae"):
        for seed in range(3):
            given = {"direction": "lower", "unit": "squared discrepancy", "stderr": 0.0000012}
            described = component(model, {"temperature": 200}, ["temperature"])
            found = record(model, "reconstruction-bce", 0.0123 + seed / 1e5, seed, **given)
            records.append(replace(found, model=described))
    file = tmp_path / "report.html"
    file.write_text(render(records, store, commands_of, {}), encoding="utf-8")
    page = visit(file.as_uri(), viewport={"width": 390, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    broken = page.evaluate("""() => {
        const found = [];
        const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            for (const part of texts.currentNode.data.matchAll(/[^ \\n-]+/g)) {
                const range = document.createRange();
                range.setStart(texts.currentNode, part.index);
                range.setEnd(texts.currentNode, part.index + part[0].length);
                const tops = new Set([...range.getClientRects()].map((each) => Math.round(each.top)));
                if (tops.size > 1 && !texts.currentNode.parentElement.closest("pre")) found.push(part[0]);
            }
        }
        return found;
    }""")
    assert broken == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_head_of_a_table_is_printed_whole_on_each_page(visit: Open, report: str) -> None:
    """Chromium leaves buttons and what is transformed out of the heads that it repeats."""
    page = visit(report)
    page.emulate_media(media="print")
    styles = page.evaluate(
        "[...document.querySelectorAll('thead *')].map(each => [each.tagName, getComputedStyle(each)])"
        ".map(([name, style]) => [name, style.display, style.transform])"
    )
    assert {display for name, display, _ in styles if name == "BUTTON"} == {"contents"}
    assert {transform for *_, transform in styles} == {"none"}
    heads = page.locator(".board thead").first
    assert heads.evaluate("each => getComputedStyle(each).breakAfter") == "avoid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_fault_and_no_page_is_wider_than_the_screen(
    visit: Open, report: str, scheme: str, width: int
) -> None:
    page = visit(report, color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    for step in ("closed", "open", "compared"):
        if step == "open":
            page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        if step == "compared":
            page.locator("#first").select_option("vae · digits")
            page.locator("#second").select_option("iwae · digits")
        found = axe.Axe().run(page).response["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found] == [], step
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_everything_is_there(visit: Open, report: str) -> None:
    page = visit(report, java_script_enabled=False)
    assert not page.locator(".tools").is_visible()
    assert models_of(page, 1) == ["iwae", "vae", "gan", "pca"]
    link = page.locator(".board").nth(1).locator("tbody a", has_text="iwae")
    link.click()
    assert page.locator(f"{link.get_attribute('href')} code").is_visible()
    assert page.locator(".entry code:visible").count() == 1
    page.emulate_media(media="print")
    assert page.locator(".entry code:visible").count() == 6


def test_a_printed_page_has_every_model(visit: Open, report: str) -> None:
    page = visit(report)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not page.locator(".tools").is_visible()
    assert page.locator(".entry[open]").count() == page.locator(".entry").count() == 6
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".entry[open]").count() == 0


def test_a_thousand_rows_are_sorted_without_a_wait(visit: Open, tmp_path: Path) -> None:
    store = Store(tmp_path)
    append_all(
        store, [record(f"model-{n}", "elbo", -100 - (n * 37 % 1000) / 10, parts={"kl": float(n)}) for n in range(1000)]
    )
    file = tmp_path / "report.html"
    file.write_text(render(store.records(), store, commands_of, {}), encoding="utf-8")
    page = visit(file.as_uri())
    times = page.evaluate("""() => {
        const buttons = [...document.querySelectorAll('.board thead button')].slice(1);
        return Array(7).fill(buttons).flat().map((button) => {
            const start = performance.now();
            button.click();
            document.body.offsetHeight;
            return performance.now() - start;
        });
    }""")
    assert len(times) == 21
    assert min(times) < 100
    assert len(models_of(page)) == 100
    assert models_of(page)[:2] == ["model-999", "model-998"]
    page.get_by_label("Filter").fill("model-12")
    assert len(models_of(page)) == 11
    page.get_by_label("Filter").fill("")
    page.get_by_role("button", name="Show all 1,000 rows").click()
    assert len(models_of(page)) == 1000


def test_a_served_page_follows_the_run_and_keeps_what_the_reader_has_chosen(visit: Open, tmp_path: Path) -> None:
    store = small_store(tmp_path / "runs")
    served = Served(tmp_path)
    try:
        page = visit(f"http://127.0.0.1:{served.port}/")
        page.get_by_text("live", exact=True).wait_for()
        page.locator(".board").nth(1).get_by_role("button", name="model").click()
        page.get_by_label("Filter").fill("elbo")
        page.locator(".entry:visible h3").first.click()
        store.append(record("newcomer", "elbo", -77.25, n=50))
        page.locator("tbody th", has_text="newcomer").first.wait_for(timeout=30_000)
        assert models_of(page, 1) == ["gan", "iwae", "newcomer", "pca", "vae"]
        assert page.get_by_label("Filter").input_value() == "elbo"
        assert page.locator(".entry[open]").count() == 1
    finally:
        served.stop()
    page.get_by_text("not connected").wait_for(timeout=30_000)

"""The storage report in a real browser: wide and narrow, light and dark, by keyboard, on paper."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from inventory_assets.inventory.report.page import render
from inventory_assets_tests.inventory.report.samples import hostile_report, ordinary_report
from inventory_assets_tests.ui.browser import SCREENSHOTS, installed_browser

CHROMIUM = installed_browser()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    pages = {"ordinary": render(ordinary_report()), "hostile": render(hostile_report())}
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    return {name: folder / f"{name}.html" for name in pages}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")], ids=str)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    width, scheme = request.param
    # The test's own script that looks for barriers must run, though the page allows none.
    page = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page.set_default_timeout(20_000)
    yield page
    page.close()


@pytest.mark.parametrize("name", ["ordinary", "hostile"])
def test_a_report_is_readable_everywhere(page: Page, reports: dict[str, Path], name: str) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(reports[name].as_uri())
    assert complaints == []
    assert requests == [reports[name].as_uri()]
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"report-{name}-{width}.png", full_page=True)
    serious = [
        f"{found['id']}: {found['nodes'][0]['html'][:200]}"
        for found in Axe().run(page).response["violations"]
        if found["impact"] in {"serious", "critical"}
    ]
    assert serious == []


def test_the_treemap_opens_by_keyboard_and_goes_back(page: Page, reports: dict[str, Path]) -> None:
    page.goto(reports["ordinary"].as_uri())
    tile = page.locator("a.tile:visible", has_text="images/")
    tile.focus()
    page.keyboard.press("Enter")
    expect(page.locator("a.tile:visible, span.tile:visible", has_text="raw/")).to_be_visible()
    expect(page.locator(".tile:visible", has_text="events/")).to_have_count(0)
    page.locator(".trail:visible a", has_text="everything").click()
    expect(page.locator(".tile:visible", has_text="events/2026/11/")).to_be_visible()


def test_colours_and_units_can_be_switched(page: Page, reports: dict[str, Path]) -> None:
    page.goto(reports["ordinary"].as_uri())
    tile = page.locator(".tile:visible", has_text="archive/2024/")
    by_growth = tile.evaluate("each => getComputedStyle(each).backgroundColor")
    page.get_by_role("radio", name="storage class").check()
    assert tile.evaluate("each => getComputedStyle(each).backgroundColor") != by_growth
    expect(page.locator(".card .big", has_text="12.8 TB").locator(".si")).to_be_visible()
    page.get_by_label("1 TiB = 1024 GiB").check()
    expect(page.locator(".card .big .iec", has_text="11.6 TiB")).to_be_visible()
    expect(page.locator(".card .big .si").first).to_be_hidden()


def test_the_ages_need_no_scrolling(page: Page, reports: dict[str, Path]) -> None:
    page.goto(reports["ordinary"].as_uri())
    ages = page.get_by_role("region", name="Bytes by age and size")
    assert ages.evaluate("each => each.scrollWidth <= each.clientWidth")
    expect(ages.get_by_role("rowheader", name="> 1 year")).to_be_visible()


def test_a_report_prints(page: Page, reports: dict[str, Path]) -> None:
    page.goto(reports["ordinary"].as_uri())
    page.emulate_media(media="print")
    expect(page.locator(".switches").first).to_be_hidden()
    expect(page.locator("a.tile:visible").first).to_be_visible()

"""A headless Chromium that opens Dagster's pages and records all errors in them."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from playwright.sync_api import (
    ConsoleMessage,
    Dialog,
    Error,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from inventory_assets_tests.ui.dagster_client import PATIENCE_SECONDS

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE_MS = PATIENCE_SECONDS * 1000

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # Not even a name is looked up: the UI's own requests to the internet fail at once.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def installed_browser() -> str | None:
    """The path of a Chromium or Chrome, if there is one."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser, opened at the UI's address.

    Attributes:
        page: Playwright's page.
        complaints: Errors of the console and of scripts, and dialogs that opened.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._url = url
        page.on("console", self._hear)
        page.on("pageerror", self._hear_error)
        page.on("dialog", self._hear_dialog)

    def open(self, path: str) -> None:
        """Go to a page of the UI; forget what was said of the last."""
        self.complaints.clear()
        self.page.goto(self._url + path, wait_until="domcontentloaded")

    def see(self, *texts: str | re.Pattern[str]) -> None:
        """Wait until each text is visible somewhere."""
        for text in texts:
            exact = isinstance(text, str)
            shown = self.page.get_by_text(text, exact=exact).filter(visible=True).first
            expect(shown).to_be_visible(timeout=PATIENCE_MS)

    def keep(self, name: str) -> None:
        """Keep a picture of the page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def injected(self) -> Locator:
        """Elements that the hostile names would have made, had they been taken for HTML."""
        return self.page.locator("img[src='x'], img[onerror], script:text-is('alert(1)')")

    def _hear(self, message: ConsoleMessage) -> None:
        # Only what concerns other hosts is let pass: the UI loads a font list, an icon or a survey
        # from the internet, which tests do not have.
        elsewhere = urlsplit(message.location.get("url", "")).hostname not in {"127.0.0.1", None}
        if message.type == "error" and not elsewhere:
            self.complaints.append(f"console: {message.text} ({message.location})")

    def _hear_error(self, error: Error) -> None:
        self.complaints.append(f"page: {error.message}\n{error.stack or ''}")

    def _hear_dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def opened_browser(executable: str, url: str) -> Iterator[Browser]:
    """A browser for the UI; it is closed at the end."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        try:
            page = chromium.new_page(viewport={"width": 1500, "height": 900})
            page.set_default_timeout(PATIENCE_MS)
            browser = Browser(page, url)
            # A first visit, the first of a machine that is, is invited to join the community.
            greeting = page.get_by_role("button", name="Skip")
            page.add_locator_handler(greeting, lambda skip: skip.click())
            yield browser
        finally:
            chromium.close()


def partition_path(asset: str, partition_key: str) -> str:
    """The page of an asset's partition."""
    return f"/assets/{asset}?view=partitions&partition={quote(partition_key, safe='')}"

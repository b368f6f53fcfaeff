import io
import re
import threading
from pathlib import Path

import pytest

from inventory_assets.cli.progress_line import show_progress
from inventory_assets.scan.engine.progress import ProgressMeter
from inventory_assets_tests.cli.conftest import on_a_terminal, screen_of
from inventory_assets_tests.external_servers import Account
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer

_ERASE = r"\r\x1b\[2K"


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")


class Screen(io.StringIO):
    """A stream that says whether it is a terminal, and when it was written to."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.written = threading.Semaphore(0)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def flush(self) -> None:
        self.written.release()


def shown_for_a_while(columns: int) -> str:
    screen = Screen(is_terminal=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        with show_progress(ProgressMeter(lambda: (3, 8)), screen, 0.001):
            for _ in range(4):
                assert screen.written.acquire(timeout=30)
    return screen.getvalue()


def test_a_terminal_shows_one_line_that_is_written_over_and_erased_at_the_end() -> None:
    shown = shown_for_a_while(200)
    _, first, *_ = re.split(_ERASE, shown)
    assert re.match(r"[-\\|/] 0 objects, 0/s, ", first)
    assert "3 of 8 requests in flight" in first
    assert screen_of(shown, 200) == [""]
    assert shown.count("\n") == 1  # the last, from which the cursor moves up again


def test_the_cursor_is_visible_at_the_end() -> None:
    shown = shown_for_a_while(200)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_a_command_that_fails_leaves_the_terminal_clean() -> None:
    screen = Screen(is_terminal=True)

    def stopped() -> None:
        with show_progress(ProgressMeter(lambda: (3, 8)), screen, 0.001):
            assert screen.written.acquire(timeout=30)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert screen_of(screen.getvalue(), 80) == [""]
    assert screen.getvalue().count("\x1b[?25h") == 1


def test_a_terminal_that_cannot_erase_a_line_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen(is_terminal=True)
    with show_progress(ProgressMeter(lambda: (3, 8)), screen, 0.001):
        pass
    assert screen.getvalue() == ""


def test_a_listing_shows_how_far_it_has_come(tmp_path: Path) -> None:
    environment = {
        "NO_PROXY": "*",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        **Account.random().environment,
    }
    with ScriptedServer([Answer(delay=1.2, body=render([Listed("a")]))]) as server:
        arguments = ["list", "s3://b", "--out", tmp_path / "out", "--endpoint-url", server.url]
        code, shown = on_a_terminal(tmp_path, *arguments, environment=environment)
    assert code == 0
    assert re.search(rb"\r\x1b\[2K[-\\|/] 0 objects, .* requests in flight, ", shown)
    (line,) = screen_of(shown.decode(), 200)[:-1]
    assert line.startswith("1 objects of 0 bytes in")


def test_a_listing_by_processes_shows_how_far_all_have_come(tmp_path: Path) -> None:
    environment = {
        "NO_PROXY": "*",
        "NO_COLOR": "1",
        "COLUMNS": "200",
        **Account.random().environment,
    }
    level = Answer(body=render([Listed("root")], [f"{name}/" for name in "abcdefghij"]))
    page = Answer(delay=0.5, body=render([Listed("a")]))
    with ScriptedServer([level, level, level, page]) as server:
        options = ["--endpoint-url", server.url, "--concurrency", "6", "--processes", "2"]
        arguments = ["list", "s3://b", "--out", tmp_path / "out", *options]
        _, shown = on_a_terminal(tmp_path, *arguments, environment=environment)
    assert re.search(rb"\x1b\[2K[-\\|/] \d+ objects, [^\r]* of 6 requests in flight, ", shown)


def test_the_line_is_never_longer_than_the_terminal_is_wide() -> None:
    _, *shown = re.split(_ERASE, shown_for_a_while(30).partition("\n")[0])
    assert max(len(line.rstrip("\r")) for line in shown) == 30


def test_no_progress_line_without_a_terminal() -> None:
    screen = Screen(is_terminal=False)
    with show_progress(ProgressMeter(lambda: (0, 0)), screen, 0.001):
        pass
    with show_progress(ProgressMeter(lambda: (0, 0)), None, 0.001):
        pass
    assert screen.getvalue() == ""


def test_nothing_is_erased_where_nothing_was_shown() -> None:
    screen = Screen(is_terminal=True)
    with show_progress(ProgressMeter(lambda: (0, 0)), screen, 3600):
        pass
    assert screen.getvalue() == ""

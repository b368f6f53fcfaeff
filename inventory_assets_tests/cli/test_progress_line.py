import io
import re
import shutil
import threading
from pathlib import Path

import pytest

from inventory_assets.cli.progress_line import show_progress
from inventory_assets.scan.engine.progress import ProgressMeter
from inventory_assets_tests.cli.conftest import on_a_terminal
from inventory_assets_tests.external_servers import Account
from inventory_assets_tests.listings import Listed, render
from inventory_assets_tests.scripted_server import Answer, ScriptedServer


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
        size = shutil.os.terminal_size((columns, 20))  # type: ignore[attr-defined]
        patch.setattr(shutil, "get_terminal_size", lambda: size)
        with show_progress(ProgressMeter(lambda: (3, 8)), screen, 0.001):
            assert screen.written.acquire(timeout=30)
            assert screen.written.acquire(timeout=30)
    return screen.getvalue()


def test_a_terminal_shows_one_line_that_is_written_over_and_erased_at_the_end() -> None:
    shown = shown_for_a_while(200)
    _, first, *_, blank, end = shown.split("\r")
    assert first.startswith("0 objects, 0/s, ")
    assert "3 of 8 requests in flight" in first
    assert (blank.strip(), end) == ("", "")
    assert len(blank) >= len(first.rstrip())
    assert "\n" not in shown


def test_a_listing_shows_how_far_it_has_come(tmp_path: Path) -> None:
    environment = {"NO_PROXY": "*", **Account.random().environment}
    with ScriptedServer([Answer(delay=1.2, body=render([Listed("a")]))]) as server:
        arguments = ["list", "s3://b", "--out", tmp_path / "out", "--endpoint-url", server.url]
        code, shown = on_a_terminal(tmp_path, *arguments, environment=environment)
    assert code == 0
    assert re.match(rb"\r0 objects, .* requests in flight, .*\r +\r1 objects of 0 bytes in", shown)


def test_a_listing_by_processes_shows_how_far_all_have_come(tmp_path: Path) -> None:
    environment = {"NO_PROXY": "*", **Account.random().environment}
    level = Answer(body=render([Listed("root")], [f"{name}/" for name in "abcdefghij"]))
    page = Answer(delay=0.5, body=render([Listed("a")]))
    with ScriptedServer([level, level, level, page]) as server:
        options = ["--endpoint-url", server.url, "--concurrency", "6", "--processes", "2"]
        arguments = ["list", "s3://b", "--out", tmp_path / "out", *options]
        _, shown = on_a_terminal(tmp_path, *arguments, environment=environment)
    assert re.search(rb"\r\d+ objects, [^\r]* of 6 requests in flight, ", shown)


def test_the_line_is_never_as_long_as_the_terminal_is_wide() -> None:
    assert max(map(len, shown_for_a_while(30).split("\r"))) == 29


def test_what_is_no_terminal_is_left_alone() -> None:
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

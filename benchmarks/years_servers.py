"""Dagster's servers on a long history: memory, ticks, and pages in a browser without a window."""

import re
import time
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psutil

from benchmarks.years_source import NAME, Simulated
from inventory_assets_tests.ui.browser import Browser, installed_browser, opened_browser
from inventory_assets_tests.ui.dagster_client import REPOSITORY
from inventory_assets_tests.ui.running_dagster import RunningDagster

_QUIET = 0.5  # seconds without a query, after which a page is taken as loaded
_SCHEDULE_TICK = """
mutation Tick($selector: ScheduleSelector!, $at: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $at) {
    __typename
    ... on DryRunInstigationTick {
      evaluationResult { runRequests { runKey } error { message } }
    }
    ... on PythonError { message }
  }
}"""

PAGES = [
    ("lineage", f"/locations/inventory_assets/asset-groups/{NAME}/lineage", r"\d+% filled"),
    ("catalogue", "/assets", r"^[\d,]+ partitions"),
    ("listing", f"/assets/{NAME}/object_listing?view=overview", r"^\d{4}-\d\d-\d\d\|"),
    (
        "listing-partitions",
        f"/assets/{NAME}/object_listing?view=partitions",
        r"Materialized \([1-9]",
    ),
    ("manifest-checks", f"/assets/{NAME}/inventory_manifest?view=checks", r"^Passed$"),
    ("listing-events", f"/assets/{NAME}/object_listing?view=events", r"materialized in run"),
    ("changes", f"/assets/{NAME}/object_changes?view=overview", r"^\d{4}-\d\d-\d\d\|"),
    ("manifest", f"/assets/{NAME}/inventory_manifest?view=overview", r"^\d{4}-\d\d-\d\d$"),
    (
        "manifest-partitions",
        f"/assets/{NAME}/inventory_manifest?view=partitions",
        r"Materialized \([1-9]",
    ),
    ("runs", "/runs", r"object_changes"),
]


@dataclass(frozen=True)
class Loaded:
    """How a page was loaded.

    Attributes:
        shown: Seconds until its text was there.
        answered: Seconds until the last response had come.
        slowest: The query whose response took longest.
        seconds: How long it took.
        cpu: CPU-seconds of the web server.
    """

    shown: float
    answered: float
    slowest: str
    seconds: float
    cpu: float


def measure(simulated: Simulated, opened: int) -> None:
    """Start Dagster's servers, open pages, wait for ticks, and print what it took."""
    running = RunningDagster(simulated.folder, {}, is_hurried=False)
    try:
        started = time.perf_counter()
        running.wait_until_it_answers()
        print(f"dagster dev answers after {time.perf_counter() - started:.1f} s")
        time.sleep(90)  # the first ticks
        print_memory(running, "before any page")
        print_schedule_tick(running)
        server = processes(running)["web server"]
        executable = installed_browser()
        if executable is None:
            raise SystemExit("no Chromium or Chrome is installed")
        with opened_browser(executable, running.url) as browser:
            for name, path, text in PAGES:
                loads = [load(browser, server, path, text) for _ in range(max(2, opened))]
                later = sorted(loads[1:], key=lambda each: each.shown)[len(loads[1:]) // 2]
                print(
                    f"page {name}: shown after {later.shown:.2f} s ({loads[0].shown:.2f} s at "
                    f"first), answered after {later.answered:.2f} s; slowest: {later.slowest} "
                    f"in {later.seconds:.2f} s; {later.cpu:.2f} CPU-s of the web server",
                    flush=True,
                )
                browser.keep(f"years-{name}")
        print_memory(running, "after the pages")
    finally:
        running.stop()
    with dg.DagsterInstance.from_config(str(simulated.folder)) as instance:
        print_automation_ticks(instance)


def load(browser: Browser, server: psutil.Process, path: str, text: str) -> Loaded:
    """Open a page, and wait until it shows a text and no response to a query is awaited."""
    page = browser.page
    began: dict[Any, float] = {}
    ended: dict[Any, float] = {}

    def begin(request: Any) -> None:
        if "/graphql" in request.url:
            began[request] = time.perf_counter()

    def end(request: Any) -> None:
        if request in began:
            ended[request] = time.perf_counter()

    page.on("request", begin)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    busy = sum(server.cpu_times()[:2])
    started = time.perf_counter()
    browser.open(path)
    browser.see(re.compile(text))
    shown = time.perf_counter()
    while len(ended) < len(began) or time.perf_counter() - max(shown, *ended.values()) < _QUIET:
        page.wait_for_timeout(20)
    page.remove_listener("request", begin)
    page.remove_listener("requestfinished", end)
    page.remove_listener("requestfailed", end)
    slowest = max(ended, key=lambda each: ended[each] - began[each])
    return Loaded(
        shown - started,
        max(shown, *ended.values()) - started,
        slowest.post_data_json.get("operationName", ""),
        ended[slowest] - began[slowest],
        sum(server.cpu_times()[:2]) - busy,
    )


def processes(running: RunningDagster) -> dict[str, psutil.Process]:
    """Dagster's processes, by what they do."""
    parts = {"dagster_webserver": "web server", "_daemon": "daemon", "code-server": "code server"}
    found: dict[str, Any] = {}
    for process in psutil.Process(running.process.pid).children(recursive=True):
        command = " ".join(process.cmdline())
        found |= {name: process for part, name in parts.items() if part in command}
    return found


def print_memory(running: RunningDagster, when: str) -> None:
    """Print the resident memory of each of Dagster's processes."""
    for name, process in processes(running).items():
        print(f"{name}: {process.memory_info().rss / 1e6:,.0f} MB {when}")


def print_schedule_tick(running: RunningDagster) -> None:
    """Evaluate the daily schedule for now, without starting its run."""
    selector = {**REPOSITORY, "scheduleName": f"{NAME}_daily"}
    for _ in range(2):
        started = time.perf_counter()
        tick = running.ask(_SCHEDULE_TICK, selector=selector, at=time.time())
        print(f"tick of the schedule: {time.perf_counter() - started:.2f} s, {tick}"[:300])


def print_automation_ticks(instance: dg.DagsterInstance) -> None:
    """Print the duration of each tick of automation."""
    for state in instance.all_instigator_state():
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
        seconds = [
            f"{tick.tick_data.end_timestamp - tick.timestamp:.2f} ({len(tick.run_ids)} runs)"
            for tick in reversed(ticks)
            if tick.tick_data.end_timestamp
        ]
        print(f"ticks of {state.name}, s: {', '.join(seconds)}")

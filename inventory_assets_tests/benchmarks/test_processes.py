import sys

import pytest

from benchmarks.processes import ProcessFailed, Usage, run

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def python(code: str) -> Usage:
    return run([sys.executable, "-c", code], ENVIRONMENT)


def test_output_is_counted_and_its_end_kept() -> None:
    usage = python("for number in range(100_000): print(number)")
    assert usage.lines == 100_000
    assert usage.tail.endswith("99998\n99999\n")


def test_the_cpu_of_children_is_counted() -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    alone = python(burn)
    within = python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])")
    assert alone.cpu_seconds >= 0.4
    assert within.cpu_seconds >= 0.4
    assert within.wall_seconds >= 0.4


def test_waiting_costs_wall_time_and_no_cpu() -> None:
    usage = python("import time; time.sleep(0.5)")
    assert usage.wall_seconds >= 0.5
    assert usage.cpu_seconds < 0.4


def test_the_memory_of_processes_that_live_together_is_added_up() -> None:
    hold = "import time; data = b'x' * 60_000_000; time.sleep(0.8)"
    fork = f"import subprocess, sys; child = [sys.executable, '-c', {hold!r}]\n"
    alone = python(hold)
    both = python(
        f"{fork}for one in [subprocess.Popen(child), subprocess.Popen(child)]: one.wait()"
    )
    assert 60e6 < alone.peak_bytes < 110e6
    assert both.peak_bytes > 120e6


def test_a_watcher_sees_the_process() -> None:
    seen: list[int] = []
    code = [sys.executable, "-c", "import time; time.sleep(0.5)"]
    run(code, ENVIRONMENT, watch=seen.extend, watch_seconds=0.05)
    assert seen


def test_a_failure_includes_the_output_of_the_process() -> None:
    with pytest.raises(ProcessFailed, match=r"exit code 3: .*too bad"):
        python("import sys; sys.stderr.write('too bad'); sys.exit(3)")
    with pytest.raises(ProcessFailed, match="cannot be started"):
        run(["/no/such/program"], ENVIRONMENT)

"""The benchmark of shared listings measures whole listings, or fails."""

import shutil

import pytest

from benchmarks.joined import HEADS, Figures, Share, measured, table
from benchmarks.processes import ProcessFailed

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

KEYS = 20_000


@needs_compiler
def test_participants_are_measured_together() -> None:
    found = measured("skewed", KEYS, 5.0, participants=2, allowed=4)
    assert len(found.shares) == 2
    assert sum(share.objects for share in found.shares) == KEYS
    assert {share.rows for share in found.shares} == {KEYS}
    assert found.sent >= KEYS
    assert found.requests >= KEYS / 1000
    assert 0 < sum(share.in_flight_seconds for share in found.shares) < 8 * found.wall
    assert len(found.cells()) == len(HEADS)


def test_figures_are_those_of_all_participants() -> None:
    shares = (Share(10, 20, 3, 40, 900, 1000, 7), Share(12, 30, 1, 60, 100, 1000, 7))
    figures = Figures(shares, keys=1000, requests=5, sent=1010)
    assert figures.wall == 20
    assert figures.skew == 1.8
    assert figures.cells() == ["2", "20.0", "50", "4000.00", "5.0", "5.000", "1.00%", "1.80", "7"]
    assert table("flat", [figures]).count("\n") == 4


@needs_compiler
def test_a_participant_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", shutil.which("false") or "false")
    with pytest.raises(ProcessFailed, match="a participant failed"):
        measured("flat", 1000, 0.0, participants=1, allowed=1)

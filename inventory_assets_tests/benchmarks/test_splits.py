import pytest

from benchmarks.splits import HEADS, main


def test_a_row_is_reported_for_each_shape(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--count", "20000", "--in-flight", "2", "--shapes", "flat", "deep"])
    head, _, *rows = (
        line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()
    )
    assert tuple(head) == HEADS
    assert [row[0] for row in rows] == ["flat", "deep"]
    for row in rows:
        figures = dict(zip(HEADS, row, strict=True))
        assert figures["keys"] == "20,000"
        assert float(figures["seconds"]) >= float(figures["at best"]) == 1.0
        assert 1 <= float(figures["requests per 1,000 keys"]) <= 1.5

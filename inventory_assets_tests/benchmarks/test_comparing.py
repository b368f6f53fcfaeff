from pathlib import Path

import pytest

from benchmarks.comparing import publish_days
from benchmarks.differ import CONTENDERS
from benchmarks.two_days import TwoDays, open_days

ROWS = 40_000


@pytest.mark.parametrize("is_shared", [False, True])
def test_all_contenders_find_the_same_changes(tmp_path: Path, is_shared: bool) -> None:
    publish_days(TwoDays(ROWS, 0.25, is_shared), tmp_path)
    found = [
        {kind: count for kind, count in compare(tmp_path).items() if count}
        for compare in CONTENDERS.values()
    ]
    assert found == [found[0]] * len(CONTENDERS)
    assert set(found[0]) == {"created", "modified", "touched", "transitioned", "deleted"}
    assert sum(found[0].values()) == pytest.approx(ROWS / 4, rel=0.25)


@pytest.mark.parametrize("is_shared", [False, True])
def test_days_share_parts_only_where_they_shall(tmp_path: Path, is_shared: bool) -> None:
    publish_days(TwoDays(5 * ROWS, 0, is_shared), tmp_path)
    _, baseline, snapshot = open_days(tmp_path)
    old, new = ({part.key for part in day.parts} for day in (baseline, snapshot))
    assert len(old) > 1
    assert (old == new) is is_shared
    assert is_shared or not old & new

"""Calls that are left behind if they take too long."""

from threading import Event

import pytest

from inventory_assets.bounded_call import TookTooLong, call_within


def test_its_result_is_that_of_the_call() -> None:
    assert call_within(60, lambda: None) is None
    assert call_within(60, lambda: "done") == "done"


def test_its_error_is_that_of_the_call() -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        call_within(60, fail)


def test_a_call_that_takes_too_long_is_left_behind() -> None:
    end = Event()
    with pytest.raises(TookTooLong, match=r"did not end within 0\.01 s"):
        call_within(0.01, lambda: end.wait(60))
    end.set()

"""A lease expires by the clock of its observer, and only while the observer looks at it."""

from inventory_assets.inventory.shared_listing.lease import LeaseWatch


class Clock:
    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        return self.now


def looks(watch: LeaseWatch, clock: Clock, data: bytes, seconds: float, every: float) -> bool:
    """Look at a record again and again; return the last answer."""
    expired = watch.look("a", data)
    for _ in range(round(seconds / every)):
        clock.now += every
        expired = watch.look("a", data)
    return expired


def test_a_record_that_does_not_change_expires() -> None:
    clock = Clock()
    watch = LeaseWatch(60, clock)
    assert not looks(watch, clock, b"one", 59, 1)
    assert looks(watch, clock, b"one", 1, 1)


def test_a_record_that_is_renewed_does_not_expire() -> None:
    clock = Clock()
    watch = LeaseWatch(60, clock)
    for number in range(50):
        assert not looks(watch, clock, b"%d" % number, 50, 10)


def test_the_first_look_of_a_late_observer_begins_a_lease() -> None:
    clock = Clock()
    assert not looks(LeaseWatch(60, clock), clock, b"very old", 59, 1)


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """The store was unavailable, or the observer was paused: holders could not renew either."""
    clock = Clock()
    watch = LeaseWatch(60, clock)
    looks(watch, clock, b"one", 50, 1)
    clock.now += 600
    assert not watch.look("a", b"one")
    assert not looks(watch, clock, b"one", 59, 1)
    assert looks(watch, clock, b"one", 1, 1)


def test_records_are_observed_apart_and_can_be_forgotten() -> None:
    clock = Clock()
    watch = LeaseWatch(60, clock)
    looks(watch, clock, b"one", 60, 1)
    assert not watch.look("b", b"one")
    watch.forget("a")
    assert not watch.look("a", b"one")

"""The share of a run in the requests of its source, where several runs are in progress.

Each run reserves a number of requests in a tag of its own, and reads what the others reserve: runs
of the source that Dagster says are in progress. Two rules keep the sum of the requests in flight
within the limit, whatever the order in which runs write and read:

- A run that wants more writes its reservation first, and reads those of the others after that. It
  sends more requests only if the sum is within the limit; otherwise it takes its reservation back.
  Of two runs that want the same requests, the one that wrote last sees the other.
- A run that wants less lowers its reservation only after so few of its requests are in flight.

Dagster writes all tags of a run when it changes the status, and could so restore a reservation that
was read a moment before. A run changes to `STARTED` before it reserves, and to its end after; only
a termination comes between, and ends its requests.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import dagster as dg

from inventory_assets.defs.source.context import SourceContext

LOG = logging.getLogger(__name__)

REQUESTS_OF_TAG = "inventory_assets/requests_of"
"""The tag of runs that send requests in shares, whose value is the source's name."""

REQUESTS_TAG = "inventory_assets/requests"
"""The tag of such a run with the requests that it reserves; empty once it sends no more."""

ADJUST_SECONDS = 5.0
"""How often a run looks at the reservations of the others."""

WAIT_SECONDS = (0.3, 1.0)
"""How long a run without a share waits before it looks again; at random, so that two runs that
both took their reservations back do not meet again."""

DRAIN_SECONDS = 1.0
"""How long a run that is to send fewer requests waits for some to end, before it tells the others
how many are still in flight."""

LOOK_SECONDS = 0.02
"""How often it looks meanwhile."""

_HOLDING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class Capped(Protocol):
    """A client whose requests in flight can be bounded."""

    @property
    def in_flight(self) -> tuple[int, int]:
        """The number of requests in flight, and the current limit."""

    def set_cap(self, maximum: int) -> None:
        """Allow at most so many requests in flight from now on."""


class Reservations(Protocol):
    """Where the runs of a source keep their reservations."""

    def write(self, requests: int | None) -> None:
        """Write the reservation of this run; None for one that sends no more requests."""

    def others(self) -> Mapping[str, int]:
        """The reservations of the other runs in progress, by run."""


class RunReservations:
    """The reservations in the tags of Dagster's runs.

    Args:
        instance: Dagster's instance.
        run_id: This run.
        source: The name of the source.
    """

    def __init__(self, instance: dg.DagsterInstance, run_id: str, source: str) -> None:
        self._instance = instance
        self._run_id = run_id
        self._source = source

    def write(self, requests: int | None) -> None:
        reservation = "" if requests is None else str(requests)
        tags = {REQUESTS_OF_TAG: self._source, REQUESTS_TAG: reservation}
        self._instance.add_run_tags(self._run_id, tags)

    def others(self) -> Mapping[str, int]:
        of_source = dg.RunsFilter(tags={REQUESTS_OF_TAG: self._source}, statuses=_HOLDING)
        return {
            run.run_id: int(reserved)
            for run in self._instance.get_runs(of_source)
            if run.run_id != self._run_id
            and (reserved := run.tags.get(REQUESTS_TAG, "")).isdecimal()
        }


def fair_share(limit: int, own: str, others: Mapping[str, int]) -> int:
    """The requests that a run may have in the end, where all runs have alike; at least 1."""
    runs = sorted([own, *others])
    share, rest = divmod(limit, len(runs))
    return max(1, share + (runs.index(own) < rest))


class RequestShare:
    """The share of a run: acquired before its first request, and adjusted until its last.

    Args:
        limit: The requests of the source that may be in flight, of all runs together.
        run_id: This run.
        reservations: The reservations of the runs.

    Attributes:
        granted: The requests that this run may have in flight.
    """

    def __init__(self, limit: int, run_id: str, reservations: Reservations) -> None:
        self.granted = 0
        self._limit = limit
        self._run_id = run_id
        self._reservations = reservations
        self._client: Capped | None = None
        self._cap = 0
        self._lock = threading.Lock()
        self._is_over = threading.Event()

    def acquire(self) -> None:
        """Wait until this run may send a request."""
        self._reservations.write(0)
        is_told = False
        while True:
            others = self.adjust()
            if self.granted:
                LOG.info("%d of %d requests may be in flight", self.granted, self._limit)
                return
            if not is_told:
                held = ", ".join(f"{run[:8]} ({held})" for run, held in sorted(others.items()))
                LOG.info(
                    "waiting for a share of the %d requests that may be in flight; runs with all "
                    "of them: %s",
                    self._limit,
                    held,
                )
                is_told = True
            time.sleep(random.uniform(*WAIT_SECONDS))  # noqa: S311

    def govern(self, client: Capped) -> None:
        """Keep the requests of a client within the share from now on, in place of another's."""
        with self._lock:
            self._client = client
            client.set_cap(self._cap)

    def adjust(self) -> Mapping[str, int]:
        """Take more or less as the others allow; return what they reserve."""
        others = self._reservations.others()
        target = fair_share(self._limit, self._run_id, others)
        if target < self.granted:
            self._shrink(target)
        else:
            self._grow(min(target, self._limit - sum(others.values())))
        return others

    def keep_adjusting(self) -> None:
        """Adjust the share every few seconds, until `end` is called on another thread."""
        is_told = False
        while not self._is_over.wait(ADJUST_SECONDS):
            try:
                self.adjust()
            except Exception as error:  # noqa: BLE001 - whatever storage Dagster has
                # The reservation is still there, so the present share may be kept.
                if not is_told:
                    LOG.warning("the share of requests is not adjusted for now: %s", error)
                is_told = True
            else:
                is_told = False

    def end(self) -> None:
        """Let `keep_adjusting` return."""
        self._is_over.set()

    def _grow(self, wanted: int) -> None:
        if wanted <= self.granted:
            self._set_cap(self.granted)  # it may have been lower, while requests ended
            return
        self._reservations.write(wanted)
        if wanted + sum(self._reservations.others().values()) <= self._limit:
            self.granted = wanted
            self._set_cap(wanted)
        else:
            self._reservations.write(self.granted)

    def _shrink(self, target: int) -> None:
        """Send fewer requests, and give up what is not in flight any more after a moment."""
        self._set_cap(target)
        until = time.monotonic() + DRAIN_SECONDS
        while (in_flight := self._in_flight()) > target and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        still_needed = max(target, in_flight)
        if still_needed < self.granted:
            self.granted = still_needed
            self._reservations.write(still_needed)

    def _set_cap(self, requests: int) -> None:
        with self._lock:
            self._cap = requests
            if self._client is not None:
                self._client.set_cap(requests)

    def _in_flight(self) -> int:
        with self._lock:
            return self._client.in_flight[0] if self._client is not None else 0


@contextmanager
def request_share(
    context: dg.AssetExecutionContext, work: SourceContext
) -> Iterator[Callable[[Capped], None]]:
    """The share of a run in the requests of its source; all of them if only one run lists it.

    Yields:
        A function that keeps the requests of a client within the share.
    """
    if not work.source.has_several_runs:
        yield _without_cap
        return
    run_id = context.run.run_id
    reservations = RunReservations(context.instance, run_id, work.source.name)
    share = RequestShare(work.bucket.concurrency, run_id, reservations)
    keeper = threading.Thread(target=share.keep_adjusting, name="share of requests")
    try:
        share.acquire()
        keeper.start()
        yield share.govern
    finally:
        share.end()
        if keeper.ident is not None:
            keeper.join()
        _give_up(reservations)


def _give_up(reservations: Reservations) -> None:
    """Say that the run sends no more requests; if that fails, the end of the run says it."""
    try:
        reservations.write(None)
    except Exception as error:  # noqa: BLE001 - whatever storage Dagster has
        LOG.warning("the share of requests is given up at the end of the run only: %s", error)


def _without_cap(client: Capped) -> None:
    """Leave a client as it is."""

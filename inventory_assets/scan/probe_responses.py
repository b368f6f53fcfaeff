"""The responses to the requests of a probe: which request parameters they repeat, and how.

A faulty proxy may deliver the response to another request; the parameters that a response repeats
reveal it. Which of them a store repeats is only known after some responses, so the evidence of all
requests of a probe counts together.
"""

from collections.abc import Iterator, Sequence

from inventory_assets.s3.response_echo import compare
from inventory_assets.s3.store_profile import Echoed
from inventory_assets.scan.first_page import RequestedPage


class ProbeResponses:
    """Collects the accepted responses of all probes of a store.

    Args:
        bucket: The requested bucket.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._accepted: list[RequestedPage] = []
        self._right: set[Echoed] = set()
        self._wrong: set[Echoed] = set()
        self._absent: set[Echoed] = set()
        self._unsent: set[Echoed] = set()
        self._given_up: set[Echoed] = set()

    @property
    def echoes(self) -> frozenset[Echoed]:
        """The parameters that all responses repeated correctly."""
        return frozenset(self._right - self._wrong - self._unsent)

    @property
    def only_if_sent(self) -> frozenset[Echoed]:
        """The parameters that a response lacked whenever its request had none.

        Empty if the store repeats nothing at all.
        """
        return frozenset(self._absent - self._unsent) if self._right else frozenset()

    @property
    def are_contradictory(self) -> bool:
        """Whether a parameter was repeated correctly by some responses only, not by habit."""
        return bool(self._right & self._wrong - self._given_up)

    def begin(self) -> None:
        """Begin another probe: what earlier ones found wrong once no longer counts."""
        self._wrong &= self._given_up

    def contradicting(self, found: Sequence[RequestedPage]) -> frozenset[Echoed]:
        """The parameters that show that a response is to another request; empty if none does.

        Args:
            found: The responses to a request and to those that continue it.
        """
        names = {name for each in found for name in self._contradicting(each)}
        return frozenset(names - self._given_up)

    def accept(self, found: Sequence[RequestedPage], always: frozenset[Echoed]) -> None:
        """Count responses.

        Args:
            found: As for `contradicting`.
            always: The parameters that contradicted each repetition of the request: the store
                repeats them wrongly by habit.
        """
        self._given_up |= always
        for each in found:
            repeated = set[Echoed]()
            for name, is_sent, is_same in compare(each.request, each.page.echo, self._bucket):
                outcome = self._right if is_same else self._wrong if is_sent else self._unsent
                outcome.add(name)
                repeated.add(name)
            # `compare` leaves out what neither the request nor the response has.
            self._absent |= {Echoed.PREFIX, Echoed.START_AFTER, Echoed.TOKEN} - repeated
        self._accepted += found

    def _contradicting(self, found: RequestedPage) -> Iterator[Echoed]:
        for name, is_sent, is_same in compare(found.request, found.page.echo, self._bucket):
            if not is_same and (name in self._right or not is_sent):
                yield name
        if self._has_size_of_another(found):
            yield Echoed.MAX_KEYS

    def _has_size_of_another(self, found: RequestedPage) -> bool:
        """Whether a response repeats the `max-keys` of an earlier request.

        The requests of a probe have different ones, as nearly all stores repeat that parameter. A
        store whose limit is lower repeats its own.
        """
        repeated = found.page.echo.max_keys
        earlier = {str(each.request.max_keys) for each in self._accepted}
        own_limits = {
            each.page.echo.max_keys
            for each in self._accepted[:1]
            if each.page.echo.max_keys != str(each.request.max_keys)
        }
        return repeated in earlier - own_limits - {str(found.request.max_keys)}

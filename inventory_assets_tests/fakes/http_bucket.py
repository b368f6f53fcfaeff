"""A bucket that is listed over HTTP, with failures where a test wants them."""

from collections.abc import Iterable, Mapping
from itertools import islice
from random import Random
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, Seen
from inventory_assets_tests.fakes.simulated_bucket import SimulatedBucket


class HttpBucket(ScriptedServer):
    """Answers ListObjectsV2 for some keys.

    Args:
        keys: The keys.
        page_size: Keys in a page at most.
        failures: What some requests get instead of a page, by their number, from 0.
        delay: Seconds before each answer.
    """

    def __init__(
        self,
        keys: Iterable[str],
        page_size: int = 10,
        failures: Mapping[int, Answer] | None = None,
        delay: float = 0.0,
    ) -> None:
        super().__init__([])
        chances = Random(0)  # noqa: S311 - a repeatable test
        self._bucket = SimulatedBucket(sorted(set(keys)), [], page_size, chances)
        self._failures = dict(failures or {})
        self._delay = delay

    def reply(self, seen: Seen) -> Answer:
        """A page, or a failure."""
        failure = self._failures.pop(len(self.seen) - 1, None)
        if failure is not None:
            return failure
        query = dict(parse_qsl(urlsplit(seen.path).query, keep_blank_values=True))
        token = query.get("continuation-token")
        after = unquote(token[1:]) if token else query.get("start-after", "")
        found = self._bucket.entries(query.get("prefix", ""), query.get("delimiter"), after)
        size = min(self._bucket.page_size, int(query.get("max-keys", "1000")))
        entries = [*islice(found, size + 1)]
        page = entries[:size]
        body = render(
            [Listed(name) for name, is_folder in page if not is_folder],
            [name for name, is_folder in page if is_folder],
            "t" + quote(page[-1][0]) if len(entries) > size else None,
        )
        return Answer(200, body, {"x-amz-request-id": f"ID{len(self.seen)}"}, delay=self._delay)

"""An HTTP server that answers HeadObject, GetObjectTagging and the shortest listing of a bucket."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import (
    Answer,
    ScriptedServer,
    Seen,
    error_document,
)

BUCKET = "objects"


@dataclass(slots=True)
class ServedObject:
    """An object, or a version, of the server.

    Attributes:
        e_tag: Its ETag, without quotes.
        headers: Further headers of HeadObject.
        tags: Its tags.
        status: The status of HeadObject.
        tags_status: The status of GetObjectTagging.
    """

    e_tag: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    tags_status: int = 200


class ObjectServer(ScriptedServer):
    """Serves objects by key and version id, which is None where a request names none.

    Attributes:
        objects: The objects.
        heads: How often each key was asked for by HEAD.
        answering: Answers each request; a test may put another function in its place.
    """

    def __init__(self) -> None:
        super().__init__([Answer()])
        self.objects: dict[tuple[str, str | None], ServedObject] = {}
        self.heads: Counter[str] = Counter()
        self.answering: Callable[[Seen], Answer] = self.answer

    def config(self, max_in_flight: int = 4) -> BucketConfig:
        """How to reach it."""
        return BucketConfig(
            BUCKET,
            self.url,
            region="us-east-1",
            access_key="any",
            secret_key="any",
            addressing_style="path",
            max_in_flight=max_in_flight,
            policy=PolicyName.FIXED,
        )

    def reply(self, seen: Seen) -> Answer:
        return self.answering(seen)

    def answer(self, seen: Seen) -> Answer:
        """What the objects call for."""
        url = urlsplit(seen.path)
        query = parse_qs(url.query, keep_blank_values=True)
        if url.path == f"/{BUCKET}":
            return Answer(200, render([Listed("k")]))
        key = unquote(url.path.removeprefix(f"/{BUCKET}/"))
        found = self.objects.get((key, query.get("versionId", [None])[0]))
        if seen.method == "HEAD":
            with self._lock:
                self.heads[key] += 1
            if found is None or found.status != 200:
                return Answer(404 if found is None else found.status)
            return Answer(200, headers={"ETag": f'"{found.e_tag}"', **found.headers})
        if found is None or found.tags_status != 200:
            status = 404 if found is None else found.tags_status
            return Answer(status, error_document("AccessDenied" if status == 403 else "NoSuchKey"))
        return Answer(200, _tagging(found.tags))


def _tagging(tags: Mapping[str, str]) -> bytes:
    each = "".join(
        f"<Tag><Key>{escape(name)}</Key><Value>{escape(text)}</Value></Tag>"
        for name, text in tags.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<TagSet>{each}</TagSet></Tagging>"
    ).encode()

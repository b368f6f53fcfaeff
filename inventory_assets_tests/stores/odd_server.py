"""An odd store behind HTTP on 127.0.0.1."""

from urllib.parse import parse_qsl, urlsplit

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, Seen
from inventory_assets_tests.stores.odd_pages import BUCKET
from inventory_assets_tests.stores.odd_store import OddStore


class OddServer(ScriptedServer):
    """Serves one bucket, as its store lists it.

    Args:
        store: The bucket.
    """

    def __init__(self, store: OddStore) -> None:
        super().__init__([])
        self.store = store

    def bucket_config(
        self, max_in_flight: int = 8, endpoint_url: str | None = None
    ) -> BucketConfig:
        """The configuration to access the bucket, perhaps at another URL."""
        return BucketConfig(
            BUCKET,
            endpoint_url or self.url,
            region="us-east-1",
            access_key="any",
            secret_key="any",
            addressing_style="path",
            max_in_flight=max_in_flight,
            policy=PolicyName.FIXED,
        )

    def reply(self, seen: Seen) -> Answer:
        given = parse_qsl(
            urlsplit(seen.path).query,
            keep_blank_values=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
        return self.store.answer(dict(given))

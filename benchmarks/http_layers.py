"""Measure the cost of fetching a page by several HTTP clients: `python -m benchmarks.http_layers`.

Each fetches pages of a thousand keys one after the other over one connection, signed but not
decoded. The figures are CPU time of the whole process, user and system. The clients take turns, so
that other load on the machine affects all of them alike.
"""

import argparse
import asyncio
import http.client
import resource
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials
from botocore.httpsession import URLLib3Session

from benchmarks.load_source import BUCKET, LoadSource
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.http.sigv4 import Credentials, encoded_query, signed_headers
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.page_request import PageRequest

KEYS = Credentials("AKIATHEKEY", "s" * 40, None)
PARAMETERS = PageRequest().parameters()
Fetch = Callable[[], object]


def ways(url: str) -> dict[str, Fetch]:
    """Each way, ready to fetch the first page."""
    host = urlsplit(url).netloc
    path, query = f"/{BUCKET}", encoded_query(PARAMETERS)

    def headers() -> dict[str, str]:
        now = datetime.now(UTC)
        return signed_headers(KEYS, "us-east-1", "s3", now, host, path, query, {})

    plain = http.client.HTTPConnection(host)

    def by_http_client() -> object:
        plain.request("GET", f"{path}?{query}", headers=headers())
        return plain.getresponse().read()

    pool = urllib3.PoolManager().connection_from_url(url)

    def by_urllib3() -> object:
        return pool.urlopen("GET", f"{path}?{query}", headers=headers(), retries=False).data

    session = URLLib3Session()
    signer = S3SigV4Auth(BotoCredentials(KEYS.access_key, KEYS.secret_key), "s3", "us-east-1")

    def by_botocore_session() -> object:
        request = AWSRequest("GET", f"{url}{path}?{query}")
        signer.add_auth(request)
        return session.send(request.prepare()).content

    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    transport = Transport(
        BucketConfig(
            BUCKET,
            url,
            region="us-east-1",
            access_key=KEYS.access_key,
            secret_key=KEYS.secret_key,
            addressing_style="path",
        )
    )
    body = bytearray()
    loop = asyncio.new_event_loop()
    return {
        "`s3/http/transport.py`": lambda: loop.run_until_complete(transport.get(PARAMETERS, body)),
        "`http.client`, our signature": by_http_client,
        "urllib3, our signature": by_urllib3,
        "botocore's session and signer": by_botocore_session,
        "boto3's client, parser and all": lambda: client.list_objects_v2(Bucket=BUCKET),
    }


def cpu_seconds() -> float:
    """Of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=300, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    costs: dict[str, list[float]] = {}
    with LoadSource("flat", 10_000) as source:
        fetches = ways(source.url)
        for number in range(options.rounds + 1):
            for name, fetch in fetches.items():
                pages = max(10, options.pages // 20) if "boto3" in name else options.pages
                before = cpu_seconds()
                for _ in range(pages):
                    fetch()
                if number:  # the first round warms up
                    costs.setdefault(name, []).append((cpu_seconds() - before) / pages * 1000)
    print("| a page by | CPU-s per million keys, median (least to most) |\n|---|--:|")
    for name, found in costs.items():
        print(f"| {name} | {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f}) |")


if __name__ == "__main__":
    main()

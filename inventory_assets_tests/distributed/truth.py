"""What a bucket of the load source holds, without the code under test."""

import html
import http.client
import random
import re
from contextlib import closing
from datetime import datetime
from urllib.parse import quote

import pyarrow as pa

from benchmarks.load_source import BUCKET, LoadSource

NAMES_A_SHARD = 10_000

_OBJECT = re.compile(
    r"<Contents><Key>(.*?)</Key><LastModified>(.*?)</LastModified>"
    r"<ETag>&quot;(.*?)&quot;</ETag>.*?<Size>(\d+)</Size>",
    re.DOTALL,
)
_TOKEN = re.compile(r"<NextContinuationToken>(.*?)</NextContinuationToken>")
_ALPHABET = "abcxyz0189 -_.~%&<>'\"+=|;é\u0301日🗂"


def names(seed: int, count: int = NAMES_A_SHARD) -> list[str]:
    """Names of objects, with characters that URLs, XML and shells treat in their own way."""
    chosen = random.Random(seed)  # noqa: S311 - a repeatable test
    found: set[str] = set()
    while len(found) < count:
        found.add("".join(chosen.choices(_ALPHABET, k=chosen.randint(3, 40))))
    return sorted(found, key=str.encode)


def keys_of(names_of_a_shard: list[str], shards: int) -> list[str]:
    """All keys, in order; the load source repeats the names in folders with numbers."""
    return [f"{shard:06}/{name}" for shard in range(shards) for name in names_of_a_shard]


def listed(source: LoadSource) -> pa.Table:
    """All objects, by one plain request after the other."""
    rows: list[tuple[str, str, str, str]] = []
    token: str | None = ""
    with closing(http.client.HTTPConnection(source.host, source.port, timeout=60)) as connection:
        while token is not None:
            more = f"&continuation-token={quote(token, safe='')}" if token else ""
            connection.request("GET", f"/{BUCKET}?list-type=2{more}")
            page = connection.getresponse().read().decode()
            rows += _OBJECT.findall(page)
            found = _TOKEN.search(page)
            token = html.unescape(found[1]) if found else None
    keys, times, etags, sizes = zip(*rows, strict=True)
    return pa.table(
        {
            "key": [html.unescape(key) for key in keys],
            "size": pa.array(map(int, sizes), pa.int64()),
            "last_modified_date": pa.array(
                map(datetime.fromisoformat, times), pa.timestamp("ms", tz="UTC")
            ),
            "e_tag": etags,
        }
    )

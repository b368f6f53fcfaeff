"""Measure the CPU time to decode pages of versions and delete markers, plainly and in columns.

Run as `python -m benchmarks.versions`.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from inventory_assets.s3.decoding.columnar_decoder import decode_pages
from inventory_assets.s3.decoding.tag_scanner import DecodeBuffers
from inventory_assets.s3.decoding.xml_decoder import decode_page

PAGE_VERSIONS = 1000
PAGES = 8
ROUNDS = 7
OWNER = "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"


def page(delete_markers: int) -> bytes:
    """A page as S3 sends it, three versions to a key, the newest of so many a delete marker."""
    entries = []
    for number in range(PAGE_VERSIONS):
        key, place = divmod(number, 3)
        shared = (
            f"<Key>logs/2026-11-22/host-{key:08}.json.gz</Key>"
            f"<VersionId>3sL4kqtJlcpXroDTDmJ.rmSpXd3{number:05}</VersionId>"
            f"<IsLatest>{'true' if place == 0 else 'false'}</IsLatest>"
            f"<LastModified>2026-11-{22 - place}T03:04:05.000Z</LastModified>"
        )
        owner = f"<Owner><ID>{OWNER}</ID></Owner>"
        if place == 0 and key < delete_markers:
            entries.append(f"<DeleteMarker>{shared}{owner}</DeleteMarker>")
            continue
        entries.append(
            f"<Version>{shared}<ETag>&quot;{number:032x}&quot;</ETag><Size>{number * 977}</Size>"
            f"{owner}<StorageClass>STANDARD</StorageClass></Version>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
        "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        f"{''.join(entries)}</ListVersionsResult>"
    ).encode()


def microseconds(decode: Callable[[], object]) -> float:
    """CPU for each version, the least of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        decode()
        rounds.append(time.process_time() - start)
    return min(rounds) / PAGES / PAGE_VERSIONS * 1e6


def decoded_plainly(bodies: Sequence[bytes]) -> None:
    """Decode pages one after the other."""
    for body in bodies:
        decode_page(body)


def main() -> None:
    """Print a line for each share of delete markers."""
    scratch = DecodeBuffers()
    for delete_markers in (0, 200):
        bodies = [page(delete_markers)] * PAGES
        plain = microseconds(partial(decoded_plainly, bodies))
        fast = microseconds(partial(decode_pages, bodies, scratch))
        print(
            f"{delete_markers:,} delete markers in {PAGE_VERSIONS:,}: plain {plain:.1f} µs a "
            f"version, in columns {fast:.2f} µs"
        )


if __name__ == "__main__":
    main()

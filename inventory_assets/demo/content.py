"""The objects of the demo bucket on a date: a pure function of the date, without clock or state.

The keys are real: `key_names.txt.zst` is a sample of file paths from the contents indices of the
Debian distribution, with their skew (half are under `usr/share/`), depth, spaces, plus signs and
non-ASCII names. Sizes, dates, storage classes and changes are invented.

Without any state, an object without events is equal on two consecutive days, as time is divided
into cycles of `CYCLE_DAYS` days, with a different phase for each key. On the first day of a cycle
the object is created; on each later day, two bytes of a stream derived from key and cycle determine
its event; some days before the end of the cycle it is deleted. So an object follows from the events
of its current cycle.

The events of a day are before `SETTLED_AT` of that day and after that time of the day before, so a
listing that starts later sees only the past.
"""

import datetime as dt
import hashlib
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import NormalDist
from typing import Literal

import zstandard

CYCLE_DAYS = 100
"""The days between two creations of a key; as phases differ, 1 % of keys are created each day."""
SHORTEST_LIFE_DAYS = 86
LONGEST_LIFE_DAYS = 98
SETTLED_AT = dt.time(1, tzinfo=dt.UTC)
EVENT_SECONDS = 23 * 3600
"""Maximum seconds between an event of a day and `SETTLED_AT`."""

MODIFIED_PER_DAY = 0.010
TOUCHED_PER_DAY = 0.005
TRANSITIONED_PER_DAY = 0.006

INCOMING_DAYS = 5
"""The days for which an `incoming/<date>/` prefix exists."""
INCOMING_AT_LEAST = 20
INCOMING_AT_MOST = 40

PART_BYTES = 8 * 1024 * 1024
"""Objects larger than this were uploaded in parts of this size, as boto3 and the AWS CLI do."""
MEDIAN_BYTES = 8 * 1024
SIZE_SPREAD = 4.2
"""Sigma of the log-normal sizes: of 3,000 objects, some are empty and one has tens of GB."""
REVISION_SPREAD = 0.2
LARGEST_BYTES = 48 * 1024**3
EMPTY_MD5 = hashlib.md5(b"", usedforsecurity=False).hexdigest()

STORAGE_CLASSES = (
    (0.84, "STANDARD"),
    (0.92, "INTELLIGENT_TIERING"),
    (0.97, "STANDARD_IA"),
    (1.00, "GLACIER_IR"),
)
"""The storage classes of new objects, with cumulative shares."""
COLDER = {
    "STANDARD": "STANDARD_IA",
    "STANDARD_IA": "GLACIER_IR",
    "INTELLIGENT_TIERING": "GLACIER_IR",
}
CHECKSUMS = ((0.35, "CRC64NVME"), (0.50, "CRC32"))
METADATA_SHARE = 0.25
OWNERS = ("archive", "build", "documentation", "media", "toolchain")
RETENTIONS = ("30", "90", "365", "3650")

LASTING_KEYS = (
    "README.txt",
    "index.html",
    "robots.txt",
    "etc/motd.txt",
    "usr/README",
    "usr/local.txt",
    "hostile/README.txt",
    # Legal keys that break careless code: markup, quoting, paths, URLs and spreadsheets.
    "hostile/keys/",
    "hostile/keys//double//slash",
    "hostile/keys/ leading and trailing ",
    "hostile/keys/\"double\" and 'single'",
    "hostile/keys/%2B is not +",
    "hostile/keys/+",
    "hostile/keys/..",
    "hostile/keys/../../etc/passwd",
    "hostile/keys/./here",
    "hostile/keys/<script>alert(1)</script>",
    "hostile/keys/=1+1",
    "hostile/keys/?versionId=null#fragment",
    "hostile/keys/C:\\back\\slash",
    "hostile/keys/Robert'); DROP TABLE objects;--",
    "hostile/keys/a&b;c|d",
    "hostile/keys/comma,semicolon;tab\there",
    "hostile/keys/date=2026-02-30/part",
    "hostile/keys/e\u0301 is not \u00e9",
    "hostile/keys/right-to-left \u202egnp.exe",
    "hostile/keys/zero\u200bwidth",
    "hostile/keys/\uffee before \U00010000",
    "hostile/keys/\U0001f4a9\U0001f469\u200d\U0001f680",
    "hostile/keys/\U00020000\U0002a6d6",
)
"""Handmade keys at the root and first level, and hostile ones; they are never deleted."""

_PAIR = 1 << 16
_LIFE_BYTES = 2
_EVENTS = struct.Struct(f">{CYCLE_DAYS}H")

_Event = Literal["modified", "touched", "transitioned"]


@dataclass(frozen=True, slots=True)
class DemoObject:
    """An object of the demo bucket.

    Attributes:
        key: Its key.
        size: Its size in bytes; the demo store holds no bytes of it.
        last_modified: When it was last written, UTC, in whole seconds.
        e_tag: Its entity tag, without quotes; `<md5>-<parts>` of a multipart upload.
        storage_class: Its storage class, as a listing names it.
        metadata: Its user metadata, names without `x-amz-meta-`.
        checksum_algorithm: The algorithm of its checksum; None if it has no checksum.
    """

    key: str
    size: int
    last_modified: dt.datetime
    e_tag: str
    storage_class: str
    metadata: Mapping[str, str]
    checksum_algorithm: str | None


def demo_objects(day: dt.date) -> tuple[DemoObject, ...]:
    """The objects from `SETTLED_AT` of `day` on, sorted by key.

    Each day about 1 % of the keys are created, 1 % deleted and 1 % modified. Some are touched
    (written again with the same content), and some move to a colder storage class. A new prefix
    `incoming/<date>/` appears, and the oldest one is removed.
    """
    return tuple(sorted(_objects(day.toordinal()), key=lambda found: found.key))


def _objects(day: int) -> Iterator[DemoObject]:
    for traits in _sampled_traits():
        if (found := traits.on(day)) is not None:
            yield found
    for arrival in range(day - INCOMING_DAYS + 1, day + 1):
        yield from _incoming(arrival)


@dataclass(frozen=True, slots=True)
class _Traits:
    """The constant properties of a key over all cycles.

    Attributes:
        key: The key.
        lasting: Whether it is never deleted.
        phase: The phase of its cycles, in days.
        deviation: The deviation of its sizes from the median, in standard deviations.
        storage_class: The storage class of new objects.
        metadata: Its user metadata.
        checksum_algorithm: The algorithm of its checksum, if any.
    """

    key: str
    lasting: bool
    phase: int
    deviation: float
    storage_class: str
    metadata: Mapping[str, str]
    checksum_algorithm: str | None

    @classmethod
    def of(cls, key: str, *, lasting: bool) -> "_Traits":
        drawn = struct.unpack(">8I", _digest("character", key))
        shares = [(value + 0.5) / (1 << 32) for value in drawn]
        metadata = {
            "owner": OWNERS[drawn[4] % len(OWNERS)],
            "retention-days": RETENTIONS[drawn[5] % len(RETENTIONS)],
        }
        return cls(
            key=key,
            lasting=lasting,
            phase=drawn[0] % CYCLE_DAYS,
            deviation=NormalDist().inv_cdf(shares[1]),
            storage_class=next(name for share, name in STORAGE_CLASSES if shares[2] < share),
            metadata=metadata if shares[3] < METADATA_SHARE else {},
            checksum_algorithm=next((name for share, name in CHECKSUMS if shares[6] < share), None),
        )

    def on(self, day: int) -> DemoObject | None:
        """The object on a day; None while it is deleted."""
        cycle, age = divmod(day + self.phase, CYCLE_DAYS)
        stream = hashlib.shake_128(f"life\0{self.key}\0{cycle}".encode()).digest(
            _LIFE_BYTES + _EVENTS.size
        )
        if not self.lasting and age >= _life_days(stream):
            return None
        written = touched = 0
        storage_class = self.storage_class
        for event_age, pair in enumerate(_EVENTS.unpack_from(stream, _LIFE_BYTES)[: age + 1]):
            match _event(pair) if event_age else "modified":
                case "modified":
                    written = touched = event_age
                    storage_class = self.storage_class
                case "touched":
                    touched = event_age
                case "transitioned":
                    storage_class = COLDER.get(storage_class, storage_class)
                case None:
                    pass
        birth = day - age
        return self.written(
            birth + written,
            at=_moment(self.key, birth + touched),
            storage_class=storage_class,
            # Two empty versions would have the same content.
            at_least=1 if written or self.lasting else 0,
        )

    def written(
        self, day: int, *, at: dt.datetime, storage_class: str, at_least: int = 0
    ) -> DemoObject:
        """The object with the content written on a day."""
        digest = _digest("content", self.key, day)
        revision = NormalDist().inv_cdf((int.from_bytes(digest[16:20]) + 0.5) / (1 << 32))
        exponent = SIZE_SPREAD * self.deviation + REVISION_SPREAD * revision
        size = max(at_least, min(int(MEDIAN_BYTES * math.exp(exponent)), LARGEST_BYTES))
        return DemoObject(
            key=self.key,
            size=size,
            last_modified=at,
            e_tag=_e_tag(size, digest[:16].hex()),
            storage_class=storage_class,
            metadata=self.metadata,
            checksum_algorithm=self.checksum_algorithm,
        )


def _life_days(stream: bytes) -> int:
    choices = LONGEST_LIFE_DAYS - SHORTEST_LIFE_DAYS + 1
    return SHORTEST_LIFE_DAYS + int.from_bytes(stream[:_LIFE_BYTES]) % choices


def _event(pair: int) -> _Event | None:
    share = pair / _PAIR
    if share < MODIFIED_PER_DAY:
        return "modified"
    if share < MODIFIED_PER_DAY + TOUCHED_PER_DAY:
        return "touched"
    if share < MODIFIED_PER_DAY + TOUCHED_PER_DAY + TRANSITIONED_PER_DAY:
        return "transitioned"
    return None


def _moment(key: str, day: int) -> dt.datetime:
    """The time of a key's event in the 24 hours before `SETTLED_AT` of `day`."""
    settled = dt.datetime.combine(dt.date.fromordinal(day), SETTLED_AT)
    seconds = int.from_bytes(_digest("moment", key, day)[:4]) % EVENT_SECONDS
    return settled - dt.timedelta(seconds=seconds)


def _e_tag(size: int, md5: str) -> str:
    if size == 0:
        return EMPTY_MD5
    if size > PART_BYTES:
        return f"{md5}-{math.ceil(size / PART_BYTES)}"
    return md5


def _incoming(day: int) -> Iterator[DemoObject]:
    """The objects of `incoming/<date>/`, all written in the hour before `SETTLED_AT`."""
    date = dt.date.fromordinal(day)
    midnight = dt.datetime.combine(date, dt.time(tzinfo=dt.UTC))
    drawn = struct.unpack(">8I", _digest("incoming", day))
    names = _file_names()
    count = INCOMING_AT_LEAST + drawn[0] % (INCOMING_AT_MOST - INCOMING_AT_LEAST + 1)
    stride = len(names) // count
    for number in range(count):
        name = names[(drawn[1] + number * stride) % len(names)]
        traits = _Traits.of(f"incoming/{date.isoformat()}/{name}", lasting=False)
        second = int.from_bytes(_digest("moment", traits.key)[:4]) % 3600
        at = midnight + dt.timedelta(seconds=second)
        yield traits.written(day, at=at, storage_class="STANDARD")


@cache
def _sampled_traits() -> tuple[_Traits, ...]:
    sampled = (_Traits.of(key, lasting=False) for key in _key_names())
    return (*sampled, *(_Traits.of(key, lasting=True) for key in LASTING_KEYS))


@cache
def _file_names() -> tuple[str, ...]:
    return tuple(sorted({key.rpartition("/")[2] for key in _key_names()}))


@cache
def _key_names() -> tuple[str, ...]:
    data = resources.files(__package__).joinpath("key_names.txt.zst").read_bytes()
    text = zstandard.decompress(data).decode()
    return tuple(text.removesuffix("\n").split("\n"))


def _digest(*drawn_from: str | int) -> bytes:
    """A hash of 32 bytes that is equal in all processes, unlike `hash`."""
    return hashlib.blake2b("\0".join(map(str, drawn_from)).encode(), digest_size=32).digest()

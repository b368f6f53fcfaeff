"""The content of the demo bucket on a date: a pure function of the date, without clock or state.

The keys are real: `key_names.txt.zst` is a sample of file paths from the contents indices of the
Debian distribution, with their skew (half are under `usr/share/`), depth, spaces, plus signs and
non-ASCII names. Sizes, dates, storage classes and changes are invented.

Without any state, an object without events is equal on two consecutive days, as time is divided
into cycles of `CYCLE_DAYS` days, with a different phase for each key. On the first day of a cycle
the object is created; on each later day, two bytes of a stream derived from key and cycle determine
its event; some days before the end of the cycle it is deleted. So an object follows from the events
of its current cycle.

The bucket keeps versions: every event that writes an object leaves the version before it, and a
deletion leaves a delete marker. Both are removed some days after they are no longer the latest, so
the versions of a key follow from the events of its current cycle and the one before.

Some prefixes live otherwise (`neglect.py`): surveys that grow, and backups that nobody cleans up.

The events of a day are before `SETTLED_AT` of that day and after that time of the day before, so a
listing that starts later sees only the past.
"""

import datetime as dt
import hashlib
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import NormalDist
from typing import Literal

import zstandard

from inventory_assets.demo.neglect import backup_versions, survey_objects
from inventory_assets.demo.values import (
    SETTLED_AT,
    DemoMarker,
    DemoObject,
    DemoVersion,
    digest,
    e_tag,
    version_id,
)

CYCLE_DAYS = 100
"""The days between two creations of a key; as phases differ, 1 % of keys are created each day."""
SHORTEST_LIFE_DAYS = 86
LONGEST_LIFE_DAYS = 98
EVENT_SECONDS = 23 * 3600
"""Maximum seconds between an event of a day and `SETTLED_AT`."""

NONCURRENT_DAYS = 7
"""The days for which a version or delete marker is kept that is no longer the latest."""

MODIFIED_PER_DAY = 0.010
TOUCHED_PER_DAY = 0.005
TRANSITIONED_PER_DAY = 0.006

INCOMING_DAYS = 3
"""The days for which an `incoming/<date>/` prefix exists."""
INCOMING_AT_LEAST = 20
INCOMING_AT_MOST = 40

MEDIAN_BYTES = 8 * 1024
SIZE_SPREAD = 4.4
"""Sigma of the log-normal sizes: of 3,000 objects, some are empty and one has tens of GB."""
REVISION_SPREAD = 0.2
LARGEST_BYTES = 48 * 1024**3

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
    "usr/motd.txt",
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

_KEPT_UNDER_USR = frozenset({"bin", "include", "lib", "share"})

_PAIR = 1 << 16
_LIFE_BYTES = 2
_EVENTS = struct.Struct(f">{CYCLE_DAYS}H")

_Event = Literal["modified", "touched", "transitioned"]


def demo_objects(day: dt.date) -> tuple[DemoObject, ...]:
    """The current objects from `SETTLED_AT` of `day` on, sorted by key.

    Each day about 1 % of the keys are created, 1 % deleted and 1 % modified. Some are touched
    (written again with the same content), and some move to a colder storage class. A new prefix
    `incoming/<date>/` appears, and the oldest one is removed.
    """
    latest = (versions[0] for versions in demo_versions(day).values())
    return tuple(found for found in latest if isinstance(found, DemoObject))


def demo_versions(day: dt.date) -> Mapping[str, Sequence[DemoVersion]]:
    """All versions and delete markers from `SETTLED_AT` of `day` on, newest first, sorted by key.

    The first of a key is the latest; if it is a delete marker, the key has no current object.
    """
    return dict(sorted(_versions(day.toordinal())))


def _versions(day: int) -> Iterator[tuple[str, Sequence[DemoVersion]]]:
    for traits in _sampled_traits():
        yield traits.key, traits.versions(day)
    for arrival in range(day - INCOMING_DAYS + 1, day + 1):
        yield from ((found.key, (found,)) for found in _incoming(arrival))
    yield from ((found.key, (found,)) for found in survey_objects(day))
    yield from backup_versions(day)


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
        drawn = struct.unpack(">8I", digest("character", key))
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

    def versions(self, day: int) -> list[DemoVersion]:
        """The versions and delete markers on a day, newest first."""
        cycle, age = divmod(day + self.phase, CYCLE_DAYS)
        history = [*self._history(cycle, age)]
        if age < NONCURRENT_DAYS:
            history = [*self._history(cycle - 1, CYCLE_DAYS), *history]
        ended = [later.day for later in history[1:]]
        kept = [
            each
            for each, end in zip(history, [*ended, day], strict=True)
            if day - end < NONCURRENT_DAYS
        ]
        return [self._version(each) for each in reversed(kept)]

    def _history(self, cycle: int, until: int) -> Iterator["_Step"]:
        """What became the latest version from the start of a cycle to an age, oldest first."""
        stream = hashlib.shake_128(f"life\0{self.key}\0{cycle}".encode()).digest(
            _LIFE_BYTES + _EVENTS.size
        )
        life = CYCLE_DAYS if self.lasting else _life_days(stream)
        birth = cycle * CYCLE_DAYS - self.phase
        written, storage_class, latest = birth, self.storage_class, None
        pairs = _EVENTS.unpack_from(stream, _LIFE_BYTES)
        for age, pair in enumerate(pairs[: min(until + 1, life)]):
            event = _event(pair) if age else "modified"
            if event is None:
                continue
            if event == "transitioned":
                storage_class = COLDER.get(storage_class, storage_class)
                day = latest.day if latest else birth
            else:
                if latest:
                    yield latest
                day = birth + age
                if event == "modified":
                    written, storage_class = day, self.storage_class
            latest = _Step(day, written, storage_class, is_first=written == birth)
        if latest:
            yield latest
        if until >= life and not self.lasting:
            yield _Step(birth + life)

    def _version(self, step: "_Step") -> DemoVersion:
        at = _moment(self.key, step.day)
        if step.written is None:
            return DemoMarker(self.key, version_id(self.key, step.day), at)
        return self.written(
            step.written,
            on=step.day,
            at=at,
            storage_class=step.storage_class,
            # Two empty versions would have the same content.
            at_least=0 if step.is_first and not self.lasting else 1,
        )

    def written(
        self, day: int, *, on: int, at: dt.datetime, storage_class: str, at_least: int = 0
    ) -> DemoObject:
        """The version stored on a day, with the content written on that day or an earlier one."""
        content = digest("content", self.key, day)
        revision = NormalDist().inv_cdf((int.from_bytes(content[16:20]) + 0.5) / (1 << 32))
        exponent = SIZE_SPREAD * self.deviation + REVISION_SPREAD * revision
        size = max(at_least, min(int(MEDIAN_BYTES * math.exp(exponent)), LARGEST_BYTES))
        return DemoObject(
            key=self.key,
            size=size,
            last_modified=at,
            e_tag=e_tag(size, content[:16].hex()),
            storage_class=storage_class,
            version_id=version_id(self.key, on),
            metadata=self.metadata,
            checksum_algorithm=self.checksum_algorithm,
        )


@dataclass(frozen=True, slots=True)
class _Step:
    """A version or delete marker of a key with known traits.

    Attributes:
        day: The day on which it became the latest.
        written: The day on which its content was written; None for a delete marker.
        storage_class: Its storage class.
        is_first: Whether it has the first content of its cycle.
    """

    day: int
    written: int | None = None
    storage_class: str = ""
    is_first: bool = False


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
    seconds = int.from_bytes(digest("moment", key, day)[:4]) % EVENT_SECONDS
    return settled - dt.timedelta(seconds=seconds)


def _incoming(day: int) -> Iterator[DemoObject]:
    """The objects of `incoming/<date>/`, all written in the hour before `SETTLED_AT`."""
    date = dt.date.fromordinal(day)
    midnight = dt.datetime.combine(date, dt.time(tzinfo=dt.UTC))
    drawn = struct.unpack(">8I", digest("incoming", day))
    names = _file_names()
    count = INCOMING_AT_LEAST + drawn[0] % (INCOMING_AT_MOST - INCOMING_AT_LEAST + 1)
    stride = len(names) // count
    for number in range(count):
        name = names[(drawn[1] + number * stride) % len(names)]
        traits = _Traits.of(f"incoming/{date.isoformat()}/{name}", lasting=False)
        second = int.from_bytes(digest("moment", traits.key)[:4]) % 3600
        at = midnight + dt.timedelta(seconds=second)
        yield traits.written(day, on=day, at=at, storage_class="STANDARD")


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
    return tuple(sorted({_moved(key) for key in text.removesuffix("\n").split("\n")}))


def _moved(key: str) -> str:
    """The key under one of few second-level prefixes, as each of these is a shard."""
    first, _, below = key.partition("/")
    second, _, rest = below.partition("/")
    if not rest:
        return f"usr/{below}" if below else key
    if first == "usr" and second in _KEPT_UNDER_USR:
        return key
    return f"usr/etc/{below}" if first == "etc" else f"usr/lib/{below}"

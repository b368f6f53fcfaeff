"""Lifecycle rules as values.

The names are S3's (https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRule.html).
`rules_document` reads them from S3's JSON.
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

DEFAULT_MINIMUM_BYTES = 131_072
"""Smaller objects are not moved, unless a rule filters by size. S3's default since September 2024
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html)."""

TARGET_CLASSES = (
    "DEEP_ARCHIVE",
    "GLACIER",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "ONEZONE_IA",
    "STANDARD_IA",
)
"""The classes that rules can move objects to; where rules compete, S3 prefers the earlier one: the
cheaper one, and INTELLIGENT_TIERING to all but the archives
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html)."""

WATERFALL = (
    "STANDARD_IA",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
)
"""The same classes, in the order in which one rule can use them, with growing ages."""

INFREQUENT = frozenset({"STANDARD_IA", "ONEZONE_IA"})
"""Classes to which objects are moved after 30 days at the earliest."""

ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})

_FROM = {
    "STANDARD_IA": {"INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", *ARCHIVES},
    "INTELLIGENT_TIERING": {"ONEZONE_IA", "GLACIER_IR", *ARCHIVES},
    "ONEZONE_IA": ARCHIVES,
    "GLACIER_IR": ARCHIVES,
    "GLACIER": {"DEEP_ARCHIVE"},
    "DEEP_ARCHIVE": frozenset[str](),
}


def can_move(storage_class: str, target: str) -> bool:
    """Whether S3 moves objects of a class to another one.

    Objects of STANDARD, and of classes that S3 does not know, can be moved to all.
    """
    return target in _FROM.get(storage_class, TARGET_CLASSES)


class MinimumSize(StrEnum):
    """Which small objects are not moved, where a rule does not filter by size.

    The values are those of TransitionDefaultMinimumObjectSize.
    """

    ALL_CLASSES = "all_storage_classes_128K"
    BY_CLASS = "varies_by_storage_class"

    def applies_to(self, target: str) -> bool:
        """Whether small objects are not moved to a class."""
        return self is MinimumSize.ALL_CLASSES or target not in ARCHIVES


@dataclass(frozen=True, slots=True)
class Transition:
    """Move current objects to a class.

    Attributes:
        storage_class: The class.
        days: Days after the creation of an object; None with a date.
        date: The date from which objects are moved; None with days.
    """

    storage_class: str
    days: int | None = None
    date: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Expiration:
    """Delete current objects, or hide them with a delete marker where there are versions.

    Attributes:
        days: Days after the creation of an object.
        date: The date from which objects are deleted.
        markers: Remove delete markers that hide nothing; excludes the other two.
    """

    days: int | None = None
    date: dt.date | None = None
    markers: bool = False


@dataclass(frozen=True, slots=True)
class NoncurrentTransition:
    """Move noncurrent versions to a class.

    Attributes:
        storage_class: The class.
        days: Days since the version became noncurrent.
        newer: Number of newer noncurrent versions of the key that are left as they are.
    """

    storage_class: str
    days: int
    newer: int = 0


@dataclass(frozen=True, slots=True)
class NoncurrentExpiration:
    """Delete noncurrent versions.

    Attributes:
        days: Days since the version became noncurrent.
        newer: Number of newer noncurrent versions of the key that are kept.
    """

    days: int
    newer: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One lifecycle rule.

    Attributes:
        id: Its ID.
        enabled: Whether S3 applies it.
        prefix: Only keys with this prefix.
        greater_than: Only objects with more bytes.
        less_than: Only objects with fewer bytes.
        tags: Only objects with these tags, as `key=value`; a listing does not show tags.
        transitions: What happens to current objects.
        expiration: When current objects end.
        noncurrent_transitions: What happens to noncurrent versions.
        noncurrent_expiration: When noncurrent versions end.
        abort_uploads_days: Days after which incomplete multipart uploads are aborted.
    """

    id: str
    enabled: bool = True
    prefix: str = ""
    greater_than: int | None = None
    less_than: int | None = None
    tags: tuple[str, ...] = ()
    transitions: tuple[Transition, ...] = ()
    expiration: Expiration | None = None
    noncurrent_transitions: tuple[NoncurrentTransition, ...] = ()
    noncurrent_expiration: NoncurrentExpiration | None = None
    abort_uploads_days: int | None = None

    @property
    def filters_by_size(self) -> bool:
        """Whether it applies to objects of some sizes only."""
        return self.greater_than is not None or self.less_than is not None

    @property
    def is_simulated(self) -> bool:
        """Whether a listing shows to which objects it applies, and it is applied."""
        return self.enabled and not self.tags

    def accepts_size(self, size: int) -> bool:
        """Whether objects of a size pass its filter."""
        return (self.greater_than is None or size > self.greater_than) and (
            self.less_than is None or size < self.less_than
        )

    @property
    def scope(self) -> str:
        """Its filter, in words."""
        parts = [f"keys with prefix {self.prefix}"] if self.prefix else []
        if self.greater_than is not None:
            parts.append(f"more than {self.greater_than:,} bytes")
        if self.less_than is not None:
            parts.append(f"less than {self.less_than:,} bytes")
        parts += [f"tag {tag}" for tag in self.tags]
        return ", ".join(parts) or "all keys"


@dataclass(frozen=True, slots=True)
class LifecycleRules:
    """The rules of a bucket.

    Attributes:
        rules: The rules, in the order of the document.
        minimum_size: Which small objects are not moved.
    """

    rules: tuple[Rule, ...]
    minimum_size: MinimumSize = MinimumSize.ALL_CLASSES

"""Read lifecycle rules from S3's JSON, and refuse what S3 would refuse.

The document is what `aws s3api put-bucket-lifecycle-configuration` takes and what
`get-bucket-lifecycle-configuration` prints
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html).
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from inventory_assets.config.wording import suggestion
from inventory_assets.errors import printable
from inventory_assets.inventory.errors import RulesInvalid
from inventory_assets.inventory.lifecycle.rules import (
    INFREQUENT,
    TARGET_CLASSES,
    WATERFALL,
    Expiration,
    LifecycleRules,
    MinimumSize,
    NoncurrentExpiration,
    NoncurrentTransition,
    Rule,
    Transition,
)

MAX_RULES = 1_000
"""Maximum rules of a bucket
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html)."""

MAX_ID_CHARACTERS = 255
MAX_NEWER_VERSIONS = 100
INFREQUENT_DAYS = 30

_EXAMPLE = '{"Rules": [{"ID": "…", "Status": "Enabled", "Filter": {"Prefix": ""}, …}]}'
_SHOWN_MISTAKES = 50


def read_rules(path: Path) -> LifecycleRules:
    """Read a file of rules.

    Raises:
        RulesInvalid: The file cannot be read, or S3 would refuse the rules; the message has a line
            for each mistake, with the rule, the field and the remedy.
    """
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        problem = "found no such file, expected S3's lifecycle rules as JSON; correct the path"
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); name a file that this user may read"
    except UnicodeDecodeError as error:
        problem = f"found byte {error.start} not to be UTF-8; save the file as UTF-8"
    except (ValueError, RecursionError) as error:
        problem = f"found a mistake in the JSON: {error}; correct the file there"
    else:
        return parse_rules(document, str(path))
    raise RulesInvalid(f"{path}: {problem}")


def parse_rules(document: object, where: str) -> LifecycleRules:
    """The rules of a document.

    Args:
        document: The JSON, or what boto3 returns for it (with times instead of texts).
        where: Where it comes from, for messages.

    Raises:
        RulesInvalid: S3 would refuse the rules; the message has a line for each mistake.
    """
    reader = _Reader()
    rules = reader.document(document)
    if reader.mistakes:
        shown = reader.mistakes[:_SHOWN_MISTAKES]
        if more := len(reader.mistakes) - len(shown):
            shown.append(f"and {more:,} more mistakes")
        raise RulesInvalid("\n".join(printable(f"{where}: {mistake}") for mistake in shown))
    return rules


class _Reader:
    """Reads a document, and collects its mistakes."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self._rule = ""

    def document(self, document: object) -> LifecycleRules:
        if not isinstance(document, dict):
            self._say("", f"found {_shown(document)}, expected an object with Rules: {_EXAMPLE}")
            return LifecycleRules(())
        self._known("", document, ("Rules", "TransitionDefaultMinimumObjectSize"))
        size = document.get("TransitionDefaultMinimumObjectSize", MinimumSize.ALL_CLASSES)
        if size not in list(MinimumSize):
            self._say(
                "TransitionDefaultMinimumObjectSize",
                f"found {_shown(size)}, expected {' or '.join(MinimumSize)}; write one of them, or "
                "remove it",
            )
            size = MinimumSize.ALL_CLASSES
        rules = document.get("Rules")
        if not isinstance(rules, list) or not rules:
            self._say("Rules", f"found {_shown(rules)}, expected a list of rules: {_EXAMPLE}")
            return LifecycleRules(())
        if len(rules) > MAX_RULES:
            self._say(
                "Rules",
                f"found {len(rules):,} rules, expected at most {MAX_RULES:,}, S3's limit; join "
                "rules, or remove some",
            )
            return LifecycleRules(())
        read = tuple(self._read_rule(index, rule) for index, rule in enumerate(rules))
        self._rule = ""
        for name, count in Counter(rule.id for rule in read).items():
            if count > 1:
                self._say(
                    "Rules", f"found {count} rules with the ID {name!r}, expected one; rename them"
                )
        return LifecycleRules(read, MinimumSize(size))

    def _read_rule(self, index: int, rule: object) -> Rule:
        name = f"rule-{index + 1}"
        self._rule = f"Rules[{index}] ({name})"
        if not isinstance(rule, dict):
            self._say("", f"found {_shown(rule)}, expected an object; write the rule as {{…}}")
            return Rule(name)
        if isinstance(given := rule.get("ID"), str) and given:
            name = given
        elif "ID" in rule:
            self._say("ID", f"found {_shown(given)}, expected a text; write one, or remove it")
        self._rule = f"Rules[{index}] ({name})"
        if len(name) > MAX_ID_CHARACTERS:
            self._say(
                "ID",
                f"found {len(name)} characters, expected at most {MAX_ID_CHARACTERS}; shorten it",
            )
        self._known(
            "",
            rule,
            (
                "ID",
                "Status",
                "Filter",
                "Prefix",
                "Transitions",
                "Expiration",
                "NoncurrentVersionTransitions",
                "NoncurrentVersionExpiration",
                "AbortIncompleteMultipartUpload",
            ),
        )
        status = rule.get("Status")
        if status not in ("Enabled", "Disabled"):
            self._say(
                "Status", f"found {_shown(status)}, expected Enabled or Disabled; write one of them"
            )
        read = Rule(
            name,
            enabled=status == "Enabled",
            **self._filter(rule),
            transitions=self._transitions(rule),
            expiration=self._expiration(rule),
            noncurrent_transitions=self._noncurrent_transitions(rule),
            noncurrent_expiration=self._noncurrent_expiration(rule),
            abort_uploads_days=self._abort(rule),
        )
        self._check_actions(rule, read)
        return read

    def _filter(self, rule: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the rule that its filter determines."""
        if "Prefix" in rule and "Filter" in rule:
            self._say("Prefix", "found together with Filter, expected one; move it into Filter")
            return {}
        if "Prefix" in rule:
            return {"prefix": self._text("Prefix", rule["Prefix"])}
        given = rule.get("Filter")
        if not isinstance(given, dict):
            self._say(
                "Filter",
                f"found {_shown(given)}, expected an object; write "
                '"Filter": {"Prefix": ""} for all keys',
            )
            return {}
        fields = ("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan", "And")
        self._known("Filter", given, fields)
        found = [name for name in fields if name in given]
        if len(found) > 1:
            self._say(
                "Filter",
                f"found {', '.join(found)}, expected one of them; put several into And",
            )
            return {}
        where, conditions = "Filter", given
        if "And" in given:
            where, conditions = "Filter.And", given["And"]
            if not isinstance(conditions, dict) or not conditions:
                self._say(where, f"found {_shown(conditions)}, expected an object of conditions")
                return {}
            self._known(
                where,
                conditions,
                ("Prefix", "Tags", "ObjectSizeGreaterThan", "ObjectSizeLessThan"),
            )
        tags = conditions.get("Tags", []) if "And" in given else [conditions.get("Tag", {})]
        greater = self._number(where, conditions, "ObjectSizeGreaterThan", 0)
        less = self._number(where, conditions, "ObjectSizeLessThan", 1)
        if greater is not None and less is not None and greater >= less - 1:
            self._say(
                f"{where}.ObjectSizeGreaterThan",
                f"found {greater:,}, expected less than ObjectSizeLessThan ({less:,}) with a size "
                "between them; correct one of them",
            )
        return {
            "prefix": self._text(f"{where}.Prefix", conditions.get("Prefix", "")),
            "greater_than": greater,
            "less_than": less,
            "tags": self._tags(where, tags if "And" in given or "Tag" in conditions else []),
        }

    def _tags(self, where: str, tags: object) -> tuple[str, ...]:
        field = f"{where}.Tags" if where.endswith("And") else f"{where}.Tag"
        if not isinstance(tags, list):
            self._say(field, f"found {_shown(tags)}, expected a list of tags; write [{{…}}]")
            return ()
        read = []
        for tag in tags:
            is_tag = isinstance(tag, dict) and tag.keys() == {"Key", "Value"}
            if not is_tag or not all(isinstance(text, str) for text in tag.values()):
                self._say(
                    field,
                    f'found {_shown(tag)}, expected a tag; write {{"Key": "…", "Value": "…"}}',
                )
                continue
            read.append(f"{tag['Key']}={tag['Value']}")
        keys = [tag.partition("=")[0] for tag in read]
        if len(set(keys)) < len(keys):
            self._say(field, "found a key twice, expected each key once; remove one of the tags")
        return tuple(read)

    def _transitions(self, rule: Mapping[str, Any]) -> tuple[Transition, ...]:
        read = []
        for where, given in self._list(rule, "Transitions"):
            self._known(where, given, ("Days", "Date", "StorageClass"))
            target = self._target(where, given)
            days, date = self._when(where, given, 0)
            self._check_infrequent(f"{where}.Days", target, days)
            read.append(Transition(target, days, date))
        self._check_order("Transitions", [(each.storage_class, each.days) for each in read])
        return tuple(read)

    def _expiration(self, rule: Mapping[str, Any]) -> Expiration | None:
        given = self._object(rule, "Expiration")
        if given is None:
            return None
        self._known("Expiration", given, ("Days", "Date", "ExpiredObjectDeleteMarker"))
        if "ExpiredObjectDeleteMarker" not in given:
            return Expiration(*self._when("Expiration", given, 1))
        markers = given["ExpiredObjectDeleteMarker"]
        others = [name for name in ("Days", "Date") if name in given]
        if others:
            self._say(
                f"Expiration.{others[0]}",
                "found together with ExpiredObjectDeleteMarker, expected one of them; remove "
                "ExpiredObjectDeleteMarker (Days and Date remove such markers, too), or use a "
                "second rule",
            )
        if not isinstance(markers, bool):
            self._say(
                "Expiration.ExpiredObjectDeleteMarker",
                f"found {_shown(markers)}, expected true or false; write one of them",
            )
        return Expiration(markers=markers is True)

    def _noncurrent_transitions(self, rule: Mapping[str, Any]) -> tuple[NoncurrentTransition, ...]:
        read = []
        for where, given in self._list(rule, "NoncurrentVersionTransitions"):
            self._known(where, given, ("NoncurrentDays", "NewerNoncurrentVersions", "StorageClass"))
            target = self._target(where, given)
            days = self._required_number(where, given, "NoncurrentDays", 0)
            self._check_infrequent(f"{where}.NoncurrentDays", target, days)
            read.append(NoncurrentTransition(target, days, self._newer(where, rule, given)))
        self._check_order(
            "NoncurrentVersionTransitions", [(each.storage_class, each.days) for each in read]
        )
        return tuple(read)

    def _noncurrent_expiration(self, rule: Mapping[str, Any]) -> NoncurrentExpiration | None:
        where = "NoncurrentVersionExpiration"
        given = self._object(rule, where)
        if given is None:
            return None
        self._known(where, given, ("NoncurrentDays", "NewerNoncurrentVersions"))
        days = self._required_number(where, given, "NoncurrentDays", 1)
        return NoncurrentExpiration(days, self._newer(where, rule, given))

    def _newer(self, where: str, rule: Mapping[str, Any], given: Mapping[str, Any]) -> int:
        newer = self._number(where, given, "NewerNoncurrentVersions", 1, MAX_NEWER_VERSIONS)
        if newer is not None and "Filter" not in rule:
            self._say(
                f"{where}.NewerNoncurrentVersions",
                "found without Filter, expected with it; write the prefix of the rule into Filter",
            )
        return newer or 0

    def _abort(self, rule: Mapping[str, Any]) -> int | None:
        where = "AbortIncompleteMultipartUpload"
        given = self._object(rule, where)
        if given is None:
            return None
        self._known(where, given, ("DaysAfterInitiation",))
        return self._required_number(where, given, "DaysAfterInitiation", 1)

    def _check_actions(self, given: Mapping[str, Any], rule: Rule) -> None:
        """Check what the actions of a rule must have in common."""
        actions = (
            "Transitions",
            "Expiration",
            "NoncurrentVersionTransitions",
            "NoncurrentVersionExpiration",
            "AbortIncompleteMultipartUpload",
        )
        if not any(given.get(name, []) != [] for name in actions):
            self._say("", f"found no action, expected one or more; add one of {', '.join(actions)}")
        timed: list[Transition | Expiration] = [*rule.transitions]
        if rule.expiration and not rule.expiration.markers:
            timed.append(rule.expiration)
        if any(each.days is not None for each in timed) and any(each.date for each in timed):
            self._say(
                "Transitions" if rule.transitions else "Expiration",
                "found Days and Date in one rule, expected one of them; use a second rule",
            )
        if rule.expiration:
            self._check_end("Expiration", rule.expiration.days, [t.days for t in rule.transitions])
            end = rule.expiration.date
            if end and any(each.date and each.date >= end for each in rule.transitions):
                self._say(
                    "Expiration.Date",
                    f"found {end}, expected a later date than those of Transitions; correct it",
                )
        if rule.noncurrent_expiration:
            self._check_end(
                "NoncurrentVersionExpiration",
                rule.noncurrent_expiration.days,
                [each.days for each in rule.noncurrent_transitions],
                "NoncurrentDays",
            )
        if rule.tags and rule.expiration and rule.expiration.markers:
            self._say(
                "Expiration.ExpiredObjectDeleteMarker",
                "found together with a filter by tag, expected without; use a second rule",
            )
        if rule.tags and rule.abort_uploads_days is not None:
            self._say(
                "AbortIncompleteMultipartUpload",
                "found together with a filter by tag, expected without; use a second rule",
            )

    def _check_end(
        self, where: str, end: int | None, moves: Sequence[int | None], field: str = "Days"
    ) -> None:
        latest = max((days for days in moves if days is not None), default=None)
        if end is not None and latest is not None and end <= latest:
            self._say(
                f"{where}.{field}",
                f"found {end}, expected more than the {latest} days of the last transition; raise "
                "it, or remove the transition",
            )

    def _check_infrequent(self, where: str, target: str, days: int | None) -> None:
        if target in INFREQUENT and days is not None and days < INFREQUENT_DAYS:
            self._say(
                where,
                f"found {days}, expected at least {INFREQUENT_DAYS} for {target}; raise it, or use "
                "another class",
            )

    def _check_order(self, where: str, moves: Sequence[tuple[str, int | None]]) -> None:
        """Check that each class occurs once, and that colder classes come later."""
        names = Counter(name for name, _ in moves if name)
        for name, count in names.items():
            if count > 1:
                self._say(
                    where, f"found {name} {count} times, expected each class once; remove the rest"
                )
        known = [(WATERFALL.index(name), days) for name, days in moves if name and days is not None]
        for place, days in known:
            for colder, later in known:
                if colder <= place:
                    continue
                target = WATERFALL[colder]
                gap = (
                    INFREQUENT_DAYS
                    if WATERFALL[place] in INFREQUENT and target != "INTELLIGENT_TIERING"
                    else 1
                )
                if later < days + gap:
                    self._say(
                        where,
                        f"found {target} after {later} days, expected {days + gap} or more, as "
                        f"{WATERFALL[place]} comes before it after {days}; raise it",
                    )

    def _target(self, where: str, given: Mapping[str, Any]) -> str:
        target = given.get("StorageClass")
        if target in TARGET_CLASSES:
            return str(target)
        close = suggestion(target, TARGET_CLASSES) if isinstance(target, str) else ""
        self._say(
            f"{where}.StorageClass",
            f"found {_shown(target)}, expected one of {', '.join(WATERFALL)}; "
            f"{close or 'write one of them'}",
        )
        return ""

    def _when(
        self, where: str, given: Mapping[str, Any], least: int
    ) -> tuple[int | None, dt.date | None]:
        found = [name for name in ("Days", "Date") if name in given]
        if len(found) != 1:
            what = "Days together with Date" if found else "neither Days nor Date"
            self._say(
                where, f"found {what}, expected one of them; {'remove' if found else 'add'} one"
            )
            return None, None
        if found == ["Days"]:
            return self._required_number(where, given, "Days", least), None
        return None, self._date(f"{where}.Date", given["Date"])

    def _date(self, where: str, given: object) -> dt.date | None:
        moment: dt.datetime | None = None
        if isinstance(given, dt.datetime):
            moment = given
        elif isinstance(given, str):
            try:
                moment = dt.datetime.fromisoformat(given)
            except ValueError:
                moment = None
        if moment is None:
            self._say(
                where,
                f"found {_shown(given)}, expected a date in ISO 8601; write for example "
                '"2027-01-01T00:00:00Z"',
            )
            return None
        moment = moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        if moment.time() != dt.time():
            self._say(where, f"found {moment.isoformat()}, expected midnight UTC; correct the time")
        return moment.date()

    def _required_number(self, where: str, given: Mapping[str, Any], field: str, least: int) -> int:
        if field not in given:
            self._say(f"{where}.{field}", f"found nothing, expected {least} or more; add it")
            return least
        found = self._number(where, given, field, least)
        return least if found is None else found

    def _number(
        self,
        where: str,
        given: Mapping[str, Any],
        field: str,
        least: int,
        most: int | None = None,
    ) -> int | None:
        if field not in given:
            return None
        value = given[field]
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number and least <= value <= (value if most is None else most):
            return int(value)
        expected = f"{least} or more" if most is None else f"{least} to {most}"
        self._say(
            f"{where}.{field}",
            f"found {_shown(value)}, expected a whole number, {expected}; correct it",
        )
        return None

    def _text(self, where: str, given: object) -> str:
        if isinstance(given, str):
            return given
        self._say(where, f"found {_shown(given)}, expected a text in quotes; write one")
        return ""

    def _object(self, rule: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
        given = rule.get(field)
        if field not in rule:
            return None
        if isinstance(given, dict) and given:
            return given
        self._say(
            field, f"found {_shown(given)}, expected an object with fields; fill or remove it"
        )
        return None

    def _list(self, rule: Mapping[str, Any], field: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        given = rule.get(field, [])
        if not isinstance(given, list):
            self._say(field, f"found {_shown(given)}, expected a list; write [{{…}}]")
            return
        for index, each in enumerate(given):
            if isinstance(each, dict):
                yield f"{field}[{index}]", each
            else:
                self._say(f"{field}[{index}]", f"found {_shown(each)}, expected an object")

    def _known(self, where: str, given: Mapping[str, Any], fields: Sequence[str]) -> None:
        for name in given:
            if name not in fields:
                remedy = suggestion(str(name), fields) or f"remove it, or use {', '.join(fields)}"
                self._say(f"{where}.{name}" if where else str(name), f"unknown field; {remedy}")

    def _say(self, field: str, mistake: str) -> None:
        place = ".".join(filter(None, [self._rule, field]))
        self.mistakes.append(f"{place}: {mistake}" if place else mistake)


def _shown(value: object) -> str:
    """A value for a message."""
    if value is None:
        return "nothing"
    text = str(value) if isinstance(value, dt.date) else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:80]}…"

"""Read lifecycle rules from S3's JSON, and refuse what S3 would refuse.

The document is what `aws s3api put-bucket-lifecycle-configuration` takes and what
`get-bucket-lifecycle-configuration` prints
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html).
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from inventory_assets.config.wording import suggestion
from inventory_assets.errors import printable
from inventory_assets.inventory.errors import RulesInvalid
from inventory_assets.inventory.lifecycle.json_fields import JsonFields, shown
from inventory_assets.inventory.lifecycle.rule_conflicts import (
    Mistake,
    conflicts,
    disorder,
    early_move,
)
from inventory_assets.inventory.lifecycle.rule_filter import filter_of
from inventory_assets.inventory.lifecycle.rules import (
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
    fields = JsonFields()
    rules = _Reader(fields).document(document)
    if fields.mistakes:
        told = fields.mistakes[:_SHOWN_MISTAKES]
        if more := len(fields.mistakes) - len(told):
            told.append(f"and {more:,} more mistakes")
        raise RulesInvalid("\n".join(printable(f"{where}: {mistake}") for mistake in told))
    return rules


class _Reader:
    """Reads a document; its mistakes are those of the fields."""

    def __init__(self, fields: JsonFields) -> None:
        self._fields = fields

    def document(self, document: object) -> LifecycleRules:
        if not isinstance(document, dict):
            self._fields.say(
                "", f"found {shown(document)}, expected an object with Rules: {_EXAMPLE}"
            )
            return LifecycleRules(())
        self._fields.known("", document, ("Rules", "TransitionDefaultMinimumObjectSize"))
        size = document.get("TransitionDefaultMinimumObjectSize", MinimumSize.ALL_CLASSES)
        if size not in list(MinimumSize):
            self._fields.say(
                "TransitionDefaultMinimumObjectSize",
                f"found {shown(size)}, expected {' or '.join(MinimumSize)}; write one of them, or "
                "remove it",
            )
            size = MinimumSize.ALL_CLASSES
        rules = document.get("Rules")
        if not isinstance(rules, list) or not rules:
            self._fields.say("Rules", f"found {shown(rules)}, expected a list of rules: {_EXAMPLE}")
            return LifecycleRules(())
        if len(rules) > MAX_RULES:
            self._fields.say(
                "Rules",
                f"found {len(rules):,} rules, expected at most {MAX_RULES:,}, S3's limit; join "
                "rules, or remove some",
            )
            return LifecycleRules(())
        read = tuple(self._read_rule(index, rule) for index, rule in enumerate(rules))
        self._fields.within = ""
        for name, count in Counter(rule.id for rule in read).items():
            if count > 1:
                self._fields.say(
                    "Rules", f"found {count} rules with the ID {name!r}, expected one; rename them"
                )
        return LifecycleRules(read, MinimumSize(size))

    def _read_rule(self, index: int, rule: object) -> Rule:
        name = f"rule-{index + 1}"
        self._fields.within = f"Rules[{index}] ({name})"
        if not isinstance(rule, dict):
            self._fields.say(
                "", f"found {shown(rule)}, expected an object; write the rule as {{…}}"
            )
            return Rule(name)
        if isinstance(given := rule.get("ID"), str) and given:
            name = given
        elif "ID" in rule:
            self._fields.say(
                "ID", f"found {shown(given)}, expected a text; write one, or remove it"
            )
        self._fields.within = f"Rules[{index}] ({name})"
        if len(name) > MAX_ID_CHARACTERS:
            self._fields.say(
                "ID",
                f"found {len(name)} characters, expected at most {MAX_ID_CHARACTERS}; shorten it",
            )
        self._fields.known(
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
            self._fields.say(
                "Status", f"found {shown(status)}, expected Enabled or Disabled; write one of them"
            )
        read = Rule(
            name,
            enabled=status == "Enabled",
            **filter_of(rule, self._fields),
            transitions=self._transitions(rule),
            expiration=self._expiration(rule),
            noncurrent_transitions=self._noncurrent_transitions(rule),
            noncurrent_expiration=self._noncurrent_expiration(rule),
            abort_uploads_days=self._abort(rule),
        )
        self._check_actions(rule, read)
        return read

    def _transitions(self, rule: Mapping[str, Any]) -> tuple[Transition, ...]:
        read = []
        for where, given in self._fields.objects_in(rule, "Transitions"):
            self._fields.known(where, given, ("Days", "Date", "StorageClass"))
            target = self._target(where, given)
            days, date = self._when(where, given, 0)
            self._add(early_move(f"{where}.Days", target, days))
            read.append(Transition(target, days, date))
        self._add(disorder("Transitions", [(each.storage_class, each.days) for each in read]))
        return tuple(read)

    def _expiration(self, rule: Mapping[str, Any]) -> Expiration | None:
        given = self._fields.object_in(rule, "Expiration")
        if given is None:
            return None
        self._fields.known("Expiration", given, ("Days", "Date", "ExpiredObjectDeleteMarker"))
        if "ExpiredObjectDeleteMarker" not in given:
            return Expiration(*self._when("Expiration", given, 1))
        markers = given["ExpiredObjectDeleteMarker"]
        others = [name for name in ("Days", "Date") if name in given]
        if others:
            self._fields.say(
                f"Expiration.{others[0]}",
                "found together with ExpiredObjectDeleteMarker, expected one of them; remove "
                "ExpiredObjectDeleteMarker (Days and Date remove such markers, too), or use a "
                "second rule",
            )
        if not isinstance(markers, bool):
            self._fields.say(
                "Expiration.ExpiredObjectDeleteMarker",
                f"found {shown(markers)}, expected true or false; write one of them",
            )
        return Expiration(markers=markers is True)

    def _noncurrent_transitions(self, rule: Mapping[str, Any]) -> tuple[NoncurrentTransition, ...]:
        read = []
        for where, given in self._fields.objects_in(rule, "NoncurrentVersionTransitions"):
            self._fields.known(
                where, given, ("NoncurrentDays", "NewerNoncurrentVersions", "StorageClass")
            )
            target = self._target(where, given)
            days = self._fields.required_number(where, given, "NoncurrentDays", 0)
            self._add(early_move(f"{where}.NoncurrentDays", target, days))
            read.append(NoncurrentTransition(target, days, self._newer(where, rule, given)))
        moves = [(each.storage_class, each.days) for each in read]
        self._add(disorder("NoncurrentVersionTransitions", moves))
        return tuple(read)

    def _noncurrent_expiration(self, rule: Mapping[str, Any]) -> NoncurrentExpiration | None:
        where = "NoncurrentVersionExpiration"
        given = self._fields.object_in(rule, where)
        if given is None:
            return None
        self._fields.known(where, given, ("NoncurrentDays", "NewerNoncurrentVersions"))
        days = self._fields.required_number(where, given, "NoncurrentDays", 1)
        return NoncurrentExpiration(days, self._newer(where, rule, given))

    def _newer(self, where: str, rule: Mapping[str, Any], given: Mapping[str, Any]) -> int:
        newer = self._fields.number(where, given, "NewerNoncurrentVersions", 1, MAX_NEWER_VERSIONS)
        if newer is not None and "Filter" not in rule:
            self._fields.say(
                f"{where}.NewerNoncurrentVersions",
                "found without Filter, expected with it; write the prefix of the rule into Filter",
            )
        return newer or 0

    def _abort(self, rule: Mapping[str, Any]) -> int | None:
        where = "AbortIncompleteMultipartUpload"
        given = self._fields.object_in(rule, where)
        if given is None:
            return None
        self._fields.known(where, given, ("DaysAfterInitiation",))
        return self._fields.required_number(where, given, "DaysAfterInitiation", 1)

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
            self._fields.say(
                "", f"found no action, expected one or more; add one of {', '.join(actions)}"
            )
        self._add(conflicts(rule))

    def _target(self, where: str, given: Mapping[str, Any]) -> str:
        target = given.get("StorageClass")
        if target in TARGET_CLASSES:
            return str(target)
        close = suggestion(target, TARGET_CLASSES) if isinstance(target, str) else ""
        self._fields.say(
            f"{where}.StorageClass",
            f"found {shown(target)}, expected one of {', '.join(WATERFALL)}; "
            f"{close or 'write one of them'}",
        )
        return ""

    def _when(
        self, where: str, given: Mapping[str, Any], least: int
    ) -> tuple[int | None, dt.date | None]:
        found = [name for name in ("Days", "Date") if name in given]
        if len(found) != 1:
            what = "Days together with Date" if found else "neither Days nor Date"
            self._fields.say(
                where, f"found {what}, expected one of them; {'remove' if found else 'add'} one"
            )
            return None, None
        if found == ["Days"]:
            return self._fields.required_number(where, given, "Days", least), None
        return None, self._fields.date(f"{where}.Date", given["Date"])

    def _add(self, mistakes: Iterable[Mistake]) -> None:
        for field, mistake in mistakes:
            self._fields.say(field, mistake)

"""The filter of a lifecycle rule in S3's JSON: a prefix, bounds of sizes, tags.

A rule has one condition, or several in `And`; old ones have a `Prefix` instead of a filter
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRuleFilter.html).
"""

from collections.abc import Mapping
from typing import Any

from inventory_assets.inventory.lifecycle.json_fields import JsonFields, shown

_CONDITIONS = ("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan", "And")


def filter_of(rule: Mapping[str, Any], fields: JsonFields) -> dict[str, Any]:
    """The fields of a rule that its filter determines.

    Args:
        rule: The rule in the document.
        fields: Reads it, and collects its mistakes.
    """
    if "Prefix" in rule and "Filter" in rule:
        fields.say("Prefix", "found together with Filter, expected one; move it into Filter")
        return {}
    if "Prefix" in rule:
        return {"prefix": fields.text("Prefix", rule["Prefix"])}
    given = rule.get("Filter")
    if not isinstance(given, dict):
        fields.say(
            "Filter",
            f"found {shown(given)}, expected an object; write "
            '"Filter": {"Prefix": ""} for all keys',
        )
        return {}
    fields.known("Filter", given, _CONDITIONS)
    found = [name for name in _CONDITIONS if name in given]
    if len(found) > 1:
        fields.say(
            "Filter",
            f"found {', '.join(found)}, expected one of them; put several into And",
        )
        return {}
    where, conditions = "Filter", given
    if "And" in given:
        where, conditions = "Filter.And", given["And"]
        if not isinstance(conditions, dict) or not conditions:
            fields.say(where, f"found {shown(conditions)}, expected an object of conditions")
            return {}
        fields.known(
            where,
            conditions,
            ("Prefix", "Tags", "ObjectSizeGreaterThan", "ObjectSizeLessThan"),
        )
    tags = conditions.get("Tags", []) if "And" in given else [conditions.get("Tag", {})]
    greater = fields.number(where, conditions, "ObjectSizeGreaterThan", 0)
    less = fields.number(where, conditions, "ObjectSizeLessThan", 1)
    if greater is not None and less is not None and greater >= less - 1:
        fields.say(
            f"{where}.ObjectSizeGreaterThan",
            f"found {greater:,}, expected less than ObjectSizeLessThan ({less:,}) with a size "
            "between them; correct one of them",
        )
    return {
        "prefix": fields.text(f"{where}.Prefix", conditions.get("Prefix", "")),
        "greater_than": greater,
        "less_than": less,
        "tags": _tags(where, tags if "And" in given or "Tag" in conditions else [], fields),
    }


def _tags(where: str, tags: object, fields: JsonFields) -> tuple[str, ...]:
    field = f"{where}.Tags" if where.endswith("And") else f"{where}.Tag"
    if not isinstance(tags, list):
        fields.say(field, f"found {shown(tags)}, expected a list of tags; write [{{…}}]")
        return ()
    read = []
    for tag in tags:
        is_tag = isinstance(tag, dict) and tag.keys() == {"Key", "Value"}
        if not is_tag or not all(isinstance(text, str) for text in tag.values()):
            fields.say(
                field,
                f'found {shown(tag)}, expected a tag; write {{"Key": "…", "Value": "…"}}',
            )
            continue
        read.append(f"{tag['Key']}={tag['Value']}")
    keys = [tag.partition("=")[0] for tag in read]
    if len(set(keys)) < len(keys):
        fields.say(field, "found a key twice, expected each key once; remove one of the tags")
    return tuple(read)

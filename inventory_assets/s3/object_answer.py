"""What a bucket says of one object, as its responses to HeadObject and GetObjectTagging tell it."""

from collections.abc import Mapping
from enum import StrEnum

from inventory_assets.fast_values import value
from inventory_assets.s3.decoding.xml_tree import parse
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.http.response import ErrorResponse

DENIED_STATUSES = (401, 403)

_GONE_STATUSES = (404, 405, 410)
"""405 is S3's status for HEAD of a delete marker by its version id."""


class ObjectError(StrEnum):
    """Why an answer is not complete."""

    MISSING = "missing"
    """There is no such object or version any more."""
    CHANGED = "changed"
    """The object was replaced since it was listed."""
    FORBIDDEN = "forbidden"
    """The credentials may not read it."""
    ARCHIVED = "archived"
    """The store does not tell it while the object is archived."""
    REFUSED = "refused"
    """The request is refused for another reason, such as a key of the customer (SSE-C)."""
    FAILED = "failed"
    """A transient error persisted for this object, while other requests succeeded."""


@value
class ObjectAnswer:
    """What a bucket says of one object.

    Attributes:
        headers: The headers of HeadObject, with lower-case names; None where it failed.
        tags: The tags; None where they were not asked for, or it failed.
        error: Why something is missing; None where nothing is.
        requests: The requests that were sent for it.
    """

    headers: Mapping[str, str] | None
    tags: Mapping[str, str] | None
    error: ObjectError | None
    requests: int


def error_of_refusal(refusal: ErrorResponse | None) -> ObjectError:
    """The kind of a refusal; None stands for a transient error that persisted."""
    if refusal is None:
        return ObjectError.FAILED
    if refusal.code == "InvalidObjectState":
        return ObjectError.ARCHIVED
    if refusal.status in _GONE_STATUSES:
        return ObjectError.MISSING
    if refusal.status not in DENIED_STATUSES:
        return ObjectError.REFUSED
    return ObjectError.FORBIDDEN


def error_of_headers(headers: Mapping[str, str], e_tag: str | None) -> ObjectError | None:
    """Why the headers are not those of the object that was listed; None where they are.

    Args:
        headers: The headers of HeadObject, with lower-case names.
        e_tag: The object's ETag when it was listed, without quotes.
    """
    found = headers.get("etag")
    if found is None:
        return None if "last-modified" in headers else ObjectError.REFUSED  # not from S3
    is_listed = not e_tag or found.removeprefix("W/").strip('"') == e_tag
    return None if is_listed else ObjectError.CHANGED


def tags_of(body: bytearray) -> Mapping[str, str]:
    """The tags in a response to GetObjectTagging.

    Raises:
        MalformedResponse: It is no such response.
    """
    root = parse(body)
    if root.name != "Tagging":
        raise MalformedResponse(f"found <{root.name[:40]}> instead of <Tagging>")
    tags = [tag for tag_set in root.all("TagSet") for tag in tag_set.all("Tag")]
    return {tag.text_of("Key") or "": tag.text_of("Value") or "" for tag in tags}

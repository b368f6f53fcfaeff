"""Pages of a listing with a few bytes changed, removed or inserted."""

from collections.abc import Sequence

from hypothesis import strategies as st

MARKS = b'<>&%+"/ 09azT:.-\x01\x7f\x80\n]!?=;#'


def damaged(page: bytes, pieces: Sequence[bytes], data: st.DataObject) -> bytes:
    """The page with one to three changes.

    Args:
        page: A well-formed page.
        pieces: Texts that may be inserted.
        data: Draws the changes.
    """
    body = bytearray(page)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body)))
        match data.draw(st.sampled_from(["put", "delete", "insert", "cut"])):
            case "put":
                body[place : place + 1] = bytes([data.draw(st.sampled_from(MARKS))])
            case "delete":
                del body[place : place + data.draw(st.integers(1, 30))]
            case "insert":
                body[place:place] = data.draw(st.sampled_from(pieces))
            case "cut":
                del body[place:]
    return bytes(body)

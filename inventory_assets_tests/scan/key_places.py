"""Keys of any characters, and the start that two of them share."""

from hypothesis import strategies as st

any_key = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def common_start(one: str, other: str) -> str:
    same = [left == right for left, right in zip(one, other, strict=False)]
    return one[: [*same, False].index(False)]

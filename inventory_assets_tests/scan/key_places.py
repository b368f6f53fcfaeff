"""A strategy for keys of any characters, and the common start of two keys."""

from hypothesis import strategies as st

any_key = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def common_start(one: str, other: str) -> str:
    same = [left == right for left, right in zip(one, other, strict=False)]
    return one[: [*same, False].index(False)]

"""Key spaces for property tests: small, with few or all characters, and hostile."""

from random import Random

from hypothesis import strategies as st

ALPHABETS = [
    *("ab", "0123456789abcdef", "a/", "ab/", "/-.0"),
    *("%&+ <é漢🦄", "\0\1/\x7f\U0010fffd\U0010ffff"),
]


@st.composite
def key_sets(draw: st.DrawFn, most: int = 120) -> list[str]:
    """At most so many keys, ascending."""
    some_characters = st.text(st.characters(codec="utf-8"), min_size=2, max_size=30)
    alphabet = draw(st.sampled_from(ALPHABETS) | some_characters)
    chances = Random(draw(st.integers(0, 9999)))  # noqa: S311 - a repeatable test
    shared = draw(st.sampled_from(["", "", alphabet[0] * 9, "x/" * 3]))
    count, longest = draw(st.integers(0, most)), draw(st.integers(1, 8))
    names = (
        "".join(chances.choices(alphabet, k=chances.randint(1, longest))) for _ in range(count)
    )
    return sorted({shared + name for name in names})

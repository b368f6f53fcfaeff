import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to, keys_ascend
from inventory_assets.scan.validation.range_evidence import Ending, EvidenceBuilder, RangeEvidence

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


def test_evidence_of_each_range_starts_anew() -> None:
    ranges = [KeyRange("", "g"), KeyRange("k", "p"), KeyRange("p", "z")]
    log = EvidenceBuilder(ranges)
    log.page()
    log.rows(pa.array(["a", "b"]))
    log.page()
    log.rows(pa.array([], pa.string()))
    log.rows(pa.array(["c"]))
    assert log.last_key == "c"
    log.close(Ending.BOUND_REACHED)
    assert log.last_key is None
    log.page()
    log.close(Ending.LISTED_TO_END)
    log.rows(pa.array(["q"]))
    log.close(Ending.LISTED_TO_END)
    assert log.closed == [
        RangeEvidence(ranges[0], 3, "a", "c", 2, Ending.BOUND_REACHED),
        RangeEvidence(ranges[1], 0, None, None, 1, Ending.LISTED_TO_END),
        RangeEvidence(ranges[2], 1, "q", "q", 0, Ending.LISTED_TO_END),
    ]


@given(st.lists(texts, max_size=6))
def test_keys_ascend_means_by_bytes_and_without_repeats(keys: list[str]) -> None:
    encoded = [key.encode() for key in keys]
    assert keys_ascend(pa.array(keys, pa.string())) == (encoded == sorted(set(encoded)))


@pytest.mark.parametrize(
    ("keys", "ascend"), [(["\uffff", "\U00010000"], True), (["\U00010000", "\uffff"], False)]
)
def test_keys_compare_by_utf_8_and_not_by_utf_16(keys: list[str], ascend: bool) -> None:
    assert keys_ascend(pa.array(keys)) is ascend


@given(st.sets(texts, max_size=6), texts)
def test_count_up_to_includes_the_bound(keys: set[str], bound: str) -> None:
    ascending = pa.array(sorted(keys), pa.string())
    assert count_up_to(ascending, bound) == sum(key <= bound for key in keys)

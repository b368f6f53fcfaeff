"""Operations on columns of sorted keys."""

from bisect import bisect_right

import pyarrow as pa
import pyarrow.compute as pc


def keys_ascend(keys: pa.StringArray) -> bool:
    """Whether keys are strictly ascending; Arrow compares UTF-8 bytes."""
    ascend: pa.BooleanArray = pc.less(keys[:-1], keys[1:])
    return bool(ascend.false_count == 0)


def count_up_to(keys: pa.StringArray, bound: str) -> int:
    """The number of the ascending `keys` that are at most `bound`."""
    # Usually all or none are.
    if not len(keys) or keys[-1].as_py() <= bound:
        return len(keys)
    return 0 if keys[0].as_py() > bound else bisect_right(keys, bound, key=pa.StringScalar.as_py)

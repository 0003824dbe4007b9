"""A block in parts, between which others have their turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.stage import SLOW_AT_ONCE, cut_behind


@given(st.lists(st.booleans(), max_size=300))
def test_parts_are_the_block_and_hold_so_many_slow_records_at_most(slow: list[bool]) -> None:
    """In their order, none of them empty, each but the last cut behind a slow one."""
    block = list(enumerate(slow))
    parts = list(cut_behind(block, [at for at, is_slow in block if is_slow]))
    assert [record for part in parts for record in part] == block
    assert all(parts)
    for part in parts[:-1]:
        assert sum(is_slow for _, is_slow in part) == SLOW_AT_ONCE
        assert part[-1][1]
    assert all(sum(is_slow for _, is_slow in part) <= SLOW_AT_ONCE for part in parts)

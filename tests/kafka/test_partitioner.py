"""Many keys' partitions at once are each key's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.partitioner import partition_of, partitions_of


@given(st.lists(st.binary(max_size=30), max_size=60), st.integers(1, 50))
def test_many_keys_go_where_each_of_them_goes(keys: list[bytes], partitions: int) -> None:
    """Aiokafka's hash, which a test compares with the broker's clients, is the measure."""
    assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]


def test_keys_of_every_size_go_where_each_of_them_goes() -> None:
    """Whole words, and one to three bytes behind them."""
    keys = [bytes(range(start, start + size)) for size in range(40) for start in range(0, 200, 9)]
    assert partitions_of(keys, 997) == [partition_of(key, 997) for key in keys]

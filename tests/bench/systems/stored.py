"""The sums that the peers compute, added up from the rows that a worker of ours has stored."""

from __future__ import annotations

from collections import defaultdict

from stream.core.measures import Thresholds, measure_ids
from stream.kafka.recovery import sort_records
from stream.kafka.rowcodec import RowDecoder
from tests.bench.systems.base import Sums
from tests.kafka.live import Seen, read_topic

HOPS = 5
_MEASURES = ("handle_ms", "handled", "resolved", "resolved_known")


def stored_sums(bootstrap: str, changelog: str) -> Sums:
    """By agent and window start, over windows of 300 s by 60 s. Blocks; not within a loop."""
    latest: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
    for record in read_topic(bootstrap, changelog):
        _keep(latest[record.partition], record)
    sums: Sums = {}
    for records in latest.values():
        _add(sums, records)
    return sums


def _keep(latest: dict[bytes, bytes], record: Seen) -> None:
    assert record.key is not None, "every record of a changelog has one"
    if record.value is None:
        latest.pop(record.key, None)
    else:
        latest[record.key] = record.value


def _add(sums: Sums, records: dict[bytes, bytes]) -> None:
    state = sort_records(records)
    assert state.checkpoint is not None, "it has committed"
    ids = measure_ids(Thresholds())
    layouts = {int(name, 16): layout for name, layout in state.checkpoint.layouts.items()}
    stored = RowDecoder(ids, layouts).decode(state.rows)
    columns = [ids.index(name) for name in _MEASURES]
    agents = [stored.dims[at].agent for at in stored.dims_at.tolist()]
    measures = stored.measures[:, columns].tolist()
    for agent, last, values in zip(agents, stored.minute.tolist(), measures, strict=True):
        for minute in range(last - HOPS + 1, last + 1):
            total = sums.setdefault(f"{agent} {minute * 60}", [0] * len(values))
            total[:] = [a + b for a, b in zip(total, values, strict=True)]

"""The broker's transaction coordinator: epochs that fence, markers, time-outs, group offsets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiokafka.errors import ConcurrentTransactions, InvalidProducerEpoch, InvalidTxnState
from faust.types import TP

from stream.sim.log import Content, Log, Transaction
from stream.sim.network import Network
from stream.sim.trace import Trace

MARKERS_S: Final = 0.02


class Coordinator:
    """Transactional ids with their epochs, and the transaction each has under way.

    TxnOffsetCommit is that of version 0: no generation of the group is checked, and offsets
    become visible with the commit. The end of a transaction is answered before its markers are
    written; whoever starts under the same id, or goes on, waits for them.
    """

    def __init__(
        self,
        network: Network,
        log: Callable[[TP], Log],
        trace: Trace,
        committed: Callable[[Transaction], None],
        timeout_s: float,
    ) -> None:
        """`committed` is told of each transaction when it becomes visible."""
        self.offsets: dict[TP, int] = {}
        self._network = network
        self._log = log
        self._trace = trace
        self._committed = committed
        self._timeout_s = timeout_s
        self._epochs: dict[str, int] = {}
        self._current: dict[str, Transaction] = {}
        self._last: dict[str, Transaction] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is under way."""
        return not self._current

    def begin(self, owner: str) -> int:
        """InitProducerId: ends what is under way, fences who began it, and gives the epoch."""
        current = self._current.get(owner)
        if current is not None:
            if current.fate == "committing":
                raise ConcurrentTransactions
            self._trace.count("transactions aborted by a successor")
            self._abort(current)
        self._epochs[owner] = self._epochs.get(owner, -1) + 1
        self._last.pop(owner, None)
        self._trace.note(f"broker: {owner} begins epoch {self._epochs[owner]}")
        return self._epochs[owner]

    def produce(self, owner: str, epoch: int, place: TP, contents: Sequence[Content]) -> int:
        """Appends a batch to the owner's transaction."""
        offset = self._log(place).append(contents, self._transaction(owner, epoch))
        self._trace.note(
            f"broker: {owner}/{epoch} {place.topic}[{place.partition}] {offset}+{len(contents)}"
        )
        return offset

    def add_offsets(self, owner: str, epoch: int, offsets: Mapping[TP, int]) -> None:
        """TxnOffsetCommit."""
        self._transaction(owner, epoch).offsets.update(offsets)

    def end(self, owner: str, epoch: int, *, commit: bool) -> None:
        """EndTxn; asked again, it answers as before."""
        self._check(owner, epoch)
        current, fate = self._current.get(owner), "committing" if commit else "aborted"
        if current is None or current.fate == "committing":
            last = current or self._last.get(owner)
            if last is None or (last.fate == "aborted") != (fate == "aborted"):
                raise InvalidTxnState
            return
        if not commit:
            self._abort(current)
            return
        current.fate = "committing"
        self._network.loop.after(MARKERS_S * self._network.rng.random(), self._commit, current)

    def _transaction(self, owner: str, epoch: int) -> Transaction:
        self._check(owner, epoch)
        current = self._current.get(owner)
        if current is None:
            current = self._current[owner] = Transaction(owner, epoch)
            self._network.loop.after(self._timeout_s, self._expire, current)
        elif current.fate == "committing":
            raise ConcurrentTransactions
        return current

    def _check(self, owner: str, epoch: int) -> None:
        if self._epochs.get(owner) != epoch:
            self._trace.note(f"broker: {owner}/{epoch} is fenced, it is {self._epochs.get(owner)}")
            self._trace.count("requests of fenced producers")
            raise InvalidProducerEpoch

    def _commit(self, transaction: Transaction) -> None:
        transaction.fate = "committed"
        self._finish(transaction)
        self.offsets |= transaction.offsets
        self._trace.note(f"broker: {transaction.owner}/{transaction.epoch} committed")
        self._trace.count("transactions committed")
        self._committed(transaction)

    def _abort(self, transaction: Transaction) -> None:
        transaction.fate = "aborted"
        self._finish(transaction)
        self._trace.note(f"broker: {transaction.owner}/{transaction.epoch} aborted")
        self._trace.count("transactions aborted")

    def _finish(self, transaction: Transaction) -> None:
        for log in transaction.logs:
            log.mark(transaction)
        del self._current[transaction.owner]
        self._last[transaction.owner] = transaction

    def _expire(self, transaction: Transaction) -> None:
        if transaction.fate != "open":
            return
        if self._network.is_away:
            self._network.loop.at(self._network.away_until + 1, self._expire, transaction)
            return
        self._epochs[transaction.owner] += 1
        self._trace.note(f"broker: {transaction.owner} timed out")
        self._trace.count("transactions timed out")
        self._abort(transaction)

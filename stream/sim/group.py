"""A consumer group: sessions, generations, and a rebalance whenever somebody comes or goes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, NamedTuple

from stream.kafka.owned import SESSION_TIMEOUT_S
from stream.sim.network import Network
from stream.sim.trace import Trace

REBALANCE_TIMEOUT_S: Final = SESSION_TIMEOUT_S


class Assignment(NamedTuple):
    """What a member was given."""

    generation: int
    numbers: set[int]


@dataclass(slots=True, eq=False)
class Member:
    """Somebody who joined; `joining` while it waits for its assignment."""

    name: str
    deadline: float
    joining: asyncio.Future[Assignment] | None = None


class Group:
    """The group coordinator. All partitions are revoked at each rebalance, as aiokafka does it."""

    def __init__(self, network: Network, trace: Trace, partitions: int) -> None:
        """Nobody has joined."""
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.assigned: dict[str, set[int]] = {}
        self._network = network
        self._trace = trace
        self._partitions = partitions
        self._rebalancing = False

    def join(self, name: str, answer: asyncio.Future[Assignment]) -> None:
        """JoinGroup. A static member that comes back in between gets what it had."""
        member = self.members.get(name)
        now = self._network.loop.now
        if member is None:
            member = self.members[name] = Member(name, now + SESSION_TIMEOUT_S)
            self._network.loop.at(member.deadline, self._look_after, member)
        elif not self._rebalancing and member.joining is None and name in self.assigned:
            member.deadline = now + SESSION_TIMEOUT_S
            self._give(member, answer)
            return
        member.joining = answer
        self._rebalance()
        self._complete_if_all_joined()

    def heartbeat(self, name: str, generation: int) -> bool:
        """Whether all is as it was; else the member has to join again."""
        member = self.members.get(name)
        if member is None:
            return False
        member.deadline = self._network.loop.now + SESSION_TIMEOUT_S
        return generation == self.generation and not self._rebalancing

    def leave(self, name: str) -> None:
        """LeaveGroup."""
        if self.members.pop(name, None) is not None:
            self._rebalance()
            self._complete_if_all_joined()

    def spare(self, seconds: float) -> None:
        """A coordinator that was away begins every session anew."""
        for member in self.members.values():
            member.deadline += seconds

    def _look_after(self, member: Member) -> None:
        if self.members.get(member.name) is not member:
            return
        now = self._network.loop.now
        if member.joining is not None or self._rebalancing:
            member.deadline = max(member.deadline, now + SESSION_TIMEOUT_S)
        if now >= member.deadline:
            self._trace.note(f"group: {member.name}'s session has ended")
            self._trace.count("sessions timed out")
            self.leave(member.name)
        else:
            self._network.loop.at(member.deadline, self._look_after, member)

    def _rebalance(self) -> None:
        if not self._rebalancing and self.members:
            self._rebalancing = True
            self._trace.note("group: rebalancing")
            self._network.loop.after(REBALANCE_TIMEOUT_S, self._give_up, self.generation)

    def _give_up(self, generation: int) -> None:
        """Goes on without those who did not join in time."""
        if self._rebalancing and self.generation == generation:
            for name in [m.name for m in self.members.values() if m.joining is None]:
                self._trace.note(f"group: {name} did not join in time")
                del self.members[name]
            self._complete_if_all_joined()

    def _complete_if_all_joined(self) -> None:
        if not self._rebalancing or any(m.joining is None for m in self.members.values()):
            return
        self._rebalancing = False
        self.generation += 1
        self._trace.count("rebalances")
        names = sorted(self.members)
        numbers = list(range(self._partitions))
        self._network.rng.shuffle(names)  # so that who has nothing changes
        self._network.rng.shuffle(numbers)
        self.assigned = {name: set() for name in names}
        for place, number in enumerate(numbers):
            if names:
                self.assigned[names[place % len(names)]].add(number)
        self._trace.note(f"group: generation {self.generation}: {self._listed()}")
        for member in self.members.values():
            member.deadline = self._network.loop.now + SESSION_TIMEOUT_S
            answer, member.joining = member.joining, None
            assert answer is not None, "all have joined"
            self._give(member, answer)

    def _give(self, member: Member, answer: asyncio.Future[Assignment]) -> None:
        assignment = Assignment(self.generation, set(self.assigned[member.name]))
        self._network.loop.after(self._network.delay(), _answer, answer, assignment)

    def _listed(self) -> str:
        return ", ".join(f"{name} {sorted(own)}" for name, own in self.assigned.items())


def _answer(answer: asyncio.Future[Assignment], assignment: Assignment) -> None:
    if not answer.done():
        answer.set_result(assignment)

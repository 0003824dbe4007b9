"""The way between clients and the broker: delays, lost answers, a broker that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from aiokafka.errors import ConcurrentTransactions, KafkaConnectionError

from stream.sim.loop import PROCESS, SimLoop

_RETRY_S: Final = 0.02
_FAST_S: Final = 0.003


@dataclass(slots=True)
class Weather:
    """How bad it is: chances of a slow request, of one that goes wrong, of a busy worker."""

    slow: float = 0.0
    slowest_s: float = 3.0
    batch_fails: float = 0.0
    end_fails: float = 0.0
    offsets_fail: float = 0.0
    read_fails: float = 0.0
    busy: float = 0.0


CALM: Final = Weather()


class Network:
    """Requests that are on their way arrive, whatever becomes of who sent them."""

    def __init__(self, loop: SimLoop, rng: Random) -> None:
        """Calm, and the broker is there."""
        self.loop = loop
        self.rng = rng
        self.weather = CALM
        self.away_until = 0.0

    @property
    def is_away(self) -> bool:
        """Whether no broker answers."""
        return self.loop.now < self.away_until

    async def ask(self, act: Callable[[], Any], *, patient: bool = True) -> Any:
        """A request and its answer."""
        return await self.send(act, patient=patient)

    def send(
        self,
        act: Callable[[], Any],
        *,
        patient: bool = True,
        future: asyncio.Future[Any] | None = None,
    ) -> asyncio.Future[Any]:
        """Sends a request. A `patient` client tries again until the broker is back."""
        process = PROCESS.get()
        if future is None:
            future = self.loop.create_future()
        if process is not None:
            process.burn()
            if process.dead:
                return future
        self.loop.after(self.delay(), self._arrive, future, act, patient)
        return future

    def delay(self) -> float:
        """How long one way takes."""
        slow = self.rng.random() < self.weather.slow
        return self.rng.random() * (self.weather.slowest_s if slow else _FAST_S)

    def hits(self, chance: float) -> bool:
        """Whether something of that chance happens now."""
        return chance > 0 and self.rng.random() < chance

    def _arrive(self, future: asyncio.Future[Any], act: Callable[[], Any], patient: bool) -> None:  # noqa: FBT001 - a callback's
        if self.is_away:
            if patient:
                when = self.away_until + self.delay()
                self.loop.at(when, self._arrive, future, act, patient)
            else:
                self._answer(future, None, KafkaConnectionError("the broker is away"))
            return
        result: Any = None
        error: Exception | None = None
        try:
            result = act()
        except ConcurrentTransactions:
            self.loop.after(_RETRY_S, self._arrive, future, act, patient)
            return
        except Exception as raised:  # noqa: BLE001 - it is the answer
            error = raised
        self.loop.after(self.delay(), self._answer, future, result, error)

    @staticmethod
    def _answer(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
            future.exception()  # whoever sent it may be gone

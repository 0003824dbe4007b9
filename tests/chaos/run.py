"""One run: load and faults side by side, a rest, a judgement; as often as there are stretches."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stream.config import load_settings
from stream.core.windows import DAY_MINUTES, MINUTE_MS
from tests.chaos.checker import Checker
from tests.chaos.faults import Faults, Hand
from tests.chaos.feed import Feed
from tests.chaos.figures import AtRest
from tests.chaos.findings import Findings
from tests.chaos.fleet import Fleet
from tests.chaos.goals import GOALS
from tests.chaos.history import History
from tests.chaos.load import Scale, plan, start_ms
from tests.chaos.proxy import Proxy
from tests.chaos.rest import wait_counted, wait_shown
from tests.chaos.state import read_state
from tests.kafka.live import written_settings
from tests.kafka.test_exact import BANK
from tests.kafka_broker.broker import KafkaBroker
from tests.ports import HOST, free_port

PARTITIONS: Final = 4
QUIET_MINUTES: Final = 12
QUIET_SPEED: Final = 300.0
CATCH_UP_S: Final = 180.0
STATIC: Final = (True, True, False)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """How long, how much, how fast and what fails; `stretches`: how often all is checked."""

    scale: Scale
    faults: Faults
    stretches: int
    speed: float
    seed: int


def short_run(seed: int) -> Run:
    """About a minute; a part of `make test`."""
    faults = Faults(kills=5, broker_restarts=1, rebalances=3, freezes=1, storms=1, outages=(6.0,))
    return Run(Scale(days=0.5, twins=2, repeats=5), faults, stretches=1, speed=2_400.0, seed=seed)


def long_run(seed: int) -> Run:
    """A quarter of an hour."""
    faults = Faults(
        kills=54, broker_restarts=10, rebalances=22, freezes=4, storms=6, outages=(60.0,)
    )
    return Run(Scale(days=5, twins=3, repeats=8), faults, stretches=4, speed=900.0, seed=seed)


@dataclass
class Outcome:
    """What was done, and what came of it."""

    findings: Findings
    hand: Hand
    fleet: Fleet
    feed: Feed
    seconds: float


def proxied_broker(proxy_for: KafkaBroker, outer: int, inner: int) -> None:
    """Gives a broker, not started yet, a listener at `inner` that is reached by way of `outer`."""
    plain, controller = proxy_for._ports
    rest = f"PLAINTEXT://{HOST}:{plain},CONTROLLER://{HOST}:{controller}"
    proxy_for._config |= {
        "listeners": f"{rest},PROXIED://{HOST}:{inner}",
        "advertised.listeners": f"{rest},PROXIED://{HOST}:{outer}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"
        ),
    }


def run(plan_of_run: Run, folder: Path, say: Say) -> Outcome:
    """Starts a broker of its own, and does it all."""
    inner, broker = free_port(), KafkaBroker()
    with Proxy(inner) as proxy:
        proxied_broker(broker, proxy.port, inner)
        with broker:
            settings = written_settings(
                f"{HOST}:{proxy.port}",
                f"chaos-{secrets.token_hex(4)}-",
                partitions=PARTITIONS,
                time="replay",
                timezone=BANK.timezone,
                queues=BANK.queues,
                windows=["15m", "1h", "today", "2d"],
                flush_interval="250ms",
                late_to_dead_letters=True,
                metrics={"show": {"windows": ["1h"]}},
            )
            with Fleet(folder, settings, GOALS, STATIC) as fleet:
                return asyncio.run(_Running(plan_of_run, fleet, broker, proxy, say).go())


class _Running:
    """A run under way."""

    def __init__(
        self, plan_of_run: Run, fleet: Fleet, broker: KafkaBroker, proxy: Proxy, say: Say
    ) -> None:
        rng = random.Random(plan_of_run.seed)
        self._run = plan_of_run
        self._rng = rng
        self._fleet = fleet
        self._broker = broker
        self._say = say
        self._hand = Hand(fleet, broker, proxy, rng)
        self._faults = plan_of_run.faults.shuffled(rng)
        folder = fleet.slots[0].worker.folder
        self._settings = load_settings(folder, broker=broker.bootstrap)
        self._planned = plan(plan_of_run.scale, PARTITIONS, plan_of_run.seed)
        self._checker = Checker(self._settings, GOALS, self._planned)

    async def go(self) -> Outcome:
        """All stretches, one after the other."""
        began = time.monotonic()
        run, start = self._run, start_ms()
        for slot in self._fleet.slots[: len(STATIC) - 1]:
            slot.start()
        supervising = asyncio.create_task(self._fleet.supervise())
        await self._fleet.wait_caught_up(CATCH_UP_S)
        history = History(self._settings, run.seed)
        feed = Feed(self._settings, self._planned, start, run.speed)
        async with history, feed:
            # Every partition has a now before anything else comes: without one nothing is late.
            await feed.tick(start + MINUTE_MS, QUIET_SPEED)
            await self._wait_counted(history)
            each_ms = int(run.scale.days * DAY_MINUTES / run.stretches) * MINUTE_MS
            each = -(-len(self._faults) // run.stretches)
            for number in range(run.stretches):
                faults = self._faults[number * each : (number + 1) * each]
                await self._stretch(feed, faults, feed.now_ms, start + (number + 1) * each_ms)
                await self._rest(feed, history)
                self._say(
                    f"{time.monotonic() - began:.0f} s, stretch {number + 1} of {run.stretches}: "
                    f"{dict(self._hand.done)}; wrong: {dict(+self._checker.findings.wrong)}"
                )
                for example in self._checker.findings.take_examples():
                    self._say(example)
            supervising.cancel()
        seconds = time.monotonic() - began
        return Outcome(self._checker.findings, self._hand, self._fleet, feed, seconds)

    async def _stretch(
        self, feed: Feed, faults: list[tuple[str, float]], from_ms: int, until_ms: int
    ) -> None:
        """Load and faults, neither far ahead of the other."""
        step_ms = (until_ms - from_ms) / (len(faults) + 1)
        feed.allowed_ms = int(from_ms + 2 * step_ms)
        sending = asyncio.create_task(feed.run(until_ms))
        for number, (name, seconds) in enumerate(faults, 1):
            await feed.wait_for(from_ms + int((number - 0.5) * step_ms))
            await asyncio.sleep(self._rng.uniform(0.0, 1.5))
            await self._hand.strike(name, seconds)
            feed.allowed_ms = int(from_ms + (number + 2) * step_ms)
        feed.allowed_ms = until_ms
        await sending

    async def _rest(self, feed: Feed, history: History) -> None:
        """All catch up, a few quiet minutes pass, and the history is judged.

        What was moved late has to be counted before the quiet: in a replay, teams and queues hear
        of it at a clock only, and goals are judged at these only.
        """
        await self._wait_counted(history)
        quiet_ms = feed.now_ms
        await feed.tick(quiet_ms + QUIET_MINUTES * MINUTE_MS, QUIET_SPEED)
        await self._wait_counted(history)
        # SQL takes a while, in which this loop still answers the broker.
        oracle = await asyncio.to_thread(self._checker.oracle, history)
        windows, now_ms = self._settings.windows, feed.now_ms
        figures = await asyncio.to_thread(AtRest, oracle, windows, now_ms)
        await wait_shown(history, figures)
        await history.read()
        figures.check(self._checker.findings, history.board)
        stored = await read_state(self._settings)
        rest = range(quiet_ms, now_ms + 1, MINUTE_MS)
        await asyncio.to_thread(
            self._checker.check, history, feed.acknowledged, stored, oracle, rest
        )
        oracle.close()

    async def _wait_counted(self, history: History) -> None:
        """Every partition is owned, and all that stands in the topics is counted."""
        await self._fleet.wait_caught_up(CATCH_UP_S)
        await wait_counted(self._settings, history)

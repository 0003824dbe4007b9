"""Processes under one supervisor: each test's are real ones, and what they say is waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from stream.supervisor import PAUSE_S_MAX, REFUSED, pause_s

# A process says what happens to it in lines; what it does depends on its slot and on `WILL`.
CHILD = """
import os, signal, sys, threading
slot, will = sys.argv[-1], sys.argv[1]
def say(*words):
    os.write(1, " ".join([slot, *map(str, words)]).encode() + b"\\n")
def on_term(*_):
    say("told to stop")
    if slot == "1" and will == "hang":
        return
    sys.exit(3 if slot == "1" and will == "fail at the end" else 0)
signal.signal(signal.SIGTERM, on_term)
signal.signal(signal.SIGUSR1, lambda *_: say("asked"))
if slot == "1" and will in ("refuse", "die"):
    say("refuses" if will == "refuse" else "dies")
    sys.exit(2 if will == "refuse" else 5)
if will == "watch":
    from stream.supervisor import stop_with_supervisor
    stop_with_supervisor(lambda: say("stops alone"))
else:  # whatever a test leaves ends with its supervisor
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(9)), daemon=True).start()
say("runs", os.getpid())
while True:
    signal.pause()
"""
SUPERVISOR = """
import asyncio, logging, sys
from stream.supervisor import Supervisor
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
child, will, deadline_s, pause_s = sys.argv[1:]
supervisor = Supervisor(
    [sys.executable, "-c", child, will], ["w-0", "w-1"],
    deadline_s=float(deadline_s), pause_s=lambda deaths: deaths * float(pause_s),
)
sys.exit(asyncio.run(supervisor.run()))
"""
LONG_S = 1_000.0
TIMEOUT_S = 30.0


class Line(NamedTuple):
    """What a process in a slot says, with its id where it says it; or the supervisor, with none."""

    slot: int | None
    text: str
    pid: int = 0


class Supervised:
    """A supervisor of two processes, and what is heard of all three."""

    def __init__(self, will: str, deadline_s: float, pause_s: float) -> None:
        command = [sys.executable, "-c", SUPERVISOR, CHILD, will, str(deadline_s), str(pause_s)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        )
        self.heard: list[Line] = []

    def lines(self) -> Iterator[Line]:
        """What comes; ends when no process is left that could say anything."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            slot, _, text = line.strip().partition(" ")
            text, _, number = text.partition("runs ")
            heard = Line(int(slot), text, 0) if slot.isdigit() else Line(None, line.strip())
            if number:
                heard = Line(int(slot), "runs", int(number))
            self.heard.append(heard)
            yield heard

    def until(self, done: Callable[[Line], bool]) -> Line:
        """The next line that is so."""
        return next(line for line in self.lines() if done(line))

    def both_run(self) -> list[int]:
        """Their process ids, once both have said so."""
        running: dict[int, int] = {}
        while len(running) < 2:
            line = self.until(lambda line: line.text == "runs")
            assert line.slot is not None
            running[line.slot] = line.pid
        return [running[0], running[1]]

    def end(self) -> int:
        """The exit code, once all that was started has ended."""
        for _ in self.lines():
            """Each is kept."""
        return self.process.wait(TIMEOUT_S)

    def said(self) -> Counter[tuple[int | None, str]]:
        """How often each was heard."""
        return Counter((line.slot, line.text) for line in self.heard)


@contextmanager
def supervised(
    will: str = "", *, deadline_s: float = LONG_S, pause_s: float = 0.0
) -> Iterator[Supervised]:
    """A supervisor whose second process behaves as `will` says; killed with all others at last."""
    found = Supervised(will, deadline_s, pause_s)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.communicate()


@pytest.mark.parametrize(
    ("send", "number"), [(os.kill, signal.SIGTERM), (os.killpg, signal.SIGINT)]
)
def test_a_signal_stops_every_process_once(
    send: Callable[[int, int], None], number: signal.Signals
) -> None:
    """Exit code 0 when all have come to their end, which is waited for.

    A terminal sends SIGINT to all that it can reach: that is the supervisor alone.
    """
    with supervised() as found:
        found.both_run()
        send(found.process.pid, number)
        assert found.end() == 0
        assert found.said()[0, "told to stop"] == found.said()[1, "told to stop"] == 1


def test_a_process_that_dies_is_started_again_in_its_slot() -> None:
    """The other works on; an end that was mended is no failure."""
    with supervised() as found:
        first, second = found.both_run()
        subprocess.run(["kill", "-9", str(second)], check=True)
        again = found.until(lambda line: line.text == "runs")
        assert (again.slot, again.pid not in (first, second)) == (1, True)
        found.process.send_signal(signal.SIGTERM)
        assert found.end() == 0
        assert found.said()[None, "w-1 has ended (Killed), next start in 0 s"] == 1
        assert found.said()[0, "runs"] == 1


def test_one_that_refuses_is_not_started_again_and_all_stop() -> None:
    """It would only refuse again: the service manager gets a failure, and whoever reads a name."""
    with supervised("refuse") as found:
        assert found.end() == REFUSED
        said = found.said()
        assert said[1, "refuses"] == 1
        assert said[None, "w-1 refuses to run and would again, so all stop"] == 1
        assert said[0, "runs"] <= 1


def test_the_pauses_of_one_that_dies_again_and_again_grow() -> None:
    """Up to a limit, and never is it given up: the others do their work meanwhile."""
    with supervised("die", pause_s=0.01) as found:
        for deaths in (1, 2, 3):
            line = found.until(lambda line: "w-1 has ended" in line.text)
            assert line.text == f"w-1 has ended (exit code 5), next start in {0.01 * deaths:g} s"
        assert not [line for line in found.heard if line.text == "told to stop"]
    assert [pause_s(deaths) for deaths in (1, 2, 3, 4, 5, 6)] == [1, 2, 4, 8, 16, PAUSE_S_MAX]
    assert pause_s(100_000) == PAUSE_S_MAX


def test_a_stop_does_not_wait_for_a_pause_and_tells_that_one_had_failed() -> None:
    """What died and was not back when all stopped is a failure."""
    with supervised("die", pause_s=LONG_S) as found:
        found.until(lambda line: "next start in 1000 s" in line.text)
        found.process.send_signal(signal.SIGTERM)
        assert found.end() == 1


def test_a_process_that_fails_at_its_end_fails_the_command() -> None:
    """A last flush that did not succeed, say."""
    with supervised("fail at the end") as found:
        found.both_run()
        found.process.send_signal(signal.SIGTERM)
        assert found.end() == 1


def test_a_stop_that_hangs_ends_at_the_deadline() -> None:
    """And says whose it was."""
    with supervised("hang", deadline_s=0.5) as found:
        found.both_run()
        found.process.send_signal(signal.SIGTERM)
        assert found.end() == 1
        assert found.said()[None, "w-1: not stopped yet, and ended"] == 1


def test_a_second_signal_ends_all_at_once() -> None:
    """Ctrl-C, and Ctrl-C again by somebody who does not want to wait."""
    with supervised("hang") as found:
        found.both_run()
        found.process.send_signal(signal.SIGINT)
        found.until(lambda line: line == Line(1, "told to stop"))
        began = time.monotonic()
        found.process.send_signal(signal.SIGINT)
        assert found.end() == 1
        assert time.monotonic() - began < TIMEOUT_S


def asked_of_both(found: Supervised) -> None:
    """Sends SIGUSR1, and waits until both processes have said that they got it."""
    found.process.send_signal(signal.SIGUSR1)
    asked = {found.until(lambda line: line.text == "asked").slot for _ in range(2)}
    assert asked == {0, 1}


def test_processes_stop_by_themselves_when_the_supervisor_is_killed() -> None:
    """SIGKILL leaves it no time to tell them; none is left as an orphan."""
    with supervised("watch") as found:
        found.both_run()
        asked_of_both(found)
        assert not [line for line in found.heard if line.text == "stops alone"]
        found.process.kill()
        assert found.end() == -signal.SIGKILL
        for slot in (0, 1):
            assert found.said()[slot, "stops alone"] == found.said()[slot, "told to stop"] == 1


def test_what_is_asked_of_the_supervisor_is_asked_of_all() -> None:
    """SIGUSR1 has each worker say where its threads are."""
    with supervised() as found:
        found.both_run()
        asked_of_both(found)
        found.process.send_signal(signal.SIGTERM)
        assert found.end() == 0


def test_a_command_that_cannot_be_started_is_tried_again() -> None:
    """No memory or no process left, for the moment: the others must not end of it."""
    script = SUPERVISOR.replace("[sys.executable, ", '["/nowhere/python", ')
    command = [sys.executable, "-c", script, CHILD, "", str(LONG_S), "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        tries = (line for line in process.stdout if "w-1 cannot be started" in line)
        assert "No such file" in next(tries)
        assert "No such file" in next(tries)
        process.terminate()
        process.stdout.read()
        assert process.wait(TIMEOUT_S) == 1


def test_refusals_have_the_code_of_a_command_line_that_is_wrong() -> None:
    """A folder of settings that has gone meanwhile is refused by click itself."""
    command = [sys.executable, "-m", "stream", "worker", "--config", "nowhere"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == REFUSED

"""A digest in words, as one message to one lead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from stream.notify.book import Notice
from stream.notify.digest import Digest
from stream.notify.message import Message

IN_FULL_MAX: Final = 20
IN_LINES_MAX: Final = 100

Words = Callable[[Notice], Message]


class Letter(NamedTuple):
    """A subject and a text. `has_missed`: whether something is missed now."""

    subject: str
    text: str
    has_missed: bool


def write_letter(digest: Digest, key: str, words: Words) -> Letter:
    """Puts a digest into words; `key` lets a reader know a message that came twice."""
    again = digest.reason == "unchanged"
    parts = (
        ("Missed now", digest.new, True),
        ("Still missed", digest.still, again),
        ("Over", digest.over, True),
        ("Came and went since the last message", digest.passed, True),
    )
    lines = [line for title, notices, full in parts for line in _part(title, notices, words, full)]
    return Letter(
        subject=_subject(digest, words),
        text="\n".join([*lines, f"Message {key}"]),
        has_missed=bool(digest.new or digest.still),
    )


def _subject(digest: Digest, words: Words) -> str:
    missed, over = len(digest.new) + len(digest.still), len(digest.over) + len(digest.passed)
    counts = [f"{missed} missed"] if missed else []
    counts += [f"{over} over"] if over else []
    said = [*digest.new, *digest.still, *digest.over, *digest.passed]
    teams = sorted({notice.fired.team or "no team" for notice in said})
    about = words(said[0]).summary if len(said) == 1 else ", ".join(teams)
    return f"{', '.join(counts)}: {about}"


def _part(
    title: str,
    notices: Sequence[Notice],
    words: Words,
    full: bool,  # noqa: FBT001 - of one row
) -> Iterator[str]:
    if not notices:
        return
    yield f"{title}\n"
    in_full = IN_FULL_MAX if full else 0
    for notice in notices[:in_full]:
        yield f"[{notice.fired.severity}] {words(notice).text()}\n"
    shown = in_full + IN_LINES_MAX
    for notice in notices[in_full:shown]:
        yield f"[{notice.fired.severity}] {words(notice).summary}"
    if len(notices) > shown:
        yield f"… and {len(notices) - shown} more"
    if len(notices) > in_full:
        yield ""

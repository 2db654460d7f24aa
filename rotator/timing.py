"""Small arithmetic of time: waits, spreading, spelling, and whether clocks agree. Reads no clock, draws no lots.

Moments are aware UTC `datetime`s, spans are `timedelta`s. Nothing here raises for moments at the ends of the calendar:
an issuer that means "never" writes the year 9999, and a sum beyond it is the last moment there is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

FAR_PAST: Final = datetime.min.replace(tzinfo=UTC)
FAR_FUTURE: Final = datetime.max.replace(tzinfo=UTC)

CLOCK_LIMIT: Final = timedelta(minutes=5)
"""Clocks that differ by more are not trusted to start anything. Kerberos and Entra assertions tolerate the same."""

FIRST_WAIT: Final = timedelta(seconds=30)
LEAST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(hours=1)
TRIES_LEFT: Final = 20

LONGEST_RETRY: Final = timedelta(hours=6)
"""No wait is longer, whoever asked for it; a later `not_before` was written by a clock that was wrong."""

LEAST_PATIENCE: Final = timedelta(minutes=1)

_NOTHING: Final = timedelta(0)
_SHARES: Final = 1 << 48


def plus(moment: datetime, span: timedelta) -> datetime:
    """Return the moment `span` later (or earlier), or the end of the calendar on that side."""
    try:
        return moment + span
    except OverflowError:
        return FAR_FUTURE if span > _NOTHING else FAR_PAST


def fraction(*words: str) -> float:
    """Return a number from 0 up to 1 that is the same for the same words on every machine and in every process."""
    digest = hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / _SHARES


def spell(span: timedelta) -> str:
    """Return a span as people say it, in one unit, whole seconds rounded down: `30 d`, `24 h`, `15 min`, `5 s`."""
    seconds = round(abs(span).total_seconds())  # 29 min 59.9 s is what an issuer makes of half an hour
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (seconds == size and unit != "d"):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def spell_moment(moment: datetime) -> str:
    """Return a moment as people read it, to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def backoff(failures: int, left: timedelta | None, share: float) -> timedelta:
    """Return how long to wait after so many failures in a row, before the next attempt.

    left: what remains until the current version expires; None: it does not. share: where between nothing and the
    longest wait to fall, 0 to 1; drawn by the caller ("full jitter", see Brooker, "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015). The longest wait doubles with every failure up to an hour, and is never more than a
    twentieth of what is left, so that there is time for twenty more attempts. The answer is at least 5 seconds.
    """
    if failures <= 0:
        return _NOTHING
    longest = min(FIRST_WAIT * (1 << min(failures - 1, 16)), LONGEST_WAIT)
    if left is not None:
        longest = min(longest, max(FIRST_WAIT, left / TRIES_LEFT))
    return max(LEAST_WAIT, longest * min(max(share, 0.0), 1.0))


def as_asked(wait: timedelta, left: timedelta | None) -> timedelta:
    """Return how long to wait for somebody who has said how long (RFC 9110 §10.2.3, Retry-After).

    left: what remains until the current version expires; None: it does not. At least a second, and at most 6 hours. It
    is never more than half of what is left, down to a minute: no endpoint is worth an outage.
    """
    longest = LONGEST_RETRY if left is None else min(LONGEST_RETRY, max(left / 2, LEAST_PATIENCE))
    return min(max(wait, timedelta(seconds=1)), longest)


@dataclass(frozen=True, slots=True)
class Skew:
    """How far this machine's clock is from others, where that is too far. Positive: ours is ahead. None: no quarrel."""

    now: datetime
    issuer: timedelta | None
    store: timedelta | None

    @property
    def sentence(self) -> str:
        """Return which clocks differ and by how much, and whose is probably wrong."""
        found = [
            f"{spell(offset)} {'ahead of' if offset > _NOTHING else 'behind'} the {whose}'s"
            for whose, offset in (("issuer", self.issuer), ("store", self.store))
            if offset is not None
        ]
        said = f"This machine's clock says {spell_moment(self.now)}, {' and '.join(found)}"
        if self.issuer is not None and self.store is not None and (self.issuer > _NOTHING) == (self.store > _NOTHING):
            return f"{said}; they agree, so it is probably wrong here."
        return f"{said}; nothing starts because of time until they agree to {spell(CLOCK_LIMIT)}."


def clock_skew(now: datetime, issuer_now: datetime | None, store_now: datetime | None) -> Skew | None:
    """Return None when our clock can be trusted as far as is known, else which others contradict it and by how much.

    now: our wall clock at the moment the others were read. None for a clock that was not read: it says nothing.
    """
    issuer, store = _too_far(now, issuer_now), _too_far(now, store_now)
    return None if issuer is None and store is None else Skew(now, issuer, store)


def _too_far(now: datetime, theirs: datetime | None) -> timedelta | None:
    if theirs is None or abs(now - theirs) <= CLOCK_LIMIT:
        return None
    return now - theirs

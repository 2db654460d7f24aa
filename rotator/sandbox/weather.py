"""How badly the issuers behave, as plain data, and the dice; it never touches a socket or a secret.

Nasty numbers follow field reports: overlapping writes answered 409 or 503 (nais/azurerator #448, azure-cli #23081),
POSTs answered 5xx after they took effect, fresh secrets refused for seconds to minutes (microsoft-graph-docs #17966).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum
from random import Random
from typing import Any


class Route(StrEnum):
    """What was asked for; faults and delays are set per route."""

    TOKEN = "token"
    METADATA = "metadata"
    KEYS = "keys"
    MANAGED_IDENTITY = "managed_identity"
    READ_APPLICATION = "read_application"
    ADD_PASSWORD = "add_password"
    REMOVE_PASSWORD = "remove_password"
    ADD_KEY = "add_key"
    REMOVE_KEY = "remove_key"
    UPDATE_APPLICATION = "update_application"
    FEDERATED = "federated"
    OWNERS = "owners"
    PRINCIPAL = "principal"
    POLICY = "policy"
    SIGN_INS = "sign_ins"
    VENDOR_TOKEN = "vendor_token"
    CONSOLE_CREATE = "console_create"
    CONSOLE_LIST = "console_list"
    CONSOLE_REMOVE = "console_remove"


class Answer(StrEnum):
    """What goes over the wire instead of the truth."""

    ERROR = "error"  # `status`, in the words of that API
    THROTTLE = "throttle"  # 429 with `retry_after`
    DROP = "drop"  # the connection dies
    HANG = "hang"  # nothing, until the caller gives up
    SLOW = "slow"  # headers, then a byte now and then
    HTML = "html"
    REDIRECT = "redirect"  # `status`, to the thief
    GZIP_BOMB = "gzip_bomb"
    HUGE = "huge"
    DEEP_JSON = "deep_json"
    CONTROL_CHARACTERS = "control_characters"
    ERROR_IN_200 = "error_in_200"
    EMPTY = "empty"  # 200 without a body
    CUT = "cut"  # the true answer, cut in the middle
    DUPLICATE_KEYS = "duplicate_keys"
    NO_VALUE = "no_value"  # the true answer without secretText, access_token
    BAD_SIGNATURE = "bad_signature"  # the true answer, its token's signature broken


class Effect(StrEnum):
    """Whether the request took effect all the same."""

    NONE = "none"
    DONE = "done"
    LATE = "late"  # a ghost: only after `ghost_delay`


@dataclass(frozen=True, slots=True)
class Fault:
    """One bad answer. retry_after: the header's literal text, or a timedelta to be sent as an HTTP date. code: the
    API's own error code where it must be a certain one."""

    answer: Answer
    effect: Effect = Effect.NONE
    status: int = 503
    retry_after: str | timedelta | None = None
    code: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return _to_json(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Fault:
        """Undo `to_json`."""
        return cls(
            answer=Answer(value["answer"]),
            effect=Effect(value.get("effect", Effect.NONE)),
            status=int(value.get("status", 503)),
            retry_after=_duration_or_text(value.get("retry_after")),
            code=value.get("code"),
        )


def throttle(retry_after: str | timedelta | None = "1") -> Fault:
    """Return a 429. "30", "-1", "99999999", a timedelta for the date form, or None for no header."""
    return Fault(Answer.THROTTLE, status=429, retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class Weather:
    """The issuers' behaviour. All durations are real time; rates are probabilities per request.

    fresh_lag: each token replica learns of a new secret after its own share of this. linger: at `linger_rate`, one
    replica goes on taking a removed secret for up to this. stale_list: reads show the state of up to this long ago.
    page_size: 0 means unlimited. write_time: how long a write holds its application; a second one meanwhile gets 409.
    skew: how far the issuers' clock is ahead. strange_json: unknown fields and shuffled keys. echo: error texts repeat
    what was submitted, with control characters.
    """

    replicas: int = 1
    fresh_lag: timedelta = timedelta(0)
    linger: timedelta = timedelta(0)
    linger_rate: float = 0.0
    stale_list: timedelta = timedelta(0)
    page_size: int = 0
    shuffled: bool = False
    strange_json: bool = False
    echo: bool = False
    latency: timedelta = timedelta(0)
    slow_routes: tuple[tuple[Route, timedelta], ...] = ()
    write_time: timedelta = timedelta(milliseconds=20)
    ghost_delay: timedelta = timedelta(seconds=1)
    skew: timedelta = timedelta(0)
    faults: tuple[tuple[float, Fault], ...] = ()

    @classmethod
    def calm(cls) -> Weather:
        """Return issuers on a good day: what the demo shows."""
        return cls()

    @classmethod
    def nasty(cls, *, scale: float = 1.0) -> Weather:
        """Return issuers at their worst. scale: multiplies every duration, so that a test need not wait a minute."""
        return cls(
            replicas=3,
            fresh_lag=timedelta(seconds=60) * scale,
            linger=timedelta(minutes=65) * scale,
            linger_rate=0.05,
            stale_list=timedelta(seconds=10) * scale,
            page_size=1,
            shuffled=True,
            strange_json=True,
            echo=True,
            latency=timedelta(milliseconds=200) * scale,
            write_time=timedelta(seconds=1) * scale,
            ghost_delay=timedelta(seconds=30) * scale,
            faults=tuple(_nasty_faults(scale)),
        )

    def but(self, **changes: Any) -> Weather:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        value = _to_json(self)
        value["slow_routes"] = [[route, {"seconds": delay.total_seconds()}] for route, delay in self.slow_routes]
        value["faults"] = [[rate, fault.to_json()] for rate, fault in self.faults]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Weather:
        """Undo `to_json`; TypeError for an unknown field."""
        plain = {name: _duration_or_text(item) for name, item in value.items()}
        plain["slow_routes"] = tuple((Route(r), timedelta(**d)) for r, d in value.get("slow_routes", ()))
        plain["faults"] = tuple((rate, Fault.from_json(fault)) for rate, fault in value.get("faults", ()))
        return cls(**plain)


class Sky:
    """The dice. Each draw depends on the seed, the route, the subject and how often that pair was asked before: what
    one credential gets does not depend on what others do at the same time. Safe to use from several threads."""

    def __init__(self, weather: Weather, seed: str) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._weather = weather
        self._asked: Counter[tuple[str, str]] = Counter()
        self._queued: list[tuple[Route, str | None, Fault]] = []

    @property
    def weather(self) -> Weather:
        """The present weather."""
        return self._weather

    def change(self, weather: Weather) -> None:
        """Let the weather change from the next request on."""
        self._weather = weather

    def fail_next(self, route: Route, fault: Fault, *, times: int = 1, app_id: str | None = None) -> None:
        """Give the next `times` requests on `route` (for one application) this fault, before any dice are thrown."""
        with self._lock:
            self._queued.extend([(route, app_id, fault)] * times)

    def clear(self) -> None:
        """Forget the faults that `fail_next` queued and nobody met."""
        with self._lock:
            self._queued.clear()

    def dice(self, purpose: str, subject: str) -> Random:
        """Return fresh dice for the next event of this purpose and subject."""
        with self._lock:
            turn = self._asked[purpose, subject]
            self._asked[purpose, subject] += 1
        return Random(f"{self._seed}:{purpose}:{subject}:{turn}")

    def fault(self, route: Route, subject: str) -> Fault | None:
        """Return what goes wrong with this request, if anything."""
        roll = self.dice(f"fault:{route}", subject).random()
        with self._lock:
            for index, (wanted, app_id, fault) in enumerate(self._queued):
                if wanted == route and app_id in (None, subject):
                    del self._queued[index]
                    return fault
        for rate, fault in self._weather.faults:
            if roll < rate:
                return fault
            roll -= rate
        return None

    def delay(self, route: Route, subject: str) -> timedelta:
        """Return how long this request takes before anything happens."""
        fixed = dict(self._weather.slow_routes).get(route)
        if fixed is not None:
            return fixed
        if not self._weather.shuffled:
            return self._weather.latency
        return self._weather.latency * self.dice(f"delay:{route}", subject).random()


def _nasty_faults(scale: float) -> Iterable[tuple[float, Fault]]:
    pause = timedelta(seconds=10) * scale
    for retry_after in (f"{pause.total_seconds():.0f}", pause, None, "-5", "soon"):
        yield 0.01, throttle(retry_after)
    yield 0.0125, Fault(Answer.ERROR, Effect.NONE, 409)
    yield 0.0125, Fault(Answer.ERROR, Effect.NONE, 503)
    yield 0.0125, Fault(Answer.ERROR, Effect.DONE, 503)
    yield 0.0125, Fault(Answer.ERROR, Effect.DONE, 504)
    yield 0.015, Fault(Answer.DROP, Effect.NONE)
    yield 0.03, Fault(Answer.DROP, Effect.DONE)
    yield 0.02, Fault(Answer.ERROR, Effect.LATE, 504)
    yield 0.005, Fault(Answer.HTML, Effect.NONE, 502)
    yield 0.005, Fault(Answer.HTML, Effect.DONE, 502)
    for answer in (Answer.CUT, Answer.EMPTY, Answer.NO_VALUE, Answer.DUPLICATE_KEYS, Answer.CONTROL_CHARACTERS):
        yield 0.01, Fault(answer, Effect.DONE)
    for answer in (Answer.REDIRECT, Answer.GZIP_BOMB, Answer.DEEP_JSON, Answer.SLOW, Answer.ERROR_IN_200):
        yield 0.01, Fault(answer, Effect.NONE, 307)


def _to_json(value: Any) -> dict[str, Any]:
    return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}


def _plain(value: Any) -> Any:
    return {"seconds": value.total_seconds()} if isinstance(value, timedelta) else value


def _duration_or_text(value: Any) -> Any:
    return timedelta(**value) if isinstance(value, dict) else value

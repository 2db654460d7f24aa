"""Keeps the libraries' own words off standard error, and gives the service a voice there: one line for each event.

What rotator has to say it says itself. Libraries log warnings with the answers that caused them, and such an answer may
quote what was sent. Where nobody has set up logging, Python prints warnings to standard error (docs.python.org,
`logging.lastResort`); whoever has set it up, such as a test, keeps what he has.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, Final, Protocol, TextIO

from rotator.clock import Clock


def keep_libraries_quiet() -> None:
    """Give log records and Python's warnings somewhere to go that is not standard error. May be called again."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())
    logging.captureWarnings(capture=True)


class Speaker(Protocol):
    """Says events, with facts."""

    def info(self, event: str, **facts: Any) -> object:
        """Say what happened."""

    def warning(self, event: str, **facts: Any) -> object:
        """Say what somebody should look at."""

    def error(self, event: str, **facts: Any) -> object:
        """Say what somebody must act on."""


def speaker(stream: TextIO, clock: Clock, *, plain: bool) -> Speaker:
    """Return a voice on a stream. plain: words for a person at a terminal, else one JSON object a line."""
    import structlog

    def begun(_logger: object, level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        time, name = f"{clock.now():%Y-%m-%dT%H:%M:%S}Z", event.pop("event")
        return {"time": time, "level": level, "event": name, **event}

    shown = _plain if plain else structlog.processors.JSONRenderer(ensure_ascii=True)
    made: Speaker = structlog.wrap_logger(structlog.PrintLogger(stream), processors=[begun, shown])
    return made


_FOR_A_PERSON: Final = ("credential", "outcome", "reason", "detail", "message", "hint")


def _plain(_logger: object, _level: str, event: MutableMapping[str, Any]) -> str:
    """Return a line for a person: the hour, what happened to whom, and what to do; not what is only intended."""
    import structlog

    if event.get("outcome") == "intended":
        raise structlog.DropEvent
    said = (str(event[key]) for key in _FOR_A_PERSON if event.get(key))
    line = "  ".join((str(event["time"])[11:19], f"{event['event']:<17}", *said))
    return "".join(one if one.isprintable() else " " for one in line)

"""The sections under `notifications` and `hooks`: who is told of which events. Nothing here tells anybody."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Tag

from rotator.app.config.parts import First, Parsed, PositiveDuration, Program, SecretRef, Section, WebUrl, later, tagged
from rotator.app.config.values import Wrong
from rotator.event import EventName


def _events(found: object) -> tuple[str, ...]:
    known = [one.value for one in EventName]
    if not isinstance(found, list) or not found:
        raise Wrong("must be a list of events, such as [rotation.parked]", f"Allowed: {', '.join(known)}.")
    for one in found:
        if one not in known:
            raise Wrong("names what is no event", f"Allowed: {', '.join(known)}.")
        if str(one).startswith("notification."):
            raise Wrong("must not name notification.sent or notification.failed: of these nobody is told")
    return tuple(found)


Events = Annotated[
    tuple[str, ...],
    Parsed(_events, {"type": "array", "items": {"enum": [one.value for one in EventName]}, "minItems": 1}),
]


class WebhookReceiver(Section):
    """A web server that is told of events."""

    kind: Literal["webhook"]
    """What is told."""
    url: WebUrl
    """Where the events are posted to."""
    format: Annotated[Literal["cloudevents"], later("slack", "teams")] = "cloudevents"
    """The form of an event."""
    secret: SecretRef | None = None
    """Signs each event: the bytes as they are, or `whsec_` and base64."""
    events: Events
    """Which events."""

    @property
    def named(self) -> str:
        """Return how it is called, without what may be secret in a URL."""
        return f"webhook {self.url.partition('?')[0]}"


class CommandReceiver(Section):
    """A command that is run for each event."""

    kind: Literal["exec"]
    """What is run."""
    command: Program
    """Program, by its absolute path, and arguments; no shell."""
    events: Events
    """Which events."""
    timeout: PositiveDuration = timedelta(seconds=30)
    """After which it is killed."""

    @property
    def named(self) -> str:
        """Return how it is called."""
        return f"exec {self.command[0]}"


def _not_yet(found: Any) -> Any:
    if isinstance(found, dict) and found.get("kind") == "email":
        raise Wrong("kind `email` comes with a later release")
    return found


Receiver = WebhookReceiver | CommandReceiver
"""Who is told."""

SomeReceiver = Annotated[
    Annotated[Annotated[WebhookReceiver, Tag("@webhook")] | Annotated[CommandReceiver, Tag("@exec")], tagged("kind")],
    First(_not_yet),
]

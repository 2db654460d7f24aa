"""A provider for Acme, which keeps the secrets of each client in a file. Replace the file by your vendor's API."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rotator.errors import Denied, NoFreeSlot, Refused
from rotator.finding import Finding, Severity
from rotator.model import Procedure
from rotator.plugin import Fault, Making
from rotator.ports import Issued, Listed, Listing, Retired
from rotator.secret import Fields, Secret


class AcmeProvider:
    """One Acme. An application is `client_id` of the credential; its versions lie in `<folder>/<client>.json`."""

    procedure = Procedure.OVERLAP

    def __init__(self, making: Making) -> None:
        self._folder = Path(str(making.settings["folder"]))
        self._token: Callable[[], Secret] = making.secret(str(making.settings["token"]))
        self._clock = making.clock
        self._lock = threading.Lock()  # writes to one client never overlap
        self.slots: int | None = making.settings.get("slots")

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Make a version. A call that may have done something without an answer raises OutcomeUnknown instead."""
        now = self._clock.now()
        made = {"id": secrets.token_hex(8), "label": tag, "value": secrets.token_urlsafe(32)}
        times = {"made": now.isoformat(), "ends": (now + lifetime).isoformat()}
        with self._lock:
            held = self._read(application)
            if self.slots is not None and len(held) >= self.slots:
                raise NoFreeSlot(f"{application} has {len(held)} secrets.", hint="Remove one that nobody uses.")
            self._write(application, [*held, {**made, **times}])
        version = Listed(made["id"], tag, now, now + lifetime)
        return Issued(version, application, Fields({"client_secret": Secret(made["value"])}), now)

    def list(self, application: str) -> Listing:
        """Return all versions, those of others too."""
        held = self._read(application)
        free = None if self.slots is None else max(0, self.slots - len(held))
        return Listing(tuple(_listed(one) for one in held), self._clock.now(), free)

    def retire(self, application: str, key_id: str) -> Retired:
        """Remove one version."""
        with self._lock:
            held = self._read(application)
            left = [one for one in held if one["id"] != key_id]
            if len(left) == len(held):
                return Retired.ALREADY_GONE
            self._write(application, left)
        return Retired.DONE

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Look whether a rotation would be permitted, and change nothing."""
        return [Finding(subject, "provider", Severity.OK, f"Acme knows {len(self._read(application))} secrets of it")]

    def close(self) -> None:
        """Let go of nothing."""

    def _read(self, application: str) -> list[dict[str, Any]]:
        if self._token().looks_masked():
            raise Denied("Acme refused our token.", hint="Look at `token` of the provider.")
        try:
            found: list[dict[str, Any]] = json.loads((self._folder / f"{application}.json").read_text("utf-8"))
        except FileNotFoundError:
            raise Refused(
                f"Acme has no client {application}.",
                hint="Look at `client_id` of the credential.",
                code="application_not_found",
            ) from None
        return found

    def _write(self, application: str, held: list[dict[str, Any]]) -> None:
        file = self._folder / f"{application}.json"
        new = file.with_suffix(".new")
        new.write_text(json.dumps(held), "utf-8")
        new.replace(file)


def _listed(one: Mapping[str, str]) -> Listed:
    return Listed(one["id"], one["label"], datetime.fromisoformat(one["made"]), datetime.fromisoformat(one["ends"]))


def provider(making: Making) -> AcmeProvider:
    """Return the provider that one section of the configuration describes."""
    return AcmeProvider(making)


def _faults(settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with a section, when the configuration is loaded."""
    for key in ("folder", "token"):
        if not isinstance(settings.get(key), str):
            yield Fault((), f"`{key}` is missing", "Say where Acme is and what to log in with: folder, token.")
    for key in settings.keys() - {"folder", "token", "slots"}:
        yield Fault((key,), "is not a setting of acme", "Allowed: folder, token, slots.")


provider.faults = _faults  # type: ignore[attr-defined]

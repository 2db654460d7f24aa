"""An issuer in memory with a single slot per application: what is put there ends what was there. Contacts nobody.

It is a `Provider` that lists nothing of use and the `Slot` beside it; the truth, the fates and the person with a
console are those of `MemoryIssuer`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rotator.clock import Clock
from rotator.errors import Refused
from rotator.finding import Finding, Severity
from rotator.model import Act
from rotator.ports import Issued, Listed, Listing
from rotator.secret import Fields, Secret
from rotator.testing.providers import Fate
from tests.fakes.memory_issuer import OURS, PORTAL, Held, MemoryApplication, MemoryIssuer, _unknown


class MemorySlot(MemoryIssuer):
    """names_keys False: versions have no id of the issuer's. asked: when it was told to change its slot."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.names_keys = True
        self.asked: list[datetime] = []
        self._late: list[tuple[datetime, str, Secret | None, timedelta, str]] = []

    def list(self, application: str) -> Listing:
        """Return nothing: there is one slot, and no list."""
        self._app(application)
        return Listing((), self._date())

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Find nothing wrong."""
        return [Finding(subject, "slot", Severity.OK, "one slot in memory")]

    # --------------------------------------------------------------------------------------------------- the slot

    def choose(self) -> Secret:
        """Return a random value."""
        return Secret(f"mem~{secrets.token_urlsafe(27)}")

    def set(self, application: str, tag: str, value: Secret, lifetime: timedelta) -> Issued:
        """Put a value there; the same one again changes nothing."""
        return self._change(application, tag, value, lifetime)

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Put a new value there."""
        self.asked.append(self.now())
        return self._change(application, tag, None, lifetime)

    def read(self, application: str) -> Issued:
        """Return what is there."""
        with self._lock:
            self._haunt()
            app = self.applications[application]
            held = next((one for one in app.versions if one.removed_at is None), None)
            if held is None:
                raise Refused("Nothing is there.", hint="Make one.", code="unreadable")
            return self._issued(held, app)

    # ------------------------------------------------------------------------------------------------------ inside

    def _change(self, application: str, tag: str, value: Secret | None, lifetime: timedelta) -> Issued:
        with self._lock:
            app, fate = self._app(application), self._fate(Act.CREATE)
            if fate is Fate.NEVER:
                raise _unknown("change")
            if fate is Fate.LATE:
                self._late.append((self.now() + self.ghost_delay, application, value, lifetime, tag))
                raise _unknown("change")
            held = self._put(app, tag, value, lifetime)
            if fate is Fate.LOST:
                raise _unknown("change")
            return self._issued(held, app)

    def _put(self, app: MemoryApplication, tag: str | None, value: Secret | None, lifetime: timedelta) -> Held:
        before = next((one for one in app.versions if one.removed_at is None), None)
        if before is not None and before.value == value:
            return before
        if before is not None:
            before.removed_at = self.now()
        held = self._add(app, tag, lifetime, OURS)
        held.value = held.value if value is None else value
        return held

    def foreign(
        self, name: str, *, tag: str | None = "made in the console", lifetime: timedelta = timedelta(days=180)
    ) -> Held:
        """Let somebody else replace what is there."""
        app = self.applications[name]
        held = self._put(app, tag, None, lifetime)
        self.mutations[-1] = replace(self.mutations[-1], by=PORTAL)
        return held

    def _haunt(self) -> None:
        super()._haunt()
        due = [one for one in self._late if one[0] <= self.now()]
        self._late = [one for one in self._late if one[0] > self.now()]
        for _, name, value, lifetime, tag in due:
            self._put(self.applications[name], tag, value, lifetime)

    def _issued(self, held: Held, app: MemoryApplication) -> Issued:
        key_id = held.key_id if self.names_keys else ""
        listed = Listed(key_id, held.tag, held.created_at, held.expires_at)
        return Issued(listed, app.client_id, Fields({"client_secret": held.value}), self._date())

"""Changes the only version of an application at a vendor that is described: sets, regenerates, reads. Lists nothing.

There is nothing to list, to retire or to find by a label where a new value ends the old one; what became of a change
without an answer is found out by the procedure (`rotator.chosen`, `rotator.single_slot`).
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from rotator.clock import Clock
from rotator.errors import Refused, RotatorError
from rotator.finding import Finding, Severity
from rotator.model import Procedure
from rotator.ports import Issued, Listing, Retired
from rotator.providers.described_asking import Asking, given
from rotator.providers.described_errors import Doing
from rotator.providers.described_settings import Create, SingleSlot
from rotator.providers.described_wire import Wire
from rotator.secret import Secret
from rotator.wire.vocabulary import Alphabet

_SET: Final = Doing("set a value", writes=True)
_REGENERATE: Final = Doing("regenerate the value", writes=True)
_READ: Final = Doing("read the value")

_ALPHABETS: Final = {
    Alphabet.BASE64URL: string.ascii_letters + string.digits + "-_",
    Alphabet.ALPHANUMERIC: string.ascii_letters + string.digits,
    Alphabet.HEX: "0123456789abcdef",
}

_WHAT_FOLLOWS: Final = {
    Procedure.CHOSEN: "one slot, and we choose its value: the procedure is chosen",
    Procedure.READ_BACK: "one slot, which can be read again: the procedure is read-back",
    Procedure.BLIND: "one slot, shown once: the procedure is blind, only with policy.accept_gap",
}


class DescribedSlot(Asking):
    """A `Provider` and the `Slot` beside it, for one vendor with a single slot per application."""

    def __init__(self, description: SingleSlot, clock: Clock, wire: Wire | None = None) -> None:
        """Prepare. wire: how requests are sent; None: over TLS."""
        super().__init__(description, clock, wire)
        self._single = description
        self.procedure = description.procedure

    # ------------------------------------------------------------------------------------------------------- the slot

    def choose(self) -> Secret:
        """Return a fresh random value, as long and of such characters as the description says."""
        alphabet = _ALPHABETS[self._single.alphabet]
        return Secret("".join(secrets.choice(alphabet) for _ in range(self._single.length)))

    def set(self, application: str, tag: str, value: Secret, lifetime: timedelta) -> Issued:
        """Replace the value by ours. Repeatable with the same value."""
        how = self._changed_by(Procedure.CHOSEN)
        values = {**given(application), **self._asked_for(tag, lifetime), "value": value.reveal()}
        with self._one_at_a_time(application):
            reply = self._asked(how.call, values, _SET)
        return self._issued(how, reply, tag, _SET, value)

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Have the vendor replace the value by one of its own. Never sent twice."""
        how = self._changed_by(Procedure.READ_BACK, Procedure.BLIND)
        values = {**given(application), **self._asked_for(tag, lifetime)}
        with self._one_at_a_time(application):
            reply = self._asked(how.call, values, _REGENERATE)
        return self._issued(how, reply, tag, _REGENERATE)

    def read(self, application: str) -> Issued:
        """Return the value that is there. Raises Refused, with code `unreadable` when none could be used."""
        how = self._single.read
        if how is None:
            raise Refused(f"{self._said.name} shows a value only once.", hint="Describe `read` if it has that.")
        return self._issued(how, self._asked(how.call, given(application), _READ), None, _READ)

    # ----------------------------------------------------------------------------------------------------- the provider

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Refuse: there is no second version."""
        raise self._no_second("another version cannot be made beside the one in use")

    def list(self, application: str) -> Listing:
        """Return that nothing is listed."""
        return Listing((), None)

    def retire(self, application: str, key_id: str) -> Retired:
        """Refuse: only another value ends the one in use."""
        raise self._no_second("the one in use cannot be removed, only replaced")

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Read the value where that is described, and say which procedure follows. Repeatable."""
        return list(self._looked_at(application, subject))

    def _looked_at(self, application: str, subject: str) -> Iterator[Finding]:
        yield Finding(self._said.name, "procedure", Severity.OK, _WHAT_FOLLOWS[self.procedure])
        if self._single.read is None:
            message = "nothing is described that only reads, so login and right are first tried by a rotation"
            yield Finding(subject, "provider", Severity.SKIP, message)
            return
        try:
            found = self.read(application)
        except RotatorError as error:
            yield Finding(subject, "provider", Severity.FAIL, error.message, error.hint, error.exit_status)
            return
        yield Finding(subject, "versions", Severity.OK, "the value in use can be read")
        yield from self._clock_finding(found.issuer_now)

    def _changed_by(self, *procedures: Procedure) -> Create:
        """Return the operation that changes the slot, unless the description has become one of another procedure."""
        if self.procedure not in procedures:
            raise Refused(
                f"{self._said.name} is described for the procedure {self.procedure} now, and this rotation began with "
                f"{' or '.join(procedures)}.",
                hint="It is given up; the next one follows the description.",
                code="procedure_changed",
            )
        return self._single.change

    def _no_second(self, why: str) -> Refused:
        return Refused(f"{self._said.name} has a single slot: {why}.", hint="Rotate it.", code="single_slot")

"""Issues client secrets through Keycloak's admin API, which shows them again when asked. Never repeats a POST.

Without the realm policy `secret-rotation` a client has one secret, and a new one ends it. With that policy (a preview
feature of Keycloak 26) the one before lives on for a while as the *rotated* secret; a second POST meanwhile would end
what consumers use, so none is made. Keycloak knows no ids and no labels: a secret is known by the second in which it
was made, and what one took the place of is written into an attribute of the client, `rotator.replaced`; without that a
rotated secret is left to its end, unless it is what consumers have read.

Source: keycloak.org/docs/latest/server_admin (client secret rotation) and keycloak.org/docs-api; what is not written
there was tried with Keycloak 26.7, as the tests do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rotator.clock import Clock
from rotator.errors import Denied, NoFreeSlot, OutcomeUnknown, Refused, RotatorError, Transient
from rotator.finding import Finding, Severity
from rotator.model import Procedure
from rotator.ports import Issued, Listed, Listing, Retired
from rotator.providers.described_asking import UNREADABLE, Asking
from rotator.providers.described_errors import Doing, bad_answer
from rotator.providers.described_settings import Call, Vendor
from rotator.providers.described_wire import Wire
from rotator.secret import Fields, Secret
from rotator.timing import spell_moment
from rotator.wire.exchange import Reply

_READ: Final = Doing("read the client")
_POLICIES: Final = Doing("read the client policies")
_CREATE: Final = Doing("regenerate the client secret", writes=True)
_RETIRE: Final = Doing("end a client secret", writes=True)
_NOTE: Final = Doing("note what a secret took the place of", writes=True)

_CLIENT: Final = "/admin/realms/{realm}/clients"
_OK: Final = frozenset({200, 204})
_FIND: Final = Call(method="GET", path=_CLIENT + "?clientId={client}", expect=_OK)
_RENEW: Final = Call(method="POST", path=_CLIENT + "/{uuid}/client-secret", expect=_OK)
_CHANGE: Final = Call(method="PUT", path=_CLIENT + "/{uuid}", expect=_OK)
_DROP: Final = Call(method="DELETE", path=_CLIENT + "/{uuid}/client-secret/rotated", expect=_OK)
_LIST_POLICIES: Final = Call(method="GET", path="/admin/realms/{realm}/client-policies/policies", expect=_OK)
_LIST_PROFILES: Final = Call(method="GET", path="/admin/realms/{realm}/client-policies/profiles", expect=_OK)

_CREATED, _EXPIRES = "client.secret.creation.time", "client.secret.expiration.time"
_ROTATED, _ROTATED_EXPIRES = "client.secret.rotated", "client.secret.rotated.expiration.time"
_ROTATED_CREATED = "client.secret.rotated.creation.time"
_REPLACED: Final = "rotator.replaced"


@dataclass(frozen=True, slots=True)
class _Client:
    """A client as Keycloak has it. value: None when it is not shown. Times in seconds since 1970; 0: none is named."""

    uuid: str
    value: Secret | None
    rotated: Secret | None
    attributes: Mapping[str, str]
    enabled: bool
    reply: Reply

    def time(self, name: str) -> int:
        """Return what an attribute says, in seconds since 1970; 0 when it says nothing."""
        text = self.attributes.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0

    def moment(self, name: str) -> datetime | None:
        """Return the time that an attribute names."""
        seconds = self.time(name)
        return datetime.fromtimestamp(seconds, UTC) if seconds else None

    @property
    def key_id(self) -> str:
        """Return by what the secret in use is known."""
        return _key_id(self.time(_CREATED))

    @property
    def replaced(self) -> tuple[int, int] | None:
        """Return when the rotated secret was made and when it would have ended, zeros where no time was named.

        None when it is not what the last secret of ours took the place of: somebody else has made one since.
        """
        words = self.attributes.get(_REPLACED, "").split()
        known = len(words) == 3 and all(word.isascii() and word.isdigit() and len(word) < 12 for word in words)
        of, made, ends = (int(word) for word in words) if known else (0, 0, 0)
        return (made, ends) if of and of == self.time(_CREATED) else None

    def rotated_lives(self, now: datetime) -> bool:
        """Say whether the one before is valid still; that it is shown does not mean it is."""
        ends = self.moment(_ROTATED_EXPIRES)
        return self.rotated is not None and ends is not None and ends > now


class KeycloakProvider(Asking):
    """A `Provider` and the `Slot` beside it, for one realm. An application is the `clientId` of a client."""

    procedure = Procedure.READ_BACK

    def __init__(self, vendor: Vendor, realm: str, clock: Clock, wire: Wire | None = None) -> None:
        """Prepare. wire: how requests are sent; None: over TLS."""
        super().__init__(vendor, clock, wire)
        self._realm = realm
        self._shown: Callable[[str, str], Secret | None] = lambda *_: None

    def compare_with(self, shown: Callable[[str, str], Secret | None]) -> None:
        """Take who knows what consumers read: a rotated secret that a person made room for is known by its value."""
        self._shown = shown

    # ------------------------------------------------------------------------------------------------------- the port

    def list(self, application: str) -> Listing:
        """Return the secret in use, and whether another may be made. Repeatable."""
        client = self._client(application)
        if not self._keeps_two(client):
            return Listing((), client.reply.date, None, Procedure.READ_BACK)
        listed = Listed(client.key_id, None, client.moment(_CREATED), client.moment(_EXPIRES))
        full = client.rotated_lives(self._clock.now())
        until = client.moment(_ROTATED_EXPIRES) if full else None
        return Listing((listed,), client.reply.date, 0 if full else 1, Procedure.OVERLAP, until)

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Make another secret beside the one in use, which lives on as the rotated one.

        Raises NoFreeSlot while a rotated one lives: it would end at once.
        """
        with self._one_at_a_time(application):
            before = self._replaceable(application)
            if not before.enabled:  # what is made could not be proved, and would be taken back
                raise Refused(f"The client {application} is disabled.", hint=_ENABLE, code="client_disabled")
            if before.time(_CREATED) >= int(self._clock.now().timestamp()):
                self._clock.wait(_ONE_SECOND)  # by which secrets are told apart
            reply = self._asked(_RENEW, self._places(before), _CREATE)
            value = self._value(reply)
            return self._made(application, before, value, reply, tag)

    def retire(self, application: str, key_id: str) -> Retired:
        """End the rotated secret; or the one in use, if it was made by `create` just now, by putting the former back.

        One that ended before another took its place as the rotated one is gone, and that other is left alone. Raises
        Transient for a rotated secret of which nobody knows whose it is: it ends by itself.
        """
        with self._one_at_a_time(application):
            client = self._client(application)
            if key_id == client.key_id:
                return self._put_back(application, client)
            if not client.rotated_lives(self._clock.now()):
                return Retired.ALREADY_GONE
            replaced = client.replaced
            if replaced is None and client.rotated != self._shown(application, key_id):
                raise Transient(
                    f"The rotated secret of {application} is not what ours replaced, and may be what consumers use.",
                    hint="It is left to its end, which the realm's policy sets.",
                    code="left_to_its_end",
                )
            if replaced is not None and key_id.startswith(_MADE) and key_id != _key_id(replaced[0]):
                return Retired.ALREADY_GONE
            self._asked(_DROP, self._places(client), _RETIRE)
            return Retired.DONE

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Read the client, which needs login and right, and say which procedure follows. Repeatable."""
        return list(self._looked_at(application, subject))

    # ------------------------------------------------------------------------------------------------------- the slot

    def choose(self) -> Secret:
        """Refuse: Keycloak makes the value."""
        raise _not_ours()

    def set(self, application: str, tag: str, value: Secret, lifetime: timedelta) -> Issued:
        """Refuse: Keycloak makes the value."""
        raise _not_ours()

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Have Keycloak replace the secret. Never sent twice. Nothing is asked between its answer and the return.

        Raises NoFreeSlot as `create` does.
        """
        with self._one_at_a_time(application):
            client = self._replaceable(application)
            reply = self._asked(_RENEW, self._places(client), _CREATE)
        version = Listed("", tag, self._clock.now(), None)
        return Issued(version, "", Fields({"client_secret": self._value(reply)}), reply.date)

    def read(self, application: str) -> Issued:
        """Return the secret in use. Raises Refused with code `unreadable` when it is not shown."""
        client = self._client(application)
        if client.value is None or client.value.looks_masked():
            raise Refused(f"Keycloak does not show the secret of {application}.", hint=_RIGHT, code=UNREADABLE)
        key_id = client.key_id if self._keeps_two(client) else ""
        listed = Listed(key_id, None, client.moment(_CREATED), client.moment(_EXPIRES))
        return Issued(listed, "", Fields({"client_secret": client.value}), client.reply.date)

    # --------------------------------------------------------------------------------------------------------- inside

    def _places(self, client: _Client | None = None, application: str = "") -> dict[str, str]:
        return {"realm": self._realm, "client": application, "uuid": client.uuid if client is not None else ""}

    def _asked(
        self, call: Call, values: Mapping[str, str], doing: Doing, *, gone: bool = False, raw: Any = None
    ) -> Reply:
        """Make one request; once more with a fresh login when that had ended: then nothing was done."""
        try:
            return super()._asked(call, values, doing, gone=gone, raw=raw)
        except Denied as refused:
            if refused.code != "login_refused":
                raise
        self._wire.forget()
        return super()._asked(call, values, doing, gone=gone, raw=raw)

    def _client(self, application: str) -> _Client:
        reply = self._asked(_FIND, self._places(application=application), _READ)
        found = self._body(reply, _READ)
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise bad_answer(self._said, _READ, reply, "it is no list of clients")
        one = next((one for one in found if one.get("clientId") == application), None)
        if one is None:
            hint = "Look at `client` of the credential: it is the clientId, not the id."
            raise Refused(f"{self._said.name} has no client {application}.", hint=hint, code="application_not_found")
        if one.get("publicClient") or not isinstance(one.get("id"), str):
            hint = "Turn on `Client authentication` with `Client Id and Secret`."
            raise Refused(f"The client {application} has no secret: it is public.", hint=hint, code="public_client")
        said = one.get("attributes")
        attributes = {str(name): str(text) for name, text in said.items()} if isinstance(said, dict) else {}
        value, rotated = one.get("secret"), attributes.get(_ROTATED)
        return _Client(
            one["id"],
            Secret(value) if isinstance(value, str) else None,
            Secret(rotated) if rotated else None,
            {name: text for name, text in attributes.items() if name != _ROTATED},
            one.get("enabled") is not False,
            reply,
        )

    def _replaceable(self, application: str) -> _Client:
        """Return the client if a new secret would end no other than the one in use. Raises NoFreeSlot when it would."""
        client = self._client(application)
        if client.rotated_lives(self._clock.now()):
            ends = client.moment(_ROTATED_EXPIRES)
            until = f" until {spell_moment(ends)}" if ends is not None else ""
            raise NoFreeSlot(
                f"The rotated secret of {application} lives{until}; another one would end it at once.",
                hint="It is made when that one has ended.",
                until=ends,
            )
        return client

    def _value(self, reply: Reply) -> Secret:
        body = self._body(reply, _CREATE)
        value = body.get("value") if isinstance(body, dict) else None
        secret = Secret(value) if isinstance(value, str) else None
        if secret is None or secret.looks_masked():
            message = f"{self._said.name} answered without a value that could be used."
            raise OutcomeUnknown(message, hint=_READ_NEXT)
        return secret

    def _made(self, application: str, before: _Client, value: Secret, reply: Reply, tag: str) -> Issued:
        """Return what was made, with the times that the client says, and note what it took the place of.

        Raises OutcomeUnknown when it does not say them: by its time a secret is known, and the value can be read again.
        """
        try:
            client = self._client(application)
        except RotatorError as hindered:
            message = f"{self._said.name} has a new secret of {application}, of which nothing is known yet"
            raise OutcomeUnknown(f"{message}: {hindered.message}", hint=_READ_NEXT) from None
        if client.value != value:
            message = f"{self._said.name} has another secret of {application} than it made a moment ago."
            raise OutcomeUnknown(message, hint=_READ_NEXT)
        listed = Listed(client.key_id, tag, client.moment(_CREATED), client.moment(_EXPIRES))
        note = f"{client.time(_CREATED)} {before.time(_CREATED)} {before.time(_EXPIRES)}"
        with suppress(RotatorError):  # without it the one before is left to its end
            self._asked(_CHANGE, self._places(client), _NOTE, raw=_body(client, {_REPLACED: note}))
        return Issued(listed, "", Fields({"client_secret": value}), reply.date)

    def _put_back(self, application: str, client: _Client) -> Retired:
        """Put the rotated secret in the place of the one in use, with the times that it had; that one ends with it.

        Where its own end is over it keeps the one that it has as the rotated one: Keycloak makes another secret at once
        for a client whose secret has expired.
        """
        if client.rotated is None or not client.rotated_lives(self._clock.now()):
            raise Refused(
                f"The secret of {application} cannot be taken back: the one before has ended.",
                hint="Nothing was changed. It stays what Keycloak has; have another one made.",
                code="single_slot",
            )
        made, ends = client.replaced or (0, 0)
        ends = ends if ends > self._clock.now().timestamp() else 0
        times = {
            _CREATED: str(made or client.time(_ROTATED_CREATED)),
            _EXPIRES: str(ends or client.time(_ROTATED_EXPIRES)),
            _ROTATED: "",
            _ROTATED_CREATED: "",
            _ROTATED_EXPIRES: "",
            _REPLACED: "",
        }
        body = {"secret": client.rotated.reveal(), **_body(client, times)}
        self._asked(_CHANGE, self._places(client), _RETIRE, raw=body)
        return Retired.DONE

    def _keeps_two(self, client: _Client) -> bool:
        """Say whether the one before lives on when another is made: the realm says so, else this client has shown it.

        The realm first: a client goes on to name ends after the policy was switched off, and keeps one secret only.
        """
        policy = self._policy()
        return bool(client.time(_EXPIRES)) if policy is None else policy

    def _policy(self) -> bool | None:
        """Say whether the policy is on for a client with a secret.

        None when nobody can tell: it may not be seen (that needs `view-realm`), or has conditions of other kinds.
        """
        try:
            reply = self._asked(_LIST_POLICIES, self._places(), _POLICIES)
            policies = _named(self._body(reply, _POLICIES), "policies")
            profiles = _named(self._body(self._asked(_LIST_PROFILES, self._places(), _POLICIES), _POLICIES), "profiles")
        except (Denied, Refused):
            return None
        rotating = {one.get("name") for one in profiles if any(_rotates(step) for step in _named(one, "executors"))}
        on = [one for one in policies if one.get("enabled") and set(one.get("profiles") or ()) & rotating]
        said = {_applies(one) for one in on}
        return True if True in said else None if None in said else False

    def _looked_at(self, application: str, subject: str) -> Iterator[Finding]:
        try:
            client, policy = self._client(application), self._policy()
        except RotatorError as error:
            yield Finding(subject, "provider", Severity.FAIL, error.message, error.hint, error.exit_status)
            return
        if not client.enabled:
            yield Finding(subject, "provider", Severity.FAIL, f"the client {application} is disabled", _ENABLE, 1)
        two = self._keeps_two(client)
        words = "the one before lives on: the procedure is overlap" if two else "one slot, which can be read again: "
        yield Finding(subject, "procedure", Severity.OK, words if two else f"{words}the procedure is read-back")
        if policy is None and not two:
            message = (
                "whether the policy secret-rotation holds for this client cannot be seen, nor does the client tell"
            )
            hint = "Grant rotator's client view-realm, or see to the first rotation yourself: rotator rotate --now"
            yield Finding(subject, "policy", Severity.WARN, message, hint)
        if client.value is None or client.value.looks_masked():
            yield Finding(subject, "versions", Severity.FAIL, "the secret in use is not shown", _RIGHT, 77)
        else:
            yield Finding(subject, "versions", Severity.OK, "the secret in use can be read")


_ONE_SECOND: Final = timedelta(seconds=1)
_READ_NEXT: Final = "The next run reads what there is."
_MADE: Final = "made-"
_ENABLE: Final = "Enable it in the console: until then none of its secrets gets a token."
_RIGHT: Final = "Grant rotator's client the role manage-clients of realm-management."


def _key_id(created: int) -> str:
    return f"{_MADE}{created}"


def _body(client: _Client, changed: Mapping[str, str]) -> dict[str, Any]:
    """Return a change of attributes; all are given, since a PUT replaces them, and an empty one removes it."""
    kept = {**client.attributes, **({_ROTATED: client.rotated.reveal()} if client.rotated is not None else {})}
    return {"attributes": {**kept, **changed}}


def _named(body: Any, name: str) -> list[dict[str, Any]]:
    found = body.get(name) if isinstance(body, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _rotates(step: Mapping[str, Any]) -> bool:
    return step.get("executor") == "secret-rotation"


def _applies(policy: Mapping[str, Any]) -> bool | None:
    """Say whether a policy holds for every client with a secret; None: unclear. Without conditions it does for none."""
    said = [_fits(one) for one in _named(policy, "conditions")]
    if not said or False in said:
        return False
    return None if None in said else True


def _fits(condition: Mapping[str, Any]) -> bool | None:
    how = condition.get("configuration")
    how = how if isinstance(how, dict) else {}
    if str(how.get("is-negative-logic", "")).lower() == "true":
        return None
    if condition.get("condition") == "any-client":
        return True
    kinds = how.get("type")
    known = condition.get("condition") == "client-access-type" and isinstance(kinds, list)
    return "confidential" in kinds if known and isinstance(kinds, list) else None


def _not_ours() -> Refused:
    return Refused("Keycloak makes the value of a secret.", hint="Please report this.", code="not_chosen")

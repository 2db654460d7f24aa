"""Registers a new client for each version, and deletes it again: OAuth 2.0 Dynamic Client Registration. Repeats none.

RFC 7591 gives each registration a client id of its own, so consumers switch id and secret in one write; RFC 7592 lets
whoever has the registration access token delete it. That token comes with the answer and is kept beside the staged
value, never in the state. There is no list: a registration whose answer is lost cannot be found or removed by rotator;
its `client_name` ends with our tag, so that a person finds it. Only the deletion uses the token, since a server may
change it at each use (RFC 7592 section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from rotator.clock import Clock
from rotator.errors import OutcomeUnknown, Refused, RotatorError
from rotator.finding import Finding, Severity
from rotator.model import Procedure
from rotator.ports import Issued, Listed, Listing, Retired
from rotator.providers.described_asking import UNREADABLE, Asking
from rotator.providers.described_errors import Doing, no_answer, refused
from rotator.providers.described_settings import Bearer, Call, Vendor
from rotator.providers.described_wire import Wire
from rotator.secret import Fields, Secret
from rotator.wire.exchange import Reply, Unanswered
from rotator.wire.strictly import NotJson, read_json

_REGISTER: Final = Doing("register a client", writes=True)
_DELETE: Final = Doing("delete a client", writes=True)
_UPDATE: Final = Doing("update a client", writes=True)
_READ: Final = Doing("read a client")
_GONE: Final = frozenset({200, 204})
_URI, _TOKEN = "registration_client_uri", "registration_access_token"


class RegistrationProvider(Asking):
    """A `Provider` that also keeps what its issuer gave. An application is a credential; metadata: what each sends."""

    def __init__(
        self,
        vendor: Vendor,
        path: str,
        metadata: Mapping[str, Mapping[str, Any]],
        clock: Clock,
        wire: Callable[[Vendor], Wire] | None = None,
        procedure: Procedure = Procedure.OVERLAP,
    ) -> None:
        """Prepare. path: of the registration endpoint. wire: how requests are sent; None: over TLS.

        procedure: read-back where one client is updated in place.
        """
        self.procedure = procedure
        self._connect = wire or (lambda vendor: Wire(vendor, clock))
        super().__init__(vendor, clock, self._connect(vendor))
        self._register = Call(method="POST", path=path, expect=frozenset({200, 201}))
        self._metadata = metadata
        self._kept: Callable[[str], Fields | None] = lambda _: None

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Register a client. Raises OutcomeUnknown when one may exist that nobody can use or remove."""
        said = self._said_of(application, tag)
        with self._one_at_a_time(application):
            reply = self._asked(self._register, {}, _REGISTER, raw=said)
            try:
                return self._registered(reply, _REGISTER, tag, None)
            except OutcomeUnknown as useless:
                raise self._taken_back(reply, useless) from None

    def recall(self, kept: Callable[[str], Fields | None]) -> None:
        """Take who knows what came with the last registration of an application."""
        self._kept = kept

    def list(self, application: str) -> Listing:
        """Return nothing: registrations cannot be listed."""
        return Listing((), None)

    # ------------------------------------------------------------------------------------------------------ in place

    def choose(self) -> Secret:
        """Refuse: the server makes the value."""
        raise Refused(f"{self._said.name} makes the value of a secret.", hint="Please report this.", code="not_chosen")

    def set(self, application: str, tag: str, value: Secret, lifetime: timedelta) -> Issued:
        """Refuse: the server makes the value."""
        raise Refused(f"{self._said.name} makes the value of a secret.", hint="Please report this.", code="not_chosen")

    def regenerate(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Update the registration, for which the server gives a new secret; register anew where its token is lost.

        That is so at first, and when a changed token went with a lost answer.
        """
        kept = self._kept(application)
        if kept is None:
            return self.create(application, tag, lifetime)
        said = {**self._said_of(application, tag), "client_id": kept.text("client_id")}
        with self._one_at_a_time(application):
            reply = self._managed("PUT", kept, _UPDATE, raw=said)
        if reply is None:
            return self.create(application, tag, lifetime)
        issued = self._registered(reply, _UPDATE, tag, kept)
        return replace(issued, version=replace(issued.version, key_id=""))

    def read(self, application: str) -> Issued:
        """Return the secret of the registration. Raises Refused with code `unreadable` when it is out of our hands."""
        kept = self._kept(application)
        reply = None if kept is None else self._managed("GET", kept, _READ)
        if reply is None:
            message = f"{self._said.name} does not know the token of this registration any more."
            raise Refused(message, hint="A new client is registered.", code=UNREADABLE)
        issued = self._registered(reply, _READ, "", kept)
        return replace(issued, version=replace(issued.version, key_id="", tag=None))

    # --------------------------------------------------------------------------------------------------------- inside

    def _said_of(self, application: str, tag: str) -> dict[str, Any]:
        said = dict(self._metadata.get(application, {}))
        said["client_name"] = f"{said.get('client_name', application)} ({tag})"
        said.setdefault("grant_types", ["client_credentials"])
        return said

    def _managed(self, method: str, kept: Fields, doing: Doing, raw: Any = None) -> Reply | None:
        """Ask for a registration with its own token; None when that is not known any more, or not to be shown there."""
        path, token = self._path_of(kept.text(_URI)), kept.secret(_TOKEN)
        if path is None or token is None:
            return None
        call = Call(method=method, path=path, expect=frozenset({200}))
        try:
            reply = self._connect(replace(self._said, auth=Bearer(lambda: token))).send(call, {}, raw)
        except Unanswered as failure:
            raise no_answer(self._said, doing, failure) from None
        if reply.status in (401, 404, 410):
            return None
        if reply.status not in call.expect:
            raise refused(self._said, doing, reply)
        return reply

    def _registered(self, reply: Reply, doing: Doing, tag: str, before: Fields | None) -> Issued:
        """Return what an answer says of a registration. before: what was kept of it, as far as the answer is silent."""
        body = self._body(reply, doing)
        body = body if isinstance(body, dict) else {}
        client_id, value = _text(body, "client_id"), _text(body, "client_secret")
        secret = Secret(value) if value else None
        if not client_id or secret is None or secret.looks_masked():
            message = f"{self._said.name} was asked to {doing.words}; its answer has no client id or no usable secret."
            if not doing.writes:
                raise Refused(message, hint="Look at the server.", code=UNREADABLE)
            raise OutcomeUnknown(message, hint=f"Look at the server for a client whose name ends with {tag}.")
        created = self._at(body, "client_id_issued_at") or reply.date or self._clock.now()
        version = Listed(client_id, tag, created, self._at(body, "client_secret_expires_at"))
        kept: dict[str, str | Secret] = {}
        old_uri, old_token = (None, None) if before is None else (before.text(_URI), before.secret(_TOKEN))
        uri, said = _text(body, _URI) or old_uri, _text(body, _TOKEN)
        token = Secret(said) if said else old_token
        if uri and token is not None:
            kept = {"client_id": client_id, _URI: uri, _TOKEN: token}
        values = Fields({"client_secret": secret})
        return Issued(version, client_id, values, reply.date, self._wire.request_id(reply), Fields(kept))

    def _taken_back(self, reply: Reply, useless: OutcomeUnknown) -> RotatorError:
        """Delete the client that a useless answer tells of, as far as it says how; return the error for the answer."""
        try:
            body = read_json(reply.body)
        except NotJson:
            return useless
        body = body if isinstance(body, dict) else {}
        path, token = self._path_of(_text(body, _URI)), _text(body, _TOKEN)
        if path is None or not token:
            return useless
        try:
            gone = self._deleted(path, Secret(token))
        except Unanswered:
            return useless
        if gone.status not in _GONE:
            return useless
        hint = "Look at `metadata`, and at what the server makes of it."
        return Refused(f"{useless.message} It was deleted again.", hint=hint, code="useless_client")

    # -------------------------------------------------------------------------------------------------------- the end

    def retire(self, application: str, key_id: str) -> Retired:
        """Refuse: a client is deleted only by who shows its registration access token."""
        raise Refused("A registration cannot be deleted by its client id.", hint="Delete it at the issuer.")

    def retire_with(self, application: str, key_id: str, keepsake: Fields, *, again: bool) -> Retired:
        """Delete a client. After a lost answer, a token that is not known any more says that it is gone (RFC 7592)."""
        uri, token = keepsake.text(_URI), keepsake.secret(_TOKEN)
        path = self._path_of(uri)
        if path is None or token is None:
            why = f"did not say how to delete {key_id}"
            if uri is not None and token is not None:
                why = f"says that {key_id} is to be deleted at another server, where nothing was sent"
            hint = f"Delete {key_id} at the issuer: it works until then."
            raise Refused(f"{self._said.name} {why}.", hint=hint, code="no_keepsake")
        try:
            with self._one_at_a_time(application):
                reply = self._deleted(path, token)
        except Unanswered as failure:
            raise no_answer(self._said, _DELETE, failure) from None
        if reply.status in _GONE:
            return Retired.DONE
        if reply.status in (404, 410) or (again and reply.status == 401):
            return Retired.ALREADY_GONE
        raise refused(self._said, _DELETE, reply)

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Say what follows; nothing can be asked that only reads."""
        words = "each version is a client of its own: the procedure is overlap"
        if self.procedure.single_slot:
            words = "one client, which is updated in place: the procedure is read-back"
        unread = "nothing can be read here, so login and right are first tried by a rotation"
        return [
            Finding(self._said.name, "procedure", Severity.OK, words),
            Finding(subject, "provider", Severity.SKIP, unread),
        ]

    def _deleted(self, path: str, token: Secret) -> Reply:
        connection = self._connect(replace(self._said, auth=Bearer(lambda: token)))
        return connection.send(Call(method="DELETE", path=path, expect=_GONE), {})

    def _path_of(self, uri: str | None) -> str | None:
        """Return the path of a registration; None when that is not where we registered: its token goes nowhere else."""
        try:
            found = urlsplit(uri or "")
            if _origin(found) != _origin(urlsplit(self._said.base_url)):
                return None
        except ValueError:  # no address at all
            return None
        path = f"{found.path}?{found.query}" if found.query else found.path
        return path.replace("{", "%7B").replace("}", "%7D")  # which mean something in a `Call`

    @staticmethod
    def _at(body: Mapping[str, Any], name: str) -> datetime | None:
        """Return a time in seconds since 1970; None for 0, which means that there is none (RFC 7591 section 3.2.1)."""
        found = body.get(name)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 < found < 10**11:
            return None
        return datetime.fromtimestamp(found, UTC)


def _origin(found: SplitResult) -> tuple[str, str | None, int | None, bool]:
    """Return scheme, host and port (RFC 6454), and whether it names a user."""
    port = found.port if found.port is not None else {"https": 443, "http": 80}.get(found.scheme)
    return found.scheme, found.hostname, port, "@" in found.netloc


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    return found if isinstance(found, str) else ""

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
from urllib.parse import urlsplit

from rotator.clock import Clock
from rotator.errors import OutcomeUnknown, Refused
from rotator.finding import Finding, Severity
from rotator.model import Procedure
from rotator.ports import Issued, Listed, Listing, Retired
from rotator.providers.described_asking import Asking
from rotator.providers.described_errors import Doing, no_answer, refused
from rotator.providers.described_settings import Bearer, Call, Vendor
from rotator.providers.described_wire import Wire
from rotator.secret import Fields, Secret
from rotator.wire.exchange import Unanswered

_REGISTER: Final = Doing("register a client", writes=True)
_DELETE: Final = Doing("delete a client", writes=True)
_URI, _TOKEN = "registration_client_uri", "registration_access_token"


class RegistrationProvider(Asking):
    """A `Provider` that also keeps what its issuer gave. An application is a credential; metadata: what each sends."""

    procedure = Procedure.OVERLAP

    def __init__(
        self,
        vendor: Vendor,
        path: str,
        metadata: Mapping[str, Mapping[str, Any]],
        clock: Clock,
        wire: Callable[[Vendor], Wire] | None = None,
    ) -> None:
        """Prepare. path: of the registration endpoint. wire: how requests are sent; None: over TLS."""
        self._connect = wire or (lambda vendor: Wire(vendor, clock))
        super().__init__(vendor, clock, self._connect(vendor))
        self._register = Call(method="POST", path=path, expect=frozenset({200, 201}))
        self._metadata = metadata

    def create(self, application: str, tag: str, lifetime: timedelta) -> Issued:
        """Register a client. Raises OutcomeUnknown when one may exist that nobody can use or remove."""
        said = dict(self._metadata.get(application, {}))
        said["client_name"] = f"{said.get('client_name', application)} ({tag})"
        said.setdefault("grant_types", ["client_credentials"])
        with self._one_at_a_time(application):
            reply = self._asked(self._register, {}, _REGISTER, raw=said)
        body = self._body(reply, _REGISTER)
        body = body if isinstance(body, dict) else {}
        client_id, value = _text(body, "client_id"), _text(body, "client_secret")
        secret = Secret(value) if value else None
        if not client_id or secret is None or secret.looks_masked():
            raise OutcomeUnknown(
                f"{self._said.name} answered a registration without a client id or a secret that could be used.",
                hint=f"A client named {said['client_name']} may be there; look at the issuer.",
            )
        created = self._at(body, "client_id_issued_at") or reply.date or self._clock.now()
        version = Listed(client_id, tag, created, self._at(body, "client_secret_expires_at"))
        kept: dict[str, str | Secret] = {}
        if (uri := _text(body, _URI)) and (token := _text(body, _TOKEN)):
            kept = {_URI: uri, _TOKEN: Secret(token)}
        values = Fields({"client_secret": secret})
        return Issued(version, client_id, values, reply.date, self._wire.request_id(reply), Fields(kept))

    def list(self, application: str) -> Listing:
        """Return nothing: registrations cannot be listed."""
        return Listing((), None)

    def retire(self, application: str, key_id: str) -> Retired:
        """Refuse: a client is deleted only by who shows its registration access token."""
        raise Refused("A registration cannot be deleted by its client id.", hint="Delete it at the issuer.")

    def retire_with(self, application: str, key_id: str, keepsake: Fields, *, again: bool) -> Retired:
        """Delete a client. After a lost answer, a token that is not known any more says that it is gone (RFC 7592)."""
        uri, token = keepsake.text(_URI), keepsake.secret(_TOKEN)
        if uri is None or token is None:
            raise Refused(
                f"{self._said.name} gave nothing with {key_id} by which it could be deleted.",
                hint="Delete it at the issuer, or leave it to its end.",
                code="no_keepsake",
            )
        call = Call(method="DELETE", path=self._path_of(uri), expect=frozenset({200, 204}))
        connection = self._connect(replace(self._said, auth=Bearer(lambda: token)))
        try:
            with self._one_at_a_time(application):
                reply = connection.send(call, {})
        except Unanswered as failure:
            raise no_answer(self._said, _DELETE, failure) from None
        if reply.status in call.expect:
            return Retired.DONE
        if reply.status in (404, 410) or (again and reply.status == 401):
            return Retired.ALREADY_GONE
        raise refused(self._said, _DELETE, reply)

    def check(self, application: str, lifetime: timedelta, subject: str, ours: str) -> Sequence[Finding]:
        """Say what follows; nothing can be asked that only reads."""
        words = "each version is a client of its own: the procedure is overlap"
        unread = "nothing can be read here, so login and right are first tried by a rotation"
        return [
            Finding(self._said.name, "procedure", Severity.OK, words),
            Finding(subject, "provider", Severity.SKIP, unread),
        ]

    def _path_of(self, uri: str) -> str:
        """Return the path of a registration, which must be where we registered: its token goes nowhere else."""
        found = urlsplit(uri)
        if f"{found.scheme}://{found.netloc}" != self._said.base_url:
            raise Refused(
                f"{self._said.name} says that a client is to be deleted at another server.",
                hint="Nothing was sent there. Delete it at the issuer.",
                code="elsewhere",
            )
        return f"{found.path}?{found.query}" if found.query else found.path

    @staticmethod
    def _at(body: Mapping[str, Any], name: str) -> datetime | None:
        """Return a time in seconds since 1970; None for 0, which means that there is none (RFC 7591 section 3.2.1)."""
        found = body.get(name)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 < found < 10**11:
            return None
        return datetime.fromtimestamp(found, UTC)


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    return found if isinstance(found, str) else ""

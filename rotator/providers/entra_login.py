"""Logs in to Entra with azure-identity and keeps one token for Graph, in memory only; it decides nothing about Graph.

Many calls at once share one token request. A login that fails is thrown away with what it was made of, so that the next
one reads secret, certificate or token file again: CertificateCredential reads its certificate once, when it is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from rotator.clock import Clock, Instant, elapsed
from rotator.errors import Busy, RotatorError
from rotator.providers.entra_answers import NoAnswer, Reply, claims
from rotator.providers.entra_errors import login_failed
from rotator.providers.entra_settings import (
    CertificateAuth,
    ClientSecretAuth,
    EntraSettings,
    ManagedIdentityAuth,
    ReadSecret,
    WorkloadIdentityAuth,
)
from rotator.providers.entra_wire import UNTIL, TokenTransport, Wire
from rotator.secret import Secret

_FORGET_AT_MOST_EVERY = timedelta(minutes=1)


class Login:
    """What the Graph client takes its tokens from. Lives in one event loop."""

    def __init__(self, settings: EntraSettings, clock: Clock, wire: Wire) -> None:
        self._settings = settings
        self._clock = clock
        self._transport = TokenTransport(wire)
        self._lock = asyncio.Lock()
        self._credential: AsyncTokenCredential | None = None
        self._forgotten: Instant | None = None

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token for Graph, from memory while it is good. Raises the errors of `rotator.errors`.

        scopes, options: what the Graph client asks for; there is one scope only, and claims challenges are not met:
        continuous access evaluation is left off, because the Graph client would repeat writes for it.
        """
        async with turn(self._lock, "the login"):
            if self._credential is not None:
                token = await self._asked(self._credential)
                if isinstance(token, AccessToken):
                    return token
                if isinstance(self._transport.seen, NoAnswer):
                    raise token
            # Either this is the first login, or what the last one was made of has been replaced meanwhile.
            self._credential = self._made()
            token = await self._asked(self._credential)
            if isinstance(token, AccessToken):
                return token
            self._credential = None
            raise token

    async def claims(self) -> dict[str, Any]:
        """Return what our token says about us; empty when it cannot be read."""
        return claims((await self.get_token()).token)

    def forget(self) -> None:
        """Let the next call log in anew, at most once a minute: a token does not learn of rights granted after it."""
        now = self._clock.instant()
        since = elapsed(self._forgotten, now) if self._forgotten else None
        if since is None or since >= _FORGET_AT_MOST_EVERY:
            self._credential, self._forgotten = None, now

    async def close(self) -> None:
        """Forget the token."""
        self._credential = None

    # Inside

    async def _asked(self, credential: AsyncTokenCredential) -> AccessToken | RotatorError:
        """Return a token, or why there is none."""
        self._transport.seen = None
        with suppress(Exception):  # an answer may make the library stumble in any way; we judge the answer itself
            return await credential.get_token(self._settings.scope)
        return self._failure()

    def _failure(self) -> RotatorError:
        seen, now = self._transport.seen, self._clock.now()
        skew = seen.date - now if isinstance(seen, Reply) and seen.date else None
        return login_failed(self._settings, seen, skew, now)

    def _made(self) -> AsyncTokenCredential:
        """Return what azure-identity needs for our way to log in. Raises Misconfigured when it cannot be made."""
        auth = self._settings.auth
        secret: Secret | None = None
        if isinstance(auth, ClientSecretAuth):
            secret = _fetched(auth.client_secret)
        elif isinstance(auth, CertificateAuth):
            secret = _fetched(auth.certificate)
        self._transport.seen = None
        try:
            return self._credential_of(secret)
        except (ValueError, TypeError, OSError):
            failure = login_failed(self._settings, None, None, self._clock.now())
        raise failure

    def _credential_of(self, secret: Secret | None) -> AsyncTokenCredential:
        settings, auth = self._settings, self._settings.auth
        common: dict[str, Any] = {"transport": self._transport, "retry_total": 0}
        tenant: dict[str, Any] = {"tenant_id": settings.tenant, "authority": settings.authority, **common}
        match auth:
            case ClientSecretAuth():
                assert secret is not None
                return ClientSecretCredential(client_id=auth.client_id, client_secret=secret.reveal(), **tenant)
            case CertificateAuth():
                assert secret is not None
                pem = secret.reveal().encode()
                return CertificateCredential(client_id=auth.client_id, certificate_data=pem, **tenant)
            case ManagedIdentityAuth():
                return ManagedIdentityCredential(client_id=auth.client_id, **common)
            case WorkloadIdentityAuth():
                file = str(auth.token_file)
                return WorkloadIdentityCredential(client_id=auth.client_id, token_file_path=file, **tenant)


@asynccontextmanager
async def turn(lock: asyncio.Lock, what: str) -> AsyncIterator[None]:
    """Hold `lock`. Raises Busy when others hold it until the call's time is up: nothing was sent."""
    try:
        async with asyncio.timeout_at(UNTIL.get()):
            await lock.acquire()
    except TimeoutError:
        busy = Busy(f"Others kept {what} for too long.", hint="The next run tries again; nothing was sent.")
    else:
        try:
            yield
        finally:
            lock.release()
        return
    raise busy


def _fetched(given: Secret | ReadSecret) -> Secret:
    return given if isinstance(given, Secret) else given()

"""Keeps one login at Vault alive while it is used; it never logs in again more often than is decent.

There is no thread: a token is renewed by the request that finds two thirds of its life gone (the rule of HashiCorp's
LifetimeWatcher, api/lifetime_watcher.go), and one that died during a long pause is replaced by a new login. Repeated
failing logins lock a user out (five within 15 minutes, /vault/docs/concepts/user-lockout), so a refused login is
remembered and not tried again for 30 s, doubling to 10 min.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from rotator.clock import Clock, Instant, elapsed
from rotator.errors import Denied, Misconfigured, RotatorError
from rotator.secret import Secret
from rotator.stores.vault_errors import failure
from rotator.stores.vault_settings import (
    AppRoleAuth,
    CertAuth,
    JwtAuth,
    KubernetesAuth,
    TokenAuth,
    VaultSettings,
)
from rotator.stores.vault_wire import NoAnswer, Reply, Wire

_MARGIN = timedelta(seconds=5)  # a token this close to its end, or within its last tenth, is not used any more
_RENEW_PAUSE = timedelta(seconds=10)
_RELOGIN_PAUSE = timedelta(seconds=30)
_LOGIN_PAUSE, _LONGEST_LOGIN_PAUSE = timedelta(seconds=30), timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Held:
    """A token. lifetime: from `since` on; None: no known end. renew_at: likewise; None: cannot be renewed."""

    token: Secret
    since: Instant
    lifetime: timedelta | None
    renew_at: timedelta | None


class VaultSession:
    """One login, shared by all threads."""

    def __init__(self, settings: VaultSettings, clock: Clock) -> None:
        """Prepare, without connecting. Raises Misconfigured when the CA file is unusable."""
        self.settings = settings
        self._clock = clock
        self._wire = Wire(settings, clock)
        self._lock = threading.Lock()  # held while a token is fetched or renewed
        self._held: _Held | None = None
        self._proved_namespace = settings.namespace is None
        self._refusal: RotatorError | None = None
        self._no_login_before: Instant | None = None
        self._login_pause = timedelta(0)
        self._replaced_at: Instant | None = None

    # ------------------------------------------------------------------------------------------------------- requests

    def call(
        self,
        method: str,
        path: str,
        *,
        act: str,
        needs: str,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Reply:
        """Make one request as the logged-in one; every status but 403 is the caller's to judge.

        act: what is tried, as `read kv/data/app`. needs: the capability it takes. Raises Denied, naming path and
        capability, NoAnswer, and what a login raises.
        """
        reply, token = self.ask(method, path, body=body, params=params)
        if reply.status == 403:
            raise self.denial(token, path, act, needs)
        return reply

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[Reply, Secret]:
        """Make one request and return the answer with the token it was made with; a dead token is replaced once.

        A 403 is decided before anything is done, so the request may be repeated with the new token.
        """
        token = self.token()
        namespace = self.settings.namespace
        reply = self._wire.ask(method, path, token=token, namespace=namespace, body=body, params=params)
        if reply.status == 403:
            fresh = self._instead_of(token)
            if fresh is not None:
                token = fresh
                reply = self._wire.ask(method, path, token=token, namespace=namespace, body=body, params=params)
        return reply, token

    def health(self) -> Reply:
        """Ask how the server is: without a token, and in the root namespace, where this endpoint lives."""
        return self._wire.ask("get", "sys/health", params={"standbyok": "true", "perfstandbyok": "true"})

    def lookup(self) -> Reply:
        """Ask what the token is. 403: it may not."""
        return self.ask("get", "auth/token/lookup-self")[0]

    def _aside(
        self,
        method: str,
        path: str,
        *,
        token: Secret | None = None,
        namespace: str | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Reply:
        """Make a request about the login itself. That it got no answer says nothing of the request it was made for."""
        try:
            return self._wire.ask(method, path, token=token, namespace=namespace or self.settings.namespace, body=body)
        except NoAnswer as lost:
            raise NoAnswer(lost.message, hint=lost.hint, perhaps_done=False) from None

    def capabilities(self, paths: Sequence[str]) -> Mapping[str, frozenset[str]] | None:
        """Return what the token may do at each API path; None when it may not ask. Repeatable."""
        reply, _ = self.ask("post", "sys/capabilities-self", body={"paths": list(paths)})
        return _capabilities(reply, paths)

    # ---------------------------------------------------------------------------------------------------------- tokens

    def token(self) -> Secret:
        """Return a token that should be good now; logs in or renews when it is time."""
        held = self._held
        if held is not None and self._left(held) > timedelta(0):
            if not self._due(held) or not self._lock.acquire(blocking=False):
                return held.token  # nothing to do, or another thread is at it and this token still works
        else:
            self._lock.acquire()
        try:
            held = self._held
            if held is None or self._left(held) <= timedelta(0):
                held = self._held = self._login()
            elif self._due(held):
                held = self._held = self._renewed(held)
            return held.token
        finally:
            self._lock.release()

    def close(self) -> None:
        """Revoke the token if we obtained it, and let go of the connections."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None and not isinstance(self.settings.auth, TokenAuth) and self._left(held) > timedelta(0):
            with contextlib.suppress(RotatorError):  # it ends by itself when its time is over; nobody is left to tell
                self._aside("post", "auth/token/revoke-self", token=held.token)
        self._wire.close()

    def _left(self, held: _Held) -> timedelta:
        """Return how long the token may still be used, by the boot clock: the wall clock may be set."""
        if held.lifetime is None:
            return timedelta.max
        age = elapsed(held.since, self._clock.instant())
        return timedelta(0) if age is None else held.lifetime - min(_MARGIN, held.lifetime / 10) - age

    def _due(self, held: _Held) -> bool:
        age = elapsed(held.since, self._clock.instant())
        return held.renew_at is not None and (age is None or age >= held.renew_at)

    def _renewed(self, held: _Held) -> _Held:
        """Renew, or log in anew when that gains nothing. Trouble on the way is no reason to give up a good token."""
        ours = not isinstance(self.settings.auth, TokenAuth)
        age = elapsed(held.since, self._clock.instant()) or timedelta(0)
        later = replace(held, renew_at=age + min(_RENEW_PAUSE, self._left(held) / 2))
        try:
            reply = self._aside("post", "auth/token/renew-self", token=held.token, body={})
            if reply.status == 200:
                fresh = self._from_answer(reply.auth, held.token)
                if fresh is not None and (fresh.lifetime is None or fresh.lifetime > 1.5 * self._left(held)):
                    return fresh
            elif reply.status not in (400, 403):
                return later
            return self._login() if ours else replace(held, renew_at=None)
        except RotatorError:
            return later

    def _instead_of(self, token: Secret) -> Secret | None:
        """Return another token when this one is dead; None when it lives, or when nothing better is to be had."""
        with self._lock:
            if self._held is not None and self._held.token != token:
                return self._held.token  # another thread has replaced it already
            if self._lives(token):
                return None
            since = None if self._replaced_at is None else elapsed(self._replaced_at, self._clock.instant())
            if since is not None and since < _RELOGIN_PAUSE:
                return None  # the last one was replaced a moment ago: it is not the token that is wrong
            held = self._login()
            self._replaced_at = self._clock.instant()
            if held.token == token:
                return None
            self._held = held
            return held.token

    def _lives(self, token: Secret) -> bool:
        """Ask about the token itself: the text of a 403 tells a dead one from a policy on some servers only."""
        reply = self._aside("get", "auth/token/lookup-self", token=token)
        return reply.status != 403

    # ---------------------------------------------------------------------------------------------------------- logins

    def _login(self) -> _Held:
        """Log in, unless a login was refused a moment ago."""
        if self._refusal is not None and self._no_login_before is not None:
            left = elapsed(self._clock.instant(), self._no_login_before)
            if left is not None and left > timedelta(0):
                again = type(self._refusal)(
                    f"{self._refusal.message}; not tried again for {left.total_seconds():.0f} s",
                    hint=self._refusal.hint,
                    code=self._refusal.code,
                )
                raise again
        self._prove_namespace()
        try:
            held = self._held_token() if isinstance(self.settings.auth, TokenAuth) else self._logged_in()
        except (Denied, Misconfigured) as refusal:
            self._login_pause = min(max(self._login_pause * 2, _LOGIN_PAUSE), _LONGEST_LOGIN_PAUSE)
            now = self._clock.instant()
            self._no_login_before = replace(now, since_boot=now.since_boot + self._login_pause)
            self._refusal = refusal
            raise
        self._refusal, self._no_login_before, self._login_pause = None, None, timedelta(0)
        return held

    def _held_token(self) -> _Held:
        """Take the token that we were given, and ask how long it lives."""
        assert isinstance(self.settings.auth, TokenAuth)
        token = _line(self.settings.auth.token())
        reply = self._aside("get", "auth/token/lookup-self", token=token)
        if reply.status == 403:  # dead, or it may not look at itself: the next request will tell
            return _Held(token, self._clock.instant(), None, None)
        if reply.status != 200:
            raise failure(reply, self.settings.name, "look the token up")
        ttl = _seconds(reply.data.get("ttl"))
        renewable = reply.data.get("renewable") is True and ttl is not None
        return _Held(token, self._clock.instant(), ttl, ttl * 2 / 3 if renewable and ttl is not None else None)

    def _logged_in(self) -> _Held:
        """Log in with the configured method, with everything read anew."""
        mount, body = self._request()
        name, act = self.settings.name, f"log in at auth/{mount}"
        reply = self._aside("post", f"auth/{mount}/login", body=body)
        if reply.status in (400, 401, 403):
            raise Denied(
                f"{name} refused the login at auth/{mount} ({reply.status}: {reply.said or 'no reason given'})",
                hint=_LOGIN_HINTS[type(self.settings.auth)],
                code="login_refused",
            )
        token = reply.auth.get("client_token")
        held = self._from_answer(reply.auth, Secret(token)) if isinstance(token, str) and token else None
        if reply.status != 200 or held is None:
            raise failure(reply, name, act)
        return held

    def _from_answer(self, auth: Mapping[str, Any], token: Secret) -> _Held | None:
        """Return what an answer to a login or a renewal grants."""
        ttl = _seconds(auth.get("lease_duration"))
        # One that cannot be renewed is replaced at the same moment, by the login that _renewed falls back to.
        return _Held(token, self._clock.instant(), ttl, None if ttl is None else ttl * 2 / 3)

    def _request(self) -> tuple[str, Mapping[str, object]]:
        """Return the mount and the body of the login request; for certificates, make the connections anew."""
        auth = self.settings.auth
        match auth:
            case AppRoleAuth():
                return auth.mount, {"role_id": _line(auth.role_id()), "secret_id": _line(auth.secret_id())}
            case JwtAuth():
                return auth.mount, {"role": auth.role, "jwt": _line(auth.token())}
            case KubernetesAuth():
                return auth.mount, {"role": auth.role, "jwt": self._service_account(auth)}
            case CertAuth():
                self._wire = Wire(self.settings, self._clock, auth.certificate(), auth.key())
                return auth.mount, {"name": auth.role}
            case TokenAuth():
                raise AssertionError("a given token needs no login")

    def _service_account(self, auth: KubernetesAuth) -> Secret:
        try:
            return Secret(auth.token_file.read_text(encoding="ascii").strip())
        except (OSError, UnicodeError) as error:
            raise Misconfigured(
                f"{self.settings.name}: the service account token {auth.token_file} cannot be read"
                f" ({getattr(error, 'strerror', None) or 'not text'})",
                hint="Mount a projected service account token and name its file in auth.token_file.",
                code="token_file",
            ) from None

    def _prove_namespace(self) -> None:
        """See once that the server heeds namespaces, before any credential goes there.

        Vault's community edition ignores the header and answers from the root namespace: secrets would go to the wrong
        place without a word. A server that answers for a namespace that cannot exist as if it did has ignored it.
        """
        if self._proved_namespace:
            return
        name, namespace = self.settings.name, self.settings.namespace
        reply = self._aside("get", "sys/internal/ui/mounts", namespace=f"{namespace}-{secrets.token_hex(8)}")
        if reply.status >= 500 or reply.status == 429:
            raise failure(reply, name, "see whether it knows namespaces")
        if reply.status < 400:
            raise Misconfigured(
                f"{name} ignores namespaces, so {namespace!r} would silently mean the root namespace",
                hint="Remove namespace from the store, or name a server that has them (OpenBao, Vault Enterprise).",
                code="namespace_ignored",
            )
        self._proved_namespace = True

    # -------------------------------------------------------------------------------------------------------- refusals

    def denial(self, token: Secret, path: str, act: str, needs: str) -> Denied:
        """Return what a 403 to this token means: what it lacks (`denied`), or that it is dead (`token_dead`)."""
        name = self.settings.name
        granted: Mapping[str, frozenset[str]] | None = None
        alive = True
        try:
            reply = self._aside("post", "sys/capabilities-self", token=token, body={"paths": [path]})
            granted = _capabilities(reply, [path])
            alive = granted is not None or self._lives(token)
        except NoAnswer:
            pass  # the refusal stands whether or not it can be explained
        if not alive:
            return Denied(
                f"{name} refused to {act} (403): the token is expired or revoked, or may not look itself up",
                hint="Provide a new token; its policy must grant read on auth/token/lookup-self.",
                code="token_dead",
            )
        if granted is not None and needs in granted[path]:
            return Denied(
                f'{name} refused to {act} (403), although the token has "{needs}" on that path',
                hint="Look for something beside the policy: a bound network, a control group, a parameter rule.",
            )
        return Denied(
            f'{name} refused to {act} (403): the token lacks "{needs}" on {path}',
            # A rule for this very path that named this one alone would take away what a wider rule grants there.
            hint=f'Let its policy grant "{needs}" there, beside what it grants already. The whole rule: rotator check',
        )


_LOGIN_HINTS: Mapping[type, str] = {
    AppRoleAuth: "The role id or the secret id is wrong, spent or expired, or auth.mount is: issue a new secret id.",
    CertAuth: "See that the certificate is valid, that auth.role exists, and that auth.mount is right.",
    JwtAuth: "See that the token is fresh, that auth.role fits its audience and subject, and that auth.mount is right.",
    KubernetesAuth: "See that auth.role binds this service account and namespace, and that auth.mount is right.",
}


def _line(secret: Secret) -> Secret:
    """Return the secret without the line end that a file gave it."""
    return Secret(secret.reveal().strip())


def _seconds(value: object) -> timedelta | None:
    """Return a number of seconds; None for 0, by which Vault means: no end."""
    return timedelta(seconds=value) if isinstance(value, int) and value > 0 else None


def _capabilities(reply: Reply, paths: Sequence[str]) -> Mapping[str, frozenset[str]] | None:
    """Read an answer of capabilities-self. `root` stands for all of them, `deny` for none."""
    if reply.status != 200:
        return None
    granted = {}
    for path in paths:
        found = reply.data.get(path) or reply.body.get(path) or []
        every = frozenset({"create", "read", "update", "list", "delete", "patch", "sudo"})
        granted[path] = every if "root" in found else frozenset(found) - {"deny"}
    return granted

"""Sends single requests to one Vault server through hvac and returns what came back; it never retries or follows.

Nothing comes from the environment: no VAULT_* variable, no ~/.vault-token, no .netrc, no proxy, no SSLKEYLOGFILE; only
where the system keeps its CAs is left to OpenSSL (SSL_CERT_FILE, SSL_CERT_DIR) when no CA file is configured. Redirects
are not followed, because the token would go with them, and cookies are not kept. The status is taken from the raw
answer: hvac's own exceptions carry none (hvac 2.4.0, `hvac/exceptions.py`).
"""

from __future__ import annotations

import json
import os
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3.exceptions
from hvac.adapters import RawAdapter
from requests.adapters import HTTPAdapter

from rotator.clock import Clock
from rotator.errors import Misconfigured, RotatorError, Transient
from rotator.secret import Fields, Secret
from rotator.stores.vault_settings import VaultSettings

_LARGEST_ANSWER = 8 * 1024 * 1024  # a KV entry is at most 1 MiB, and JSON escapes can make six bytes of one
_LONGEST_WAIT = timedelta(hours=6)


class NoAnswer(Transient):
    """The request got no usable answer. perhaps_done: whether it may have reached the server all the same."""

    def __init__(self, message: str, *, hint: str, perhaps_done: bool) -> None:
        super().__init__(message, hint=hint)
        self.perhaps_done = perhaps_done


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. body: the JSON object, empty when there was none. at: the server's Date.

    said: what it gives as reason, safe to be shown: one short line, without an echo of what was sent; empty when a
    document was sent, because nobody knows every form in which a value might come back.
    """

    status: int
    body: Mapping[str, Any]
    said: str
    at: datetime | None
    retry_after: timedelta | None
    location: str | None

    @property
    def data(self) -> Mapping[str, Any]:
        """Return the `data` of the answer, empty when it has none."""
        return mapping(self.body.get("data"))

    @property
    def auth(self) -> Mapping[str, Any]:
        """Return the `auth` of the answer, empty when it has none."""
        return mapping(self.body.get("auth"))

    @property
    def errors(self) -> str:
        """Return the error texts, joined, for matching only: they are as they came."""
        return _joined(self.body.get("errors"))

    @property
    def warnings(self) -> str:
        """Return the warnings, joined, for matching."""
        return _joined(self.body.get("warnings"))

    @property
    def request_id(self) -> str | None:
        """Return the id under which the server's audit log has this request."""
        request_id = self.body.get("request_id")
        return request_id if isinstance(request_id, str) and request_id else None


class Wire:
    """Connections to one server. Safe for several threads: nothing of it changes after it was made."""

    def __init__(
        self, settings: VaultSettings, clock: Clock, certificate: Secret | None = None, key: Secret | None = None
    ) -> None:
        """Prepare, without connecting. Raises Misconfigured when the CA file or the client certificate is unusable."""
        self._settings = settings
        self._clock = clock
        self._requests = requests.Session()
        self._requests.trust_env = False
        self._requests.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        carrier = _Carrier(_trust(settings, certificate, key), settings.connections)
        self._requests.mount("https://", carrier)
        self._requests.mount("http://", carrier)
        self._adapter = RawAdapter(
            base_uri=settings.address.rstrip("/"),
            token=None,  # given with each request, so that each knows which token it was made with
            session=self._requests,
            proxies={"http": settings.proxy, "https": settings.proxy} if settings.proxy else None,
            allow_redirects=False,
            timeout=(settings.connect_timeout.total_seconds(), settings.read_timeout.total_seconds()),
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: Secret | None = None,
        namespace: str | None = None,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Reply:
        """Make one request of `/v1/<path>`. Secrets and Fields in `body` are revealed here and nowhere else.

        Raises NoAnswer, and Misconfigured when the server's certificate is not trusted.
        """
        headers = {}
        if token is not None:
            headers["X-Vault-Token"] = token.reveal()
        if namespace is not None:
            headers["X-Vault-Namespace"] = namespace
        started = self._clock.instant().since_boot
        failure: RotatorError
        try:
            answer = self._adapter.request(
                method,
                f"v1/{path}",
                headers=headers,
                raise_exception=False,
                stream=True,
                params=params,
                **({"data": _sealed_body(body)} if body is not None else {}),
            )
            with answer:
                return self._reply(answer, started, [*_secrets(body), *([token] if token is not None else [])])
        except NoAnswer:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            failure = self._unanswered(error)
        raise failure  # outside of the handler: the cause holds the request, and the request holds the values

    def _reply(self, answer: requests.Response, started: timedelta, sent: Sequence[Secret | Fields]) -> Reply:
        """Read an answer, up to a size and a time, however slowly it trickles in."""
        content = bytearray()
        for piece in answer.iter_content(65536):
            content += piece
            late = self._clock.instant().since_boot - started > 2 * self._settings.read_timeout
            if late or len(content) > _LARGEST_ANSWER:
                raise NoAnswer(
                    f"{self._settings.name} sent an answer that is too {'slow' if late else 'large'}",
                    hint=f"Look whether {self._settings.address} is the store and not something in front of it.",
                    perhaps_done=True,
                )
        headers = answer.headers
        body = _parsed(bytes(content))
        return Reply(
            answer.status_code,
            body,
            _said(_joined(body.get("errors")), sent),
            _date(headers.get("Date")),
            _retry_after(headers.get("Retry-After"), _date(headers.get("Date")) or self._clock.now()),
            headers.get("Location"),
        )

    def _unanswered(self, error: Exception) -> RotatorError:
        """Say what kept the answer away, and whether the request may have arrived."""
        name, address = self._settings.name, self._settings.address
        if isinstance(error, ValueError):
            return Misconfigured(  # what cannot be sent at all, such as a token of two lines
                f"{name}: no request can be made of this address, proxy and token ({type(error).__name__})",
                hint="Look for stray characters in address and proxy, and in the token.",
            )
        reason = _root(error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return Misconfigured(
                f"{name}: the certificate of {address} is not trusted ({reason.verify_message})",
                hint="Name the CA that signed it in ca_file, or correct the address.",
                code="certificate_not_trusted",
            )
        never_sent = isinstance(
            reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
        ) or isinstance(error, requests.exceptions.ConnectTimeout)
        if never_sent:
            what = "cannot be reached"
        elif isinstance(reason, (urllib3.exceptions.ReadTimeoutError, TimeoutError)):
            what = f"did not answer within {self._settings.read_timeout.total_seconds():g} s"
        else:
            what = f"broke the connection ({type(reason).__name__})"
        via = f" through the proxy {self._proxy_shown()}" if self._settings.proxy else ""
        return NoAnswer(
            f"{name} at {address} {what}{via}",
            hint="Look whether the store runs and whether the network in between is open; rotator tries again.",
            perhaps_done=not never_sent,
        )

    def _proxy_shown(self) -> str:
        """Return the proxy without the credentials it may carry."""
        return (self._settings.proxy or "").rpartition("@")[2]

    def close(self) -> None:
        """Let go of idle connections."""
        self._requests.close()


class _Carrier(HTTPAdapter):
    """Connections that trust exactly one TLS context, and wait for a free one instead of throwing one away."""

    def __init__(self, trust: ssl.SSLContext, connections: int) -> None:
        self._trust = trust
        super().__init__(pool_connections=2, pool_maxsize=connections, pool_block=True)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Return the pool for this request: its own rules for CA bundles and certificates do not apply here."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._trust} if host["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the context alone: the inherited method would add requests' own list of public CAs to it."""


def _trust(settings: VaultSettings, certificate: Secret | None, key: Secret | None) -> ssl.SSLContext:
    """Return what is trusted. Not ssl.create_default_context(): that one obeys SSLKEYLOGFILE."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cafile=str(settings.ca_file))
        except OSError as error:  # ssl.SSLError, for a file that is no certificate, is an OSError too
            raise Misconfigured(
                f"{settings.name}: the CA file {settings.ca_file} cannot be used ({error.strerror or 'not PEM'})",
                hint="Give a readable file of PEM certificates in ca_file.",
                code="ca_file",
            ) from None
    if certificate is not None and key is not None:
        _present(context, certificate, key, settings.name)
    return context


def _present(context: ssl.SSLContext, certificate: Secret, key: Secret, name: str) -> None:
    """Load a client certificate. The ssl module takes file names only, so it gets one that is no file on any disk."""
    pem = f"{certificate.reveal().strip()}\n{key.reveal().strip()}\n".encode()
    usable = True
    try:
        if hasattr(os, "memfd_create"):
            with open(os.memfd_create("client", os.MFD_CLOEXEC), "wb") as memory:
                memory.write(pem)
                memory.flush()
                context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}", password=_no_password)
        else:  # macOS: a file of mode 0600 in a directory of mode 0700, gone as soon as it was read
            with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
                file.write(pem)
                file.flush()
                context.load_cert_chain(file.name, password=_no_password)
    except (OSError, ValueError):
        usable = False
    if not usable:
        raise Misconfigured(
            f"{name}: the client certificate and its key cannot be used",
            hint="Give both as PEM, the key without a passphrase, and see that they belong together.",
            code="client_certificate",
        )


def _no_password() -> str:
    """Answer OpenSSL, which would otherwise ask on the terminal for the passphrase of a key."""
    return ""


def _root(error: Exception) -> BaseException:
    """Return what lies below the wrappers that requests and urllib3 put around a failure."""
    reason: BaseException = error
    for _ in range(6):
        inner = getattr(reason, "reason", None) or getattr(reason, "original_error", None)
        if inner is None and isinstance(
            reason, (requests.RequestException, urllib3.exceptions.SSLError, urllib3.exceptions.ProtocolError)
        ):
            inner = next((part for part in reversed(reason.args) if isinstance(part, BaseException)), None)
        if not isinstance(inner, BaseException):
            break
        reason = inner
    return reason


def _sealed_body(body: Mapping[str, object]) -> bytes:
    """Return the bytes that leave, with every secret revealed."""
    return json.dumps(_revealed(body)).encode()


def _revealed(value: object) -> object:
    if isinstance(value, (Secret, Fields)):
        return value.reveal()
    if isinstance(value, Mapping):
        return {name: _revealed(part) for name, part in value.items()}
    return value


def _secrets(body: object) -> list[Secret | Fields]:
    """Return what must not come back in an error text."""
    if isinstance(body, (Secret, Fields)):
        return [body]
    return [found for part in body.values() for found in _secrets(part)] if isinstance(body, Mapping) else []


def _said(text: str, sent: Sequence[Secret | Fields]) -> str:
    for secret in sent:
        if isinstance(secret, Fields):
            return ""
        text = secret.hidden_from(text)
    return cleaned(text)


def cleaned(text: str) -> str:
    """Return words from outside as one short printable line."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:200]


def _joined(texts: object) -> str:
    return "; ".join(str(text) for text in texts) if isinstance(texts, list) else ""


def _parsed(content: bytes) -> Mapping[str, Any]:
    """Return the JSON object, whatever the Content-Type says: proxies add a charset, or change it."""
    try:
        return mapping(json.loads(content))
    except (ValueError, RecursionError):
        return {}


def mapping(value: object) -> Mapping[str, Any]:
    """Return `value` when it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _date(text: str | None) -> datetime | None:
    """Return the moment of an HTTP date (RFC 9110 section 5.6.7), aware UTC, or None when it is none."""
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _retry_after(text: str | None, now: datetime) -> timedelta | None:
    """Return how long to wait (RFC 9110 section 10.2.3: seconds or a date), between 1 s and 6 h; None when not said."""
    if text is None:
        return None
    try:
        asked = timedelta(seconds=min(float(text), _LONGEST_WAIT.total_seconds()))
    except (ValueError, OverflowError):
        moment = _date(text)
        if moment is None:
            return None
        asked = moment - now
    return min(max(asked, timedelta(seconds=1)), _LONGEST_WAIT)

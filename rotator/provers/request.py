"""What a proof asks for and of whom, checked when it is made; holds no secret and sends nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from rotator.errors import Misconfigured
from rotator.expect import CredentialKind, Expectations
from rotator.wire.urls import host_of, proxy_fault, url_fault

# Parameters that the request itself sets; `params` must not be able to replace them.
_OWN_PARAMETERS = frozenset(
    {"grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type", "refresh_token"}
)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class ClientAuth(StrEnum):
    """How the client proves itself (OpenID Connect Core 1.0 section 9)."""

    CLIENT_SECRET_POST = "client_secret_post"
    CLIENT_SECRET_BASIC = "client_secret_basic"
    PRIVATE_KEY_JWT = "private_key_jwt"


class Signature(StrEnum):
    """How the signature of the token is checked: by keys from the issuer's metadata, by keys from a URL, or not."""

    JWKS = "jwks"
    JWKS_URL = "jwks_url"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRequest:
    """One credential's token request and what its token must be. Raises Misconfigured when it contradicts itself.

    scope: None sends none. params: extra form fields. expectations: None when any token will do. keys_url: the metadata
    document for `jwks`, the key set for `jwks_url`, None for `unverified`. client_id: sent instead of the document's.
    ca_file: PEM, the only authorities that are trusted, for endpoint, metadata and keys; None: those of the system.
    proxy: `http://host:port`, asked to CONNECT. unsafe_plain_http: allows http to other machines too.
    deadline: for one proof as a whole, name resolution to last key.
    """

    token_url: str
    client_auth: ClientAuth = ClientAuth.CLIENT_SECRET_POST
    scope: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    expectations: Expectations | None = None
    signature: Signature = Signature.UNVERIFIED
    keys_url: str | None = None
    client_id: str | None = None
    ca_file: Path | None = None
    proxy: str | None = None
    unsafe_plain_http: bool = False
    deadline: timedelta = timedelta(seconds=15)

    def __post_init__(self) -> None:
        self._require(url_fault(self.token_url, plain_http=self.unsafe_plain_http), "verify.token_url", self.token_url)
        if (self.keys_url is None) != (self.signature is Signature.UNVERIFIED):
            raise Misconfigured(
                f"verify.expect.signature is {self.signature}, and the address of the keys is {self.keys_url}.",
                hint="Say jwks (for an issuer whose metadata is known), jwks_url: URL, or unverified.",
            )
        if self.keys_url is not None:
            fault = url_fault(self.keys_url, plain_http=self.unsafe_plain_http)
            self._require(fault, "the address of the keys", self.keys_url)
        if self.proxy is not None:
            self._require(proxy_fault(self.proxy), "verify.proxy", _without_userinfo(self.proxy))
            if any(url is not None and url.startswith("http:") for url in (self.token_url, self.keys_url)):
                raise Misconfigured(
                    "An endpoint in plain http is not asked through a proxy: the proxy would read the secret.",
                    hint="Remove verify.proxy, or use https.",
                )
        own = sorted(_OWN_PARAMETERS & self.params.keys())
        if own:
            raise Misconfigured(
                f"verify.params may not contain {', '.join(own)}.",
                hint="The request sets these itself, from the credential and from verify.scope.",
            )
        if self.deadline <= timedelta(0):
            raise Misconfigured("The time for one token request must be longer than nothing.", hint="Use at least 1s.")

    @staticmethod
    def _require(fault: str | None, what: str, value: str) -> None:
        if fault:
            raise Misconfigured(f"{what} {fault}: {value}", hint="Correct it in the configuration.", code="unsafe_url")


def for_entra(expectations: Expectations | None, tenant: str | None, kind: CredentialKind) -> Expectations:
    """Return the expectations with what every Entra token must show: our client, our tenant, this kind of credential.

    A proof can then not pass by another credential. A tenant given by a domain name is not compared, because tokens
    carry its GUID. Claims: learn.microsoft.com/entra/identity-platform/access-token-claims-reference.
    """
    own = tenant.lower() if tenant is not None and _GUID.fullmatch(tenant) else None
    guards = Expectations(client_claims=("azp", "appid"), tenant=own, credential_kind=kind)
    if expectations is None:
        return guards
    return replace(
        expectations,
        client_claims=expectations.client_claims or guards.client_claims,
        tenant=expectations.tenant or guards.tenant,
        credential_kind=expectations.credential_kind or guards.credential_kind,
    )


def _without_userinfo(url: str) -> str:
    return f"{url.partition('://')[0]}://{host_of(url)}"

"""The sections that say how a version is proved: what is asked with it, and what the answer must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from rotator.app.config import values
from rotator.app.config.parts import (
    OR_EMPTY,
    Count,
    Duration,
    EndpointUrl,
    FilePath,
    OneOrMore,
    Parsed,
    PositiveDuration,
    ProxyUrl,
    Section,
    SomeText,
    SomeTexts,
    Text,
    TokenType,
    Truth,
)
from rotator.app.config.requests import HeaderName, ProbeLine, Successes
from rotator.app.config.values import Wrong


class SignatureMode(StrEnum):
    """How the signature of a token is checked."""

    JWKS = "jwks"
    JWKS_URL = "jwks_url"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Signature:
    """How the signature of a token is checked; url: of the keys, with `jwks_url`."""

    mode: SignatureMode
    url: str | None = None


def _signature(found: object) -> Signature:
    if found in (SignatureMode.JWKS, SignatureMode.UNVERIFIED):
        return Signature(SignatureMode(str(found)))
    if isinstance(found, dict) and list(found) == ["jwks_url"]:
        return Signature(SignatureMode.JWKS_URL, values.endpoint_url(found["jwks_url"]))
    raise Wrong("must be jwks, unverified, or {jwks_url: https://…}")


_SIGNATURE_SCHEMA = {
    "anyOf": [
        {"enum": ["jwks", "unverified"]},
        {
            "type": "object",
            "properties": {"jwks_url": {"type": "string", "format": "uri"}},
            "required": ["jwks_url"],
            "additionalProperties": False,
        },
    ]
}


class Expect(Section):
    """What a token must be before its secret is promoted."""

    aud: OneOrMore | None = None
    """The accepted audiences; the token must have one of them."""
    roles: SomeTexts | None = None
    """Roles that the token must hold, every one."""
    scope: SomeTexts | None = None
    """Scopes that the token must hold, every one."""
    iss: SomeText | None = None
    """The issuer; null: not compared."""
    min_lifetime: Duration = timedelta(minutes=5)
    """How long the token must still be valid."""
    token_type: TokenType | None = None
    """The token type of the answer."""
    refresh_token: Literal["present", "works"] | None = None
    """Whether a refresh token must come with it, or must work as well."""
    status: Successes | None = None
    """http_probe: the statuses of success; [200] when it is not said."""
    signature: Annotated[Signature, Parsed(_signature, _SIGNATURE_SCHEMA)] | None = None
    """How the signature is checked; jwks for entra when it is not said."""

    @property
    def names_a_claim(self) -> bool:
        """Say whether anything is expected that only a claim of the token can show."""
        return any((self.aud, self.roles, self.iss))

    @property
    def names_something(self) -> bool:
        """Say whether anything tells the expected token from any other."""
        return any((self.aud, self.roles, self.scope, self.iss, self.token_type, self.refresh_token))


class ClientAuth(StrEnum):
    """How the client proves itself at the token endpoint (OpenID Connect Core 1.0, section 9)."""

    POST = "client_secret_post"
    BASIC = "client_secret_basic"
    PRIVATE_KEY_JWT = "private_key_jwt"


_FIXED_PARAMS = frozenset(
    [
        "grant_type",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "scope",
        "password",
        "refresh_token",
    ]
)


def _parameter(found: object) -> str:
    if values.some_text(found) in _FIXED_PARAMS:
        raise Wrong("this form field is rotator's own; `params` adds others")
    return str(found)


class ProofKind(StrEnum):
    """What is asked with a version to prove it."""

    CLIENT_CREDENTIALS = "client_credentials"  # a token, RFC 6749 section 4.4
    HTTP_PROBE = "http_probe"  # anything that only a working key may ask


class CredentialIn(Section):
    """Where a key stands in a request."""

    header: HeaderName
    """The header."""
    scheme: SomeText | None = None
    """What stands before the key in it, such as Bearer."""


class Verify(Section):
    """How a version is proved: by a real token request, or by one with the key in it."""

    kind: ProofKind = ProofKind.CLIENT_CREDENTIALS
    """The kind of proof."""
    request: ProbeLine | None = None
    """http_probe: a request that only a working key may make, and that changes nothing: GET https://…"""
    credential_in: CredentialIn | None = None
    """http_probe: where the key stands in it."""
    token_url: EndpointUrl | None = None
    """The token endpoint; by default the provider's."""
    client_auth: ClientAuth = ClientAuth.POST
    """How the client proves itself there."""
    client_id: SomeText | None = None
    """The client to ask as, where it is another than the document's."""
    scope: SomeText | None = None
    """The scope asked for."""
    params: Annotated[Mapping[Annotated[str, Parsed(_parameter)], Text], OR_EMPTY] = {}
    """Further form fields."""
    expect: Annotated[Expect, OR_EMPTY] = Field(default_factory=Expect)
    """What the token must be."""
    proofs: Count = 3
    """Successes in a row that make a proof, each on a fresh connection."""
    spacing: Duration = timedelta(seconds=5)
    """The pause between them."""
    deadline: PositiveDuration = timedelta(minutes=15)
    """How long a fresh secret may stay unknown."""
    every: PositiveDuration | None = timedelta(hours=24)
    """How often the current version is proved; null: only when asked."""
    max_refused: Count = 40
    """Refusals that end the attempt before its deadline."""
    negative_control: Truth = True
    """Prove, too, that a wrong value is refused; false for endpoints that lock out."""
    ca_file: FilePath | None = None
    """Certificates to trust; by default the provider's."""
    proxy: ProxyUrl | None = None
    """The proxy to go through; by default the provider's."""
    unsafe_plain_http: Truth = False
    """Allow a token endpoint in plain http on another machine. To this machine itself http is always allowed."""

"""Where a secret may be sent, and requests that contradict themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rotator.errors import Misconfigured
from rotator.expect import CredentialKind, Expectations
from rotator.provers.request import ProofRequest, Signature, for_entra
from rotator.wire.urls import host_of

URL = "https://login.example/token"


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example/token",
        "ftp://login.example/",
        "login.example/token",
        "https://",
        "https:///token",
        "https://user:pw@login.example/token",
        "https://user@login.example/token",
        "https://login.example/token#fragment",
        "https://login.example:port/",
        "https://login.example:99999/",
        "https://login.example/to ken",
        "https://login.example/\r\nHost: thief",
        "https://exämple/",
        "",
    ],
)
def test_a_secret_does_not_go_to_an_address_that_is_not_plainly_https(url: str) -> None:
    with pytest.raises(Misconfigured) as wrong:
        ProofRequest(token_url=url)
    assert wrong.value.code == "unsafe_url"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "127.9.9.9:8080"])
def test_plain_http_to_this_machine_is_allowed(host: str) -> None:
    ProofRequest(token_url=f"http://{host}/token")


@pytest.mark.parametrize(
    "host", ["login.example", "10.0.0.1", "169.254.169.254", "localhost.example", "0.0.0.0", "[::]"]
)
def test_plain_http_to_another_machine_has_to_be_allowed(host: str) -> None:
    with pytest.raises(Misconfigured, match="must begin with https"):
        ProofRequest(token_url=f"http://{host}/token")
    ProofRequest(token_url=f"http://{host}/token", unsafe_plain_http=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"params": {"client_secret": "x"}},
        {"params": {"grant_type": "password"}},
        {"signature": Signature.JWKS},
        {"keys_url": "https://login.example/keys"},
        {"signature": Signature.JWKS_URL, "keys_url": "http://login.example/keys"},
        {"deadline": timedelta(0)},
        {"proxy": "socks5://proxy:1080"},
        {"proxy": "https://proxy:3128"},
        {"proxy": "proxy:3128"},
        {"proxy": "http://me:hunter2@proxy:3128"},
        {"proxy": "http://proxy:3128", "token_url": "http://localhost/"},
    ],
)
def test_a_request_that_contradicts_itself_is_refused_with_what_to_do(changes: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured) as wrong:
        ProofRequest(**{"token_url": URL, **changes})
    assert wrong.value.hint
    assert "hunter2" not in wrong.value.message


def test_the_name_of_an_address_never_shows_its_credentials() -> None:
    assert host_of("https://user:pw@login.example:8443/x?y") == "login.example:8443"


TENANT = "11111111-2222-3333-4444-555555555555"


def test_entra_tokens_must_be_ours_from_our_tenant_and_of_this_kind_of_credential() -> None:
    guarded = for_entra(Expectations(roles=("A",)), TENANT.upper(), CredentialKind.CERTIFICATE)
    assert guarded == Expectations(
        roles=("A",),
        client_claims=("azp", "appid"),
        tenant=TENANT,
        credential_kind=CredentialKind.CERTIFICATE,
    )


def test_a_tenant_given_by_name_is_not_compared_since_tokens_carry_its_guid() -> None:
    assert for_entra(None, "contoso.onmicrosoft.com", CredentialKind.SECRET).tenant is None

"""What a token must be: each rule alone, what it says when it is broken, and what it makes of absurd claims."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rotator.expect import (
    AllOf,
    CredentialKind,
    Expectations,
    Fault,
    FaultCode,
    RefreshToken,
    unmet,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EXP = int(NOW.timestamp()) + 3600


def faults(expectations: Expectations, claims: dict[str, Any] | None, **response: Any) -> tuple[Fault, ...]:
    return unmet(expectations, claims, response, NOW, "client-1")


def only(expectations: Expectations, claims: dict[str, Any] | None, **response: Any) -> Fault:
    (fault,) = faults(expectations, claims, **response)
    return fault


def test_a_token_that_keeps_every_promise_has_no_fault() -> None:
    promised = Expectations(
        aud=("api://kontrolle-provider",),
        roles=("ProviderApi.Access",),
        iss="https://sts.windows.net/t/",
        min_lifetime=timedelta(minutes=5),
        scope=("a", "b"),
        token_type="bearer",
        refresh_token=RefreshToken.PRESENT,
        client_claims=("azp", "appid"),
        tenant="t",
        credential_kind=CredentialKind.SECRET,
    )
    claims = {
        "aud": "api://kontrolle-provider",
        "roles": ["Other", "ProviderApi.Access"],
        "iss": "https://sts.windows.net/t/",
        "exp": EXP,
        "appid": "client-1",
        "appidacr": "1",
        "tid": "t",
    }
    assert faults(promised, claims, scope="b a c", token_type="BEARER", refresh_token="r") == ()


def test_an_expectation_that_checks_nothing_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="must check something"):
        Expectations()
    with pytest.raises(ValueError, match="must check something"):
        AllOf(())


def test_one_text_where_several_are_meant_is_refused_instead_of_being_taken_letter_by_letter() -> None:
    with pytest.raises(TypeError, match="roles"):
        Expectations(roles="ProviderApi.Access")  # type: ignore[arg-type]


# Audience


@pytest.mark.parametrize("aud", ["api://a", ["api://a"], ["x", "api://b", 7]])
def test_the_audience_may_be_a_text_or_a_list_and_one_accepted_value_suffices(aud: object) -> None:
    assert faults(Expectations(aud=("api://a", "api://b")), {"aud": aud}) == ()


@pytest.mark.parametrize("aud", ["api://a/", "API://A", [], ["api"], 5, {"api://a": 1}, None])
def test_an_audience_that_is_not_exactly_accepted_is_wrong(aud: object) -> None:
    assert only(Expectations(aud=("api://a",)), {"aud": aud}).code is FaultCode.WRONG_AUDIENCE


def test_a_wrong_audience_says_what_was_expected_and_what_was_found() -> None:
    fault = only(Expectations(aud=("api://a", "api://b")), {"aud": ["api://c", "account"]})
    assert fault.message == ("Token is for another audience: aud is api://c, account; expected api://a or api://b.")
    assert only(Expectations(aud=("api://a",)), {}).message == "Token has no aud claim; expected api://a."


# Roles


def test_a_missing_role_says_which_and_what_is_there_instead() -> None:
    fault = only(Expectations(roles=("FieldOps.Write",)), {"roles": ["FieldOps.Read"]})
    assert (fault.code, fault.message) == (
        "missing_role",
        "Token lacks role FieldOps.Write (found: FieldOps.Read).",
    )


def test_an_absent_roles_claim_means_that_nobody_granted_one() -> None:
    assert only(Expectations(roles=("ProviderApi.Access",)), {}).message == (
        "Token lacks role ProviderApi.Access: its roles claim is absent, so the application has no grant at this API."
    )


def test_an_empty_roles_claim_is_told_from_an_absent_one() -> None:
    assert only(Expectations(roles=("A",)), {"roles": []}).message == "Token lacks role A (found: none)."


def test_every_role_is_needed_and_those_that_are_missing_are_named_together() -> None:
    fault = only(Expectations(roles=("A", "B", "C")), {"roles": ["B"]})
    assert fault.expected == "A, C"


def test_a_role_that_only_contains_the_needed_name_is_not_it() -> None:
    assert only(Expectations(roles=("Api.Access",)), {"roles": "Api.Access.All"}).code == "missing_role"


# Lifetime


@pytest.mark.parametrize("ahead", [300, 301, 10**6])
def test_a_token_that_ends_late_enough_passes(ahead: int) -> None:
    assert faults(Expectations(min_lifetime=timedelta(minutes=5)), {"exp": NOW.timestamp() + ahead}) == ()


@pytest.mark.parametrize(
    ("ahead", "found"),
    [
        (299, "4 min ahead"),
        (30, "30 s ahead"),
        (0, "0 s ahead"),
        (-7200, "2 h past"),
        (-(10**18), "more than 30,000 years past"),
    ],
)
def test_a_token_that_ends_too_soon_says_when(ahead: int, found: str) -> None:
    fault = only(Expectations(min_lifetime=timedelta(minutes=5)), {"exp": int(NOW.timestamp()) + ahead})
    assert fault.code == "token_expires_too_soon"
    assert fault.message == f"Token expires too soon: exp is {found}; expected at least 5 min ahead."


@pytest.mark.parametrize("exp", [None, "soon", "1893456000", True, [EXP], float("nan"), float("inf"), 10**400])
def test_an_end_that_is_no_time_counts_as_none(exp: object) -> None:
    fault = only(Expectations(min_lifetime=timedelta(0)), {"exp": exp})
    assert fault.code == "token_expires_too_soon"


def test_the_issuers_clock_decides_not_ours() -> None:
    late = unmet(Expectations(min_lifetime=timedelta(0)), {"exp": EXP}, {}, NOW + timedelta(hours=2))
    assert [fault.code for fault in late] == ["token_expires_too_soon"]


@pytest.mark.parametrize("expires_in", [3600, "3600", 3600.5])
def test_an_opaque_token_is_believed_what_the_response_says_of_its_end(expires_in: object) -> None:
    assert faults(Expectations(min_lifetime=timedelta(minutes=5)), None, expires_in=expires_in) == ()


def test_an_opaque_token_without_an_end_is_not_taken_for_a_lasting_one() -> None:
    assert only(Expectations(min_lifetime=timedelta(minutes=5)), None).message == (
        "Nothing says when the token expires; expected expires_in at least 5 min ahead."
    )


# Scope, type, refresh token


@pytest.mark.parametrize(
    ("claims", "response"),
    [
        ({}, {"scope": "read write"}),
        ({}, {"scope": ["read", "write"]}),
        ({"scp": "write read"}, {}),
        ({"scope": ["read write"]}, {}),
        (None, {"scope": "read write extra"}),
    ],
)
def test_scopes_may_stand_in_the_response_or_in_either_claim(
    claims: dict[str, Any] | None, response: dict[str, Any]
) -> None:
    assert faults(Expectations(scope=("read", "write")), claims, **response) == ()


def test_the_responses_scope_goes_before_the_claims() -> None:
    fault = only(Expectations(scope=("write",)), {"scp": "write"}, scope="read")
    assert fault.message == "Token lacks scope write (found: read)."


def test_a_scope_that_nobody_names_is_missing() -> None:
    assert only(Expectations(scope=("read",)), {}).code == "missing_scope"


@pytest.mark.parametrize("found", ["DPoP", "", None, 3])
def test_another_token_type_is_a_fault(found: object) -> None:
    assert only(Expectations(token_type="bearer"), {}, token_type=found).code == "wrong_token_type"


@pytest.mark.parametrize("found", ["", None, 3])
def test_a_refresh_token_that_is_no_text_is_not_there(found: object) -> None:
    assert (
        only(Expectations(refresh_token=RefreshToken.PRESENT), None, refresh_token=found).code
        == "missing_refresh_token"
    )


# Whose token it is


def test_a_token_that_was_got_with_a_certificate_does_not_prove_a_secret() -> None:
    fault = only(Expectations(credential_kind=CredentialKind.SECRET), {"azpacr": "2"})
    assert fault.message == ("Token was got with another kind of credential: azpacr is 2; expected 1 (secret).")


def test_a_token_of_another_client_is_refused() -> None:
    assert only(Expectations(client_claims=("azp", "appid")), {"appid": "client-2"}).code == "wrong_client"


def test_the_first_client_claim_counts_even_when_a_later_one_would_fit() -> None:
    fault = only(Expectations(client_claims=("azp", "appid")), {"azp": "client-2", "appid": "client-1"})
    assert (fault.code, fault.claim, fault.found) == ("wrong_client", "azp", "client-2")


def test_a_token_that_names_no_client_is_not_taken_for_ours() -> None:
    fault = only(Expectations(client_claims=("azp", "appid")), {})
    assert (fault.code, fault.message) == ("missing_claim", "Token has no azp or appid claim; expected client-1.")


def test_another_tenant_and_another_issuer_are_faults_of_their_own() -> None:
    found = faults(Expectations(iss="https://a/", tenant="t"), {"iss": "https://b/", "tid": "u"})
    assert [fault.code for fault in found] == ["wrong_issuer", "wrong_tenant"]
    assert found[0].message == "Token has the wrong iss: https://b/; expected https://a/."


# Opaque tokens and hostile values


def test_an_opaque_token_with_expected_claims_is_one_fault_that_says_what_to_do() -> None:
    fault = only(Expectations(aud=("a",), roles=("b",), min_lifetime=timedelta(minutes=1)), None)
    assert fault.code == "not_a_jwt"
    assert fault.message == (
        "The token is opaque, not a JWT, so its aud and roles cannot be checked. Drop the claims from verify.expect,"
        " or ask the vendor for a JWT."
    )


def test_all_faults_are_told_not_the_first_alone() -> None:
    found = faults(Expectations(aud=("a",), roles=("b",), min_lifetime=timedelta(minutes=1)), {"aud": "x"})
    assert [fault.code for fault in found] == ["wrong_audience", "missing_role", "token_expires_too_soon"]


def test_a_hostile_claim_cannot_write_on_the_terminal_or_fill_it() -> None:
    fault = only(
        Expectations(roles=("A",)), {"roles": ["\x1b[2J\r\nrm -rf\u202e", "x" * 100_000, *map(str, range(100))]}
    )
    assert fault.found is not None
    assert fault.found.isprintable()
    assert len(fault.found) < 300
    assert fault.found.endswith("and 94 more")

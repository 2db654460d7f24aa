"""The rules of real partners, against the sandbox's issuers over TLS: Kontrolle+, Screening Eagle, Netwrix."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rotator.clock import SystemClock
from rotator.expect import CredentialKind, Expectations, RefreshToken
from rotator.finding import Severity
from rotator.ports import Answer, Verdict
from rotator.provers.client_credentials import ClientCredentialsProver
from rotator.provers.request import ClientAuth, ProofRequest, Signature, for_entra
from rotator.sandbox.server import Sandbox
from rotator.sandbox.vendor import SCREENING_AUDIENCE, SCREENING_SCOPE, Vendor
from rotator.sandbox.weather import Answer as Given
from rotator.sandbox.weather import Effect, Fault, Route, Weather, throttle
from rotator.sandbox.world import KONTROLLE_PROD, KONTROLLE_TRAINING, SITE_REPORTS_API, SITE_REPORTS_PROD
from rotator.secret import Fields

CLOCK = SystemClock()
KONTROLLE = Expectations(
    aud=("api://kontrolle-provider",), roles=("ProviderApi.Access",), min_lifetime=timedelta(minutes=5)
)
CLIENT = "0f0e0d0c-screening"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.start(tmp_path_factory.mktemp("sandbox"), weather=Weather.calm(), seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    yield running
    running.sky.clear()
    running.set_weather(Weather.calm())


def secret_of(sandbox: Sandbox, app_id: str) -> str:
    return sandbox.directory.put(app_id, display_name="of the test", expires_at=CLOCK.now() + timedelta(days=1)).text


def kontrolle(sandbox: Sandbox, **changes: Any) -> ClientCredentialsProver:
    request: dict[str, Any] = {
        "token_url": sandbox.token_url,
        "scope": "api://kontrolle-provider/.default",
        "expectations": for_entra(KONTROLLE, sandbox.tenant, CredentialKind.SECRET),
        "signature": Signature.JWKS,
        "keys_url": f"{sandbox.base_url}/{sandbox.tenant}/v2.0/.well-known/openid-configuration",
        "ca_file": sandbox.ca_file,
        **changes,
    }
    return ClientCredentialsProver(ProofRequest(**request), CLOCK)


def prove(prover: ClientCredentialsProver, client_id: str, text: str) -> Verdict:
    verdict = prover.prove(client_id, Fields({"client_secret": text}), CLOCK.now())
    assert text not in verdict.message
    return verdict


# Kontrolle+


def test_kontrolle_plus_is_proved_by_audience_role_and_lifetime(sandbox: Sandbox) -> None:
    verdict = prove(kontrolle(sandbox), KONTROLLE_PROD, secret_of(sandbox, KONTROLLE_PROD))
    assert (verdict.answer, verdict.code) == (Answer.PROVED, "proved")
    assert verdict.token_expires_at is not None
    assert timedelta(minutes=50) < verdict.token_expires_at - CLOCK.now() < timedelta(minutes=70)


def test_a_v2_token_carries_the_apis_guid_as_audience(sandbox: Sandbox) -> None:
    promised = for_entra(
        Expectations(aud=(SITE_REPORTS_API,), roles=("Reports.Read",)), sandbox.tenant, CredentialKind.SECRET
    )
    prover = kontrolle(sandbox, scope="api://site-reports/.default", expectations=promised)
    verdict = prove(prover, SITE_REPORTS_PROD, secret_of(sandbox, SITE_REPORTS_PROD))
    assert verdict.answer is Answer.PROVED, verdict.message


def test_a_fresh_secret_is_refused_while_the_issuer_spreads_it(sandbox: Sandbox) -> None:
    fresh = sandbox.directory.add(SITE_REPORTS_PROD, display_name="new", expires_at=None, by=KONTROLLE_PROD)
    verdict = prove(kontrolle(sandbox), SITE_REPORTS_PROD, fresh.text)
    assert (verdict.answer, verdict.code) == (Answer.REFUSED, "invalid_client")


def test_a_role_that_nobody_granted_is_named_and_does_not_speak_against_the_secret(sandbox: Sandbox) -> None:
    verdict = prove(kontrolle(sandbox), KONTROLLE_TRAINING, secret_of(sandbox, KONTROLLE_TRAINING))
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "missing_role")
    assert verdict.message.startswith("Token lacks role ProviderApi.Access: its roles claim is absent")


def test_a_token_for_another_api_is_named_with_both_audiences(sandbox: Sandbox) -> None:
    prover = kontrolle(sandbox, scope="api://site-reports/.default")
    verdict = prove(prover, KONTROLLE_PROD, secret_of(sandbox, KONTROLLE_PROD))
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "wrong_audience")
    assert f"aud is {SITE_REPORTS_API}; expected api://kontrolle-provider" in verdict.message


def test_a_token_that_ends_too_soon_is_unfit(sandbox: Sandbox) -> None:
    promised = Expectations(min_lifetime=timedelta(hours=2))
    verdict = prove(kontrolle(sandbox, expectations=promised), KONTROLLE_PROD, secret_of(sandbox, KONTROLLE_PROD))
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "token_expires_too_soon")


def test_a_wrong_secret_is_refused_and_an_expired_one_is_told_from_it(sandbox: Sandbox) -> None:
    assert prove(kontrolle(sandbox), KONTROLLE_PROD, "random-wrong-value-0815").code == "invalid_client"
    held = sandbox.directory.put(KONTROLLE_PROD, display_name="old", expires_at=CLOCK.now() + timedelta(days=1))
    sandbox.directory.expire(KONTROLLE_PROD, held.key_id)
    verdict = prove(kontrolle(sandbox), KONTROLLE_PROD, held.text)
    assert (verdict.answer, verdict.code) == (Answer.REFUSED, "expired_secret")


def test_a_removed_secret_is_refused_although_it_worked_a_moment_ago(sandbox: Sandbox) -> None:
    held = sandbox.directory.put(KONTROLLE_PROD, display_name="short", expires_at=CLOCK.now() + timedelta(days=1))
    prover = kontrolle(sandbox)
    assert prove(prover, KONTROLLE_PROD, held.text).answer is Answer.PROVED
    sandbox.directory.remove(KONTROLLE_PROD, held.key_id)
    assert prove(prover, KONTROLLE_PROD, held.text).answer is Answer.REFUSED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scope": "api://kontrolle-provider"}, "invalid_scope"),
        ({"scope": "api://nobody/.default"}, "invalid_resource"),
    ],
)
def test_a_request_that_is_wrong_in_itself_says_nothing_about_the_secret(
    sandbox: Sandbox, changes: dict[str, Any], code: str
) -> None:
    verdict = prove(kontrolle(sandbox, **changes), KONTROLLE_PROD, secret_of(sandbox, KONTROLLE_PROD))
    assert (verdict.answer, verdict.code) == (Answer.SILENT, code)


def test_an_unknown_tenant_or_application_says_nothing_about_the_secret(sandbox: Sandbox) -> None:
    elsewhere = kontrolle(
        sandbox, token_url=f"{sandbox.base_url}/{'9' * 8}-2222-3333-4444-555555555555/oauth2/v2.0/token"
    )
    assert prove(elsewhere, KONTROLLE_PROD, "x" * 20).code == "unknown_tenant"
    unknown = prove(kontrolle(sandbox), "99999999-0000-4000-8000-000000000000", "x" * 20)
    assert (unknown.answer, unknown.code) == (Answer.SILENT, "unknown_client")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (throttle("7"), "throttled"),
        (Fault(Given.ERROR, status=503), "server_error"),
        (Fault(Given.DROP), "connection_lost"),
    ],
)
def test_a_bad_day_of_the_issuer_says_nothing_about_the_secret(sandbox: Sandbox, fault: Fault, code: str) -> None:
    text = secret_of(sandbox, KONTROLLE_PROD)
    sandbox.fail_next(Route.TOKEN, fault)
    verdict = prove(kontrolle(sandbox), KONTROLLE_PROD, text)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, code)
    assert verdict.retry_after == (timedelta(seconds=7) if code == "throttled" else None)
    assert prove(kontrolle(sandbox), KONTROLLE_PROD, text).answer is Answer.PROVED


def test_an_answer_to_a_good_secret_that_is_lost_is_no_proof(sandbox: Sandbox) -> None:
    text = secret_of(sandbox, KONTROLLE_PROD)
    sandbox.fail_next(Route.TOKEN, Fault(Given.DROP, Effect.DONE))
    assert prove(kontrolle(sandbox), KONTROLLE_PROD, text).answer is Answer.SILENT


def test_keys_that_are_out_of_reach_say_nothing_and_the_next_proof_has_them(sandbox: Sandbox) -> None:
    text, prover = secret_of(sandbox, KONTROLLE_PROD), kontrolle(sandbox)
    sandbox.fail_next(Route.KEYS, Fault(Given.ERROR, status=503))
    assert prove(prover, KONTROLLE_PROD, text).code == "keys_unreachable"
    assert prove(prover, KONTROLLE_PROD, text).answer is Answer.PROVED


def test_an_issuer_whose_clock_is_ahead_is_believed_about_its_own_tokens(sandbox: Sandbox) -> None:
    sandbox.set_weather(Weather.calm().but(skew=-timedelta(hours=3)))
    text = secret_of(sandbox, KONTROLLE_PROD)
    verdict = prove(kontrolle(sandbox), KONTROLLE_PROD, text)
    assert verdict.answer is Answer.PROVED, verdict.message
    assert verdict.issuer_now is not None
    assert abs(CLOCK.now() - timedelta(hours=3) - verdict.issuer_now) < timedelta(minutes=1)


def test_an_issuer_that_repeats_the_request_in_its_errors_is_not_repeated(sandbox: Sandbox) -> None:
    sandbox.set_weather(Weather.calm().but(echo=True))
    wrong = "canary+Zx8Q/4711%Kk9vR2mWqT"
    for auth in (ClientAuth.CLIENT_SECRET_POST, ClientAuth.CLIENT_SECRET_BASIC):
        verdict = prove(kontrolle(sandbox, client_auth=auth), KONTROLLE_PROD, wrong)
        assert verdict.answer is Answer.REFUSED
        assert "canary" not in verdict.message


def test_check_finds_endpoint_clock_and_keys_well(sandbox: Sandbox) -> None:
    found = {finding.check: finding.outcome for finding in kontrolle(sandbox).check("kontrolle-plus-prod")}
    assert found == dict.fromkeys(("token endpoint", "clock", "signing keys"), Severity.OK)


def test_check_finds_a_clock_that_is_hours_away(sandbox: Sandbox) -> None:
    sandbox.set_weather(Weather.calm().but(skew=timedelta(hours=2)))
    found = {finding.check: finding for finding in kontrolle(sandbox).check("kontrolle-plus-prod")}
    assert (found["clock"].outcome, found["clock"].exit_status) == (Severity.FAIL, 75)


def test_check_without_the_sandboxs_ca_says_that_it_is_not_trusted(sandbox: Sandbox) -> None:
    found = kontrolle(sandbox, ca_file=None).check("kontrolle-plus-prod")
    assert [(finding.check, finding.outcome, finding.exit_status) for finding in found] == [
        ("token endpoint", Severity.FAIL, 78),
        ("signing keys", Severity.FAIL, 78),
    ]


def test_a_certificate_proves_itself_and_not_a_secret(sandbox: Sandbox) -> None:
    app = sandbox.directory.world.rotator.app_id
    pem = sandbox.files.certificate_file.read_text()
    values = Fields({"certificate": pem[pem.index("-----BEGIN CERT") :], "private_key": pem})
    request = {
        "client_auth": ClientAuth.PRIVATE_KEY_JWT,
        "scope": "https://graph.microsoft.com/.default",
    }
    for kind, answer in ((CredentialKind.CERTIFICATE, Answer.PROVED), (CredentialKind.SECRET, Answer.UNFIT)):
        promised = for_entra(None, sandbox.tenant, kind)
        verdict = kontrolle(sandbox, expectations=promised, **request).prove(app, values, CLOCK.now())
        assert verdict.answer is answer, verdict.message


# Screening Eagle's habits: Basic, a scope, {error, errorDescription}


def screening(sandbox: Sandbox, **changes: Any) -> ClientCredentialsProver:
    request: dict[str, Any] = {
        "token_url": sandbox.screening_token_url,
        "client_auth": ClientAuth.CLIENT_SECRET_BASIC,
        "scope": SCREENING_SCOPE,
        "expectations": Expectations(
            aud=(SCREENING_AUDIENCE,), scope=(SCREENING_SCOPE,), token_type="Bearer", min_lifetime=timedelta(minutes=5)
        ),
        "signature": Signature.UNVERIFIED,
        "ca_file": sandbox.ca_file,
        **changes,
    }
    return ClientCredentialsProver(ProofRequest(**request), CLOCK)


def test_scopes_are_asked_with_spaces_and_found_in_a_token_that_nobody_else_can_verify(sandbox: Sandbox) -> None:
    text = sandbox.vendors.issue(Vendor.SCREENING_EAGLE, CLIENT)
    both = ("reports.read", "projects.read")
    promised = Expectations(
        aud=(SCREENING_AUDIENCE,), scope=both, iss=f"{sandbox.base_url}/api/id/v1", min_lifetime=timedelta(minutes=5)
    )
    verdict = prove(screening(sandbox, scope=" ".join(both), expectations=promised), CLIENT, text)
    assert verdict.answer is Answer.PROVED, verdict.message
    verdict = prove(screening(sandbox, expectations=promised), CLIENT, text)
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "missing_scope"), verdict.message
    verdict = prove(screening(sandbox, expectations=Expectations(aud=("api://other",))), CLIENT, text)
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "wrong_audience"), verdict.message


def test_a_secret_full_of_awkward_characters_passes_through_a_basic_header(sandbox: Sandbox) -> None:
    text = sandbox.vendors.issue(Vendor.SCREENING_EAGLE, CLIENT)
    assert {"+", "%", ":"} <= set(text)
    verdict = prove(screening(sandbox), CLIENT, text)
    assert verdict.answer is Answer.PROVED, verdict.message


def test_the_other_shape_of_errors_is_understood(sandbox: Sandbox) -> None:
    text = sandbox.vendors.issue(Vendor.SCREENING_EAGLE, CLIENT)
    refused = prove(screening(sandbox), CLIENT, "wrong-value-0815-4711")
    assert (refused.answer, refused.code) == (Answer.REFUSED, "invalid_client")
    assert "The request was not accepted: invalid_client." in refused.message
    silent = prove(screening(sandbox, scope="reports.write"), CLIENT, text)
    assert (silent.answer, silent.code) == (Answer.SILENT, "invalid_scope")


# Netwrix's habits: an opaque token and a refresh token


def netwrix(sandbox: Sandbox, promised: Expectations) -> ClientCredentialsProver:
    request = ProofRequest(token_url=sandbox.netwrix_token_url, expectations=promised, ca_file=sandbox.ca_file)
    return ClientCredentialsProver(request, CLOCK)


def test_an_opaque_token_with_a_refresh_token_that_works_is_a_proof(sandbox: Sandbox) -> None:
    text = sandbox.vendors.issue(Vendor.NETWRIX, CLIENT)
    promised = Expectations(refresh_token=RefreshToken.WORKS, token_type="bearer", min_lifetime=timedelta(minutes=30))
    verdict = prove(netwrix(sandbox, promised), CLIENT, text)
    assert verdict.answer is Answer.PROVED, verdict.message


def test_claims_cannot_be_asked_of_an_opaque_token(sandbox: Sandbox) -> None:
    text = sandbox.vendors.issue(Vendor.NETWRIX, CLIENT)
    verdict = prove(netwrix(sandbox, Expectations(aud=("api://netwrix",))), CLIENT, text)
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "not_a_jwt")


def test_a_withdrawn_secret_is_refused(sandbox: Sandbox) -> None:
    text = sandbox.vendors.issue(Vendor.NETWRIX, CLIENT)
    sandbox.vendors.withdraw(Vendor.NETWRIX, CLIENT, text)
    promised = Expectations(refresh_token=RefreshToken.PRESENT)
    assert prove(netwrix(sandbox, promised), CLIENT, text).answer is Answer.REFUSED

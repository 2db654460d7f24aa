"""From one token request to one verdict, with the endpoint played by a function: tokens, keys, refresh grants."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rotator.clock import ManualClock
from rotator.errors import Misconfigured
from rotator.expect import CredentialKind, Expectations, RefreshToken
from rotator.finding import Severity
from rotator.ports import Answer, Verdict
from rotator.provers.client_credentials import ClientCredentialsProver
from rotator.provers.request import ClientAuth, ProofRequest, Signature, for_entra
from rotator.secret import Fields

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TOKEN_URL = "https://login.example/token"
METADATA = "https://login.example/metadata"
JWKS = "https://keys.example/jwks"
SECRET = Fields({"client_id": "client-1", "client_secret": "canary-Zx8Q~4711-Kk9vR2mWqT"})
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
CLAIMS: dict[str, Any] = {
    "aud": "api://a",
    "roles": ["R"],
    "exp": NOW.timestamp() + 3600,
    "azp": "client-1",
    "azpacr": "1",
}

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def published(key: Private, kid: str, **changes: Any) -> dict[str, Any]:
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    jwk: dict[str, Any] = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key()))
    jwk.pop("key_ops", None)
    jwk |= {"kid": kid, "use": "sig", **changes}
    return {name: value for name, value in jwk.items() if value is not None}


def signed(claims: dict[str, Any] | None = None, key: Any = KEY, alg: str = "RS256", **header: Any) -> str:
    return jwt.encode(CLAIMS if claims is None else claims, key, algorithm=alg, headers={"kid": "k1", **header})


class Endpoint:
    """An issuer: token endpoint, metadata, keys. Keeps what it was asked."""

    def __init__(self, token: str = "", **more: Any) -> None:
        self.answers: list[tuple[int, Any]] = [(200, {"access_token": token, "token_type": "Bearer", **more})]
        self.keys: Any = [published(KEY, "k1")]
        self.asked: list[str] = []
        self.forms: list[dict[str, list[str]]] = []
        self.keys_status = 200
        self.date: str | None = None

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(f"{request.method} {request.url}")
        if str(request.url) == METADATA:
            return httpx2.Response(self.keys_status, json={"jwks_uri": JWKS})
        if str(request.url) == JWKS:
            return httpx2.Response(self.keys_status, json={"keys": self.keys})
        self.forms.append(parse_qs(request.content.decode()))
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return httpx2.Response(status, json=body, headers={"date": self.date} if self.date else {})

    def asked_for_keys(self) -> int:
        return self.asked.count(f"GET {JWKS}")


def prover(endpoint: Callable[[httpx2.Request], httpx2.Response], **request: Any) -> ClientCredentialsProver:
    asked = ProofRequest(**{"token_url": TOKEN_URL, **request})
    return ClientCredentialsProver(asked, ManualClock(NOW), transport=lambda deadline: httpx2.MockTransport(endpoint))


def prove(endpoint: Endpoint, **request: Any) -> Verdict:
    return prover(endpoint, **request).prove("client-1", SECRET, NOW)


def by_keys(**request: Any) -> dict[str, Any]:
    return {"signature": Signature.JWKS, "keys_url": METADATA, **request}


# Without keys


def test_an_opaque_token_of_which_nothing_was_promised_proves_the_secret() -> None:
    verdict = prove(Endpoint("opaque"))
    assert (verdict.answer, verdict.code, verdict.token_expires_at) == (Answer.PROVED, "proved", None)


@pytest.mark.parametrize(
    ("auth", "values"),
    [
        (ClientAuth.CLIENT_SECRET_POST, {"client_secret": ""}),
        (ClientAuth.CLIENT_SECRET_BASIC, {"client_secret": " \n"}),
        (ClientAuth.PRIVATE_KEY_JWT, {"private_key": "", "certificate": ""}),
        (ClientAuth.PRIVATE_KEY_JWT, {"private_key": "to be replaced", "certificate": "to be replaced"}),
    ],
)
def test_a_placeholder_is_refused_unasked_since_nobody_could_take_it(auth: ClientAuth, values: dict[str, str]) -> None:
    endpoint = Endpoint("opaque")
    verdict = prover(endpoint, client_auth=auth).prove("client-1", Fields(values), NOW)
    assert (verdict.answer, endpoint.asked) == (Answer.REFUSED, [])
    assert verdict.code in ("missing_value", "unusable_key") and verdict.message
    with pytest.raises(Misconfigured):
        prover(endpoint, client_auth=auth).prove("client-1", Fields({}), NOW)


def test_an_opaque_token_with_promised_claims_is_unfit_and_says_what_to_do() -> None:
    verdict = prove(Endpoint("opaque"), expectations=Expectations(aud=("api://a",)))
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "not_a_jwt")
    assert "verify.expect" in verdict.message


@pytest.mark.parametrize("token", ["a.b.c", "a.b.c.d.e", "...", "MTIz.e30.x"])
def test_dots_do_not_make_a_jwt(token: str) -> None:
    assert prove(Endpoint(token)).answer is Answer.PROVED
    assert prove(Endpoint(token), expectations=Expectations(aud=("api://a",))).code == "not_a_jwt"


def test_claims_of_an_unverified_token_are_compared_all_the_same() -> None:
    token = jwt.encode(CLAIMS, "x" * 32, algorithm="HS256")
    verdict = prove(Endpoint(token), expectations=Expectations(roles=("Q",)))
    assert (verdict.answer, verdict.message) == (Answer.UNFIT, "Token lacks role Q (found: R).")
    assert prove(Endpoint(token), expectations=Expectations(roles=("R",))).answer is Answer.PROVED


def test_a_token_that_says_nobody_signed_it_is_not_taken_even_unverified() -> None:
    token = jwt.encode(CLAIMS, "", algorithm="none")
    assert prove(Endpoint(token), expectations=Expectations(roles=("R",))).code == "signature_invalid"


def test_the_form_carries_grant_scope_and_extra_parameters() -> None:
    endpoint = Endpoint("opaque")
    prove(endpoint, scope="api://a/.default", params={"audience": "a b"}, client_id="other")
    assert endpoint.forms[0] == {
        "grant_type": ["client_credentials"],
        "scope": ["api://a/.default"],
        "audience": ["a b"],
        "client_id": ["other"],
        "client_secret": ["canary-Zx8Q~4711-Kk9vR2mWqT"],
    }


def test_without_a_scope_none_is_sent() -> None:
    endpoint = Endpoint("opaque")
    prove(endpoint)
    assert "scope" not in endpoint.forms[0]


def test_the_end_of_the_token_is_reported_and_measured_by_the_issuers_clock() -> None:
    endpoint = Endpoint(signed())
    endpoint.date = "Tue, 24 Nov 2026 14:00:00 GMT"
    verdict = prove(endpoint, expectations=Expectations(min_lifetime=timedelta(minutes=5)))
    assert (verdict.code, verdict.issuer_now) == ("token_expires_too_soon", NOW + timedelta(hours=2))
    assert verdict.token_expires_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize("exp", ["x", True, 10**30, -(10**30), None])
def test_an_absurd_end_of_the_token_is_reported_as_none(exp: object) -> None:
    token = jwt.api_jws.encode(json.dumps({"exp": exp}).encode(), "x" * 32, algorithm="HS256")
    assert prove(Endpoint(token)).token_expires_at is None


# With keys


@pytest.mark.parametrize(("key", "alg"), [(KEY, "RS256"), (KEY, "PS256"), (CURVE, "ES256")])
def test_a_token_signed_by_a_published_key_proves_the_secret(key: Private, alg: str) -> None:
    endpoint = Endpoint(signed(key=key, alg=alg))
    endpoint.keys = [published(OTHER, "enc", use="enc"), published(key, "k1")]
    assert prove(endpoint, **by_keys(expectations=Expectations(aud=("api://a",)))).answer is Answer.PROVED


def test_without_any_expectation_the_signature_is_checked_all_the_same() -> None:
    assert prove(Endpoint(signed(key=OTHER)), **by_keys()).code == "signature_invalid"


def test_a_key_set_can_be_named_without_metadata() -> None:
    endpoint = Endpoint(signed())
    assert prove(endpoint, signature=Signature.JWKS_URL, keys_url=JWKS).answer is Answer.PROVED
    assert f"GET {METADATA}" not in endpoint.asked


def _public_pem() -> bytes:
    return KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _forged_with_the_public_key() -> str:
    """The classic confusion: an HMAC keyed with what everybody can read. PyJWT refuses to, so it is made here."""
    import hashlib
    import hmac

    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "kid": "k1"}, CLAIMS)
    )
    mac = hmac.new(_public_pem(), head + b"." + body, hashlib.sha256).digest()
    return b".".join((head, body, base64.urlsafe_b64encode(mac).rstrip(b"="))).decode()


@pytest.mark.parametrize(
    ("token", "keys"),
    [
        (signed(key=OTHER), None),
        (signed()[:-4] + "AAAA", None),
        (jwt.encode(CLAIMS, "", algorithm="none", headers={"kid": "k1"}), None),
        (_forged_with_the_public_key(), None),
        (
            jwt.encode(CLAIMS, "x" * 32, algorithm="HS256", headers={"kid": "k1"}),
            [{"kty": "oct", "kid": "k1", "k": "eHg"}],
        ),
        (signed(alg="RS512"), None),
        (signed(), [published(KEY, "k1", use="enc")]),
        (signed(), [published(KEY, "k1", key_ops=["encrypt"])]),
        (signed(), [published(KEY, "k1", alg="PS256")]),
        (signed(), [published(KEY, "k2")]),
        (signed(), [published(CURVE, "k1")]),
        (signed(), [{"kty": "RSA", "kid": "k1", "n": "%%", "e": "AQAB"}]),
        (signed(), ["k1", None, {}]),
        (signed(), []),
        (signed(crit=["x"], x=1), None),
    ],
)
def test_a_signature_that_does_not_hold_is_never_a_proof(token: str, keys: list[Any] | None) -> None:
    endpoint = Endpoint(token)
    endpoint.keys = endpoint.keys if keys is None else keys
    verdict = prove(endpoint, **by_keys(expectations=Expectations(aud=("api://a",))))
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "signature_invalid")


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_weak_published_key_is_no_key() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    endpoint = Endpoint(signed(key=weak))
    endpoint.keys = [published(weak, "k1")]
    assert prove(endpoint, **by_keys()).code == "signature_invalid"


def test_a_token_without_a_key_id_is_tried_with_every_key_that_fits() -> None:
    token = jwt.encode(CLAIMS, KEY, algorithm="RS256")
    endpoint = Endpoint(token)
    endpoint.keys = [published(OTHER, "a"), published(CURVE, "b"), published(KEY, "c")]
    assert prove(endpoint, **by_keys()).answer is Answer.PROVED


def test_of_two_keys_with_one_id_the_one_that_fits_is_found() -> None:
    endpoint = Endpoint(signed())
    endpoint.keys = [published(OTHER, "k1"), published(CURVE, "k1"), published(KEY, "k1")]
    assert prove(endpoint, **by_keys()).answer is Answer.PROVED


def test_an_opaque_token_where_a_signature_is_expected_is_unfit() -> None:
    verdict = prove(Endpoint("opaque"), **by_keys())
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "not_a_jwt")
    assert "signature: unverified" in verdict.message


def test_an_encrypted_token_is_named_as_such() -> None:
    token = base64.urlsafe_b64encode(b'{"alg":"RSA-OAEP"}').decode().rstrip("=") + ".a.b.c.d"
    verdict = prove(Endpoint(token), **by_keys())
    assert (verdict.answer, verdict.code) == (Answer.UNFIT, "not_a_jwt")
    assert "encrypted" in verdict.message


@pytest.mark.parametrize("status", [404, 429, 500, 301])
def test_keys_that_cannot_be_had_say_nothing_about_the_secret(status: int) -> None:
    endpoint = Endpoint(signed())
    endpoint.keys_status = status
    verdict = prove(endpoint, **by_keys(expectations=Expectations(aud=("api://a",))))
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "keys_unreachable")


@pytest.mark.parametrize(
    "address", ["http://keys.example/jwks", "file:///etc/passwd", "https://u:p@keys.example/", 5, None]
)
def test_metadata_cannot_send_us_to_an_address_that_is_not_https(address: object) -> None:
    asked: list[str] = []

    def issuer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        body = {"access_token": signed()} if str(request.url) == TOKEN_URL else {"jwks_uri": address}
        return httpx2.Response(200, json=body)

    verdict = prover(issuer, **by_keys()).prove("client-1", SECRET, NOW)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "keys_unreachable")
    assert asked == [TOKEN_URL, METADATA]


def test_keys_are_kept_between_proofs_and_fetched_again_when_they_are_old() -> None:
    endpoint, clock = Endpoint(signed()), ManualClock(NOW)
    asked = ProofRequest(token_url=TOKEN_URL, signature=Signature.JWKS, keys_url=METADATA)
    one = ClientCredentialsProver(asked, clock, transport=lambda deadline: httpx2.MockTransport(endpoint))
    for _ in range(3):
        assert one.prove("client-1", SECRET, NOW).answer is Answer.PROVED
    assert endpoint.asked_for_keys() == 1
    clock.advance(timedelta(minutes=11))
    one.prove("client-1", SECRET, NOW)
    assert endpoint.asked_for_keys() == 2


def test_a_new_key_is_fetched_once_when_a_token_names_it() -> None:
    endpoint, clock = Endpoint(signed()), ManualClock(NOW)
    asked = ProofRequest(token_url=TOKEN_URL, signature=Signature.JWKS, keys_url=METADATA)
    one = ClientCredentialsProver(asked, clock, transport=lambda deadline: httpx2.MockTransport(endpoint))
    one.prove("client-1", SECRET, NOW)
    endpoint.answers = [(200, {"access_token": signed(key=OTHER, kid="k2")})]
    endpoint.keys = [published(KEY, "k1"), published(OTHER, "k2")]
    clock.advance(timedelta(minutes=1))
    assert one.prove("client-1", SECRET, NOW).answer is Answer.PROVED
    assert endpoint.asked_for_keys() == 2


def test_tokens_with_unknown_keys_cannot_make_us_hammer_the_issuer() -> None:
    endpoint = Endpoint(signed(kid="never published"))
    one = prover(endpoint, **by_keys())
    for _ in range(5):
        assert one.prove("client-1", SECRET, NOW).code == "signature_invalid"
    assert endpoint.asked_for_keys() == 1


# Whose token


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"azp": "client-2"}, "wrong_client"),
        ({"azpacr": "2"}, "wrong_credential"),
        ({"azp": None}, "missing_claim"),
        ({"tid": "55555555-2222-3333-4444-555555555555"}, "wrong_tenant"),
    ],
)
def test_a_proof_cannot_pass_by_another_credential(change: dict[str, Any], code: str) -> None:
    tenant = "11111111-2222-3333-4444-555555555555"
    claims = {name: value for name, value in {**CLAIMS, "tid": tenant, **change}.items() if value is not None}
    promised = for_entra(None, tenant, CredentialKind.SECRET)
    assert prove(Endpoint(signed(claims)), **by_keys(expectations=promised)).code == code
    assert prove(Endpoint(signed({**CLAIMS, "tid": tenant})), **by_keys(expectations=promised)).answer is Answer.PROVED


def test_the_claims_of_a_token_with_a_bad_signature_are_not_repeated() -> None:
    token = signed({**CLAIMS, "roles": ["Forged.Role"]}, key=OTHER)
    assert "Forged" not in prove(Endpoint(token), **by_keys(expectations=Expectations(roles=("R",)))).message


def test_a_claim_that_repeats_the_secret_is_masked() -> None:
    token = signed({**CLAIMS, "roles": ["for canary-Zx8Q~4711-Kk9vR2mWqT"]})
    verdict = prove(Endpoint(token), **by_keys(expectations=Expectations(roles=("R",))))
    assert verdict.message == "Token lacks role R (found: for <secret>)."


# Refresh tokens

WORKS = Expectations(refresh_token=RefreshToken.WORKS)


def test_a_refresh_token_that_works_is_part_of_the_proof() -> None:
    endpoint = Endpoint("opaque", refresh_token="r-1")
    assert prove(endpoint, expectations=WORKS).answer is Answer.PROVED
    assert [sent["grant_type"] for sent in endpoint.forms] == [["client_credentials"], ["refresh_token"]]
    assert endpoint.forms[1]["refresh_token"] == ["r-1"]


def test_presence_alone_is_not_tried() -> None:
    endpoint = Endpoint("opaque", refresh_token="r-1")
    prove(endpoint, expectations=Expectations(refresh_token=RefreshToken.PRESENT))
    assert len(endpoint.forms) == 1


def test_a_missing_refresh_token_is_unfit() -> None:
    assert prove(Endpoint("opaque"), expectations=WORKS).code == "missing_refresh_token"


@pytest.mark.parametrize(
    ("status", "error", "answer"),
    [
        (400, "invalid_grant", Answer.UNFIT),
        (401, "invalid_client", Answer.REFUSED),
        (500, "server_error", Answer.SILENT),
        (429, "slow_down", Answer.SILENT),
    ],
)
def test_a_refresh_grant_that_fails_decides_by_how_it_fails(status: int, error: str, answer: Answer) -> None:
    endpoint = Endpoint("opaque", refresh_token="refresh-canary-0815")
    endpoint.answers.append((status, {"error": error, "error_description": "no: refresh-canary-0815"}))
    verdict = prove(endpoint, expectations=WORKS)
    assert verdict.answer is answer
    assert "refresh-canary" not in verdict.message


# rotator check


def outcomes(one: ClientCredentialsProver) -> dict[str, tuple[Severity, int]]:
    return {finding.check: (finding.outcome, finding.exit_status) for finding in one.check("kontrolle-plus-prod")}


def test_check_asks_without_any_client_or_secret() -> None:
    endpoint = Endpoint()
    endpoint.answers = [(400, {"error": "invalid_request"})]
    endpoint.date = "Tue, 24 Nov 2026 12:00:01 GMT"
    found = outcomes(prover(endpoint, **by_keys(client_auth=ClientAuth.CLIENT_SECRET_BASIC)))
    assert {name: severity for name, (severity, _) in found.items()} == dict.fromkeys(
        ("token endpoint", "clock", "signing keys"), Severity.OK
    )
    assert endpoint.forms == [{"grant_type": ["client_credentials"]}]


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (401, {"error": "x"}, Severity.OK),
        (404, {"error": "Realm does not exist"}, Severity.FAIL),
        (405, {}, Severity.FAIL),
        (307, {}, Severity.FAIL),
        (503, {}, Severity.WARN),
        (200, {"access_token": "a"}, Severity.WARN),
        (400, "not an object", Severity.WARN),
    ],
)
def test_check_tells_a_token_endpoint_from_what_is_none(status: int, body: object, outcome: Severity) -> None:
    endpoint = Endpoint()
    endpoint.answers = [(status, body)]
    assert outcomes(prover(endpoint))["token endpoint"][0] is outcome


@pytest.mark.parametrize(
    ("date", "outcome"), [("12:00:29", Severity.OK), ("12:01:00", Severity.WARN), ("11:54:59", Severity.FAIL)]
)
def test_check_compares_the_clocks(date: str, outcome: Severity) -> None:
    endpoint = Endpoint()
    endpoint.answers = [(400, {"error": "invalid_request"})]
    endpoint.date = f"Tue, 24 Nov 2026 {date} GMT"
    assert outcomes(prover(endpoint))["clock"][0] is outcome


def test_check_counts_only_keys_that_could_check_a_token() -> None:
    endpoint = Endpoint()
    endpoint.keys = [published(KEY, "k1", use="enc"), {"kty": "oct"}]
    assert outcomes(prover(endpoint, **by_keys()))["signing keys"] == (Severity.FAIL, 78)


def test_check_says_when_keys_cannot_be_reached() -> None:
    endpoint = Endpoint()
    endpoint.keys_status = 503
    assert outcomes(prover(endpoint, **by_keys()))["signing keys"] == (Severity.FAIL, 69)

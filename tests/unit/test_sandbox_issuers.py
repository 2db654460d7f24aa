"""The issuers' rules without a socket: token endpoint, Graph and the two vendors, each in its own words."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

import jwt
import pytest

from rotator.clock import ManualClock
from rotator.sandbox.directory import Directory
from rotator.sandbox.exchange import Call, Refusal, Reply
from rotator.sandbox.graph_keys import GraphOfKeys
from rotator.sandbox.identity import Identity
from rotator.sandbox.keys import KeyRing
from rotator.sandbox.tokens import TokenEndpoint
from rotator.sandbox.vendor import SCREENING_SCOPE, Vendor, Vendors
from rotator.sandbox.weather import Sky, Weather
from rotator.sandbox.world import (
    GRAPH_URI,
    KONTROLLE_PROD,
    KONTROLLE_TRAINING,
    ROTATOR,
    SITE_REPORTS_API,
    SITE_REPORTS_PROD,
    TENANT,
    SecretPolicy,
    demo_world,
)

BASE = "https://127.0.0.1:1"
FORM = {"content-type": "application/x-www-form-urlencoded"}
KONTROLLE = "api://kontrolle-provider/.default"


class Bench:
    """All issuers on one moved clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sky = Sky(Weather.calm(), "7")
        self.directory = Directory(demo_world(), self.sky, self.clock)
        self.keys = KeyRing(self.directory, self.sky)
        self.identity = Identity(self.directory, self.keys, BASE)
        self.tokens = TokenEndpoint(self.directory, self.identity)
        self.graph = GraphOfKeys(self.directory, self.keys, self.identity, self.sky)
        self.vendors = Vendors(self.directory, self.identity, self.sky)
        expires_at = self.directory.now() + timedelta(days=1)
        self.directory.put(ROTATOR, display_name=None, expires_at=expires_at, text="ours")

    def ask(self, *, tenant: str = TENANT, headers: dict[str, str] | None = None, **form: Any) -> Reply:
        fields = {"grant_type": "client_credentials", "scope": KONTROLLE, **form}
        body = urlencode({name: value for name, value in fields.items() if value != "-"}).encode()
        path = f"/{tenant}/oauth2/v2.0/token"
        call = Call("POST", path, headers={**FORM, **(headers or {})}, params={"tenant": tenant}, body=body)
        return answered(self.tokens.token, call)

    def good(self, app_id: str = KONTROLLE_PROD) -> str:
        return self.directory.truth(app_id)[0].text

    def call(self, method: str, body: object = None, query: dict[str, str] | None = None, **params: str) -> Call:
        token = self.ask(client_id=ROTATOR, client_secret="ours", scope=f"{GRAPH_URI}/.default").body["access_token"]
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        sent = b"" if body is None else json.dumps(body).encode()
        return Call(method, "/v1.0/applications", query or {}, headers, params, sent)


def answered(handler: Callable[[Call], Reply], call: Call) -> Reply:
    try:
        return handler(call)
    except Refusal as no:
        return no.reply


def claims(reply: Reply) -> dict[str, object]:
    return jwt.decode(reply.body["access_token"], options={"verify_signature": False})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def basic(user: str, password: str) -> dict[str, str]:
    pair = f"{quote_plus(user)}:{quote_plus(password)}"
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


# The token endpoint


def test_a_good_secret_gets_a_token_by_post_and_by_basic(bench: Bench) -> None:
    posted = bench.ask(client_id=KONTROLLE_PROD, client_secret=bench.good())
    by_header = bench.ask(headers=basic(KONTROLLE_PROD, bench.good()))
    assert (posted.status, by_header.status) == (200, 200)
    assert posted.body["token_type"] == "Bearer"


def test_a_token_of_a_v1_resource_carries_what_entra_puts_into_it(bench: Bench) -> None:
    told = claims(bench.ask(client_id=KONTROLLE_PROD, client_secret=bench.good()))
    now = bench.clock.now().timestamp()
    assert told["aud"] == "api://kontrolle-provider"
    assert told["iss"] == f"https://sts.windows.net/{TENANT}/"
    assert (told["appid"], told["appidacr"], told["tid"]) == (KONTROLLE_PROD, "1", TENANT)
    assert told["roles"] == ["ProviderApi.Access"]
    assert told["exp"] == now + 3599
    assert "sandbox" in told


def test_a_token_of_a_v2_resource_names_the_api_by_its_id(bench: Bench) -> None:
    good = bench.good(SITE_REPORTS_PROD)
    told = claims(bench.ask(client_id=SITE_REPORTS_PROD, client_secret=good, scope="api://site-reports/.default"))
    assert (told["aud"], told["iss"], told["azp"]) == (SITE_REPORTS_API, f"{BASE}/{TENANT}/v2.0", SITE_REPORTS_PROD)


def test_an_application_without_a_grant_gets_a_token_without_roles(bench: Bench) -> None:
    reply = bench.ask(client_id=KONTROLLE_TRAINING, client_secret=bench.good(KONTROLLE_TRAINING))
    assert reply.status == 200
    assert "roles" not in claims(reply)


@pytest.mark.parametrize(
    ("form", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000216),
        ({"client_id": "00000000-0000-0000-0000-000000000009"}, 400, "unauthorized_client", 700016),
        ({"client_id": "-"}, 400, "invalid_request", 900144),
        ({"scope": "api://kontrolle-provider"}, 400, "invalid_scope", 1002012),
        ({"scope": "a/.default b/.default"}, 400, "invalid_scope", 70011),
        ({"scope": "api://nobody/.default"}, 400, "invalid_resource", 500011),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"grant_type": "-"}, 400, "invalid_request", 900144),
        ({"tenant": "00000000-0000-0000-0000-000000000009"}, 400, "invalid_request", 90002),
    ],
)
def test_every_mistake_is_refused_with_entras_number(
    bench: Bench, form: dict[str, Any], status: int, error: str, number: int
) -> None:
    asked: dict[str, Any] = {"client_id": KONTROLLE_PROD, "client_secret": bench.good(), **form}
    reply = bench.ask(**asked)
    assert (reply.status, reply.body["error"], reply.body["error_codes"]) == (status, error, [number])
    assert reply.body["error_description"].startswith(f"AADSTS{number}: ")
    assert set(reply.body or {}) >= {"timestamp", "trace_id", "correlation_id"}


def test_an_expired_secret_is_told_from_a_wrong_one(bench: Bench) -> None:
    good = bench.good()
    bench.directory.expire(KONTROLLE_PROD, bench.directory.truth(KONTROLLE_PROD)[0].key_id)
    assert bench.ask(client_id=KONTROLLE_PROD, client_secret=good).body["error_codes"] == [7000222]


def test_a_disabled_application_is_refused_without_a_word_about_its_secret(bench: Bench) -> None:
    bench.directory.change(KONTROLLE_PROD, disabled=True)
    reply = bench.ask(client_id=KONTROLLE_PROD, client_secret=bench.good())
    assert (reply.status, reply.body["error_codes"]) == (400, [7000112])


def test_one_applications_secret_does_not_open_another(bench: Bench) -> None:
    assert bench.ask(client_id=KONTROLLE_TRAINING, client_secret=bench.good()).status == 401


def test_basic_must_be_form_encoded_as_rfc_6749_says(bench: Bench) -> None:
    expires_at = bench.directory.now() + timedelta(days=1)
    bench.directory.put(KONTROLLE_PROD, display_name=None, expires_at=expires_at, text="a+b%c")
    raw = "Basic " + base64.b64encode(f"{KONTROLLE_PROD}:a+b%c".encode()).decode()
    assert bench.ask(headers=basic(KONTROLLE_PROD, "a+b%c")).status == 200
    assert bench.ask(headers={"authorization": raw}).status == 401


def test_keys_must_be_chosen_by_their_id(bench: Bench) -> None:
    keys = answered(bench.tokens.keys, Call("GET", "/", params={"tenant": TENANT})).body["keys"]
    token = bench.ask(client_id=KONTROLLE_PROD, client_secret=bench.good()).body["access_token"]
    kid = jwt.get_unverified_header(token)["kid"]
    fitting = [key for key in keys if key["kid"] == kid]
    assert len(fitting) == 1 and len(keys) == 3 and keys[0]["use"] == "enc"
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    assert jwt.decode(token, jwt.PyJWK(fitting[0], "RS256"), ["RS256"], options=options)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, jwt.PyJWK(keys[0], "RS256"), ["RS256"], options=options)


# Graph


def test_a_secret_is_created_listed_without_its_value_and_removed(bench: Bench) -> None:
    app = bench.directory.app(KONTROLLE_PROD)
    end = datetime(2026, 1, 1, 6, 0, 0, 123456, tzinfo=UTC)
    wish = {"passwordCredential": {"displayName": "rotator/i/n/r/1", "endDateTime": end.isoformat()}}
    made = answered(bench.graph.add_password, bench.call("POST", wish, id=app.object_id))
    assert made.status == 200
    assert made.body["hint"] == made.body["secretText"][:3]
    assert made.body["endDateTime"] == "2026-01-01T06:00:00.1234560Z"
    found = answered(
        bench.graph.application, bench.call("GET", query={"$select": "passwordCredentials"}, id=app.object_id)
    )
    listed = {item["keyId"]: item for item in found.body["passwordCredentials"]}
    assert listed[made.body["keyId"]]["secretText"] is None
    assert "appId" not in (found.body or {})
    gone = answered(bench.graph.remove_password, bench.call("POST", {"keyId": made.body["keyId"]}, id=app.object_id))
    assert gone.status == 204
    again = answered(bench.graph.remove_password, bench.call("POST", {"keyId": made.body["keyId"]}, id=app.object_id))
    assert (again.status, again.body["error"]["code"]) == (400, "Request_BadRequest")


def test_owned_by_opens_owned_applications_only_and_all_opens_every_one(bench: Bench) -> None:
    app = bench.directory.change(KONTROLLE_PROD, owned=False)
    refused = answered(bench.graph.add_password, bench.call("POST", {}, id=app.object_id))
    assert (refused.status, refused.body["error"]["code"]) == (403, "Authorization_RequestDenied")
    bench.directory.change(ROTATOR, roles={GRAPH_URI: ("Application.ReadWrite.All",)})
    assert answered(bench.graph.add_password, bench.call("POST", {}, id=app.object_id)).status == 200


def test_without_a_role_nothing_can_be_read(bench: Bench) -> None:
    bench.directory.change(ROTATOR, roles={})
    assert answered(bench.graph.applications, bench.call("GET")).status == 403


def test_a_token_for_another_api_or_none_is_no_token(bench: Bench) -> None:
    other = bench.ask(client_id=ROTATOR, client_secret="ours").body["access_token"]
    for header in ({}, {"authorization": f"Bearer {other}"}, {"authorization": "Bearer x.y.z"}):
        reply = answered(bench.graph.applications, Call("GET", "/v1.0/applications", headers=header))
        assert (reply.status, reply.body["error"]["code"]) == (401, "InvalidAuthenticationToken")
        assert "www-authenticate" in reply.headers


def test_an_application_is_found_by_filter_by_app_id_and_by_object_id_but_never_by_the_wrong_one(bench: Bench) -> None:
    app = bench.directory.app(KONTROLLE_PROD)
    filtered = bench.call("GET", query={"$filter": f"appId eq '{app.app_id}'", "$select": "id"})
    assert answered(bench.graph.applications, filtered).body["value"] == [{"id": app.object_id}]
    assert answered(bench.graph.application, bench.call("GET", app_id=app.app_id)).body["id"] == app.object_id
    missing = answered(bench.graph.application, bench.call("GET", id=app.app_id))
    assert (missing.status, missing.body["error"]["code"]) == (404, "Request_ResourceNotFound")


def test_owners_come_in_pages_and_ours_is_on_the_second(bench: Bench) -> None:
    bench.sky.change(Weather.calm().but(page_size=1))
    app = bench.directory.app(KONTROLLE_PROD)
    first = answered(bench.graph.owners, bench.call("GET", id=app.object_id))
    assert "$skiptoken=1" in first.body["@odata.nextLink"]
    second = answered(bench.graph.owners, bench.call("GET", query={"$skiptoken": "1"}, id=app.object_id))
    assert second.body["value"][0]["id"] == bench.directory.app(ROTATOR).principal_id
    assert "@odata.nextLink" not in (second.body or {})


def test_policies_are_shown_as_graph_shows_them(bench: Bench) -> None:
    app = bench.directory.change(KONTROLLE_PROD, policy=SecretPolicy("p-1", timedelta(days=90)))
    shown = answered(bench.graph.policies, bench.call("GET", id=app.object_id)).body["value"][0]
    rule = shown["restrictions"]["passwordCredentials"][0]
    assert (rule["restrictionType"], rule["maxLifetime"], rule["state"]) == ("passwordLifetime", "P90D", "enabled")
    assert answered(bench.graph.default_policy, bench.call("GET")).body["isEnabled"] is False


def test_a_body_that_is_no_json_and_a_key_id_that_is_no_guid_are_bad_requests(bench: Bench) -> None:
    app = bench.directory.app(KONTROLLE_PROD)
    call = bench.call("POST", {"keyId": "1"}, id=app.object_id)
    assert answered(bench.graph.remove_password, call).status == 400
    broken = Call("POST", call.path, headers=call.headers, params=call.params, body=b"{")
    assert answered(bench.graph.add_password, broken).status == 400


# The two vendors


def vendor_call(headers: dict[str, str], **form: str) -> Call:
    return Call("POST", "/", headers={**FORM, **headers}, body=urlencode(form).encode())


def test_the_jwt_vendor_takes_basic_only_and_says_error_description_in_its_own_way(bench: Bench) -> None:
    secret = bench.vendors.issue(Vendor.SCREENING_EAGLE, "client")
    form = {"grant_type": "client_credentials", "scope": SCREENING_SCOPE}
    assert answered(bench.vendors.screening_token, vendor_call(basic("client", secret), **form)).status == 200
    posted = vendor_call({}, client_id="client", client_secret=secret, **form)
    wrong = vendor_call(basic("client", "no"), **form)
    for call in (posted, wrong):
        reply = answered(bench.vendors.screening_token, call)
        assert (reply.status, set(reply.body or {})) == (401, {"error", "errorDescription"})
    scopeless = vendor_call(basic("client", secret), grant_type="client_credentials")
    assert answered(bench.vendors.screening_token, scopeless).body["error"] == "invalid_scope"


def test_the_opaque_vendors_refresh_token_works_once(bench: Bench) -> None:
    secret = bench.vendors.issue(Vendor.NETWRIX, "client")
    first = answered(
        bench.vendors.netwrix_token,
        vendor_call({}, grant_type="client_credentials", client_id="client", client_secret=secret),
    )
    assert first.body["access_token"].count(".") == 0
    again = vendor_call({}, grant_type="refresh_token", refresh_token=first.body["refresh_token"])
    assert answered(bench.vendors.netwrix_token, again).status == 200
    assert answered(bench.vendors.netwrix_token, again).body["error"] == "invalid_grant"


def test_an_opaque_vendors_secret_dies_after_seventy_two_hours(bench: Bench) -> None:
    secret = bench.vendors.issue(Vendor.NETWRIX, "client")
    call = vendor_call(basic("client", secret), grant_type="client_credentials")
    bench.clock.advance(timedelta(hours=71))
    assert answered(bench.vendors.netwrix_token, call).status == 200
    bench.clock.advance(timedelta(hours=1))
    assert answered(bench.vendors.netwrix_token, call).status == 401

"""A Graph that a test writes line by line: what we send to it, and what we make of answers that only a Graph gives."""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.clock import SystemClock
from rotator.errors import OutcomeUnknown, RotatorError, Transient
from rotator.ports import Retired
from rotator.providers.entra import EntraProvider
from rotator.sandbox.server import Sandbox
from rotator.sandbox.tls import prepare_tls
from rotator.sandbox.weather import Weather
from rotator.sandbox.world import Resource, demo_world
from tests.integration.entra_bench import APP, DAYS, TAG, settings_for
from tests.servers.rude_server import RudeServer, rude_server

OBJECT = "0b0b0000-0000-4000-8000-000000000001"
KEY = "4c1e0000-1111-4222-8333-444455559a02"
VALUE = "~made~by~a~script~0123456789abcdefghij"


def credential(**changes: object) -> dict[str, object]:
    whole = {
        "keyId": KEY,
        "displayName": TAG,
        "startDateTime": "2026-11-24T12:00:00.1234567Z",
        "endDateTime": "2027-02-22T12:00:00Z",
        "secretText": None,
    }
    return {**whole, **changes}


def application(*credentials: object, **more: object) -> dict[str, object]:
    return {
        "id": OBJECT,
        "appId": APP,
        "signInAudience": "AzureADMyOrg",
        "passwordCredentials": list(credentials),
        **more,
    }


@dataclass
class Script:
    """Answers in order; the last one again and again. Each is (status, JSON or bytes, header lines)."""

    answers: list[tuple[int, object, tuple[str, ...]]] = field(default_factory=list)

    def say(self, status: int, body: object, *headers: str) -> None:
        self.answers.append((status, body, headers))

    def __call__(self, connection: socket.socket, request: bytes) -> None:
        status, body, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}", "Content-Type: application/json", *headers]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + text)


@dataclass
class Stage:
    script: Script
    server: RudeServer
    provider: EntraProvider

    @property
    def base(self) -> str:
        return self.server.url("/v1.0")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    script, world = Script(), demo_world()
    with rude_server(prepare_tls(folder, SystemClock().now()), script) as server:
        graph = Resource(str(uuid.uuid4()), "a scripted Graph", server.url(""), 1)
        world = replace(world, resources=(*world.resources, graph))
        with Sandbox.start(folder, weather=Weather.calm(), world=world) as sandbox:
            settings = replace(settings_for(sandbox), graph=server.url("/v1.0"))
            provider = EntraProvider(settings, SystemClock())
            yield Stage(script, server, provider)
            provider.close()


def head(request: bytes) -> tuple[str, dict[str, str]]:
    """Return request line and headers, in lower case."""
    first, *lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def body(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])


def test_what_is_sent_is_what_microsoft_documents_and_no_more(stage: Stage) -> None:
    stage.script.say(200, application())
    stage.script.say(200, credential(secretText=VALUE), "Date: Tue, 24 Nov 2026 12:00:00 GMT")
    stage.script.say(204, b"")
    issued = stage.provider.create(APP, TAG, DAYS)
    assert stage.provider.retire(APP, KEY) is Retired.DONE
    read, create, retire = stage.server.requests
    wanted = "id,appId,signInAudience"
    assert re.fullmatch(rf"GET /v1\.0/applications\(appId='{APP}'\)\?(\$|%24)select=(.*) HTTP/1\.1", head(read)[0])
    assert wanted in head(read)[0].replace("%2C", ",")
    assert head(create)[0] == f"POST /v1.0/applications/{OBJECT}/addPassword HTTP/1.1"
    assert head(retire)[0] == f"POST /v1.0/applications/{OBJECT}/removePassword HTTP/1.1"
    wish = body(create)["passwordCredential"]
    assert set(body(create)) == {"passwordCredential"} and set(wish) == {"displayName", "endDateTime"}
    assert wish["displayName"] == TAG
    end = datetime.fromisoformat(wish["endDateTime"])
    assert abs(end - datetime.now(UTC) - DAYS) < timedelta(seconds=60)
    assert body(retire) == {"keyId": KEY}
    for request in stage.server.requests:
        headers = head(request)[1]
        assert headers["authorization"].startswith("Bearer ") and headers["accept-encoding"] == "identity"
        assert headers["user-agent"].startswith("rotator/")
    assert (issued.version.key_id, issued.values.reveal()) == (KEY, {"client_secret": VALUE})
    assert issued.version.created_at == datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
    assert issued.issuer_now == datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    assert stage.server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        credential(),
        credential(secretText=""),
        credential(secretText="**********"),
        credential(secretText=f" {VALUE}"),
        credential(secretText=7),
        credential(secretText=VALUE, keyId=None),
        credential(secretText=VALUE, keyId="1"),
        {"value": credential(secretText=VALUE)},
        [credential(secretText=VALUE)],
    ],
)
def test_a_creation_without_a_usable_value_or_key_id_is_unknown(stage: Stage, answer: object) -> None:
    stage.script.say(200, application())
    stage.script.say(200, answer)
    with pytest.raises(OutcomeUnknown) as caught:
        stage.provider.create(APP, TAG, DAYS)
    assert VALUE not in f"{caught.value}{caught.value.hint}"
    assert stage.server.connections == 2


@pytest.mark.parametrize("status", [200, 201, 202, 205, 206])
def test_only_204_is_a_retirement_that_was_done(stage: Stage, status: int) -> None:
    stage.script.say(200, application())
    stage.script.say(status, {})
    with pytest.raises(OutcomeUnknown):
        stage.provider.retire(APP, KEY)


@pytest.mark.parametrize("status", [201, 202, 206])
def test_only_200_is_a_secret_that_was_issued(stage: Stage, status: int) -> None:
    stage.script.say(200, application())
    stage.script.say(status, credential(secretText=VALUE))
    with pytest.raises(OutcomeUnknown):
        stage.provider.create(APP, TAG, DAYS)


@pytest.mark.parametrize(
    "answer",
    [
        application(credential(), {"displayName": "no key id"}),
        application(credential(), None),
        {**application(), "passwordCredentials": None},
        {**application(), "passwordCredentials": {"0": credential()}},
        {**application(), "id": "../x"},
        {**application(), "appId": None},
    ],
)
def test_a_list_that_cannot_be_read_whole_is_none(stage: Stage, answer: object) -> None:
    stage.script.say(200, answer)
    with pytest.raises(Transient):
        stage.provider.list(APP)


def test_a_list_in_pages_is_read_to_its_end(stage: Stage) -> None:
    second, third = str(uuid.uuid4()), str(uuid.uuid4())
    link = {"passwordCredentials@odata.nextLink": f"{stage.base}/applications/{OBJECT}/passwordCredentials?page=2"}
    stage.script.say(200, application(credential(), **link))
    more = {"@odata.nextLink": f"{stage.base}/applications/{OBJECT}/passwordCredentials?page=3"}
    stage.script.say(200, {"value": [credential(keyId=second)], **more})
    stage.script.say(200, {"value": [credential(keyId=third)]})
    assert [version.key_id for version in stage.provider.list(APP).versions] == [KEY, second, third]
    assert "page=3" in head(stage.server.requests[2])[0]


@pytest.mark.parametrize(
    ("status", "page"),
    [
        (503, {"error": {"code": "ServiceNotAvailable", "message": "x"}}),
        (429, {"error": {"code": "TooManyRequests", "message": "x"}}),
        (404, {"error": {"code": "Request_ResourceNotFound", "message": "x"}}),
        (502, b"<html>bad gateway</html>"),
        (200, {"value": None}),
        (200, {}),
    ],
)
@pytest.mark.parametrize("field", ["passwordCredentials", "keyCredentials"])
def test_a_page_that_does_not_come_makes_no_shorter_list(stage: Stage, field: str, status: int, page: object) -> None:
    link = {f"{field}@odata.nextLink": f"{stage.base}/applications/{OBJECT}/{field}?page=2"}
    stage.script.say(200, application(**{field: [credential()], **link}))
    stage.script.say(status, page)
    with pytest.raises(RotatorError):
        stage.provider.list(APP if field == "passwordCredentials" else f"certificate:{APP}")


def test_no_certificate_is_written_away_because_the_page_that_has_it_did_not_come(stage: Stage) -> None:
    field = "keyCredentials"
    link = {f"{field}@odata.nextLink": f"{stage.base}/applications/{OBJECT}/{field}?page=2"}
    first, away = application(**{field: [credential()], **link}), {"error": {"code": "ServiceNotAvailable"}}
    stage.script.answers = [(200, application(), ()), *[(200, first, ()), (503, away, ())] * 2, (204, b"", ())]
    with pytest.raises(RotatorError):
        stage.provider.create(f"certificate:{APP}", TAG, DAYS)
    assert not [one for one in stage.server.requests if one.startswith(b"PATCH")]


@pytest.mark.parametrize(
    "link",
    [
        "https://thief.example/v1.0/x",
        "http://{host}/v1.0/x",
        "https://{host}/other/x",
        "https://{host}@thief.example/v1.0/x",
        "//thief.example/v1.0/x",
        "https://{host}.thief.example/v1.0/x",
        7,
    ],
)
def test_a_next_page_anywhere_else_is_not_asked_for(stage: Stage, link: object) -> None:
    if isinstance(link, str):
        link = link.format(host=f"127.0.0.1:{stage.server.port}")
    stage.script.say(200, application(credential(), **{"passwordCredentials@odata.nextLink": link}))
    with pytest.raises(Transient, match="elsewhere"):
        stage.provider.list(APP)
    assert stage.server.connections == 1


def test_pages_without_end_are_given_up(stage: Stage) -> None:
    link = f"{stage.base}/applications/x"
    stage.script.say(200, application(**{"passwordCredentials@odata.nextLink": link}))
    stage.script.say(200, {"value": [], "@odata.nextLink": link})
    with pytest.raises(Transient, match="do not end"):
        stage.provider.list(APP)
    assert stage.server.connections == 101


def test_an_answer_that_is_too_long_is_not_read_even_when_it_is_right(stage: Stage) -> None:
    stage.script.say(200, application(credential(), filling="x" * 5_000_000))
    with pytest.raises(Transient, match="more than 4 MiB"):
        stage.provider.list(APP)


def test_an_answer_that_is_compressed_is_not_unpacked_even_when_it_is_right(stage: Stage) -> None:
    stage.script.say(200, gzip.compress(json.dumps(application(credential())).encode()), "Content-Encoding: gzip")
    with pytest.raises(Transient, match="compressed"):
        stage.provider.list(APP)


def test_headers_without_end_are_not_read(stage: Stage) -> None:
    stage.script.say(200, application(credential()), *(f"X-{number}: {'x' * 900}" for number in range(80)))
    with pytest.raises(Transient, match="headers"):
        stage.provider.list(APP)


def test_a_challenge_of_graph_does_not_make_the_library_send_a_write_twice(stage: Stage) -> None:
    claims = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1"}}}').decode()
    challenge = f'WWW-Authenticate: Bearer error="insufficient_claims", claims="{claims}"'
    stage.script.say(200, application())
    stage.script.say(401, {"error": {"code": "InvalidAuthenticationToken", "message": "x"}}, challenge)
    with pytest.raises(Transient) as caught:
        stage.provider.create(APP, TAG, DAYS)
    assert caught.value.code == "token_not_accepted"
    assert stage.server.connections == 2

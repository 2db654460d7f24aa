"""The sandbox as a server: what it does to the connection, to other processes, and between two starts."""

from __future__ import annotations

import email.utils
import socket
import ssl
import stat
import threading
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from rotator.clock import ManualClock
from rotator.errors import Misconfigured
from rotator.sandbox.control import Remote
from rotator.sandbox.server import HOST, Memory, Sandbox
from rotator.sandbox.weather import Answer, Effect, Fault, Route, Weather, throttle
from rotator.sandbox.world import GRAPH_URI, KONTROLLE_PROD, ROTATOR, SecretPolicy

APP = KONTROLLE_PROD
LATER = timedelta(minutes=5)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sandbox(tmp_path: Path, clock: ManualClock) -> Iterator[Sandbox]:
    with Sandbox.start(tmp_path / "sandbox", weather=Weather.calm(), seed=7, clock=clock) as running:
        yield running


def client(sandbox: Sandbox) -> httpx2.Client:
    context = ssl.create_default_context(cafile=str(sandbox.ca_file))
    return httpx2.Client(verify=context, trust_env=False, timeout=2.0)


def ask_token(
    sandbox: Sandbox, app_id: str, secret: str, scope: str = "api://kontrolle-provider/.default"
) -> httpx2.Response:
    form = {"grant_type": "client_credentials", "client_id": app_id, "client_secret": secret, "scope": scope}
    with client(sandbox) as http:
        return http.post(sandbox.token_url, data=form)


def good(sandbox: Sandbox) -> str:
    return sandbox.directory.truth(APP)[0].text


@pytest.fixture
def bearer(sandbox: Sandbox) -> dict[str, str]:
    answer = ask_token(sandbox, ROTATOR, sandbox.files.secret, f"{GRAPH_URI}/.default")
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


def add_password(sandbox: Sandbox, bearer: dict[str, str]) -> httpx2.Response:
    url = f"{sandbox.graph_url}/applications/{sandbox.directory.app(APP).object_id}/addPassword"
    with client(sandbox) as http:
        return http.post(url, headers=bearer, json={"passwordCredential": {"displayName": "tag"}})


def tags(sandbox: Sandbox) -> list[str | None]:
    return [secret.display_name for secret in sandbox.directory.live(APP)]


# Effects: the answer says one thing, the issuer did another


@pytest.mark.parametrize("answer", [Answer.ERROR, Answer.DROP, Answer.HTML, Answer.EMPTY, Answer.CUT, Answer.NO_VALUE])
@pytest.mark.parametrize(("effect", "made"), [(Effect.NONE, 0), (Effect.DONE, 1)])
def test_an_answer_is_lost_before_or_after_the_act(
    sandbox: Sandbox, bearer: dict[str, str], answer: Answer, effect: Effect, made: int
) -> None:
    sandbox.fail_next(Route.ADD_PASSWORD, Fault(answer, effect, 504))
    try:
        reply = add_password(sandbox, bearer)
    except httpx2.TransportError:
        assert answer is Answer.DROP
    else:
        assert "~" not in reply.text
        assert answer is not Answer.DROP
    assert tags(sandbox).count("tag") == made
    seen = sandbox.directory.requests(APP, Route.ADD_PASSWORD)[-1]
    assert (seen.fault, seen.effect) == (answer, effect)


def test_a_ghost_appears_after_the_caller_was_told_of_a_failure(
    sandbox: Sandbox, bearer: dict[str, str], clock: ManualClock
) -> None:
    sandbox.fail_next(Route.ADD_PASSWORD, Fault(Answer.ERROR, Effect.LATE, 504))
    assert add_password(sandbox, bearer).status_code == 504
    assert "tag" not in tags(sandbox)
    clock.advance(timedelta(seconds=2))
    assert "tag" in tags(sandbox)


def test_two_writes_on_one_application_at_once_meet_a_concurrency_violation(
    sandbox: Sandbox, bearer: dict[str, str]
) -> None:
    sandbox.set_weather(Weather.calm().but(write_time=timedelta(milliseconds=500)))
    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(lambda _: add_password(sandbox, bearer), range(2)))
    assert sorted(reply.status_code for reply in replies) == [200, 409]
    refused = next(reply for reply in replies if reply.status_code == 409)
    assert refused.json()["error"]["code"] == "Directory_ConcurrencyViolation"
    assert tags(sandbox).count("tag") == 1


def test_a_caller_who_gives_up_does_not_stop_the_issuer(sandbox: Sandbox, bearer: dict[str, str]) -> None:
    sandbox.fail_next(Route.ADD_PASSWORD, Fault(Answer.HANG, Effect.DONE))
    with pytest.raises(httpx2.ReadTimeout):
        add_password(sandbox, bearer)
    assert "tag" in tags(sandbox)


# Answers


@pytest.mark.parametrize(
    ("told", "heard"),
    [("7", "7"), ("-1", "-1"), ("99999999", "99999999"), (None, None), (timedelta(seconds=30), "date")],
)
def test_retry_after_comes_in_all_its_forms(
    sandbox: Sandbox, clock: ManualClock, told: str | timedelta | None, heard: str | None
) -> None:
    sandbox.fail_next(Route.TOKEN, throttle(told))
    answer = ask_token(sandbox, APP, good(sandbox))
    assert answer.status_code == 429
    if heard == "date":
        assert email.utils.parsedate_to_datetime(answer.headers["retry-after"]) == clock.now() + timedelta(seconds=30)
    else:
        assert answer.headers.get("retry-after") == heard


def test_the_date_is_the_issuers_on_every_answer(sandbox: Sandbox, clock: ManualClock) -> None:
    sandbox.set_weather(Weather.calm().but(skew=timedelta(minutes=9)))
    with client(sandbox) as http:
        for path in ("/nowhere", f"/{sandbox.tenant}/discovery/v2.0/keys"):
            answer = http.get(sandbox.base_url + path)
            assert answer.headers.get_list("date") == [
                email.utils.format_datetime(sandbox.directory.now(), usegmt=True)
            ]
    assert sandbox.directory.now() - clock.now() == timedelta(minutes=9)


def test_an_echoing_vendor_repeats_the_secret_and_tries_the_terminal(sandbox: Sandbox) -> None:
    sandbox.set_weather(Weather.calm().but(echo=True))
    text = ask_token(sandbox, APP, "canary-123").json()["error_description"]
    assert "canary-123" in text and "\x1b" in text and "\r\n" in text


def test_strange_json_has_unknown_fields_and_still_the_known_ones(sandbox: Sandbox) -> None:
    sandbox.set_weather(Weather.calm().but(strange_json=True))
    body = ask_token(sandbox, APP, good(sandbox)).json()
    assert len(body) == 5 and body["token_type"] == "Bearer"


def test_a_redirect_leads_to_a_thief_who_counts_what_he_gets(sandbox: Sandbox) -> None:
    sandbox.fail_next(Route.TOKEN, Fault(Answer.REDIRECT, status=307), times=2)
    secret = good(sandbox)
    answer = ask_token(sandbox, APP, secret)
    assert answer.status_code == 307
    assert sandbox.stolen() == []
    with client(sandbox) as http:  # what a careless client does
        http.post(sandbox.token_url, data={"client_id": APP, "client_secret": secret}, follow_redirects=True)
    assert len(sandbox.stolen()) == 1 and b"POST" in sandbox.stolen()[0]


def test_a_gzip_bomb_is_small_on_the_wire_and_large_behind_it(sandbox: Sandbox) -> None:
    sandbox.fail_next(Route.TOKEN, Fault(Answer.GZIP_BOMB))
    answer = ask_token(sandbox, APP, good(sandbox))
    assert int(answer.headers["content-length"]) < 200_000
    assert len(answer.content) == 64 * 1024 * 1024


def test_a_slow_answer_never_trips_a_read_timeout(sandbox: Sandbox) -> None:
    sandbox.fail_next(Route.TOKEN, Fault(Answer.SLOW))
    with client(sandbox) as http, http.stream("POST", sandbox.token_url, data={"client_id": APP}) as answer:
        chunks = answer.iter_raw()
        assert [next(chunks) for _ in range(3)] == [b"{", b" ", b" "]


def test_a_huge_answer_comes_without_a_length(sandbox: Sandbox) -> None:
    sandbox.fail_next(Route.TOKEN, Fault(Answer.HUGE))
    size = 0
    with client(sandbox) as http, http.stream("POST", sandbox.token_url, data={"client_id": APP}) as answer:
        assert "content-length" not in answer.headers
        for chunk in answer.iter_raw():
            size += len(chunk)
            if size > 8 * 1024 * 1024:
                break
    assert size > 8 * 1024 * 1024


def test_deep_json_duplicate_keys_control_characters_and_an_error_in_a_200(sandbox: Sandbox) -> None:
    secret = good(sandbox)
    sandbox.fail_next(Route.TOKEN, Fault(Answer.DEEP_JSON))
    with pytest.raises((ValueError, RecursionError)):
        ask_token(sandbox, APP, secret).json()
    sandbox.fail_next(Route.TOKEN, Fault(Answer.DUPLICATE_KEYS, Effect.DONE))
    assert ask_token(sandbox, APP, secret).text.count('"access_token"') == 2
    sandbox.fail_next(Route.TOKEN, Fault(Answer.CONTROL_CHARACTERS, status=400))
    controlled = ask_token(sandbox, APP, secret)
    assert controlled.status_code == 400
    assert "\x1b" in controlled.json()["error_description"] and secret in controlled.json()["said"]
    sandbox.fail_next(Route.TOKEN, Fault(Answer.ERROR_IN_200, status=400))
    lying = ask_token(sandbox, APP, secret)
    assert lying.status_code == 200 and lying.json()["error"] == "invalid_request"


def test_a_chosen_error_code_is_sent_in_the_apis_own_words(sandbox: Sandbox, bearer: dict[str, str]) -> None:
    sandbox.fail_next(Route.ADD_PASSWORD, Fault(Answer.ERROR, status=403, code="Authorization_RequestDenied"))
    assert add_password(sandbox, bearer).json()["error"]["code"] == "Authorization_RequestDenied"
    sandbox.fail_next(Route.TOKEN, Fault(Answer.ERROR, status=401, code="7000222"))
    assert ask_token(sandbox, APP, good(sandbox)).json()["error_codes"] == [7000222]


# The house


def test_it_listens_on_loopback_only_and_refuses_other_host_names(sandbox: Sandbox) -> None:
    with client(sandbox) as http:
        assert http.get(sandbox.base_url, headers={"host": "evil.example"}).status_code == 400
    others = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {HOST}
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, sandbox.port), timeout=2).close()


def test_nobody_trusts_its_certificate_without_its_ca(sandbox: Sandbox) -> None:
    with httpx2.Client(trust_env=False) as http, pytest.raises(httpx2.ConnectError):
        http.get(sandbox.base_url)


def test_a_taken_port_is_a_clear_error(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=f"cannot listen on 127.0.0.1:{sandbox.port}"):
        Sandbox.start(tmp_path / "second", weather=Weather.calm(), port=sandbox.port)


def test_stopping_frees_the_port_even_with_a_caller_in_the_middle(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.fail_next(Route.TOKEN, Fault(Answer.HANG))
    failed = threading.Event()

    def wait_for_nothing() -> None:
        with pytest.raises(httpx2.TransportError):
            ask_token(sandbox, APP, good(sandbox))
        failed.set()

    caller = threading.Thread(target=wait_for_nothing)
    caller.start()
    sandbox.stop()
    caller.join(10)
    assert failed.is_set()
    with Sandbox.start(tmp_path / "second", weather=Weather.calm(), port=sandbox.port) as second:
        assert second.port == sandbox.port


def test_secrets_outlive_a_restart_when_asked_to_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    with Sandbox.start(tmp_path, weather=Weather.calm(), memory=Memory.KEEP) as first:
        now = first.directory.now()
        kept = first.directory.put(APP, display_name="kept", expires_at=now + timedelta(days=1))
        gone = first.directory.put(APP, display_name="gone", expires_at=now + timedelta(days=1))
        first.directory.remove(APP, gone.key_id)
        port, ours = first.port, first.files.secret
    assert stat.S_IMODE((tmp_path / "issuer-state.json").stat().st_mode) == 0o600
    with Sandbox.start(tmp_path, weather=Weather.calm(), memory=Memory.KEEP, port=port) as second:
        assert ask_token(second, APP, kept.text).status_code == 200
        assert ask_token(second, APP, gone.text).status_code == 401
        assert ask_token(second, ROTATOR, ours, f"{GRAPH_URI}/.default").status_code == 200
        assert len(second.directory.live(ROTATOR)) == 1
    with Sandbox.start(tmp_path, weather=Weather.calm(), port=port) as third:
        assert ask_token(third, APP, kept.text).status_code == 401


# From another process


def test_another_process_sees_the_truth_and_steers_the_weather(sandbox: Sandbox) -> None:
    remote = Remote.of(sandbox.folder)
    assert remote.truth(APP) == sandbox.directory.truth(APP)
    assert remote.mutations() == sandbox.directory.mutations()
    made = remote.put(APP, display_name="by hand", lifetime=LATER)
    assert remote.authenticates(APP, made.text) and remote.live(APP)[-1] == made
    remote.expire(APP, made.key_id)
    assert not remote.authenticates(APP, made.text)
    remote.remove(APP, made.key_id)
    remote.set_weather(Weather.nasty())
    assert sandbox.sky.weather == Weather.nasty()
    remote.set_weather(Weather.calm())
    remote.fail_next(Route.TOKEN, throttle("3"), app_id=APP)
    assert ask_token(sandbox, APP, good(sandbox)).status_code == 429
    remote.fail_next(Route.TOKEN, throttle("3"))
    remote.clear()
    assert ask_token(sandbox, APP, good(sandbox)).status_code == 200
    assert [item.status for item in remote.requests(APP, Route.TOKEN)] == [429, 200]
    policy = SecretPolicy("p", max_lifetime=timedelta(days=1))
    remote.change(APP, owned=False, fresh_lag=timedelta(seconds=3), policy=policy)
    app = sandbox.directory.app(APP)
    assert (app.owned, app.fresh_lag, app.policy) == (False, timedelta(seconds=3), policy)
    assert remote.stolen() == []


def test_the_back_door_is_shut_without_its_token(sandbox: Sandbox) -> None:
    stranger = Remote(sandbox.base_url, sandbox.ca_file, "guess")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        stranger.truth(APP)


def test_nasty_weather_never_lies_about_the_truth(sandbox: Sandbox, bearer: dict[str, str]) -> None:
    nasty = Weather.nasty(scale=0.001)
    # This test's client has no deadline for a whole answer, so the one answer that never ends is left out.
    sandbox.set_weather(nasty.but(faults=tuple(item for item in nasty.faults if item[1].answer is not Answer.SLOW)))
    told: list[str] = []
    for _ in range(60):
        try:
            reply = add_password(sandbox, bearer)
            told.append(reply.json()["secretText"] if reply.status_code == 200 else "")
        except (httpx2.HTTPError, ValueError, KeyError, RecursionError):
            continue
    believed = [text for text in told if text]
    assert len(believed) > 20
    assert all(sandbox.directory.authenticates(APP, text) for text in believed)
    assert len(sandbox.directory.live(APP)) > len(believed) + 1

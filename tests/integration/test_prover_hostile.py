"""Proofs against servers that misbehave, over real sockets and TLS: each ends in time, and nothing leaks."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import ssl
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from rotator.clock import SystemClock
from rotator.errors import Misconfigured
from rotator.finding import Severity
from rotator.ports import Answer, Verdict
from rotator.provers.client_credentials import ClientCredentialsProver
from rotator.provers.request import ClientAuth, ProofRequest, Signature
from rotator.sandbox.tls import Tls, prepare_tls
from rotator.secret import Fields
from tests.servers.rude_server import Manners, answering, rude_server

CANARY = "Kq7~wV+9canary%x&Pb3/zT=Lm5Yc8Rd"
VALUES = Fields({"client_secret": CANARY})
TOKEN = json.dumps({"access_token": "opaque-token-of-the-test", "token_type": "Bearer"}).encode()
CLOCK = SystemClock()
PATIENCE = timedelta(seconds=1)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return prepare_tls(tmp_path_factory.mktemp("tls"), CLOCK.now())


def prover(url: str, tls: Tls, **request: Any) -> ClientCredentialsProver:
    asked = {"token_url": url, "ca_file": tls.ca_file, "deadline": timedelta(seconds=10), **request}
    return ClientCredentialsProver(ProofRequest(**asked), CLOCK)


def prove(url: str, tls: Tls, **request: Any) -> Verdict:
    verdict = prover(url, tls, **request).prove("client-1", VALUES, CLOCK.now())
    assert "canary" not in str(asdict(verdict)).lower()
    return verdict


def against(manners: Manners, tls: Tls, **request: Any) -> Verdict:
    with rude_server(tls, manners) as server:
        return prove(server.url(), tls, **request)


# Connections


def test_every_proof_opens_a_connection_of_its_own(tls: Tls) -> None:
    with rude_server(tls, answering(200, TOKEN, "Connection: keep-alive")) as server:
        one = prover(server.url(), tls)
        for count in (1, 2, 3):
            assert one.prove("client-1", VALUES, CLOCK.now()).answer is Answer.PROVED
            assert server.connections == count
        assert all(b"\r\nConnection: close\r\n" in request for request in server.requests)


def test_the_tls_settings_are_built_once_for_many_proofs(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def counting(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        built.append(self)
        load(self, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counting)
    with rude_server(tls, answering(200, TOKEN)) as server:
        for one in (prover(server.url(), tls), prover(server.url(), tls)):
            one.prove("client-1", VALUES, CLOCK.now())
            one.prove("client-1", VALUES, CLOCK.now())
    assert len(built) <= 1


def test_the_environments_proxies_and_netrc_are_not_used(
    tls: Tls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login thief password stolen\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with rude_server(None, answering(200, TOKEN)) as thief, rude_server(tls, answering(200, TOKEN)) as server:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{thief.port}")
        assert prove(server.url(), tls).answer is Answer.PROVED
        assert thief.connections == 0
        assert b"uthorization" not in server.requests[0]


def test_a_proxy_is_used_when_it_is_named_and_sees_only_where_we_go(tls: Tls) -> None:
    seen: list[bytes] = []

    def tunnel(connection: socket.socket, request: bytes) -> None:
        target = request.split()[1].decode().rpartition(":")
        with socket.create_connection((target[0], int(target[2]))) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            both = threading.Thread(target=_pump, args=(onward, connection), daemon=True)
            both.start()
            _pump(connection, onward, seen)

    with rude_server(None, tunnel) as proxy, rude_server(tls, answering(200, TOKEN)) as server:
        assert prove(server.url(), tls, proxy=f"http://127.0.0.1:{proxy.port}").answer is Answer.PROVED
        assert proxy.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port} ".encode())
        assert b"canary" not in b"".join(seen)
        assert b"canary" in server.requests[0]


def _pump(source: socket.socket, sink: socket.socket, seen: list[bytes] | None = None) -> None:
    try:
        while piece := source.recv(65536):
            if seen is not None:
                seen.append(piece)
            sink.sendall(piece)
    except OSError:
        pass


def test_a_proxy_that_refuses_is_named_as_such(tls: Tls) -> None:
    with rude_server(None, answering(407, b"")) as proxy:
        verdict = prove("https://login.example/token", tls, proxy=f"http://127.0.0.1:{proxy.port}")
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "proxy_refused")
    assert "(407)" in verdict.message


def test_plain_http_to_this_machine_works(tls: Tls) -> None:
    with rude_server(None, answering(200, TOKEN)) as server:
        verdict = prove(server.url(host="localhost"), tls)
    assert verdict.answer is Answer.PROVED


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("auth", [ClientAuth.CLIENT_SECRET_POST, ClientAuth.CLIENT_SECRET_BASIC])
def test_a_redirect_to_a_thief_brings_the_thief_nothing(tls: Tls, status: int, auth: ClientAuth) -> None:
    with rude_server(tls, answering(200, TOKEN)) as thief:
        leading_there = answering(status, b"", f"Location: {thief.url('/take')}")
        verdict = against(leading_there, tls, client_auth=auth)
        assert thief.connections == 0
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "redirected")


def test_metadata_and_keys_are_not_followed_either(tls: Tls) -> None:
    with rude_server(tls, answering(200, b"{}")) as thief, rude_server(tls, _redirecting_get(thief.url())) as server:
        asked = {"signature": Signature.JWKS_URL, "keys_url": server.url("/keys")}
        verdict = prove(server.url(), tls, **asked)
        assert thief.connections == 0
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "keys_unreachable")


def _redirecting_get(url: str) -> Manners:
    jwt = b"eyJhbGciOiJSUzI1NiJ9.e30.AAAA"
    token, away = (
        answering(200, json.dumps({"access_token": jwt.decode()}).encode()),
        answering(302, b"", f"Location: {url}"),
    )

    def answer(connection: socket.socket, request: bytes) -> None:
        (away if request.startswith(b"GET") else token)(connection, request)

    return answer


# Time


def _slow_head(connection: socket.socket, request: bytes) -> None:
    for octet in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 10_000:
        connection.sendall(bytes([octet]))
        threading.Event().wait(0.05)


def _slow_body(connection: socket.socket, request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(10_000):
        connection.sendall(b" ")
        threading.Event().wait(0.05)


def _slow_chunks(connection: socket.socket, request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10_000):
        connection.sendall(b"1\r\n \r\n")
        threading.Event().wait(0.05)


def _interim_for_ever(connection: socket.socket, request: bytes) -> None:
    for _ in range(10_000):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        threading.Event().wait(0.05)


def _silence(connection: socket.socket, request: bytes) -> None:
    threading.Event().wait(5)


@pytest.mark.parametrize("manners", [_slow_head, _slow_body, _slow_chunks, _interim_for_ever, _silence])
def test_an_answer_that_trickles_in_is_not_waited_for_beyond_the_deadline(tls: Tls, manners: Manners) -> None:
    started = CLOCK.instant().since_boot
    verdict = against(manners, tls, deadline=PATIENCE)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "timed_out")
    # Not a measurement: each of these would go on for minutes, or for the five seconds of silence.
    assert CLOCK.instant().since_boot - started < timedelta(seconds=4)


def test_a_server_that_never_shakes_hands_is_left_in_time(tls: Tls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        verdict = prove(f"https://127.0.0.1:{listener.getsockname()[1]}/token", tls, deadline=PATIENCE)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "timed_out")


def test_a_name_that_resolves_too_slowly_is_left_in_time(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])
    verdict = prove("https://slow.example/token", tls, deadline=timedelta(milliseconds=300))
    release.set()
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "timed_out")


def test_of_several_addresses_the_one_that_answers_is_used(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", _only_for("localhost", found))
    with rude_server(tls, answering(200, TOKEN)) as server:  # listens on the second one only
        assert prove(server.url(host="localhost"), tls).answer is Answer.PROVED


def _only_for(name: str, found: list[Any]) -> Callable[..., list[Any]]:
    real = socket.getaddrinfo
    return lambda host, *args, **kwargs: found if host == name else real(host, *args, **kwargs)


def test_one_deadline_covers_token_and_keys_together(tls: Tls) -> None:
    def keys_never(connection: socket.socket, request: bytes) -> None:
        (_silence if request.startswith(b"GET") else _redirecting_get("https://x/"))(connection, request)

    with rude_server(tls, keys_never) as server:
        asked = {"signature": Signature.JWKS_URL, "keys_url": server.url("/keys"), "deadline": PATIENCE}
        verdict = prove(server.url(), tls, **asked)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "keys_unreachable")


# Size and shape


def _endless_body(connection: socket.socket, request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"access_token": "')
    while True:
        connection.sendall(b"a" * 65536)


def _huge_promise(connection: socket.socket, request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def _tiny_chunks(connection: socket.socket, request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1;" + b"x" * 4000 + b"\r\n \r\n")


def _interim_flood(connection: socket.socket, request: bytes) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


@pytest.mark.parametrize("manners", [_endless_body, _huge_promise, _tiny_chunks, _interim_flood])
def test_an_answer_without_end_is_not_read_on(tls: Tls, manners: Manners) -> None:
    verdict = against(manners, tls)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "bad_answer")


@pytest.mark.parametrize(("padding", "code"), [(255 * 1024, "proved"), (257 * 1024, "bad_answer")])
def test_an_answer_may_be_256_kib_long_and_no_longer(tls: Tls, padding: int, code: str) -> None:
    assert against(answering(200, b" " * padding + TOKEN), tls).code == code


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-unknown", "identity, gzip"])
def test_a_compressed_answer_is_not_unpacked(tls: Tls, encoding: str) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    with rude_server(tls, answering(200, bomb, f"Content-Encoding: {encoding}")) as server:
        verdict = prove(server.url(), tls)
        assert b"\r\nAccept-Encoding: identity\r\n" in server.requests[0]
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "bad_answer")
    assert "compressed" in verdict.message


def test_a_flood_of_headers_is_refused(tls: Tls) -> None:
    many = [f"X-{number}: {'y' * 20}" for number in range(200)]
    assert against(answering(200, TOKEN, *many), tls).code == "bad_answer"
    assert against(answering(200, TOKEN, f"X-Long: {'y' * 90_000}"), tls).code == "bad_answer"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}", "connection_lost"),
        (b"SSH-2.0-OpenSSH_9.7\r\n", "connection_lost"),
        (b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n{}", "connection_lost"),
        (b"HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\n{}", "server_error"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n<html>Please sign in</html>\r\n", "bad_answer"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n", "redirected"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", None),
    ],
)
def test_what_is_no_proper_answer_says_nothing_about_the_secret(tls: Tls, raw: bytes, code: str | None) -> None:
    verdict = against(lambda connection, _: connection.sendall(raw), tls)
    assert verdict.answer is Answer.SILENT
    assert verdict.code == (code or verdict.code)


def test_a_connection_that_is_reset_says_nothing_about_the_secret(tls: Tls) -> None:
    def reset(connection: socket.socket, request: bytes) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    verdict = against(reset, tls)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "connection_lost")


def test_nobody_listening_is_said_plainly(tls: Tls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    verdict = prove(f"https://127.0.0.1:{port}/token", tls)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "unreachable")
    assert "connection refused" in verdict.message


def test_a_name_that_does_not_exist_is_said_plainly(tls: Tls) -> None:
    verdict = prove("https://no-such-host.invalid/token", tls)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "unreachable")
    assert "no-such-host.invalid cannot be resolved" in verdict.message


# TLS


def test_a_certificate_of_another_ca_is_never_accepted_and_nothing_is_sent(tls: Tls, tmp_path: Path) -> None:
    other = prepare_tls(tmp_path, CLOCK.now())
    with rude_server(tls, answering(200, TOKEN)) as server:
        for trusted in (other.ca_file, None):
            verdict = prove(server.url(), tls, ca_file=trusted)
            assert (verdict.answer, verdict.code) == (Answer.SILENT, "tls_failed")
            assert "ca_file" in verdict.message
        assert server.requests == []


def test_a_certificate_for_another_name_is_never_accepted(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", _only_for("login.example", found))
    with rude_server(tls, answering(200, TOKEN)) as server:
        verdict = prove(server.url(host="login.example"), tls)
        assert server.requests == []
    assert verdict.code == "tls_failed"
    assert "login.example" in verdict.message


def test_a_server_without_tls_gets_nothing(tls: Tls) -> None:
    heard: list[bytes] = []

    def in_clear(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        heard.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=in_clear, args=(listener,), daemon=True)
        thread.start()
        verdict = prove(f"https://127.0.0.1:{listener.getsockname()[1]}/token", tls)
        thread.join(5)
    assert (verdict.answer, verdict.code) == (Answer.SILENT, "tls_failed")
    assert heard and b"canary" not in heard[0]


def test_session_keys_are_not_written_to_a_file_that_the_environment_names(
    tls: Tls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    fresh = prepare_tls(tmp_path, CLOCK.now())  # a new file, so that its TLS settings are built now
    assert against(answering(200, TOKEN), fresh).answer is Answer.PROVED
    assert not (tmp_path / "keys.log").exists()


def test_a_ca_file_that_is_not_there_is_named(tls: Tls, tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(Misconfigured, match=r"ca\.pem cannot be read: no such file") as wrong:
        prove("https://127.0.0.1:1/token", tls, ca_file=missing)
    assert wrong.value.code == "ca_file_missing"
    (found,) = prover("https://127.0.0.1:1/token", tls, ca_file=missing).check("kontrolle-plus-prod")
    assert (found.outcome, found.exit_status) == (Severity.FAIL, 78)


def test_a_ca_file_without_a_certificate_is_named(tls: Tls, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(Misconfigured, match="no certificate in PEM"):
        prove("https://127.0.0.1:1/token", tls, ca_file=tmp_path / "ca.pem")


def test_a_replaced_ca_file_is_trusted_from_the_next_proof_on(tls: Tls, tmp_path: Path) -> None:
    other = prepare_tls(tmp_path, CLOCK.now())
    with rude_server(tls, answering(200, TOKEN)) as server:
        one = prover(server.url(), tls, ca_file=other.ca_file)
        assert one.prove("client-1", VALUES, CLOCK.now()).code == "tls_failed"
        other.ca_file.write_bytes(tls.ca_file.read_bytes() + b"\n")
        assert one.prove("client-1", VALUES, CLOCK.now()).answer is Answer.PROVED


# Echoes


@pytest.mark.parametrize("auth", [ClientAuth.CLIENT_SECRET_POST, ClientAuth.CLIENT_SECRET_BASIC])
@pytest.mark.parametrize("status", [200, 307, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("place", ["error", "error_description", "errorDescription", "html", "header", "access_token"])
def test_a_server_that_repeats_what_it_got_does_not_make_us_repeat_it(
    tls: Tls, auth: ClientAuth, status: int, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def echo(connection: socket.socket, request: bytes) -> None:
        sent = request.decode()
        text = " ".join(
            (CANARY, quote_plus(CANARY), CANARY[:20], sent.partition("uthorization: ")[2][:120], sent[-120:])
        )
        body = f"<html>{text}</html>" if place == "html" else json.dumps({"error": "invalid_client", place: text})
        line = " ".join(text.split())
        header = f"Location: https://{quote_plus(CANARY)}.example/{quote_plus(line)}"
        answering(status, body.encode(), header, f"WWW-Authenticate: {line}", f"Retry-After: {line}")(
            connection, request
        )

    verdict = against(echo, tls, client_auth=auth)
    shown = str(asdict(verdict)) + caplog.text
    for form in (CANARY, quote_plus(CANARY), CANARY[:12], CANARY[-12:]):
        assert form not in shown
    assert verdict.message.isprintable()


def test_an_error_of_ours_carries_neither_the_secret_nor_the_answer(tls: Tls, tmp_path: Path) -> None:
    try:
        prove("https://127.0.0.1:1/token", tls, ca_file=tmp_path / "none.pem")
    except Misconfigured as wrong:
        told = "".join(traceback.TracebackException.from_exception(wrong, capture_locals=True).format())
        assert "none.pem" in told
        assert "Kq7~wV" not in told.replace(repr(CANARY), "")

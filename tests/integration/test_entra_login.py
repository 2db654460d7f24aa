"""How rotator logs in to Entra: four ways, what goes wrong with each, and what the person who must act is told."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rotator.errors import ClockWrong, Denied, Misconfigured, OutcomeUnknown, RotatorError, Throttled, Transient
from rotator.providers.entra import EntraProvider
from rotator.providers.entra_settings import (
    CertificateAuth,
    ClientSecretAuth,
    EntraAuth,
    ManagedIdentityAuth,
    WorkloadIdentityAuth,
)
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Answer, Effect, Fault, Route, Weather, throttle
from rotator.sandbox.world import ROTATOR
from rotator.secret import Secret
from tests.integration.entra_bench import APP, DAYS, TAG, EntraBench, by_certificate, by_secret, entra_bench
from tests.servers.rude_server import rude_server


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[EntraBench]:
    with entra_bench(tmp_path / "sandbox") as made:
        yield made


def works(provider: EntraProvider) -> bool:
    try:
        return bool(provider.list(APP).versions)
    finally:
        provider.close()


def refusal(bench: EntraBench, provider: EntraProvider) -> RotatorError:
    """Return why a creation fails, after seeing that Graph heard nothing of it."""
    with pytest.raises(RotatorError) as caught:
        provider.create(APP, TAG, DAYS)
    provider.close()
    assert bench.seen(Route.ADD_PASSWORD, None) == 0
    assert not isinstance(caught.value, OutcomeUnknown)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    return caught.value


# ----------------------------------------------------------------------------------------------------------- four ways


def test_a_certificate_logs_in(bench: EntraBench) -> None:
    assert works(bench.another(auth=by_certificate(bench.sandbox)))


def test_a_secret_logs_in(bench: EntraBench) -> None:
    assert works(bench.another(auth=by_secret(bench.sandbox)))


def test_a_workload_logs_in_with_the_token_of_its_cluster(bench: EntraBench, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(bench.sandbox.identity.federated_token(ROTATOR))
    assert works(bench.another(auth=WorkloadIdentityAuth(ROTATOR, file)))


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9"], ids=["direct", "proxy for others"])
def test_a_managed_identity_logs_in_and_is_never_asked_through_a_proxy(
    bench: EntraBench, monkeypatch: pytest.MonkeyPatch, proxy: str | None
) -> None:
    for name, value in bench.sandbox.managed_identity_environment.items():
        monkeypatch.setenv(name, value)
    provider = bench.another(auth=ManagedIdentityAuth(), proxy=proxy)
    if proxy is None:
        assert works(provider)
    else:
        assert refusal(bench, provider).code == "unreachable"  # Graph, that is
    assert bench.seen(Route.MANAGED_IDENTITY, None) == 1


def test_a_proxy_carries_login_and_graph_and_reads_neither(bench: EntraBench) -> None:
    seen: list[bytes] = []

    def tunnel(connection: socket.socket, request: bytes) -> None:
        host, _, port = request.split()[1].decode().rpartition(":")
        with socket.create_connection((host, int(port))) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=_pump, args=(onward, connection), daemon=True).start()
            _pump(connection, onward, seen)

    with rude_server(None, tunnel) as proxy:
        assert works(bench.another(auth=by_secret(bench.sandbox), proxy=f"http://127.0.0.1:{proxy.port}"))
        assert proxy.connections >= 2
        assert all(request.startswith(b"CONNECT 127.0.0.1:") for request in proxy.requests)
    assert seen and bench.sandbox.files.secret.encode() not in b"".join(seen)


def _pump(source: socket.socket, sink: socket.socket, seen: list[bytes] | None = None) -> None:
    """Carry bytes one way until either side ends."""
    with suppress(OSError):
        while piece := source.recv(65536):
            if seen is not None:
                seen.append(piece)
            sink.sendall(piece)


# ----------------------------------------------------------------------------------------------- replaced while we run


def test_a_replaced_certificate_is_picked_up_without_a_restart(bench: EntraBench, tmp_path: Path) -> None:
    file = tmp_path / "graph.pem"
    with Sandbox.start(tmp_path / "other", weather=Weather.calm()) as stranger:
        wrong = stranger.files.certificate_file.read_text()
    file.write_text(wrong)
    provider = bench.another(auth=CertificateAuth(ROTATOR, lambda: Secret(file.read_text()), f"file:{file}"))
    with pytest.raises(Denied) as caught:
        provider.list(APP)
    assert caught.value.code == "login_certificate_refused" and f"file:{file}" in caught.value.hint
    file.write_text(bench.sandbox.files.certificate_file.read_text())
    assert works(provider)


def test_a_login_that_stops_working_is_made_anew_within_the_same_call(bench: EntraBench) -> None:
    good = bench.sandbox.directory.put(ROTATOR, display_name="second", expires_at=bench.sandbox.directory.now() + DAYS)
    current = [bench.sandbox.files.secret]
    provider = bench.another(auth=ClientSecretAuth(ROTATOR, lambda: Secret(current[0])))
    assert provider.list(APP).versions
    current[0] = good.text
    # Graph takes the old token no more, and the old secret gets no new one.
    bench.sandbox.fail_next(Route.READ_APPLICATION, Fault(Answer.ERROR, Effect.NONE, 401))
    bench.sandbox.directory.remove(ROTATOR, bench.sandbox.directory.truth(ROTATOR)[0].key_id)
    assert works(provider)


# ----------------------------------------------------------------------------------------------------- what goes wrong


def test_a_wrong_secret_is_told_with_the_reference_to_look_at(bench: EntraBench) -> None:
    auth = ClientSecretAuth(ROTATOR, Secret("wrong-secret-canary"), "vault:main/rotator#secret")
    error = refusal(bench, bench.another(auth=auth))
    assert (error.code, error.exit_status) == ("login_refused", 77)
    assert "vault:main/rotator#secret" in error.hint and "AADSTS7000215" in error.message
    assert "canary" not in f"{error.message}{error.hint}"


def test_a_login_that_failed_is_not_tried_again_as_it_was(bench: EntraBench) -> None:
    provider = bench.another(auth=ClientSecretAuth(ROTATOR, Secret("wrong")))
    for asked in (1, 2):
        with pytest.raises(Denied):
            provider.list(APP)
        assert bench.seen(Route.TOKEN, ROTATOR) == asked
    provider.close()


def test_a_secret_that_expired_is_told_as_expired(bench: EntraBench) -> None:
    own = bench.sandbox.directory.truth(ROTATOR)[0]
    bench.sandbox.directory.expire(ROTATOR, own.key_id)
    error = refusal(bench, bench.another(auth=by_secret(bench.sandbox)))
    assert (error.code, error.exit_status) == ("login_expired", 77)
    assert "file:graph-secret" in error.hint


def test_a_tenant_that_does_not_exist_is_our_configuration(bench: EntraBench) -> None:
    error = refusal(bench, bench.another(tenant="99999999-0000-4000-8000-000000000000"))
    assert isinstance(error, Misconfigured)
    assert (error.code, error.exit_status) == ("tenant_not_found", 78)
    assert "99999999-0000-4000-8000-000000000000" in error.message


def test_a_client_that_does_not_exist_is_our_configuration(bench: EntraBench) -> None:
    auth = ClientSecretAuth("7f3c0c52-0000-4000-8000-00000000dead", Secret("x" * 20))
    assert refusal(bench, bench.another(auth=auth)).code == "client_not_found"


def test_a_graph_of_another_cloud_is_our_configuration(bench: EntraBench) -> None:
    error = refusal(bench, bench.another(graph="https://microsoftgraph.chinacloudapi.cn/v1.0"))
    assert (error.code, error.exit_status) == ("graph_unknown", 78)


def test_a_disabled_rotator_is_told_so(bench: EntraBench) -> None:
    bench.sandbox.directory.change(ROTATOR, disabled=True)
    assert refusal(bench, bench.another()).code == "login_disabled"


@pytest.mark.parametrize("skew", [timedelta(hours=2), timedelta(hours=-2)])
def test_a_clock_that_is_wrong_is_named_when_a_certificate_is_refused_for_it(
    bench: EntraBench, skew: timedelta
) -> None:
    bench.sandbox.set_weather(Weather.calm().but(skew=skew))
    error = refusal(bench, bench.another())
    assert isinstance(error, ClockWrong)
    assert error.exit_status == 75
    assert re.search(r"clocks are (7199|720[0-9]) s apart", error.message)


def test_a_federation_that_does_not_fit_is_told_with_the_file(bench: EntraBench, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(bench.sandbox.identity.federated_token(APP))
    error = refusal(bench, bench.another(auth=WorkloadIdentityAuth(ROTATOR, file)))
    assert error.code == "federation_unknown" and str(file) in error.hint


def _elliptic() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


@pytest.mark.parametrize("pem", ["", "nothing", _elliptic()], ids=["empty", "no PEM", "elliptic"])
def test_a_certificate_that_cannot_be_used_is_our_configuration(bench: EntraBench, pem: str) -> None:
    error = refusal(bench, bench.another(auth=CertificateAuth(ROTATOR, Secret(pem), "file:graph.pem")))
    assert (error.code, error.exit_status) == ("certificate_unusable", 78)
    assert "file:graph.pem" in error.message
    assert bench.seen(Route.TOKEN, None) == 0


def test_a_token_file_that_is_missing_is_our_configuration(bench: EntraBench, tmp_path: Path) -> None:
    error = refusal(bench, bench.another(auth=WorkloadIdentityAuth(ROTATOR, tmp_path / "none")))
    assert (error.code, error.exit_status) == ("token_file_missing", 78)
    assert str(tmp_path / "none") in error.message


def test_a_secret_that_cannot_be_fetched_keeps_the_error_of_whoever_fetches_it(bench: EntraBench) -> None:
    def missing() -> Secret:
        raise Misconfigured("There is no such file.", hint="Make it.", code="no_such_file")

    auths: tuple[EntraAuth, ...] = (ClientSecretAuth(ROTATOR, missing), CertificateAuth(ROTATOR, missing))
    for auth in auths:
        assert refusal(bench, bench.another(auth=auth)).code == "no_such_file"


def test_a_throttled_login_says_how_long_to_wait_and_is_not_repeated(bench: EntraBench) -> None:
    bench.sandbox.fail_next(Route.TOKEN, throttle("60"))
    error = refusal(bench, bench.another())
    assert isinstance(error, Throttled) and error.retry_after == timedelta(seconds=60)
    assert bench.seen(Route.TOKEN, None) == 1


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault(Answer.ERROR, Effect.NONE, status) for status in (500, 503)),
        *(Fault(answer) for answer in (Answer.DROP, Answer.HANG, Answer.SLOW)),
        Fault(Answer.HTML, status=200),
        Fault(Answer.HTML, status=502),
        *(Fault(Answer.REDIRECT, status=status) for status in (302, 307, 308)),
        *(Fault(answer) for answer in (Answer.GZIP_BOMB, Answer.HUGE, Answer.DEEP_JSON, Answer.ERROR_IN_200)),
        *(Fault(answer, Effect.DONE) for answer in (Answer.EMPTY, Answer.CUT, Answer.NO_VALUE)),
    ],
    ids=lambda fault: f"{fault.answer}-{fault.status}",
)
def test_a_login_without_a_whole_answer_is_transient_sent_once_and_to_nobody_else(
    bench: EntraBench, fault: Fault
) -> None:
    bench.sandbox.fail_next(Route.TOKEN, fault)
    error = refusal(bench, bench.another(auth=by_secret(bench.sandbox), deadline=timedelta(seconds=2)))
    assert isinstance(error, Transient) and not isinstance(error, Throttled | ClockWrong)
    assert bench.seen(Route.TOKEN, None) == 1
    assert bench.sandbox.stolen() == []


def test_a_broken_signature_is_refused_by_graph_and_nothing_was_done(bench: EntraBench) -> None:
    bench.sandbox.fail_next(Route.TOKEN, Fault(Answer.BAD_SIGNATURE, Effect.DONE), times=2)
    assert refusal(bench, bench.another()).code == "token_not_accepted"


def test_settings_name_the_graph_of_their_own_cloud(bench: EntraBench) -> None:
    for host in ("graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us"):
        settings = replace(bench.settings, graph=f"https://{host}/v1.0")
        assert (settings.scope, settings.graph_host) == (f"https://{host}/.default", host)

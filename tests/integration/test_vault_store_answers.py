"""What the Vault store makes of answers that a real Vault gives too rarely: redirected, cut, huge, hostile."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.clock import ManualClock
from rotator.errors import (
    Denied,
    Misconfigured,
    OutcomeUnknown,
    Refused,
    RotatorError,
    Throttled,
    Transient,
    WriteConflict,
)
from rotator.finding import Severity
from rotator.secret import Fields, Secret
from rotator.stores.vault import VaultStore
from rotator.stores.vault_settings import AppRoleAuth, JwtAuth, KubernetesAuth, TokenAuth, VaultSettings
from tests.fakes.scripted_vault import Answer, Ask, ScriptedVault

CANARY = "canary-7f3a91-value"
PATH = "partners/a"


@pytest.fixture
def vault() -> Iterator[ScriptedVault]:
    server = ScriptedVault()
    yield server
    server.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


def settings(vault: ScriptedVault, **changes: object) -> VaultSettings:
    plain = VaultSettings(
        "vault", vault.address, "kv", "rotator", AppRoleAuth(lambda: Secret("role\n"), lambda: Secret("secret-id\n"))
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture
def store(vault: ScriptedVault, clock: ManualClock) -> Iterator[VaultStore]:
    made = VaultStore(settings(vault), clock)
    yield made
    made.close()


def fields(text: str = CANARY) -> Fields:
    return Fields({"client_secret": Secret(text)})


def on(method: str, part: str, *answers: Answer | None) -> Callable[[Ask], Answer | None]:
    """Answer the first matching requests so, one after the other; the rest as usual."""
    left = list(answers)

    def script(ask: Ask) -> Answer | None:
        return left.pop(0) if left and ask.method == method and part in ask.path else None

    return script


def always(method: str, part: str, answer: Answer) -> Callable[[Ask], Answer | None]:
    return lambda ask: answer if ask.method == method and part in ask.path else None


def errors(*texts: str) -> dict[str, object]:
    return {"errors": list(texts)}


# ------------------------------------------------------------------------------------------------------ unclear answers


class Commits:
    """Commits writes, then spoils the answer."""

    def __init__(self, vault: ScriptedVault, answer: Answer) -> None:
        self.vault, self.answer, self.times = vault, answer, 0

    def __call__(self, ask: Ask) -> Answer | None:
        if ask.method == "post" and ask.path.startswith("kv/data/") and not self.times:
            self.times += 1
            self.vault.by_itself(ask)
            return self.answer
        return None


UNCLEAR = [
    Answer(500, errors("internal error")),
    Answer(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}),
    Answer(503, b"upstream unavailable"),
    Answer(504, b""),
    Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}),
    Answer(408, b""),
    Answer(drop=True),
]


@pytest.mark.parametrize("answer", UNCLEAR, ids=lambda answer: str(answer.status if not answer.drop else "dropped"))
def test_a_write_that_was_done_and_not_clearly_answered_is_found_done(
    vault: ScriptedVault, store: VaultStore, answer: Answer
) -> None:
    vault.script = Commits(vault, answer)
    assert store.consumers.write(PATH, fields(), 0).version == 1
    assert len([ask for ask in vault.asked if ask.method == "post" and ask.path == f"kv/data/{PATH}"]) == 1


@pytest.mark.parametrize("answer", UNCLEAR, ids=lambda answer: str(answer.status if not answer.drop else "dropped"))
def test_a_write_that_was_not_done_and_not_clearly_answered_stays_unknown_and_is_not_repeated(
    vault: ScriptedVault, store: VaultStore, answer: Answer
) -> None:
    vault.script = always("post", "kv/data/", answer)
    with pytest.raises(OutcomeUnknown) as caught:
        store.consumers.write(PATH, fields(), 0)
    assert PATH in caught.value.message
    assert len([ask for ask in vault.asked if ask.method == "post" and ask.path == f"kv/data/{PATH}"]) == 1


def test_an_unclear_write_whose_place_another_took_is_a_conflict(vault: ScriptedVault, store: VaultStore) -> None:
    def script(ask: Ask) -> Answer | None:
        if ask.method == "post" and ask.path == f"kv/data/{PATH}":
            vault.documents[ask.path] = [{"client_secret": "theirs"}]
            return Answer(500, errors("internal error"))
        return None

    vault.script = script
    with pytest.raises(WriteConflict):
        store.consumers.write(PATH, fields(), 0)


def test_an_unclear_write_that_cannot_be_read_back_stays_unknown(vault: ScriptedVault, store: VaultStore) -> None:
    vault.script = always("post", "kv/data/", Answer(500, errors("internal error")))
    for answer in (Answer(500, errors("internal error")), Answer(403, errors("permission denied")), Answer(drop=True)):
        inner = vault.script
        vault.script = lambda ask, inner=inner, answer=answer: (  # type: ignore[misc]
            answer if ask.method == "get" and ask.path.startswith("kv/data/") else inner(ask)
        )
        with pytest.raises(OutcomeUnknown):
            store.consumers.write(PATH, fields(), 0)


def test_a_write_that_is_read_back_from_a_node_that_lags_is_found_after_a_moment(
    vault: ScriptedVault, store: VaultStore
) -> None:
    commits, stale = (
        Commits(vault, Answer(500, errors("internal error"))),
        [Answer(404, errors()), Answer(404, errors())],
    )

    def script(ask: Ask) -> Answer | None:
        if ask.method == "get" and ask.path.startswith("kv/data/") and stale:
            return stale.pop()
        return commits(ask)

    vault.script = script
    assert store.consumers.write(PATH, fields(), 0).version == 1


CERTAIN = [
    (Answer(503, errors("Vault is sealed")), Transient, "sealed"),
    (Answer(500, errors("local node not active but active cluster node not found")), Transient, "standby"),
    (Answer(429, errors('request path "kv/data/a": rate limit quota exceeded')), Throttled, "throttled"),
    (Answer(412, errors("required index state not present")), Transient, "stale_read"),
    (Answer(400, errors("Upgrading from non-versioned to versioned data. This backend…")), Transient, "upgrading"),
    (Answer(307, b"", {"Location": "https://other:8200/v1/kv/data/a"}), Transient, "redirected"),
    (Answer(413, b""), Refused, "too_large"),
    (Answer(500, errors("put failed due to value being too large")), Refused, "too_large"),
    (Answer(500, errors("JSON string value exceeds allowed length")), Refused, "too_large"),
    (Answer(400, errors("no data provided")), Refused, "refused"),
    (Answer(403, errors("1 error occurred:\n\t* permission denied\n\n")), Denied, "denied"),
    (Answer(404, errors('no handler for route "kv/data/a"')), Misconfigured, "no_such_mount"),
]


@pytest.mark.parametrize(("answer", "kind", "code"), CERTAIN, ids=[code for _, _, code in CERTAIN])
def test_a_write_that_was_certainly_not_done_is_said_to_be_so(
    vault: ScriptedVault, store: VaultStore, answer: Answer, kind: type[RotatorError], code: str
) -> None:
    vault.script = always("post", "kv/data/", answer)
    with pytest.raises(kind) as caught:
        store.consumers.write(PATH, fields(), 0)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert (caught.value.code, bool(caught.value.hint)) == (code, True)


def test_a_server_that_cannot_be_reached_was_certainly_not_written(clock: ManualClock) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        store = VaultStore(VaultSettings("vault", address, "kv", "rotator", TokenAuth(lambda: Secret("given"))), clock)
        with pytest.raises(Transient) as caught:
            store.consumers.write(PATH, fields(), 0)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert caught.value.code == "unreachable" and address in caught.value.message
    assert store.check([PATH])[0].exit_status == 69


def test_a_login_that_gets_no_answer_does_not_make_the_write_unknown(
    vault: ScriptedVault, store: VaultStore, clock: ManualClock
) -> None:
    store.consumers.read(PATH)
    clock.advance(timedelta(hours=2))  # the token has ended
    vault.script = always("post", "/login", Answer(drop=True))
    with pytest.raises(Transient) as caught:
        store.consumers.write(PATH, fields(), 0)
    assert not isinstance(caught.value, OutcomeUnknown)


def test_a_server_that_does_not_answer_in_time_leaves_the_outcome_unknown(
    vault: ScriptedVault, clock: ManualClock
) -> None:
    release = threading.Event()

    def hang(ask: Ask) -> Answer | None:
        if ask.method == "post" and ask.path.startswith("kv/data/"):
            release.wait(20)
        return None

    store = VaultStore(settings(vault, read_timeout=timedelta(milliseconds=200)), clock)
    store.consumers.read(PATH)
    vault.script = hang
    try:
        with pytest.raises(OutcomeUnknown) as caught:
            store.consumers.write(PATH, fields(), 0)
    finally:
        release.set()
    assert "did not answer within" in caught.value.message


# -------------------------------------------------------------------------------------------------------------- waiting


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 1), ("-5", 1), ("99999999", 21600), ("1e400", 21600), (None, None), ("soon", None), ("", None)],
)
def test_retry_after_is_taken_between_a_second_and_six_hours(
    vault: ScriptedVault, store: VaultStore, header: str | None, seconds: int | None
) -> None:
    headers = {} if header is None else {"Retry-After": header}
    vault.script = always("get", "kv/data/", Answer(429, errors("rate limit quota exceeded"), headers))
    with pytest.raises(Throttled) as caught:
        store.consumers.read(PATH)
    assert caught.value.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_retry_after_may_be_a_date(vault: ScriptedVault, store: VaultStore) -> None:
    headers = {"Date": "Tue, 24 Nov 2026 12:00:00 GMT", "Retry-After": "Tue, 24 Nov 2026 12:01:30 GMT"}
    vault.script = always("get", "kv/data/", Answer(429, errors("rate limit quota exceeded"), headers))
    with pytest.raises(Throttled) as caught:
        store.consumers.read(PATH)
    assert caught.value.retry_after == timedelta(seconds=90)


def test_the_date_of_the_answer_is_the_stores_time(vault: ScriptedVault, store: VaultStore) -> None:
    store.consumers.write(PATH, fields(), 0)
    for date, expected in (
        ("Tue, 24 Nov 2026 12:00:00 GMT", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
    ):
        vault.script = lambda ask, date=date: replace(vault.by_itself(ask), headers={"Date": date})  # type: ignore[misc]
        assert store.consumers.read(PATH).store_now == expected


def test_times_of_writing_are_cut_to_microseconds(vault: ScriptedVault, store: VaultStore) -> None:
    written = store.consumers.write(PATH, fields(), 0)
    assert written.written_at == datetime(2026, 11, 24, 15, 0, 0, 123456, tzinfo=UTC)
    assert written.request_id is not None and written.request_id.startswith("r-")


# -------------------------------------------------------------------------------------------------------------- hostile


@pytest.mark.parametrize(
    ("value", "kind"),
    [(1, "number"), (1.5, "number"), (True, "boolean"), (None, "null"), ([CANARY], "array"), ({}, "object")],
)
def test_a_value_that_is_no_text_is_refused_by_key_and_type_and_not_shown(
    vault: ScriptedVault, store: VaultStore, value: object, kind: str
) -> None:
    vault.documents[f"kv/data/{PATH}"] = [{"fine": CANARY, "port": value}]
    with pytest.raises(Refused) as caught:
        store.consumers.read(PATH)
    assert caught.value.code == "not_text"
    assert "'port'" in caught.value.message and kind in caught.value.message
    assert CANARY not in caught.value.message


@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_an_answer_with_another_content_type_is_read_all_the_same(
    vault: ScriptedVault, store: VaultStore, status: int
) -> None:
    charset = {"Content-Type": "application/json; charset=utf-8"}
    store.consumers.write(PATH, fields(), 0)
    vault.script = lambda ask: replace(vault.by_itself(ask), headers=charset)
    assert store.consumers.read(PATH).fields == fields()
    assert store.consumers.read("missing").version == 0
    with pytest.raises(WriteConflict):
        store.consumers.write(PATH, fields("other"), 0)


def test_no_request_is_sent_on_to_another_address(vault: ScriptedVault, store: VaultStore) -> None:
    thief = ScriptedVault()
    try:
        for status in (301, 302, 303, 307, 308):
            vault.script = always("get", "kv/data/", Answer(status, b"", {"Location": f"{thief.address}/v1/kv/data/a"}))
            with pytest.raises(Transient) as caught:
                store.consumers.read(PATH)
            assert caught.value.code == "redirected"
        assert thief.asked == []
    finally:
        thief.close()


def test_an_answer_without_end_is_cut_off(vault: ScriptedVault, store: VaultStore) -> None:
    vault.script = always("get", "kv/data/", Answer(200, b'{"data": "' + b"x" * 9_000_000 + b'"}'))
    with pytest.raises(Transient) as caught:
        store.consumers.read(PATH)
    assert "too large" in caught.value.message


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"data": 5}', b'{"data": {"metadata": 1}}']
)
def test_an_answer_that_makes_no_sense_is_an_error_of_ours(
    vault: ScriptedVault, store: VaultStore, body: bytes
) -> None:
    vault.script = always("get", "kv/data/", Answer(200, body))
    with pytest.raises(RotatorError):
        store.consumers.read(PATH)


def test_words_of_the_server_are_cleaned_and_short(vault: ScriptedVault, store: VaultStore) -> None:
    vault.script = always("get", "kv/data/", Answer(400, errors("bad\x1b[31m\r\nthing\u202e " + "y" * 5000)))
    with pytest.raises(Refused) as caught:
        store.consumers.read(PATH)
    assert all(char.isprintable() for char in caught.value.message)
    assert len(caught.value.message) < 400


def test_a_server_that_echoes_the_request_does_not_get_the_value_into_an_error(
    vault: ScriptedVault, store: VaultStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def echo(ask: Ask) -> Answer | None:
        if ask.method == "post" and ask.path.startswith("kv/data/"):
            return Answer(400, errors(f"cannot take {ask.body} from {ask.token}"))
        return None

    vault.script = echo
    with pytest.raises(Refused) as caught:
        store.consumers.write(PATH, fields(), 0)
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
    assert CANARY not in shown and "login-1" not in shown and "secret-id" not in shown


@pytest.mark.parametrize("answer", [Answer(drop=True), Answer(500, errors("internal error"))])
def test_no_error_holds_the_request_it_came_from(vault: ScriptedVault, store: VaultStore, answer: Answer) -> None:
    vault.script = always("post", "kv/data/", answer)
    with pytest.raises(OutcomeUnknown) as caught:
        store.consumers.write(PATH, fields(), 0)
    with pytest.raises(Transient) as caught_too:
        vault.script = always("post", "rotator/metadata/", answer)
        store.staging.write(PATH, fields(), 0)
    for error in (caught.value, caught_too.value):
        link: BaseException | None = error
        while link is not None:
            assert isinstance(link, RotatorError), type(link)
            link = link.__cause__ or link.__context__


# ---------------------------------------------------------------------------------------------------------- environment


def test_nothing_is_taken_from_the_environment(
    vault: ScriptedVault, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = ScriptedVault()
    (tmp_path / ".vault-token").write_text("stolen")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password stolen")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "VAULT_ADDR", "VAULT_AGENT_ADDR"):
        monkeypatch.setenv(name, trap.address)
    for name, value in {
        "HOME": str(tmp_path),
        "NETRC": str(tmp_path / ".netrc"),
        "VAULT_TOKEN": "stolen",
        "VAULT_NAMESPACE": "stolen",
        "SSLKEYLOGFILE": str(tmp_path / "keys"),
    }.items():
        monkeypatch.setenv(name, value)
    try:
        store = VaultStore(settings(vault), clock)
        store.consumers.write(PATH, fields(), 0)
        store.close()
        assert trap.asked == []
        assert not any("stolen" in str(ask) or "authorization" in ask.headers for ask in vault.asked)
        assert not any("x-vault-namespace" in ask.headers for ask in vault.asked)
    finally:
        trap.close()
    assert os.environ["VAULT_TOKEN"] == "stolen"


def test_a_proxy_is_used_when_it_is_configured_and_named_without_its_password(clock: ManualClock) -> None:
    proxy = ScriptedVault()
    try:
        unreachable = VaultSettings(
            "vault",
            "http://vault.invalid:8200",
            "kv",
            "rotator",
            TokenAuth(lambda: Secret("given")),
            proxy=proxy.address.replace("//", "//user:geheim@"),
        )
        proxy.script = lambda _: Answer(drop=True)
        with pytest.raises(Transient) as caught:
            VaultStore(unreachable, clock).consumers.read(PATH)
        assert len(proxy.asked) == 1
        assert proxy.address.removeprefix("http://") in caught.value.message
        assert "geheim" not in caught.value.message
    finally:
        proxy.close()


def test_a_cookie_of_a_load_balancer_is_not_kept(vault: ScriptedVault, store: VaultStore) -> None:
    vault.script = lambda ask: replace(vault.by_itself(ask), headers={"Set-Cookie": "node=a; Path=/"})
    store.consumers.read(PATH)
    store.consumers.read(PATH)
    assert not any("cookie" in ask.headers for ask in vault.asked)


# --------------------------------------------------------------------------------------------------------------- logins


def test_one_login_serves_many_requests_and_is_revoked_at_the_end(vault: ScriptedVault, store: VaultStore) -> None:
    for _ in range(3):
        store.consumers.read(PATH)
    store.close()
    assert vault.logins == 1
    assert vault.paths()[-1] == "auth/token/revoke-self"
    assert "login-1" not in vault.tokens


def test_a_given_token_is_not_revoked(vault: ScriptedVault, clock: ManualClock) -> None:
    store = VaultStore(settings(vault, auth=TokenAuth(lambda: Secret("given\n"))), clock)
    store.consumers.read(PATH)
    store.close()
    assert "auth/token/revoke-self" not in vault.paths()
    assert {ask.token for ask in vault.asked} == {"given"}


def test_a_token_is_renewed_when_two_thirds_of_its_life_are_gone(
    vault: ScriptedVault, store: VaultStore, clock: ManualClock
) -> None:
    store.consumers.read(PATH)
    clock.advance(timedelta(minutes=39))
    store.consumers.read(PATH)
    assert "auth/token/renew-self" not in vault.paths()
    clock.advance(timedelta(minutes=1))
    store.consumers.read(PATH)
    assert vault.paths().count("auth/token/renew-self") == 1
    clock.advance(timedelta(minutes=39))
    store.consumers.read(PATH)
    assert (vault.paths().count("auth/token/renew-self"), vault.logins) == (1, 1)


def test_a_wall_clock_that_is_set_renews_nothing(vault: ScriptedVault, store: VaultStore, clock: ManualClock) -> None:
    store.consumers.read(PATH)
    clock.jump(timedelta(days=400))
    store.consumers.read(PATH)
    clock.jump(timedelta(days=-800))
    store.consumers.read(PATH)
    assert (vault.logins, "auth/token/renew-self" in vault.paths()) == (1, False)


def test_a_token_that_ended_during_a_pause_is_replaced_by_a_login(
    vault: ScriptedVault, store: VaultStore, clock: ManualClock
) -> None:
    store.consumers.read(PATH)
    clock.advance(timedelta(hours=2))
    store.consumers.read(PATH)
    assert (vault.logins, "auth/token/renew-self" in vault.paths()) == (2, False)


def test_a_renewal_that_gains_nothing_is_followed_by_a_login(
    vault: ScriptedVault, store: VaultStore, clock: ManualClock
) -> None:
    store.consumers.read(PATH)
    clock.advance(timedelta(minutes=45))
    vault.script = always("post", "renew-self", Answer(body={"auth": {"lease_duration": 900, "renewable": True}}))
    store.consumers.read(PATH)
    assert vault.logins == 2


@pytest.mark.parametrize(
    "answer", [Answer(400, errors("lease is not renewable")), Answer(403, errors("permission denied"))]
)
def test_a_token_that_may_not_be_renewed_is_replaced_by_a_login(
    vault: ScriptedVault, store: VaultStore, clock: ManualClock, answer: Answer
) -> None:
    store.consumers.read(PATH)
    clock.advance(timedelta(minutes=45))
    vault.script = always("post", "renew-self", answer)
    store.consumers.read(PATH)
    assert vault.logins == 2


def test_a_renewal_that_fails_is_tried_again_after_a_pause_while_the_token_works(
    vault: ScriptedVault, store: VaultStore, clock: ManualClock
) -> None:
    store.consumers.read(PATH)
    clock.advance(timedelta(minutes=45))
    vault.script = always("post", "renew-self", Answer(500, errors("internal error")))
    for _ in range(5):
        store.consumers.read(PATH)
    assert vault.paths().count("auth/token/renew-self") == 1
    clock.advance(timedelta(seconds=11))
    store.consumers.read(PATH)
    assert (vault.paths().count("auth/token/renew-self"), vault.logins) == (2, 1)


def test_a_dead_token_is_replaced_once_and_the_write_goes_through(vault: ScriptedVault, store: VaultStore) -> None:
    store.consumers.read(PATH)
    vault.tokens.clear()
    assert store.consumers.write(PATH, fields(), 0).version == 1
    assert vault.logins == 2


def test_32_threads_with_a_dead_token_make_one_login(vault: ScriptedVault, store: VaultStore) -> None:
    store.consumers.read(PATH)
    vault.tokens.clear()
    threads = [threading.Thread(target=store.consumers.read, args=(PATH,)) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert vault.logins == 2


def test_a_policy_that_refuses_is_not_answered_with_logins(vault: ScriptedVault, store: VaultStore) -> None:
    vault.script = always("get", "kv/data/", Answer(403, errors("1 error occurred:\n\t* permission denied\n\n")))
    for _ in range(5):
        with pytest.raises(Denied):
            store.consumers.read(PATH)
    assert vault.logins == 1


def test_a_token_that_may_not_look_at_itself_costs_one_login_and_no_more(
    vault: ScriptedVault, store: VaultStore, clock: ManualClock
) -> None:
    vault.script = lambda ask: (
        Answer(403, errors("permission denied"))
        if ask.path.startswith("kv/data/") or ask.path in ("auth/token/lookup-self", "sys/capabilities-self")
        else None
    )
    for _ in range(5):
        with pytest.raises(Denied) as caught:
            store.consumers.read(PATH)
        assert caught.value.code == "token_dead"
        assert "lookup-self" in caught.value.hint
    assert vault.logins == 2


def test_a_refused_login_is_not_tried_again_for_a_while(
    vault: ScriptedVault, store: VaultStore, clock: ManualClock
) -> None:
    vault.script = always("post", "/login", Answer(400, errors("invalid role or secret ID")))

    def logins() -> int:
        with pytest.raises(Denied) as caught:
            store.consumers.read(PATH)
        assert caught.value.code == "login_refused" and "secret id" in caught.value.hint
        return len([path for path in vault.paths() if path.endswith("/login")])

    assert [logins() for _ in range(4)] == [1, 1, 1, 1]
    clock.advance(timedelta(seconds=31))
    assert [logins() for _ in range(2)] == [2, 2]
    clock.advance(timedelta(seconds=31))
    assert logins() == 2
    clock.advance(timedelta(seconds=30))
    assert logins() == 3
    for _ in range(10):
        clock.advance(timedelta(minutes=10, seconds=1))
        logins()
    assert logins() == 13
    vault.script = lambda _: None
    clock.advance(timedelta(minutes=10, seconds=1))
    assert store.consumers.read(PATH).version == 0


def test_a_secret_id_is_read_again_at_each_login_and_sent_without_its_line_end(
    vault: ScriptedVault, clock: ManualClock
) -> None:
    given = iter(["first\n", "second\n"])
    auth = AppRoleAuth(lambda: Secret("role\n"), lambda: Secret(next(given)), mount="own/approle")
    store = VaultStore(settings(vault, auth=auth), clock)
    store.consumers.read(PATH)
    clock.advance(timedelta(hours=2))
    store.consumers.read(PATH)
    bodies = [ask.body for ask in vault.asked if ask.path == "auth/own/approle/login"]
    assert bodies == [{"role_id": "role", "secret_id": "first"}, {"role_id": "role", "secret_id": "second"}]


def test_a_service_account_token_is_read_from_its_file_at_each_login(
    vault: ScriptedVault, clock: ManualClock, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    store = VaultStore(settings(vault, auth=KubernetesAuth(file, "rotator")), clock)
    store.consumers.read(PATH)
    file.write_text("second\n")
    clock.advance(timedelta(hours=2))
    store.consumers.read(PATH)
    bodies = [ask.body for ask in vault.asked if ask.path == "auth/kubernetes/login"]
    assert bodies == [{"role": "rotator", "jwt": "first"}, {"role": "rotator", "jwt": "second"}]
    file.unlink()
    clock.advance(timedelta(hours=2))
    with pytest.raises(Misconfigured) as caught:
        store.consumers.read(PATH)
    assert str(file) in caught.value.message


def test_a_given_token_that_was_replaced_in_its_file_is_taken_up(vault: ScriptedVault, clock: ManualClock) -> None:
    given = ["given"]
    store = VaultStore(settings(vault, auth=TokenAuth(lambda: Secret(given[0]))), clock)
    store.consumers.read(PATH)
    vault.tokens.remove("given")
    with pytest.raises(Denied):
        store.consumers.read(PATH)
    given[0] = "newer"
    vault.tokens.add("newer")
    clock.advance(timedelta(minutes=1))
    assert store.consumers.read(PATH).version == 0


@pytest.mark.parametrize("token", ["two\nlines-canary", "euro-€-canary"])
def test_a_token_that_cannot_be_sent_is_a_fault_here_and_is_not_shown(
    vault: ScriptedVault, clock: ManualClock, token: str
) -> None:
    store = VaultStore(settings(vault, auth=TokenAuth(lambda: Secret(token))), clock)
    with pytest.raises(Misconfigured) as caught:
        store.consumers.read(PATH)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert vault.asked == []


def test_a_jwt_is_sent_with_its_role(vault: ScriptedVault, clock: ManualClock) -> None:
    auth = JwtAuth(lambda: Secret("header.payload.signature"), "rotator")
    VaultStore(settings(vault, auth=auth), clock).consumers.read(PATH)
    login = next(ask for ask in vault.asked if ask.path == "auth/jwt/login")
    assert login.body == {"role": "rotator", "jwt": "header.payload.signature"}
    assert login.token is None


# ----------------------------------------------------------------------------------------------------------- namespaces


def test_a_namespace_that_the_server_heeds_goes_with_every_request_but_health(
    vault: ScriptedVault, clock: ManualClock
) -> None:
    def heed(ask: Ask) -> Answer | None:
        named = ask.headers.get("x-vault-namespace")
        return Answer(404, errors("namespace not found")) if named not in (None, "team-a") else None

    vault.script = heed
    store = VaultStore(settings(vault, namespace="team-a"), clock)
    store.consumers.write(PATH, fields(), 0)
    first, *rest = vault.asked
    assert first.headers["x-vault-namespace"].startswith("team-a-") and first.token is None and first.body is None
    assert {ask.headers.get("x-vault-namespace") for ask in rest} == {"team-a"}
    store.check([PATH])
    assert [ask.headers.get("x-vault-namespace") for ask in vault.asked if ask.path == "sys/health"] == [None]


def test_a_server_that_ignores_namespaces_gets_no_credential(vault: ScriptedVault, clock: ManualClock) -> None:
    store = VaultStore(settings(vault, namespace="team-a"), clock)
    with pytest.raises(Misconfigured) as caught:
        store.consumers.write(PATH, fields(), 0)
    assert caught.value.code == "namespace_ignored"
    assert vault.logins == 0 and not any(ask.token or ask.body for ask in vault.asked)
    finding = store.check([PATH])[0]
    assert (finding.outcome, finding.exit_status) == (Severity.FAIL, 78)


# --------------------------------------------------------------------------------------------------------------- mounts


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"type": "kv", "options": {"version": "1"}, "path": "kv/"}, "mount_version"),
        ({"type": "kv", "options": None, "path": "kv/"}, "mount_version"),
        ({"type": "transit", "options": None, "path": "kv/"}, "mount_version"),
        ({"type": "kv", "options": {"version": "2"}, "path": "k/"}, "no_such_mount"),
    ],
)
def test_a_mount_that_is_not_version_2_is_never_written(
    vault: ScriptedVault, store: VaultStore, facts: dict[str, object], code: str
) -> None:
    vault.script = always("get", "sys/internal/ui/mounts/kv", Answer(body={"data": facts}))
    with pytest.raises(Misconfigured) as caught:
        store.consumers.write(PATH, fields(), 0)
    assert caught.value.code == code
    assert not any("/data/" in path for path in vault.paths())


def test_staging_where_consumers_read_is_refused(vault: ScriptedVault, clock: ManualClock) -> None:
    with pytest.raises(Misconfigured):
        VaultStore(settings(vault, staging_mount="kv/"), clock)


def test_a_clock_that_is_wrong_by_more_than_five_minutes_fails_the_check(
    vault: ScriptedVault, store: VaultStore, clock: ManualClock
) -> None:
    vault.script = lambda ask: (
        Answer(body={"data": {path: ["root"] for path in ask.body["paths"]}}) if "capabilities" in ask.path else None
    )

    def skew() -> tuple[Severity, int]:
        found = next(finding for finding in store.check([]) if finding.check == "clock")
        return found.outcome, found.exit_status

    vault.documents["kv/config"] = vault.documents["rotator/config"] = [{}]
    assert skew()[0] is Severity.OK
    clock.jump(timedelta(seconds=90) + (datetime.now(UTC) - clock.now()))
    assert skew()[0] is Severity.WARN
    clock.jump(timedelta(minutes=10))
    assert skew() == (Severity.FAIL, 75)


def test_threads_share_few_connections_and_none_is_thrown_away(
    vault: ScriptedVault, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = VaultStore(settings(vault, connections=4), clock)
    store.consumers.read(PATH)
    vault.script = lambda _: time.sleep(0.002)
    threads = [threading.Thread(target=store.consumers.read, args=(PATH,)) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(vault.paths()) >= 24
    assert "pool is full" not in caplog.text

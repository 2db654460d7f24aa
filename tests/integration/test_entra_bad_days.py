"""Whatever the wire or Graph does, a write is sent once, its outcome is told honestly, and the truth agrees."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.clock import ManualClock
from rotator.errors import Misconfigured, OutcomeUnknown, Refused, RotatorError, Throttled, Transient
from rotator.ports import Retired
from rotator.sandbox.server import Sandbox
from rotator.sandbox.weather import Answer, Effect, Fault, Route, Weather, throttle
from rotator.sandbox.world import App
from tests.integration.entra_bench import APP, DAYS, TAG, EntraBench, entra_bench

SHORT = timedelta(seconds=2)

LOST = [
    *(
        Fault(Answer.ERROR, effect, status)
        for status in (408, 409, 500, 502, 503, 504)
        for effect in (Effect.NONE, Effect.DONE)
    ),
    *(
        Fault(answer, effect)
        for answer in (Answer.DROP, Answer.HANG, Answer.SLOW)
        for effect in (Effect.NONE, Effect.DONE)
    ),
    *(Fault(Answer.HTML, Effect.DONE, status) for status in (200, 403, 404, 502)),
    *(
        Fault(Answer.REDIRECT, effect, status)
        for status in (302, 303, 307, 308)
        for effect in (Effect.NONE, Effect.DONE)
    ),
    *(
        Fault(answer, Effect.DONE)
        for answer in (
            Answer.GZIP_BOMB,
            Answer.HUGE,
            Answer.DEEP_JSON,
            Answer.CONTROL_CHARACTERS,
            Answer.ERROR_IN_200,
            Answer.EMPTY,
            Answer.CUT,
            Answer.DUPLICATE_KEYS,
            Answer.NO_VALUE,
        )
    ),
]


def named(fault: Fault) -> str:
    return f"{fault.answer}-{fault.status}-{fault.effect}"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[EntraBench]:
    with entra_bench(tmp_path / "sandbox") as made:
        made.provider.list(APP)
        yield made


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EntraBench]:
    """A provider that waits two seconds at most, for many tests; each takes an application of its own."""
    with entra_bench(tmp_path_factory.mktemp("sandbox")) as made:
        made.provider.close()
        made.provider = made.another(deadline=SHORT)
        yield made


@pytest.fixture
def app(hasty: EntraBench) -> str:
    """The app id of an application that Graph has been asked for already."""
    app_id = str(uuid.uuid4())
    hasty.sandbox.directory.enrol(App(app_id, "an application"))
    hasty.provider.list(app_id)
    return app_id


@pytest.mark.parametrize("fault", LOST, ids=named)
def test_a_creation_without_a_whole_answer_is_unknown_and_was_sent_once(
    hasty: EntraBench, app: str, fault: Fault
) -> None:
    hasty.sandbox.fail_next(Route.ADD_PASSWORD, fault)
    with pytest.raises(OutcomeUnknown) as caught:
        hasty.provider.create(app, TAG, DAYS)
    assert "not known" in caught.value.message and "lists" in caught.value.hint
    assert hasty.seen(Route.ADD_PASSWORD, app) == 1
    assert len(hasty.tagged(app=app)) == (fault.effect is Effect.DONE)
    assert hasty.sandbox.stolen() == []
    hasty.provider.create(app, f"{TAG}b", DAYS)
    assert len(hasty.tagged(f"{TAG}b", app)) == 1


@pytest.mark.parametrize(
    "fault",
    [fault for fault in LOST if fault.answer not in (Answer.NO_VALUE, Answer.CUT, Answer.DUPLICATE_KEYS)],
    ids=named,
)
def test_a_retirement_without_a_whole_answer_is_unknown_and_is_settled_by_the_next(
    hasty: EntraBench, app: str, fault: Fault
) -> None:
    key_id = hasty.provider.create(app, TAG, DAYS).version.key_id
    hasty.sandbox.fail_next(Route.REMOVE_PASSWORD, fault)
    with pytest.raises(OutcomeUnknown):
        hasty.provider.retire(app, key_id)
    assert hasty.seen(Route.REMOVE_PASSWORD, app) == 1
    done = fault.effect is Effect.DONE
    assert len(hasty.tagged(app=app)) == (not done)
    assert hasty.provider.retire(app, key_id) is (Retired.ALREADY_GONE if done else Retired.DONE)
    assert hasty.tagged(app=app) == []
    assert hasty.sandbox.stolen() == []


def test_a_ghost_appears_after_the_answer_and_only_once(bench: EntraBench) -> None:
    bench.sandbox.set_weather(Weather.calm().but(ghost_delay=timedelta(milliseconds=300)))
    bench.sandbox.fail_next(Route.ADD_PASSWORD, Fault(Answer.ERROR, Effect.LATE, 504))
    with pytest.raises(OutcomeUnknown):
        bench.provider.create(APP, TAG, DAYS)
    assert bench.tagged() == []
    bench.settled_ghost()
    assert len(bench.tagged()) == 1
    assert TAG in {one.tag for one in bench.provider.list(APP).versions}


READS = [
    fault
    for fault in LOST
    if fault.effect is Effect.DONE
    and fault.answer not in (Answer.NO_VALUE, Answer.CUT, Answer.DUPLICATE_KEYS)
    and (fault.answer, fault.status) != (Answer.HTML, 404)
] + [Fault(answer, Effect.DONE) for answer in (Answer.CUT, Answer.DUPLICATE_KEYS)]


@pytest.mark.parametrize("fault", READS, ids=named)
def test_a_list_without_a_whole_answer_is_transient_and_is_not_repeated(
    hasty: EntraBench, app: str, fault: Fault
) -> None:
    before = hasty.seen(Route.READ_APPLICATION, app)
    hasty.sandbox.fail_next(Route.READ_APPLICATION, fault)
    with pytest.raises(Transient) as caught:
        hasty.provider.list(app)
    assert not isinstance(caught.value, OutcomeUnknown | Throttled)
    assert hasty.seen(Route.READ_APPLICATION, app) == before + 1
    assert hasty.sandbox.stolen() == []
    assert hasty.provider.list(app).versions


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("30", timedelta(seconds=30)),
        ("0", timedelta(seconds=1)),
        ("-5", timedelta(seconds=1)),
        ("99999999", timedelta(hours=6)),
        (timedelta(seconds=40), timedelta(seconds=40)),
        (timedelta(seconds=-40), timedelta(seconds=1)),
        (timedelta(days=900), timedelta(hours=6)),
        ("soon", None),
        (None, None),
    ],
)
def test_a_throttled_call_was_not_done_and_says_how_long_to_wait(
    bench: EntraBench, header: str | timedelta | None, wait: timedelta | None
) -> None:
    key_id = bench.sandbox.directory.live(APP)[0].key_id
    for route, call in (
        (Route.ADD_PASSWORD, lambda: bench.provider.create(APP, TAG, DAYS)),
        (Route.REMOVE_PASSWORD, lambda: bench.provider.retire(APP, key_id)),
        (Route.READ_APPLICATION, lambda: bench.provider.list(APP)),
    ):
        bench.sandbox.fail_next(route, throttle(header))
        with pytest.raises(Throttled) as caught:
            call()
        assert caught.value.exit_status == 75
        if wait is None:
            assert caught.value.retry_after is None
        else:
            assert caught.value.retry_after is not None
            assert abs(caught.value.retry_after - wait) <= timedelta(seconds=1)
    assert len(bench.sandbox.directory.live(APP)) == 1


def test_a_token_that_is_not_accepted_is_replaced_for_a_read_and_a_write_is_not_repeated(bench: EntraBench) -> None:
    bench.sandbox.fail_next(Route.READ_APPLICATION, Fault(Answer.ERROR, Effect.NONE, 401))
    assert bench.provider.list(APP).versions
    bench.sandbox.fail_next(Route.ADD_PASSWORD, Fault(Answer.ERROR, Effect.NONE, 401))
    with pytest.raises(Transient) as caught:
        bench.provider.create(APP, TAG, DAYS)
    assert (caught.value.code, bench.seen(Route.ADD_PASSWORD)) == ("token_not_accepted", 1)
    bench.sandbox.fail_next(Route.READ_APPLICATION, Fault(Answer.ERROR, Effect.NONE, 401), times=2)
    with pytest.raises(Refused) as refused:
        bench.provider.list(APP)
    assert (refused.value.code, refused.value.exit_status) == ("token_not_accepted", 77)


def test_what_graph_does_not_find_and_still_lists_is_not_called_gone(bench: EntraBench) -> None:
    key_id = bench.sandbox.directory.put(APP, display_name="x", expires_at=bench.sandbox.directory.now() + DAYS).key_id
    bench.sandbox.fail_next(Route.REMOVE_PASSWORD, Fault(Answer.ERROR, Effect.NONE, 400))
    with pytest.raises(Transient) as caught:
        bench.provider.retire(APP, key_id)
    assert caught.value.code == "replication_lag"
    assert not isinstance(caught.value, OutcomeUnknown)
    assert bench.provider.retire(APP, key_id) is Retired.DONE


def test_what_was_made_a_moment_ago_and_is_not_found_is_not_called_gone(bench: EntraBench) -> None:
    clock = ManualClock(bench.sandbox.directory.now())
    provider = bench.another(clock)
    key_id = provider.create(APP, TAG, DAYS).version.key_id
    bench.sandbox.directory.remove(APP, key_id)
    with pytest.raises(Transient) as caught:
        provider.retire(APP, key_id)
    assert caught.value.code == "replication_lag"
    clock.advance(timedelta(minutes=3))
    assert provider.retire(APP, key_id) is Retired.ALREADY_GONE
    provider.close()


def test_a_stale_list_is_told_as_it_came(bench: EntraBench) -> None:
    bench.sandbox.set_weather(Weather.calm().but(stale_list=timedelta(hours=1)))
    bench.provider.create(APP, TAG, DAYS)
    assert TAG not in {one.tag for one in bench.provider.list(APP).versions}
    assert len(bench.tagged()) == 1


def test_fields_that_nobody_announced_do_not_matter(bench: EntraBench) -> None:
    bench.sandbox.set_weather(Weather.calm().but(strange_json=True, shuffled=True))
    issued = bench.provider.create(APP, TAG, DAYS)
    assert issued.version in bench.provider.list(APP).versions
    assert bench.provider.retire(APP, issued.version.key_id) is Retired.DONE


def test_on_the_worst_of_days_the_books_still_balance(tmp_path: Path) -> None:
    with entra_bench(tmp_path / "sandbox", Weather.nasty(scale=0.01)) as bench:
        provider = bench.another(deadline=SHORT)
        told: dict[str, bool | None] = {}
        for number in range(60):
            tag = f"{TAG}{number}"
            try:
                provider.create(APP, tag, DAYS)
                told[tag] = True
            except OutcomeUnknown:
                told[tag] = None
            except RotatorError:
                told[tag] = False
        provider.close()
        bench.settled_ghost()
        made = [len(bench.tagged(tag)) for tag in told]
        assert max(made) == 1
        assert all(bool(count) == said for count, said in zip(made, told.values(), strict=True) if said is not None)
        assert {True, None} <= set(told.values())
        assert bench.sandbox.stolen() == []


# --------------------------------------------------------------------------------------------------- before it is sent


def test_a_ca_that_did_not_sign_is_told_with_the_file_that_was_trusted(bench: EntraBench, tmp_path: Path) -> None:
    with Sandbox.start(tmp_path / "other", weather=Weather.calm()) as stranger:
        other = stranger.ca_file.rename(tmp_path / "other-ca.pem")
    provider = bench.another(ca_file=other)
    with pytest.raises(Misconfigured) as caught:
        provider.create(APP, TAG, DAYS)
    assert caught.value.code == "tls_untrusted" and str(other) in caught.value.message
    assert bench.seen(Route.ADD_PASSWORD) == 0
    other.write_bytes(bench.sandbox.ca_file.read_bytes())
    assert provider.list(APP).versions
    provider.close()


@pytest.mark.parametrize(("content", "code"), [(None, "ca_file_missing"), ("nothing", "ca_file_unusable")])
def test_a_ca_file_that_cannot_be_used_is_named(
    bench: EntraBench, tmp_path: Path, content: str | None, code: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    provider = bench.another(ca_file=file)
    with pytest.raises(Misconfigured) as caught:
        provider.create(APP, TAG, DAYS)
    assert caught.value.code == code and str(file) in caught.value.message
    provider.close()


@pytest.mark.parametrize(
    "changes",
    [{"authority": "https://127.0.0.1:9"}, {"authority": "https://login.invalid"}, {"proxy": "http://127.0.0.1:9"}],
    ids=["port", "name", "proxy"],
)
def test_who_cannot_be_reached_was_certainly_sent_nothing(bench: EntraBench, changes: dict[str, str]) -> None:
    provider = bench.another(None, **changes)
    with pytest.raises(Transient) as caught:
        provider.create(APP, TAG, DAYS)
    provider.close()
    assert not isinstance(caught.value, OutcomeUnknown)
    assert caught.value.code == "unreachable"
    assert bench.seen(Route.ADD_PASSWORD) == 0


def test_a_graph_that_dies_before_the_write_was_certainly_sent_nothing(bench: EntraBench) -> None:
    bench.sandbox.stop()
    with pytest.raises(Transient) as caught:
        bench.provider.create(APP, TAG, DAYS)
    assert caught.value.code == "unreachable" and not isinstance(caught.value, OutcomeUnknown)


def test_the_proxies_of_the_environment_are_not_used(bench: EntraBench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    provider = bench.another()
    assert provider.create(APP, TAG, DAYS).client_id == APP
    provider.close()


def test_the_keys_of_the_sessions_are_not_written_down(
    bench: EntraBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    provider = bench.another()
    provider.list(APP)
    provider.close()
    assert not (tmp_path / "keys").exists()

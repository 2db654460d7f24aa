"""Others are told of what is in the record: real servers, real processes, a real state; the clock is moved by hand."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rotator.app.checking import check
from rotator.app.notifying import AT_THE_END, Postman
from rotator.app.results import Rotated
from rotator.app.rotating import Wish, rotate
from rotator.app.watching import status
from rotator.notifications import webhook as webhooks
from tests.fakes.app_bench import Bench

KEY = "canary-9f2b7c"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Ear:
    """A web server that hears. answers: statuses, the last of which holds for all that follow."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers) or [204]
        self.heard: list[tuple[dict[str, str], bytes]] = []
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                ear.heard.append(({key.lower(): value for key, value in self.headers.items()}, body))
                answer = ear.answers.pop(0) if len(ear.answers) > 1 else ear.answers[0]
                self.send_response(answer)
                if answer == 302:
                    self.send_header("location", "http://127.0.0.1:9/")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    @contextmanager
    def open(self) -> Iterator[Ear]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    @property
    def told(self) -> list[tuple[str, str]]:
        """Event and credential of each letter."""
        found = [json.loads(body) for _, body in self.heard]
        return [(one["type"].removeprefix("rotator."), one.get("subject", "")) for one in found]

    @property
    def ids(self) -> list[str]:
        """The id of each letter."""
        return [headers["webhook-id"] for headers, _ in self.heard]


@pytest.fixture
def ear() -> Iterator[Ear]:
    with Ear().open() as made:
        yield made


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def telling(bench: Bench, *lines: str) -> None:
    """Write who is told into the configuration; whoever is new hears from the next run on, all of it."""
    text = bench.config.read_text(encoding="utf-8")
    bench.config.write_text("notifications:\n" + "".join(f"- {line}\n" for line in lines) + text, encoding="utf-8")


def webhook(ear: Ear, *events: str, secret: str = "") -> str:
    return f"{{kind: webhook, url: '{ear.url}', {secret}events: [{', '.join(events or ('rotation.finished',))}]}}"


def run(bench: Bench, *names: str, **wish: object) -> Rotated:
    with bench.house() as house:
        return rotate(house, Wish(names=names, **wish))  # type: ignore[arg-type]


def again(bench: Bench) -> None:
    """Have what is left told, as the next command does at its end."""
    with bench.house() as house:
        house.ledger()


def records(bench: Bench, event: str) -> list[dict[str, object]]:
    with bench.house() as house:
        reader = house.reader()
        assert reader is not None
        return [dict(one) for one in reader.audit() if one["event"] == event]


# ------------------------------------------------------------------------------------------------------- a web hook


def test_a_web_hook_hears_what_it_asked_for_signed_and_once(bench: Bench, ear: Ear) -> None:
    bench.secret("hook-key")
    telling(bench, webhook(ear, "rotation.finished", "version.promoted", secret='secret: "file:hook-key", '))
    assert run(bench).exit_status == 0
    assert sorted(ear.told) == sorted(
        [(event, name) for name in ("one", "two") for event in ("rotation.finished", "version.promoted")]
    )
    for headers, body in ear.heard:
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = b64encode(hmac.digest(KEY.encode(), content, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"
        assert headers["content-type"] == "application/cloudevents+json"
        assert int(headers["webhook-timestamp"]) == int(bench.clock.now().timestamp())
    again(bench)
    assert len(ear.heard) == 4
    assert len(records(bench, "notification.sent")) == 4


def test_no_value_is_told_and_no_key_is_in_the_state(bench: Bench, ear: Ear) -> None:
    bench.secret("hook-key")
    everything = (
        "rotation.started, version.created, version.staged, version.proved, version.promoted, rotation.finished"
    )
    telling(bench, webhook(ear, everything, secret='secret: "file:hook-key", '))
    run(bench)
    values = [bench.value_of(name).reveal() for name in ("one", "two")]
    said = b"".join(body for _, body in ear.heard) + repr(ear.heard).encode()
    assert len(ear.heard) == 12, "an intent is not told"
    assert not [value for value in (*values, KEY) if value.encode() in said]
    assert KEY.encode() not in (bench.folder / "state/rotator.db").read_bytes()


def test_a_receiver_that_is_away_changes_no_outcome_and_hears_it_later(bench: Bench) -> None:
    ear = Ear(503, 503, 204)
    with ear.open():
        telling(bench, webhook(ear))
        found = run(bench)
        assert (found.exit_status, [item["outcome"] for item in found.items]) == (0, ["promoted", "promoted"])
        again(bench)
        assert len(ear.heard) == 1, "it is left alone for a while"
        with bench.house() as house:
            (remark,) = [one for one in status(house).remarks if one.name == "notifications"]
        assert "answered 503" in remark.message
        bench.clock.advance(MINUTE)
        again(bench)
        bench.clock.advance(MINUTE)
        again(bench)
        first, second, third, other = ear.ids
        assert first == second == third != other, "a letter has the same id each time, and the next one waits for it"
        with bench.house() as house:
            assert not [one for one in status(house).remarks if one.name == "notifications"]
    (failed,) = records(bench, "notification.failed")
    assert failed["reason"] == "not_taken"


def test_what_nobody_takes_for_three_days_is_given_up_and_that_is_recorded(bench: Bench) -> None:
    ear = Ear(500)
    with ear.open():
        telling(bench, webhook(ear))
        run(bench, "one")
        for _ in range(80):
            bench.clock.advance(HOUR)
            again(bench)
        before = len(ear.heard)
        bench.clock.advance(HOUR)
        again(bench)
        assert len(ear.heard) == before
    assert [one["reason"] for one in records(bench, "notification.failed")] == ["not_taken", "given_up"]


@pytest.mark.parametrize(("answer", "after"), [(400, 2), (422, 2), (410, 2), (302, 1), (404, 1), (429, 1)])
def test_a_letter_that_is_refused_does_not_hold_up_the_next(bench: Bench, answer: int, after: int) -> None:
    ear = Ear(answer)
    with ear.open():
        telling(bench, webhook(ear))
        run(bench)
        assert len(ear.heard) == after


def test_nobody_there_at_all(bench: Bench) -> None:
    telling(bench, "{kind: webhook, url: 'http://127.0.0.1:9/hook', events: [rotation.finished]}")
    assert run(bench).exit_status == 0
    (failed,) = records(bench, "notification.failed")
    assert "cannot be reached" in str(failed["detail"])


def test_one_that_answers_in_drops_holds_neither_the_run_nor_others_up(
    bench: Bench, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "PATIENCE", timedelta(seconds=1))
    over = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-word: ")
            for _ in range(60):
                connection.sendall(b"a")
                over.wait(0.25)
        over.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        telling(bench, f"{{kind: webhook, url: '{url}', events: [rotation.finished]}}", webhook(ear))
        assert run(bench, "one").exit_status == 0
        assert not over.is_set(), "it goes on, and nobody listens any more"
        over.set()
    assert ear.told == [("rotation.finished", "one")]
    (failed,) = records(bench, "notification.failed")
    assert "within 1 s" in str(failed["detail"])


def test_a_crash_after_telling_and_before_writing_it_down_tells_it_again_with_the_same_id(
    bench: Bench, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling(bench, webhook(ear))
    with bench.house() as house:
        rotate(house, Wish(names=("one",)))
        ledger = house.ledger()
        monkeypatch.setattr(ledger, "record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Postman(house, ledger, threading.Event()).go_round()
        monkeypatch.undo()
    assert len(ear.heard) == 2
    assert len(set(ear.ids)) == 1


def test_a_new_receiver_hears_nothing_of_the_past(bench: Bench, ear: Ear) -> None:
    run(bench)
    telling(bench, webhook(ear))
    again(bench)
    assert ear.heard == []
    run(bench, "one", now=True)
    assert ear.told == [("rotation.finished", "one")]


def test_ten_thousand_letters_are_told_over_several_runs_each_for_some_seconds_only(bench: Bench, ear: Ear) -> None:
    telling(bench, webhook(ear, "secret.read"))
    with bench.house() as house:
        ledger = house.ledger()
        from rotator.event import Event, EventName

        for start in range(0, 10_000, 1000):
            first, *rest = [
                Event(EventName.SECRET_READ, "dana", credential="one", detail=f"{n}")
                for n in range(start, start + 1000)
            ]
            ledger.record(first, *rest)
        spent = 0

        def over() -> bool:
            nonlocal spent
            spent += 1
            return spent > 200

        from rotator.app.notifying import _Round, targets

        (target,) = targets(house)
        assert _Round(house, ledger, target).serve(over)
        assert len(ear.heard) == 200
        bench.clock.advance(AT_THE_END * 2)
        spent = 0
        assert _Round(house, ledger, target).serve(over)
        assert len(ear.heard) == len(set(ear.ids)) == 400
        ledger.remember(f"told.{target.name}", f"{ledger.head().seq} 0 - ")


# --------------------------------------------------------------------------------------------------------- a command


def script(bench: Bench, name: str, text: str) -> Path:
    path = bench.folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def hook(path: Path, timeout: str = "5s") -> str:
    return f"{{kind: exec, command: ['{path}', '--now'], events: [version.promoted], timeout: {timeout}}}"


def test_a_command_gets_the_event_on_its_standard_input_and_nothing_of_our_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", KEY)
    heard = bench.folder / "heard"
    path = script(bench, "hook", f'cat >> {heard}; echo "$1" >> {heard}; env >> {heard}; pwd >> {heard}')
    telling(bench, hook(path))
    run(bench, "one")
    text = heard.read_text(encoding="utf-8")
    told = json.loads(text.splitlines()[0])
    assert (told["type"], told["subject"]) == ("rotator.version.promoted", "one")
    assert "--now" in text
    assert KEY not in text
    assert bench.value_of("one").reveal() not in text
    assert "ROTATOR_EVENT=version.promoted" in text


def test_a_hook_of_one_credential_hears_of_no_other(bench: Bench) -> None:
    heard = bench.folder / "heard"
    path = script(bench, "hook", f"cat >> {heard}")
    text = bench.config.read_text(encoding="utf-8")
    bench.config.write_text(
        text.replace("    labels: {env: test}", f"    labels: {{env: test}}\n    hooks: [{hook(path)}]"),
        encoding="utf-8",
    )
    again(bench)
    run(bench)
    (told,) = [json.loads(line) for line in heard.read_text(encoding="utf-8").splitlines()]
    assert told["subject"] == "two"


def test_a_hook_that_never_ends_is_killed_with_all_that_it_started(bench: Bench) -> None:
    pids = bench.folder / "pids"
    path = script(bench, "hook", f"sleep 600 & echo $! >> {pids}; echo $$ >> {pids}; exec sleep 600")
    telling(bench, hook(path, "1s"))
    assert run(bench, "one").exit_status == 0
    for pid in map(int, pids.read_text(encoding="utf-8").split()):
        assert not alive(pid)
    (failed,) = records(bench, "notification.failed")
    assert "was killed" in str(failed["detail"])


def alive(pid: int) -> bool:
    """Say whether a process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("text", "why"),
    [("yes | head -c 50000000; exit 3", "ended with 3"), ("kill -9 $$", "was ended by signal 9")],
)
def test_a_hook_that_floods_or_fails_is_told_and_tried_again(bench: Bench, text: str, why: str) -> None:
    ran = bench.folder / "ran"
    telling(bench, hook(script(bench, "hook", f"echo x >> {ran}; {text}")))
    assert run(bench, "one").exit_status == 0
    assert why in str(records(bench, "notification.failed")[0]["detail"])
    bench.clock.advance(MINUTE)
    again(bench)
    assert ran.read_text(encoding="utf-8").count("x") == 2


def test_a_command_that_is_not_there(bench: Bench) -> None:
    telling(bench, hook(bench.folder / "nothing"))
    assert run(bench, "one").exit_status == 0
    assert "cannot be run" in str(records(bench, "notification.failed")[0]["detail"])


def test_observing_nobody_is_told_by_a_run(tmp_path: Path, ear: Ear) -> None:
    bench = Bench(tmp_path, mode="observe")
    telling(bench, webhook(ear))
    run(bench)
    assert ear.heard == []


def test_check_looks_at_the_key_of_a_signature(bench: Bench, ear: Ear) -> None:
    telling(bench, webhook(ear, secret='secret: "file:no-such-key", '))
    with bench.house() as house:
        findings = check(house, offline=True).findings
    assert [one.subject for one in findings if "no-such-key" in one.message] == ["notifications"]


def test_two_receivers_that_are_written_alike_are_two(bench: Bench, ear: Ear) -> None:
    telling(bench, webhook(ear), webhook(ear))
    run(bench, "one")
    assert len(ear.heard) == 2

"""What a rotation tells while it runs: sparingly in a log, in place on a terminal, and never a failure of its own."""

from __future__ import annotations

import io
import threading
from datetime import timedelta

import pytest
from rich.console import Console

from rotator.cli.live import LiveProgress
from rotator.cli.progress import PlainProgress, silent
from rotator.clock import ManualClock
from tests.fakes import plans
from tests.fakes.cli_items import ASCII, NARROW, PIPE, WIDE

ONE = plans.credential(name="one")
TWO = plans.credential(name="two")


def test_plain_lines_tell_what_ended(capsys: pytest.CaptureFixture[str]) -> None:
    tell = PlainProgress(PIPE, ManualClock(), wordy=False)
    tell(ONE, "create", "begin", "")
    tell(ONE, "create", "done", "key 4c1e at Entra")
    tell(ONE, "verify", "failed", "refused:\ntwice")
    silent(ONE, "create", "done", "never")
    assert capsys.readouterr() == ("", "one  create key 4c1e at Entra\none  verify failed: refused: twice\n")


def test_a_long_step_is_told_of_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    tell = PlainProgress(PIPE, clock, wordy=False)
    for number in range(30):
        tell(ONE, "verify", "tell", f"try {number}")
        clock.advance(timedelta(seconds=1))
    assert capsys.readouterr().err.splitlines() == [f"one  verify try {number}" for number in (0, 10, 20)]


def test_every_word_is_told_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    tell = PlainProgress(PIPE, ManualClock(), wordy=True)
    for state in ("begin", "tell", "tell", "done"):
        tell(ONE, "verify", state, state)
    assert len(capsys.readouterr().err.splitlines()) == 4


class Gone(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_closed_standard_error_never_stops_a_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Gone())
    PlainProgress(PIPE, ManualClock(), wordy=True)(ONE, "create", "done", "")


def drawn(live: LiveProgress, width: int = 100, height: int = 40) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=height, color_system=None).print(live)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_one_credential_gets_a_line_for_each_step_and_for_what_is_to_come() -> None:
    live = LiveProgress(WIDE, ManualClock(), ["one"], 'requested by dana · "leaver"')
    live(ONE, "baseline", "done", "the current secret works")
    live(ONE, "create", "begin", "asking for 90 d")
    assert drawn(live) == [
        'one  requested by dana · "leaver"',
        "  ✓ baseline   the current secret works",
        "  ⠋ create     asking for 90 d",
        "  · stage",
        "  · verify",
        "  · promote",
    ]


def test_the_last_words_of_a_step_stay_when_it_ends_without_any() -> None:
    live = LiveProgress(WIDE, ManualClock(), ["one"], "")
    live(ONE, "verify", "tell", "2 of 3")
    live(ONE, "verify", "done", "")
    assert drawn(live)[1] == "  ✓ verify     2 of 3"


def test_the_proof_of_a_promotion_does_not_begin_the_verification_anew() -> None:
    live = LiveProgress(WIDE, ManualClock(), ["one"], "")
    live(ONE, "verify", "done", "3 of 3")
    live(ONE, "promote", "begin", "")
    live(ONE, "verify", "tell", "1 of 1")
    assert drawn(live)[1:] == ["  ✓ verify     3 of 3", "  ⠋ promote"]


def test_key_ids_are_short_where_a_line_must_not_wrap() -> None:
    live = LiveProgress(WIDE, ManualClock(), ["one"], "")
    live(ONE, "retire", "done", "key 4c1e0000-0000-4000-8000-000000009a02 is gone")
    assert drawn(live)[1] == "  ✓ retire     key 4c1e…9a02 is gone"


def test_nothing_is_to_come_after_a_failure() -> None:
    live = LiveProgress(WIDE, ManualClock(), ["one"], "")
    live(ONE, "create", "done", "key")
    live(ONE, "verify", "failed", "the role is missing")
    live(ONE, "undo", "done", "the new version is removed")
    assert drawn(live)[1:] == [
        "  ✓ create     key",
        "  ✗ verify     the role is missing",
        "  ✓ undo       the new version is removed",
    ]


def test_retiring_alone_promises_no_rotation() -> None:
    live = LiveProgress(WIDE, ManualClock(), ["one"], "")
    live(ONE, "retire", "begin", "key 88b0")
    assert len(drawn(live)) == 2


def test_several_credentials_get_one_line_each_and_only_those_at_work() -> None:
    live = LiveProgress(WIDE, ManualClock(), ["one", "two", "three"], "")
    live(ONE, "create", "done", "key")
    live(ONE, "verify", "tell", "1 of 3")
    live(TWO, "promote", "done", "v8")
    assert drawn(live) == ["  ⠋ one    verify   1 of 3", "  2 of 3 begun, 1 at work"]


def test_a_narrow_terminal_cuts_a_progress_line_and_never_wraps_it() -> None:
    live = LiveProgress(NARROW, ManualClock(), ["one"], "")
    live(ONE, "create", "begin", "word " * 40)
    assert all(len(line) <= 60 for line in drawn(live, width=60))
    assert len(drawn(live, width=60)) == 5


def test_a_terminal_without_unicode_gets_ascii_signs() -> None:
    live = LiveProgress(ASCII, ManualClock(), ["one"], "a · b")
    live(ONE, "create", "done", "4c1e…9a02")
    live(ONE, "stage", "begin", "")
    assert "\n".join(drawn(live)).isascii()


def test_many_threads_may_tell_while_it_is_drawn() -> None:
    live = LiveProgress(WIDE, ManualClock(), [f"c{n}" for n in range(8)], "")

    def work(number: int) -> None:
        one = plans.credential(name=f"c{number}")
        for step in ("create", "stage", "verify", "promote"):
            live(one, step, "begin", "")
            live(one, step, "done", "")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        drawn(live)
    assert drawn(live)[-1] == "  8 of 8 begun, 0 at work"

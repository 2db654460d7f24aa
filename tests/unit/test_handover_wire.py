"""What travels between a command and the daemon arrives as it was, and nothing else travels."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest

from rotator.app.handover.wire import Line, pack, unpack
from rotator.app.keeping import Kept
from rotator.app.planning import Planned
from rotator.app.pruning import Pruned
from rotator.app.reading import Fetched
from rotator.app.results import Remark, Rotated, Trouble
from rotator.app.usage import UsageFault
from rotator.errors import Busy, ChainBroken, Denied, Throttled
from rotator.secret import Fields, Secret

CANARY = "canary-9f2b7c-value"


def test_an_answer_arrives_as_it_was() -> None:
    error = Throttled("slow down", hint="wait", code="throttled", retry_after=timedelta(seconds=3))
    item = {"name": "one", "old_key_ids": ["a", "b"], "error": {"code": "x"}, "proofs": 3, "is": "of"}
    sent = Rotated((item, {"name": "two"}), (Remark("one", "m", "h"),), (Trouble("one", error),), {"one": "kv/x"}, 75)
    found = unpack(pack(sent))
    assert (found.items, found.remarks, found.places, found.exit_status) == (
        sent.items,
        sent.remarks,
        sent.places,
        sent.exit_status,
    )
    (trouble,) = found.troubles
    assert type(trouble.error) is Throttled
    assert (trouble.error.message, trouble.error.hint, trouble.error.retry_after) == (
        "slow down",
        "wait",
        timedelta(0, 3),
    )


@pytest.mark.parametrize("kind", [Busy, Denied, ChainBroken, UsageFault])
def test_an_error_keeps_its_kind_and_so_its_exit_status(kind: type[Busy]) -> None:
    found = unpack(pack(kind("m", hint="h", code="c")))
    assert (type(found), found.code, found.exit_status) == (kind, "c", kind.exit_status)


@pytest.mark.parametrize(
    "thing",
    [
        Secret(CANARY),
        Fields({"client_secret": Secret(CANARY)}),
        {"x": Secret(CANARY)},
        Fetched(Secret(CANARY), 1),
        object(),
    ],
)
def test_a_secret_does_not_travel(thing: object) -> None:
    with pytest.raises(TypeError) as refused:
        pack(thing)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("found", [{"is": "House", "of": {}}, {"is": "tuple", "of": 3}, {}, {"is": ["Kept"], "of": {}}])
def test_what_is_no_answer_of_ours_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match="not a frame"):
        unpack(found)


def test_a_frame_may_come_in_pieces_and_several_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = Line(ours)
        line.patience(0.05)
        theirs.sendall(b'{"a":')
        with pytest.raises(TimeoutError):
            line.receive()
        theirs.sendall(b'1}\n{"b":2}\n')
        assert (line.receive(), line.receive()) == ({"a": 1}, {"b": 2})
        theirs.sendall(b"x" * 5000)
        with pytest.raises(ValueError, match="too long"):
            line.receive(1000)


def test_what_was_pruned_travels_with_its_seal_and_the_times_of_a_plan_as_times() -> None:
    when = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    seal = unpack(pack(Planned((), (), (), when, when)))
    assert (seal.start, seal.until) == (when, when)
    assert unpack(pack(Pruned(None, 3, 1))) == Pruned(None, 3, 1)


def test_an_item_with_a_key_of_our_own_language_is_only_an_item() -> None:
    sent = Kept(({"is": "error", "of": {}},), ("one",))
    assert unpack(pack(sent)) == sent

"""How the Vault store reads times and durations, and which answers leave a write open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rotator.errors import OutcomeUnknown
from rotator.stores.vault import moment
from rotator.stores.vault_check import go_duration
from rotator.stores.vault_errors import failure, perhaps_done
from rotator.stores.vault_wire import Reply


def reply(status: int, *errors: str) -> Reply:
    return Reply(status, {"errors": list(errors)}, "; ".join(errors), None, None, None)


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-24T15:02:03.123456789Z", 123456),
        ("2026-11-24T15:02:03.999999999Z", 999999),
        ("2026-11-24T15:02:03.5Z", 500000),
        ("2026-11-24T15:02:03Z", 0),
    ],
)
def test_a_time_of_the_store_is_cut_and_never_rounded_up(text: str, microsecond: int) -> None:
    assert moment(text) == datetime(2026, 11, 24, 15, 2, 3, microsecond, UTC)


@pytest.mark.parametrize("text", ["", None, 5, "soon", "2026-11-24", "2026-11-24T15:02:03", "2026-11-24T15:02:03+01"])
def test_what_is_no_time_of_the_store_is_none(text: object) -> None:
    assert moment(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", timedelta(0)),
        ("-1s", timedelta(0)),
        ("-1h0m0s", timedelta(0)),
        ("", timedelta(0)),
        (None, timedelta(0)),
        ("24h0m0s", timedelta(days=1)),
        ("1h30m", timedelta(minutes=90)),
        ("3h25m19s", timedelta(hours=3, minutes=25, seconds=19)),
        ("1.5s", timedelta(seconds=1.5)),
        ("100ms", timedelta(milliseconds=100)),
    ],
)
def test_a_duration_of_the_store_is_read_as_go_writes_it(text: object, expected: timedelta) -> None:
    assert go_duration(text) == expected


@pytest.mark.parametrize("status", [300, 307, 400, 401, 403, 404, 405, 412, 413, 429, 472, 473])
def test_a_refusal_is_certainly_not_done(status: int) -> None:
    assert not perhaps_done(reply(status, "whatever"))


@pytest.mark.parametrize("status", [200, 204, 408, 500, 501, 502, 503, 504, 520, 599])
def test_everything_unclear_is_perhaps_done(status: int) -> None:
    assert perhaps_done(reply(status, "internal error"))


@pytest.mark.parametrize("status", [*range(200, 600)])
def test_every_status_has_an_error_with_a_next_step(status: int) -> None:
    error = failure(reply(status, "said"), "vault", "read kv/data/a")
    assert not isinstance(error, OutcomeUnknown)
    assert error.hint and "vault" in error.message

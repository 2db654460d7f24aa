"""What a scrape tells, from a real state file: gathered in short transactions, the same as asking for all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.app.figures import Gatherer, Pulse
from rotator.app.house import House
from rotator.app.rotating import Wish, rotate
from rotator.app.serving import FILE_VARIABLE, metrics_file, write_metrics_file
from rotator.clock import Instant
from rotator.errors import Misconfigured, StateUnusable, Transient
from rotator.model import Act, Trouble
from rotator.notes import ProofSeen, Sighting
from rotator.persistence import figures
from rotator.persistence.ledger import SqlLedger
from rotator.persistence.reading import Reader
from rotator.planner import current_version, next_rotation
from rotator.testing.providers import Fate
from rotator.web.metrics import Condition, Figures, Watched
from tests.fakes.app_bench import DAY, Bench
from tests.fakes.web_client import Got

QUIET = Pulse(None, reloaded=True)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def house(bench: Bench) -> Iterator[House]:
    with bench.house() as made:
        yield made


def rotated(bench: Bench, *names: str, **wish: object) -> None:
    with bench.house() as other:
        rotate(other, Wish(names=names, **wish))  # type: ignore[arg-type]


def watched(figures: Figures, name: str) -> Watched:
    (found,) = [one for one in figures.credentials if one.name == name]
    return found


def gathered(house: House) -> Figures:
    return Gatherer(house).gather(QUIET)


def note(bench: Bench, *notes: object, **changes: object) -> None:
    """Write into the state what a run would have: notes as they are, changes into the state of `one`."""
    with SqlLedger(bench.folder / "state" / "rotator.db", bench.clock) as ledger:
        if changes:
            known = ledger.tracked("one")
            assert known is not None
            ledger.note(replace(known.state, **changes))  # type: ignore[arg-type]
        if notes:
            ledger.note(*notes)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- credentials


def test_without_a_state_every_credential_is_there_and_nothing_is_known_of_it(house: House) -> None:
    found = gathered(house)
    assert [one.name for one in found.credentials] == ["one", "two"]
    assert set(found.credentials) == {Watched(name, "contoso", 0, 0, 0, Condition.UNKNOWN) for name in ("one", "two")}
    assert not house.database.exists()


def test_what_is_told_of_a_credential_is_what_state_and_plan_say(bench: Bench, house: House) -> None:
    rotated(bench)
    found = gathered(house)
    with Reader(house.database) as reader:
        for credential in house.config.models:
            tracked = reader.tracked(credential.name)
            assert tracked is not None
            current = current_version(tracked)
            due = next_rotation(credential, tracked, bench.clock.now())
            assert watched(found, credential.name) == Watched(
                credential.name,
                credential.provider,
                current.expires_at.timestamp(),
                due.at.timestamp(),
                tracked.state.proved_at.timestamp(),
                Condition.TRUE,
            )


@pytest.mark.parametrize("what", ["parked", "refused", "expired"])
def test_what_needs_somebody_is_not_ready(bench: Bench, house: House, what: str) -> None:
    rotated(bench)
    match what:
        case "parked":
            note(bench, parked=Trouble("x", "It is broken.", "Look.", bench.clock.now()))
        case "refused":
            note(bench, ProofSeen("contoso", "one", "invalid_client"))
        case "expired":
            bench.clock.advance(100 * DAY)
    found = gathered(house)
    assert watched(found, "one").ready is Condition.FALSE
    assert watched(found, "two").ready is (Condition.FALSE if what == "expired" else Condition.TRUE)
    assert found.parked["contoso"] == (what == "parked")


def test_a_paused_one_works_and_is_not_planned(bench: Bench, house: House) -> None:
    rotated(bench)
    note(bench, paused_at=bench.clock.now())
    found = watched(gathered(house), "one")
    assert (found.ready, found.rotates_at) == (Condition.TRUE, 0)


def test_a_forgotten_one_is_unknown(bench: Bench, house: House) -> None:
    rotated(bench)
    note(bench, forgotten_at=bench.clock.now())
    assert watched(gathered(house), "one") == Watched("one", "contoso", 0, 0, 0, Condition.UNKNOWN)


def test_one_that_left_the_configuration_is_not_told(bench: Bench) -> None:
    rotated(bench)
    bench.write(without=("one",))
    with bench.house() as other:
        assert [one.name for one in gathered(other).credentials] == ["two"]


def test_orphans_are_counted_by_provider_once_a_configured_credential_has_some(bench: Bench, house: House) -> None:
    rotated(bench)
    seen = Instant(bench.clock.now(), "boot", timedelta(0))
    note(bench, *(Sighting(name, f"key-{name}", "tag", seen, 1) for name in ("one", "two", "gone")))
    assert gathered(house).orphans == {"contoso": 2}


# ---------------------------------------------------------------------------------------------------- one after another


def test_a_later_scrape_tells_the_same_as_a_first_one(bench: Bench, house: House) -> None:
    """Whatever has happened in between, what is kept from an earlier scrape must not show."""
    gatherer = Gatherer(house)
    happenings: list[Callable[[], None]] = [
        lambda: rotated(bench),
        lambda: note(bench, paused_at=bench.clock.now()),
        lambda: note(bench, paused_at=None),
        lambda: note(bench, parked=Trouble("x", "It is broken.", "Look.", bench.clock.now())),
        lambda: note(bench, parked=None, not_before=bench.clock.now() + timedelta(hours=3)),
        lambda: bench.clock.advance(timedelta(hours=4)),
        lambda: rotated(bench, "one", now=True),
        lambda: bench.clock.advance(2 * DAY),
        lambda: rotated(bench),
        lambda: bench.clock.advance(61 * DAY),
        lambda: rotated(bench),
        lambda: note(bench, ProofSeen("contoso", "one", "invalid_client")),
        lambda: bench.clock.jump(-30 * DAY),
        lambda: bench.clock.advance(500 * DAY),
    ]
    for happen in happenings:
        happen()
        assert gatherer.gather(QUIET).credentials == gathered(house).credentials


def test_what_has_not_changed_is_not_read_again(bench: Bench, house: House) -> None:
    rotated(bench)
    gatherer = Gatherer(house)
    gatherer.gather(QUIET)
    asked = _read_by(house, gatherer)
    assert asked == []
    note(bench, paused_at=bench.clock.now())
    assert _read_by(house, gatherer) == [["one"]]


def _read_by(house: House, gatherer: Gatherer) -> list[list[str]]:
    """Return which credentials a scrape reads whole."""
    asked: list[list[str]] = []
    usual = Reader.every

    def listening(self: Reader, names: list[str]) -> object:
        asked.append(list(names))
        return usual(self, names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "every", listening)
        gatherer.gather(QUIET)
    return asked


def test_a_scrape_leaves_the_state_alone(bench: Bench, house: House) -> None:
    rotated(bench)
    before = house.database.read_bytes()
    gatherer = Gatherer(house)
    gatherer.gather(QUIET)
    gatherer.gather(QUIET)
    assert house.database.read_bytes() == before
    assert {one.suffix for one in house.database.parent.iterdir()} <= {".db", ".lock"}


def test_a_writer_can_commit_between_the_pages_of_a_scrape(
    bench: Bench, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "PAGE", 1)
    rotated(bench)
    with Reader(house.database) as reader:
        walk = reader.marks()
        next(walk)
        note(bench, paused_at=bench.clock.now())  # raises Busy where a transaction of the reader is still open
        assert [name for name, _ in walk] == ["two"]


def test_a_wait_that_a_wrong_clock_wrote_is_forgotten_when_the_clock_is_put_back(bench: Bench, house: House) -> None:
    bench.issuer.fate(Act.CREATE, Fate.REFUSED)
    rotated(bench, "one")
    note(bench, not_before=bench.clock.now() + timedelta(hours=3))
    gatherer = Gatherer(house)
    assert watched(gatherer.gather(QUIET), "one").rotates_at > bench.clock.now().timestamp()
    bench.clock.jump(-DAY)
    assert watched(gatherer.gather(QUIET), "one") == watched(gathered(house), "one")
    assert watched(gatherer.gather(QUIET), "one").rotates_at <= bench.clock.now().timestamp()


# -------------------------------------------------------------------------------------------------------------- counts


def test_rotations_and_steps_are_counted_from_where_the_daemon_began(bench: Bench, house: House) -> None:
    rotated(bench)
    with Reader(house.database) as reader:
        since = reader.last()
    gatherer = Gatherer(house, since)
    assert gatherer.gather(QUIET).rotations == {}
    bench.clock.advance(2 * DAY)
    rotated(bench, "one", now=True)
    found = gatherer.gather(QUIET)
    assert found.rotations == {"promoted": 1}
    assert {step: sum(took.counts) for step, took in found.steps.items()} == {
        "create": 1,
        "stage": 1,
        "verify": 1,
        "promote": 1,
    }
    bench.clock.advance(2 * DAY)
    rotated(bench)
    found = gatherer.gather(QUIET)
    assert (found.rotations, sum(found.steps["retire"].counts)) == ({"promoted": 1}, 1)


def test_an_abandoned_rotation_is_counted_as_such(bench: Bench, house: House) -> None:
    bench.issuer.applications[bench.app("one")].roles.clear()
    rotated(bench, "one")
    assert gathered(house).rotations == {"abandoned": 1}


def test_counts_go_on_with_a_new_configuration(bench: Bench, house: House) -> None:
    rotated(bench)
    gatherer = Gatherer(house)
    before = gatherer.gather(QUIET)
    bench.write(without=("two",))
    with bench.house() as other:
        after = gatherer.moved(other).gather(QUIET)
    assert after.rotations == before.rotations == {"promoted": 2}
    assert [one.name for one in after.credentials] == ["one"]


def test_the_number_of_audit_records_is_that_of_the_last_one(bench: Bench, house: House) -> None:
    rotated(bench)
    with Reader(house.database) as reader:
        assert gathered(house).records == reader.head().seq > 0


def test_the_pages_of_a_long_record_add_up(bench: Bench, house: House) -> None:
    rotated(bench)
    with sqlite3.connect(house.database) as state:
        state.execute("DELETE FROM steps")
        state.executemany(
            "INSERT INTO steps (rotation_id, step, outcome, at, attempt, detail, seconds)"
            " VALUES ('r', ?, ?, 0, 1, '', ?)",
            [("create", "skipped" if number % 3 == 0 else "done", 2.0) for number in range(9000)],
        )
    state.close()
    took = gathered(house).steps["create"]
    assert (sum(took.counts), took.total) == (6000, 12000.0)


def test_the_calls_of_a_run_are_told(bench: Bench, house: House) -> None:
    bench.issuer.fate(Act.CREATE, Fate.THROTTLED)
    rotate(house, Wish(names=("one",)))
    found = gathered(house).calls
    assert found["contoso", "create", "throttled"] >= 1
    assert found["contoso", "list", "succeeded"] >= 1


def test_a_list_that_is_asked_for_again_is_counted_again(bench: Bench, house: House) -> None:
    failing = iter([Transient("It is down.", hint="Wait."), None])
    usual = bench.issuer.list

    def flaky(application: str) -> object:
        failure = next(failing, None)
        if failure is not None:
            raise failure
        return usual(application)

    bench.issuer.list = flaky  # type: ignore[assignment]
    house.provider("contoso").list(bench.app("one"))
    assert house.calls.so_far() == {("contoso", "list", "failed"): 1, ("contoso", "list", "succeeded"): 1}


# ---------------------------------------------------------------------------------------------------------- bad days


def test_a_state_that_is_damaged_is_an_error_and_not_an_empty_page(bench: Bench, house: House) -> None:
    rotated(bench)
    house.database.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StateUnusable):
        gathered(house)


# -------------------------------------------------------------------------------------------------- without a daemon


def test_a_run_without_a_daemon_leaves_a_file_with_all_that_the_records_hold(bench: Bench, house: House) -> None:
    rotated(bench)
    rotate(house, Wish())
    there = bench.folder / "rotator.prom"
    write_metrics_file(house, there)
    got = Got(200, {}, there.read_bytes())
    assert got.value("rotator_rotations_total", outcome="promoted") == 2
    assert got.value("rotator_scheduler_last_tick_timestamp_seconds") == bench.clock.now().timestamp()
    assert got.value("rotator_credential_ready_status", credential="one", condition="True") == 1
    assert there.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in bench.folder.iterdir() if "prom" in one.name] == ["rotator.prom"]


def test_who_reads_the_file_sees_the_old_one_or_the_new_one(bench: Bench, house: House) -> None:
    rotated(bench)
    there = bench.folder / "rotator.prom"
    write_metrics_file(house, there)
    with there.open("rb") as old:
        before = there.stat().st_ino
        write_metrics_file(house, there)
        assert there.stat().st_ino != before
        assert old.read().endswith(b"\n")


def test_a_file_that_cannot_be_written_is_a_clear_error(bench: Bench, house: House) -> None:
    with pytest.raises(Misconfigured, match="No such file") as caught:
        write_metrics_file(house, bench.folder / "nowhere" / "rotator.prom")
    assert FILE_VARIABLE in caught.value.hint


def test_the_file_is_the_one_that_the_environment_names(bench: Bench, house: House) -> None:
    assert metrics_file(house) is None
    house.environ = {FILE_VARIABLE: "/var/lib/node_exporter/rotator.prom"}
    assert metrics_file(house) == Path("/var/lib/node_exporter/rotator.prom")

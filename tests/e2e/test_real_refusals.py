"""Bad input and bad days with a real Vault: which exit status, what is said, and that nothing is done that should not.

One thing is out of order in each test. The truth is asked from issuer and Vault, not from rotator.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest

from rotator.sandbox.weather import Route, throttle
from tests.e2e.real_oracle import judge
from tests.e2e.real_world import APPS, NAME, RealWorld, Station, world

__all__ = ["world"]

pytestmark = [pytest.mark.vault, pytest.mark.slow]

HALF_AN_HOUR = timedelta(minutes=30)
NOWHERE = "https://127.0.0.1:9"


def untouched(world: RealWorld, station: Station, *, mutations: int = 0, versions: int = 0) -> None:
    """Assert that rotator has changed nothing, or so much."""
    assert len([one for one in world.sandbox.directory.mutations() if one.by != "portal"]) == mutations
    assert len(world.versions(f"partners/{NAME}")) == versions
    assert all("Traceback" not in text for text in station.printed)


# ------------------------------------------------------------------------------------------------------ configuration


def test_an_unknown_name_is_2_and_nothing_is_contacted(world: RealWorld) -> None:
    station = world.station()
    done = station.run("rotate", "kontrole")
    assert done.code == 2
    assert f'Did you mean "{NAME}"?' in done.err
    assert world.requests() == 0


@pytest.mark.parametrize("command", ["check", "rotate", "status", "orphans"])
def test_a_wrong_configuration_is_78_with_every_fault_and_nothing_is_contacted(world: RealWorld, command: str) -> None:
    station = world.station()
    station.edit("kind: entra", "kind: entrée")
    station.edit("quarantine: 2s", "quarantine: soon")
    done = station.run(command)
    assert (done.code, done.out) == (78, "")
    assert done.err.count(f"{station.config}:") == 2
    assert world.requests() == 0
    assert not station.database.exists()


@pytest.mark.parametrize("whose", ["vault", "issuer"])
def test_a_ca_file_that_does_not_exist_is_78_and_is_named(world: RealWorld, whose: str) -> None:
    station = world.station()
    real = {"vault": world.vault.ca_file, "issuer": world.sandbox.ca_file}[whose]
    station.edit(f"ca_file: {real}", "ca_file: /nowhere/ca.pem")
    done = station.run("rotate")
    assert done.code == 78
    assert "/nowhere/ca.pem" in done.err
    untouched(world, station)


def test_a_ca_of_somebody_else_is_no_reason_to_send_anything(world: RealWorld) -> None:
    station = world.station()
    station.edit(f"ca_file: {world.vault.ca_file}", f"ca_file: {world.sandbox.ca_file}")
    done = station.run("rotate")
    assert done.code in (69, 78)
    assert "certificate" in done.err.lower()
    untouched(world, station)


def test_a_secret_that_is_missing_is_78_and_nothing_is_contacted(world: RealWorld) -> None:
    station = world.station()
    (station.folder / "secret-id").unlink()
    done = station.run("rotate")
    assert done.code == 78
    assert "secret-id" in done.err
    assert world.requests() == 0


def test_a_tenant_that_does_not_exist_is_78_and_is_named(world: RealWorld) -> None:
    station = world.station()
    station.edit(f"tenant: {world.sandbox.tenant}", "tenant: 99999999-2222-3333-4444-555555555555")
    done = station.run("rotate")
    assert done.code == 78, done.err
    assert "99999999-2222-3333-4444-555555555555" in done.err
    untouched(world, station)


# -------------------------------------------------------------------------------------------------------- permissions


def test_an_application_that_is_not_ours_is_77(world: RealWorld) -> None:
    station = world.station()
    world.sandbox.directory.change(APPS[NAME], owned=False)
    assert station.run("check").code == 77
    done = station.run("rotate")
    assert done.code == 77
    assert "owner of the application" in done.err
    assert "no new version was made" in done.out
    untouched(world, station)


def test_what_vault_forbids_is_77_and_the_candidate_waits_for_the_policy_to_be_mended(world: RealWorld) -> None:
    station = world.station()
    old = station.item("rotate")["new_key_id"]
    policy = world.mounts.policy()
    reading = policy.replace('"create", "read", "update"]', '"read"]', 1)
    world.grant(reading)
    item = station.item("rotate", "--now", NAME, code=77)
    where = f"{world.mounts.consumers}/data/partners/{NAME}"
    assert where in item["error"]["message"]
    assert "update" in item["error"]["message"] + item["error"]["hint"]
    assert world.document()["key_id"] == old
    candidate = world.staging()["key_id"]
    assert candidate in world.live()
    assert "value.client_secret" in world.staging()
    assert station.run("check").code == 77
    judge(world, grace=HALF_AN_HOUR)

    world.grant(policy)
    station.done("resume", NAME)  # a person has mended it, and does not wait for the next attempt to be due
    assert station.item("rotate")["new_key_id"] == candidate
    assert world.document()["key_id"] == candidate
    judge(world, grace=HALF_AN_HOUR, quiet=True)


def test_a_login_that_vault_refuses_is_77_or_78_and_nothing_is_issued(world: RealWorld) -> None:
    station = world.station()
    station.put("secret-id", "00000000-0000-0000-0000-000000000000")
    done = station.run("rotate")
    assert done.code in (77, 78), done.err
    assert "00000000-0000-0000-0000-000000000000" not in done.err
    untouched(world, station)


# ----------------------------------------------------------------------------------------------------------- documents


def test_a_document_with_a_number_in_it_is_left_as_it_is(world: RealWorld) -> None:
    station = world.station()
    world.put({"client_secret": "old", "port": 443})
    done = station.run("rotate")
    assert done.code == 1
    assert "'port'" in done.err
    untouched(world, station, versions=1)


def test_a_document_that_was_deleted_is_not_written_anew(world: RealWorld) -> None:
    station = world.station()
    station.done("rotate")
    world.vault.done("DELETE", f"{world.mounts.consumers}/data/partners/{NAME}")
    done = station.run("rotate", "--now", NAME)
    assert done.code == 1
    assert "undelete" in done.err
    untouched(world, station, mutations=1, versions=1)


# -------------------------------------------------------------------------------------------------------------- outages


def test_a_vault_that_is_down_is_69_and_its_secret_serves_on(world: RealWorld) -> None:
    station = world.station()
    station.done("rotate")
    station.edit(world.vault.address, NOWHERE)
    item = station.item("rotate", "--now", NAME, code=69)
    assert item["error"]["hint"]
    assert station.run("check").code == 69
    assert station.item("status")["current"] is not None, "what is known can be seen without it"
    station.edit(NOWHERE, world.vault.address)
    station.done("rotate", "--now", NAME)
    judge(world, grace=HALF_AN_HOUR, quiet=True)


def test_issuers_that_are_down_are_69_and_their_secret_serves_on(world: RealWorld) -> None:
    station = world.station()
    station.done("rotate")
    world.sandbox.stop()
    assert station.item("rotate", "--now", NAME, code=69)["error"]["hint"]
    assert station.run("check").code == 69
    assert station.item("verify", NAME, code=69)["outcome"] == "unreachable"
    assert world.document()["client_secret"] in {one.text for one in world.live_ours()}


def test_a_vendor_that_asks_for_patience_gets_it_and_who_asks_for_too_much_is_75(world: RealWorld) -> None:
    station = world.station()
    world.sandbox.fail_next(Route.ADD_PASSWORD, throttle("2"))
    assert station.item("rotate")["outcome"] == "promoted"
    world.sandbox.fail_next(Route.ADD_PASSWORD, throttle("600"))
    item = station.item("rotate", "--now", NAME, code=75)
    assert item["error"]["code"] == "throttled"
    assert station.item("status")["next"]["at"] is not None
    judge(world, grace=HALF_AN_HOUR)
    assert len(world.live_ours()) == 1


# -------------------------------------------------------------------------------------------------------------- issuers


def test_a_secret_that_is_never_accepted_is_undone_and_the_old_one_serves(world: RealWorld) -> None:
    station = world.station()
    old = station.item("rotate")["new_key_id"]
    station.edit("deadline: 20s", "deadline: 2s")
    world.sandbox.directory.change(APPS[NAME], fresh_lag=timedelta(hours=1))
    item = station.item("rotate", "--now", NAME, code=1)
    assert item["outcome"] == "abandoned"
    assert world.document()["key_id"] == old
    assert {one.key_id for one in world.live_ours()} == {old}
    judge(world, grace=HALF_AN_HOUR, quiet=True)


def test_a_secret_that_is_granted_for_too_short_is_never_shown(world: RealWorld) -> None:
    station = world.station()
    world.sandbox.directory.change(APPS[NAME], grants_at_most=timedelta(minutes=30))
    item = station.item("rotate", code=1)
    assert item["outcome"] == "abandoned"
    assert "30 min" in item["error"]["message"] and "4 h" in item["error"]["message"]
    untouched(world, station, mutations=2)
    judge(world, grace=HALF_AN_HOUR, quiet=True)


def test_what_is_gone_already_counts_as_retired(world: RealWorld) -> None:
    station = world.station(grace="1s")
    old = station.item("rotate")["new_key_id"]
    station.done("rotate", "--now", NAME)
    world.sandbox.directory.remove(APPS[NAME], old)
    assert station.item("retire", NAME, "--yes")["old_key_ids"] == [old]
    (record,) = station.records(event="version.retired", outcome="succeeded")
    assert "gone already" in record["detail"]


# --------------------------------------------------------------------------------------------------------------- state


def change_one_record(station: Station) -> None:
    with closing(sqlite3.connect(station.database)) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 3")


def cut_the_tail(station: Station) -> None:
    """Remove the last two records, and put the head where they were: within the file nothing is wrong."""
    with closing(sqlite3.connect(station.database)) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("DELETE FROM audit WHERE seq > (SELECT max(seq) - 2 FROM audit)")
        database.execute(
            "UPDATE audit_head SET seq = (SELECT max(seq) FROM audit), "
            "hash = (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1)"
        )


def test_a_changed_record_is_4_and_rotations_go_on(world: RealWorld) -> None:
    station = world.station()
    station.done("rotate")
    change_one_record(station)
    broken = station.run("audit", "verify")
    assert broken.code == 4
    assert "chain broken" in broken.out and "3" in broken.out
    assert station.item("rotate", "--now", NAME)["outcome"] == "promoted"
    assert station.run("audit", "verify").code == 4


def test_a_cut_tail_is_found_by_the_head_in_vault(world: RealWorld) -> None:
    station = world.station()
    station.done("rotate")
    cut_the_tail(station)
    assert station.run("audit", "verify", "--offline").code == 0
    found = station.run("audit", "verify")
    assert found.code == 4
    assert "the head in vault names record" in found.out


def corrupt(station: Station) -> None:
    with station.database.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8192)


def of_the_future(station: Station) -> None:
    with closing(sqlite3.connect(station.database)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")


def of_somebody_else(station: Station) -> None:
    station.database.unlink()
    with closing(sqlite3.connect(station.database)) as database, database:
        database.execute("CREATE TABLE accounts (id INTEGER)")


@pytest.mark.parametrize("spoil", [corrupt, of_the_future, of_somebody_else])
def test_a_state_that_cannot_be_trusted_sends_nothing(world: RealWorld, spoil: Callable[[Station], None]) -> None:
    station = world.station()
    station.done("rotate")
    spoil(station)
    content, before = station.database.read_bytes(), world.requests()
    for command in (["rotate"], ["rotate", "--now", NAME], ["status"]):
        done = station.run(*command)
        assert done.code == 1, done.err
        assert str(station.database) in done.err
    assert world.requests() == before
    assert station.database.read_bytes() == content


def test_json_stays_json_whatever_goes_wrong(world: RealWorld) -> None:
    station = world.station(credentials=(NAME, "fieldops"))
    world.sandbox.directory.change(APPS[NAME], owned=False)
    done = station.run("rotate", "-o", "json")
    assert done.code == 1, "one is denied, one is unproved"
    assert {one["name"]: one["error"]["code"] for one in json.loads(done.out)["items"]} == {
        NAME: "denied",
        "fieldops": "missing_role",
    }

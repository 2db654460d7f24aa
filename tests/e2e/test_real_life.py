"""The whole life of a credential with a real Vault, as a person types it: every command a process of its own."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest

from tests.e2e.real_oracle import judge
from tests.e2e.real_world import APPS, NAME, QUICK_GRACE, RealWorld, world
from tests.servers.vault_server import VaultServer

__all__ = ["world"]

pytestmark = [pytest.mark.vault, pytest.mark.slow]

SECOND, HALF_AN_HOUR = timedelta(seconds=1), timedelta(minutes=30)


def test_a_secret_is_made_shown_replaced_and_retired_and_every_step_is_on_record(world: RealWorld) -> None:
    station = world.station(grace=QUICK_GRACE)
    before = world.live()
    findings = station.items("check")
    assert {one["outcome"] for one in findings} <= {"ok", "skip"}, findings
    assert station.items("plan")[0]["reason"] == "never_rotated"
    assert world.live() == before

    first = station.item("rotate")
    document = world.document()
    assert (first["outcome"], first["store_version"], first["proofs"]) == ("promoted", 1, 2)
    assert document["key_id"] == first["new_key_id"]
    assert document["rotation_id"] == first["rotation_id"]
    assert document["client_id"] == APPS[NAME]
    assert document["token_url"] == world.sandbox.token_url
    assert world.sandbox.directory.authenticates(APPS[NAME], document["client_secret"])

    status = station.item("status")
    assert (status["state"], status["current"]["key_id"]) == ("ok", first["new_key_id"])
    assert station.item("verify", NAME)["outcome"] == "proved"

    second = station.item("rotate", "--now", NAME, "--reason", "leaver process")
    assert (second["reason"], second["old_key_ids"]) == ("requested", [first["new_key_id"]])
    in_grace = station.item("status")
    assert (in_grace["state"], in_grace["previous"]["key_id"]) == ("grace", first["new_key_id"])
    assert {one["class"]: one["key_id"] for one in station.items("orphans")} == {
        "foreign": next(iter(before)),
        "current": second["new_key_id"],
        "previous": first["new_key_id"],
    }

    time.sleep(1)
    assert station.item("rotate")["outcome"] == "retired"
    assert world.live() == before | {second["new_key_id"]}
    history = station.items("history", NAME)
    assert [one["outcome"] for one in history] == ["retired", "promoted"]
    assert [step["step"] for step in history[0]["steps"]] == ["create", "stage", "verify", "promote", "retire"]
    judge(world, grace=SECOND, quiet=True)


def test_the_record_can_be_listed_shown_and_verified_against_the_head_in_vault(world: RealWorld) -> None:
    station = world.station()
    station.done("rotate")
    station.done("rotate", "--now", NAME, "--reason", "leaver process")
    records = [json.loads(line) for line in station.done("audit", "list", "-o", "jsonl").out.splitlines()]
    assert [one["seq"] for one in records] == list(range(1, len(records) + 1))
    promoted = station.items("audit", "list", "--event", "version.promoted", "--outcome", "succeeded")
    assert [one["store_version"] for one in promoted] == [1, 2]
    assert all(one["request_id"] for one in promoted)
    asked = station.item("audit", "list", "--event", "request.received")
    assert asked["detail"] == "leaver process"
    assert station.item("audit", "show", str(asked["seq"])) == asked
    verified = station.done("audit", "verify")
    assert verified.out.startswith(f"chain verified: 1 to {len(records)}")
    assert f"agrees with the head in vault, which names record {len(records)}" in verified.out


def test_a_document_with_keys_of_others_keeps_them_and_serves_until_it_is_replaced(world: RealWorld) -> None:
    old = world.sandbox.directory.live(APPS[NAME])[0]
    world.put({"client_id": APPS[NAME], "client_secret": old.text, "tenant": "contoso", "note": "ask Dana"})
    station = world.station()
    assert station.item("rotate")["store_version"] == 2
    document = world.document()
    assert (document["tenant"], document["note"]) == ("contoso", "ask Dana")
    assert document["client_secret"] != old.text
    assert old.key_id in world.live(), "it is foreign, and not ours to retire"
    world.put({**document, "note": "ask Kim"})
    station.done("rotate", "--now", NAME)
    assert world.document()["note"] == "ask Kim"
    assert station.item("audit", "list", "--event", "drift.found")["detail"].endswith("note")
    judge(world, grace=HALF_AN_HOUR, quiet=True)


def test_an_emergency_leaves_none_of_the_old_ones_alive_but_names_the_foreign(world: RealWorld) -> None:
    foreign = next(iter(world.live()))
    station = world.station()
    station.done("rotate")
    station.done("rotate", "--now", NAME)
    assert len(world.live_ours()) == 2
    refused = station.run("rotate", "--now", NAME, "--emergency")
    assert (refused.code, len(world.live_ours())) == (2, 2)
    assert "--yes" in refused.err
    done = station.done("rotate", "--now", NAME, "--emergency", "--yes")
    assert world.live() == {foreign, world.document()["key_id"]}
    assert foreign in done.out
    ended = station.records(event="version.retired", outcome="succeeded")
    assert [one["reason"] for one in ended] == ["emergency"] * 2
    judge(world, grace=HALF_AN_HOUR, quiet=True)


def test_persons_retire_sweep_and_forget(world: RealWorld) -> None:
    station = world.station()
    first = station.item("rotate")["new_key_id"]
    station.done("rotate", "--now", NAME)
    assert "--yes" in station.run("retire", NAME).err
    assert station.item("retire", NAME, "--key-id", first, "--yes")["old_key_ids"] == [first]
    assert first not in world.live()

    lost = world.orphan().key_id
    assert {one["class"] for one in station.items("orphans", "--check", code=1) if one["key_id"] == lost} == {"orphan"}
    assert "--yes" in station.run("orphans", "--retire").err
    assert lost in world.live()
    station.done("orphans", "--retire", "--yes")
    assert lost not in world.live()
    station.done("orphans", "--check")

    station.done("forget", NAME, "--retire", "--yes")
    assert world.live_ours() == []
    assert station.records(event="credential.forgotten")
    assert len(world.live()) == 1, "the foreign one lives"


def test_a_paused_credential_waits_for_a_person(world: RealWorld) -> None:
    station = world.station()
    station.done("pause", NAME, "--reason", "audit week")
    assert station.item("rotate")["outcome"] == "skipped"
    assert world.versions(f"partners/{NAME}") == []
    refused = station.run("rotate", "--now", NAME)
    assert refused.code == 1
    assert f"rotator resume {NAME}" in refused.err
    assert station.item("status")["state"] == "paused"
    station.done("resume", NAME)
    assert station.item("rotate")["outcome"] == "promoted"


def test_a_value_that_somebody_else_wrote_is_not_overwritten_and_waits_for_a_person(world: RealWorld) -> None:
    station = world.station()
    first = station.item("rotate")["new_key_id"]
    world.put({**world.document(), "key_id": "by-hand", "client_secret": "written by hand"})
    parked = station.item("rotate", "--now", NAME, code=1)
    assert parked["outcome"] == "parked"
    for words in ("version 1", "version 2", first, "by-hand"):
        assert words in parked["error"]["message"]
    assert world.document()["client_secret"] == "written by hand"
    assert len(world.live_ours()) == 1
    assert station.item("status", "--check", code=1)["state"] == "parked"
    world.put(world.versions(f"partners/{NAME}")[0].fields or {})
    station.done("resume", NAME)
    station.done("rotate")
    assert world.document()["key_id"] != first, "the request that was parked is still open"
    judge(world, grace=HALF_AN_HOUR, quiet=True)


def test_observing_changes_nothing_anywhere(world: RealWorld) -> None:
    station = world.station()
    station.edit("mode: active", "mode: observe")
    staged, made = world.versions("_install", staging=True), len(world.sandbox.directory.mutations())
    assert station.item("rotate", "--now", NAME)["outcome"] == "planned"
    assert station.item("rotate")["outcome"] == "planned"
    for refused in (["retire", NAME, "--yes"], ["forget", NAME, "--leave"], ["orphans", "--retire", "--yes"]):
        done = station.run(*refused)
        assert done.code == 1
        assert "observe" in done.err
    assert len(world.sandbox.directory.mutations()) == made
    assert world.versions(f"partners/{NAME}") == []
    assert world.versions("_install", staging=True) == staged == []


def test_the_document_is_read_into_a_file_and_the_reading_is_on_record(world: RealWorld) -> None:
    station = world.station()
    station.done("rotate")
    target = station.folder / "secret"
    station.done("read", NAME, "--field", "client_secret", "--to", str(target))
    assert target.read_text(encoding="utf-8") == world.document()["client_secret"]
    assert target.stat().st_mode & 0o777 == 0o600
    assert station.done("read", NAME, "--field", "key_id", "--to", "-").out.strip() == world.document()["key_id"]
    assert len(station.records(event="secret.read")) == 2


def test_only_what_is_named_is_rotated(world: RealWorld) -> None:
    station = world.station(credentials=(NAME, "reports"))
    station.done("rotate", "reports")
    assert world.versions(f"partners/{NAME}") == []
    assert [one["outcome"] for one in station.items("rotate", "--now", "--all", "--yes")] == ["promoted"] * 2
    assert [one.version for one in world.versions("partners/reports")] == [1, 2]
    judge(world, NAME, "reports", grace=HALF_AN_HOUR, quiet=True)


def test_a_token_that_lacks_its_role_is_never_shown_and_its_version_is_undone(world: RealWorld) -> None:
    station = world.station(credentials=("fieldops",))
    item = station.item("rotate", code=1)
    assert item["outcome"] == "abandoned"
    for words in ("role", "FieldOps.Write", "FieldOps.Read"):
        assert words in item["error"]["message"]
    assert world.versions("partners/fieldops") == []
    assert world.live_ours("fieldops") == []
    judge(world, "fieldops", grace=HALF_AN_HOUR, quiet=True)


def test_the_documented_policy_is_enough_and_without_each_of_its_rules_it_is_not(
    world: RealWorld, vault_server: VaultServer
) -> None:
    station = world.station(grace=QUICK_GRACE)
    station.done("check")
    policy = world.mounts.policy()
    needed = [f"{world.mounts.consumers}/data", f"{world.mounts.staging}/*", "auth/token/lookup-self"]
    for rule in needed:
        without = "\n".join(part for part in policy.split("\n\n") if f'path "{rule}' not in part)
        assert without != policy
        vault_server.policy(world.role.name, without)
        assert station.run("check").code == 77, rule
    vault_server.policy(world.role.name, policy)
    station.done("rotate")

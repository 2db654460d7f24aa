"""Netwrix Access Analyzer from end to end: a person makes the secret, rotator takes it, proves it and shows it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rotator.app.house import House, Use
from rotator.sandbox.vendor import Vendor
from rotator.secret import Fields, Secret
from tests.e2e.cli_bench import Bench, bench
from tests.e2e.daemon_bench import service

__all__ = ["bench"]

NAME, CLIENT = "netwrix-prod", "access-analyzer-client"

PROVIDER = """
  access-analyzer:
    kind: manual
    portal: https://analyzer.example.com:8082
    instructions: Configuration, Applications, Add client secret
    lifetime: 72h
"""

CREDENTIAL = """
  - name: netwrix-prod
    provider: {{use: access-analyzer, client_id: access-analyzer-client}}
    store: {{path: partners/netwrix/prod}}
    verify:
      token_url: {base}/api/v1/token
      ca_file: ca.pem
      expect: {{token_type: bearer, refresh_token: works, signature: unverified}}
    policy: {{alert_before: []}}
"""


@pytest.fixture
def vendor(bench: Bench) -> Bench:
    """Give a folder whose only credential is made by hand."""
    text = (bench.folder / "config.yaml").read_text(encoding="utf-8")
    head, _, _ = text.partition("credentials:\n")
    before, _, _ = head.partition("\n# Short, so that")
    credentials = CREDENTIAL.format(base=bench.sandbox.base_url)
    defaults = "defaults:\n  store: {use: local}\n  verify: {proofs: 3, spacing: 0s, deadline: 5s}\n"
    whole = f"{before}{PROVIDER}\n{defaults}credentials:{credentials}"
    (bench.folder / "config.yaml").write_text(whole, encoding="utf-8")
    return bench


def made(bench: Bench) -> str:
    return bench.sandbox.vendors.issue(Vendor.NETWRIX, CLIENT)


def given(bench: Bench, value: str, *args: str) -> Any:
    path = bench.folder / "given"
    path.write_text(f"{value}\nnothing else is read\n", encoding="utf-8")
    return bench.run("intake", NAME, "--from", f"file:{path}", *args)


def read(bench: Bench, field: str) -> str:
    target = bench.folder / f"read-{field}"
    assert bench.run("read", NAME, "--field", field, "--to", str(target)).code == 0
    return target.read_text(encoding="utf-8")


def test_a_secret_made_by_hand_is_taken_in_and_the_next_one_takes_its_place(vendor: Bench) -> None:
    assert "made by hand" in vendor.run("check").out
    (before,) = vendor.run("status", "-o", "json").items
    assert (before["state"], before["next"]["action"]) == ("due", "remind") or before["state"] == "unknown"
    first = made(vendor)
    taken = given(vendor, first, "-o", "json")
    assert (taken.code, taken.items[0]["outcome"], taken.items[0]["reason"]) == (0, "promoted", "intake"), taken.err
    assert (read(vendor, "client_secret"), read(vendor, "client_id")) == (first, CLIENT)
    (now,) = vendor.run("status", "-o", "json").items
    assert (now["state"], now["next"]["action"], now["next"]["reason"]) == ("ok", "remind", "near_expiry")
    second = made(vendor)
    assert given(vendor, second, "--client-id", CLIENT).code == 0
    assert read(vendor, "client_secret") == second
    (grace,) = vendor.run("status", "-o", "json").items
    assert grace["previous"]["retire_after"] is None
    assert vendor.run("rotate").code == 0
    assert vendor.run("audit", "verify", "--offline").code == 0
    (intake,) = vendor.run("audit", "list", "--event", "intake.received", "-o", "json").items[:1]
    assert intake["key_id"].startswith("hand-")
    said = "".join(vendor.printed) + (vendor.folder / "rotator.db").read_bytes().decode("latin-1")
    assert first not in said and second not in said


def test_a_daemon_takes_it_through_its_socket(vendor: Bench) -> None:
    value = made(vendor)
    environ = {**os.environ, **vendor.environ}
    with service(vendor.folder, environ) as daemon:
        daemon.ready()
        taken = given(vendor, value, "-o", "json", "--reason", "Monday")
        assert (taken.code, taken.items[0]["outcome"]) == (0, "promoted"), taken.err
        daemon.has("intake.received", credential=NAME)
        assert daemon.stopped() == 0
        log = f"{daemon.log}{daemon.stray}"
    assert value not in log
    assert read(vendor, "client_secret") == value
    said = (vendor.folder / "rotator.db").read_bytes().decode("latin-1")
    assert value not in said


@pytest.mark.parametrize(
    ("value", "args", "code", "says"),
    [
        ("  padded-value ", (), "damaged", "spaces or line ends"),
        ("", (), "damaged", "empty"),
        ("long" * 1025, (), "damaged", "longer than any secret"),
        (CLIENT, (), "swapped", "client id"),
        ("never-issued-by-anybody", (), "still_refused", "refused"),
        ("MADE", ("--issued-at", "2020-01-01"), "expired", "ended at"),
        ("MADE", ("--expires-at", "2020-01-01"), "expired", "ended at"),
        ("MADE", ("--issued-at", "2099-01-01"), "not_yet", "still to come"),
        ("MADE", ("--issued-at", "71h"), "lifetime_too_short", "is left of it"),
        ("MADE", ("--client-id", "another-client"), "still_refused", "refused"),
    ],
)
def test_what_cannot_be_meant_or_does_not_work_is_told_apart_and_never_shown(
    vendor: Bench, value: str, args: tuple[str, ...], code: str, says: str
) -> None:
    value = made(vendor) if value == "MADE" else value
    refused = given(vendor, value, *args, "-o", "json")
    assert refused.code == 1, refused.err
    assert says in refused.err
    assert vendor.run("status", "-o", "json").items[0]["current"] is None
    if len(value) > 8 and value != CLIENT:
        assert value not in refused.err + refused.out
    events = vendor.run("audit", "list", "--event", "rotation.abandoned", "-o", "json").items
    assert [event["reason"] for event in events] in ([], [code])
    assert given(vendor, made(vendor)).code == 0, "and the right one is taken afterwards"


def test_the_one_in_use_is_not_taken_again(vendor: Bench) -> None:
    value = made(vendor)
    assert given(vendor, value).code == 0
    again = given(vendor, value)
    assert again.code == 1
    assert "consumers read already" in again.err


def test_nothing_is_taken_in_for_a_name_that_was_forgotten(vendor: Bench) -> None:
    value = made(vendor)
    assert given(vendor, value).code == 0
    assert vendor.run("forget", NAME, "--leave", "--yes").code == 0
    for refused in (given(vendor, made(vendor)), vendor.run("adopt", NAME)):
        assert refused.code == 1, "nobody would look after it"
        assert "no longer manages it" in refused.err and "another name" in refused.err
    assert read(vendor, "client_secret") == value


def test_a_rotation_cannot_be_asked_for(vendor: Bench) -> None:
    asked = vendor.run("rotate", "--now", NAME)
    assert asked.code == 1
    assert f"rotator intake {NAME}" in asked.err
    assert vendor.run("rotate", "--now", "--all").code == 0
    assert given(vendor, made(vendor)).code == 0
    forgotten = vendor.run("forget", NAME, "--retire", "--yes")
    assert (forgotten.code, "--leave" in forgotten.err) == (1, True)
    assert vendor.run("forget", NAME, "--leave", "--yes").code == 0


def test_a_person_is_asked_without_an_echo(vendor: Bench) -> None:
    value = made(vendor)
    typed = [("Client id [as it is]", "\n"), ("Secret (nothing is shown)", f"{value}\n"), ("Issued at [now]", "\n")]
    code, drawn = vendor.on_a_terminal("intake", NAME, typed=typed)
    assert code == 0, drawn
    assert "Secret (nothing is shown)" in drawn
    assert value not in drawn


def test_one_in_the_store_is_adopted_once_a_person_has_said_when_it_was_made(vendor: Bench) -> None:
    value = made(vendor)
    with House.open(str(vendor.folder / "config.yaml"), environ=dict(os.environ), argv=("rotator", "test")) as house:
        fields = Fields({"client_id": CLIENT, "client_secret": Secret(value)})
        house.store("local", Use.CHANGE).consumers.write("partners/netwrix/prod", fields, 0)
    unheard = vendor.run("adopt", NAME)
    assert (unheard.code, "on a terminal, which asks" in unheard.err) == (2, True), unheard.err
    code, drawn = vendor.on_a_terminal("adopt", NAME, typed=[("When was it", "20h\n")])
    assert code == 0, drawn
    assert value not in drawn
    (item,) = vendor.run("status", NAME, "-o", "json").items
    ends = datetime.fromisoformat(item["current"]["expires_at"])
    assert timedelta(hours=51) < ends - datetime.now(UTC) < timedelta(hours=52), "72 h, of which 20 are over"


def test_a_secret_that_was_typed_as_a_word_is_not_repeated(vendor: Bench) -> None:
    value = made(vendor)
    for words in ((NAME, value), (NAME, "--from", "file:x", value), (NAME, f"--{value}"), (f"-{value}", NAME)):
        done = vendor.run("intake", *words)
        assert (done.code, value in done.err + done.out) == (2, False), done.err
        assert "--from file:PATH" in done.err


def test_what_is_not_text_or_not_there_is_a_fault_of_usage(vendor: Bench) -> None:
    (vendor.folder / "bytes").write_bytes(b"\xff\xfe\x00")
    for source in (f"file:{vendor.folder}/bytes", "file:/nonexistent", "secret-as-a-word", "file:"):
        assert vendor.run("intake", NAME, "--from", source).code == 2
    assert vendor.run("intake", NAME, "--issued-at", "yesterday-ish", "--from", "file:x").code == 2


def test_a_reminder_says_where_to_go_and_what_to_type(vendor: Bench) -> None:
    assert given(vendor, made(vendor), "--issued-at", "40h").code == 0
    text = (vendor.folder / "config.yaml").read_text(encoding="utf-8")
    text = text.replace("lifetime: 72h", "lifetime: 72h\n    remind_before: [50h, 1h]")
    (vendor.folder / "config.yaml").write_text(text, encoding="utf-8")
    assert vendor.run("rotate").code == 0
    (told,) = vendor.run("audit", "list", "--event", "credential.expiring", "-o", "json").items
    for part in ("https://analyzer.example.com:8082", "Add client secret", f"rotator intake {NAME}"):
        assert part in told["detail"]

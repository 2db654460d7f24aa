"""Screening Eagle ID from end to end: its token endpoint, and a console that is described in the configuration."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rotator.app.config import load
from rotator.app.house import House, Use
from rotator.sandbox.vendor import Vendor, VendorSecret
from rotator.sandbox.weather import Answer, Effect, Fault, Route, throttle
from tests.e2e.cli_bench import Bench, bench

__all__ = ["bench"]

NAME, CLIENT = "screening-eagle-prod", "screening-client-1"

PROVIDER = """
  screening-eagle:
    kind: http
    base_url: {base}/console/v1
    ca_file: ca.pem
    auth: {{method: bearer, token: "file:console-token"}}
    slots: {{live: 2}}
    operations:
      create: {{request: "POST /clients/{{client}}/credentials", expect: [201],
               json: {{label: "{{tag}}", ttlSeconds: "{{lifetime_seconds}}"}}, secret: /clientSecret, key_id: /id,
               created_at: /createdAt, expires_at: /expiresAt}}
      list: {{request: "GET /clients/{{client}}/credentials", items: /credentials, key_id: /id, tag: /label,
             created_at: /createdAt, expires_at: /expiresAt, next: /nextPage}}
      retire: {{request: "DELETE /clients/{{client}}/credentials/{{key_id}}", expect: [204]}}
    errors:
      - {{status: 422, pointer: /code, equals: limit_reached, class: no_free_slot, hint: "Remove an unused one there."}}
"""

CREDENTIAL = """
  - name: screening-eagle-prod
    provider: {{use: screening-eagle, client_id: screening-client-1, with: {{client: screening-client-1}}}}
    store: {{path: partners/screening-eagle/prod}}
    verify:
      token_url: {base}/api/id/v1/auth/token
      client_auth: client_secret_basic
      scope: reports.read
      ca_file: ca.pem
      expect: {{aud: api://screening-eagle, scope: [reports.read], signature: unverified}}
"""


@pytest.fixture
def vendor(bench: Bench) -> Bench:
    """Give a folder whose only credential is at the described vendor, with one secret made by hand."""
    base = bench.sandbox.base_url
    text = (bench.folder / "config.yaml").read_text(encoding="utf-8")
    head, _, _ = text.partition("credentials:\n")
    before, _, defaults = head.partition("\n# Short, so that")
    whole = f"{before}{PROVIDER.format(base=base)}\n# {defaults.lstrip()}credentials:{CREDENTIAL.format(base=base)}"
    (bench.folder / "config.yaml").write_text(whole, encoding="utf-8")
    bench.sandbox.vendors.issue(Vendor.SCREENING_EAGLE, CLIENT, timedelta(days=60))
    return bench


def held(bench: Bench) -> tuple[VendorSecret, ...]:
    return bench.sandbox.vendors.held(Vendor.SCREENING_EAGLE, CLIENT) or ()


def test_a_described_vendor_is_checked_rotated_and_retired(vendor: Bench) -> None:
    checked = vendor.run("check")
    assert checked.code == 0, checked.out + checked.err
    assert "the procedure is overlap" in checked.out
    assert "1 version, 0 of them ours; 1 more may live" in checked.out
    first = vendor.run("rotate", NAME, "-o", "json")
    assert (first.code, first.items[0]["outcome"]) == (0, "promoted"), first.err
    assert [one.label.startswith("rotator/") for one in held(vendor)] == [False, True]
    vendor.sandbox.vendors.withdraw(Vendor.SCREENING_EAGLE, CLIENT, held(vendor)[0].text)  # the one made by hand
    second = vendor.run("rotate", "--now", "--emergency", "--yes", NAME, "-o", "json")
    assert (second.code, second.items[0]["outcome"]) == (0, "promoted"), second.err
    assert [one.key_id for one in held(vendor)] == [second.items[0]["new_key_id"]]
    assert vendor.run("verify", NAME).code == 0
    assert vendor.run("orphans", "--check").code == 0
    assert vendor.run("audit", "verify", "--offline").code == 0
    said = "".join(vendor.printed) + (vendor.folder / "rotator.db").read_bytes().decode("latin-1")
    assert not [one for one in held(vendor) if one.text in said]
    assert vendor.sandbox.files.console_token not in said
    with House(load(vendor.folder / "config.yaml"), environ={}, argv=("rotator", "test")) as house:
        store = house.store("local", Use.LOOK)
        documents = [
            documents.read(path, version).fields
            for documents, path in ((store.consumers, "partners/screening-eagle/prod"), (store.staging, NAME))
            for version in documents.history(path)
        ]
    kept = [fields.reveal() for fields in documents if fields is not None]
    assert kept and not [one for one in kept if {"id_token", "refresh_token", "access_token"} & set(one)]
    tokens = "sandbox-refresh-", "eyJ"  # how the tokens begin that the vendor gives unasked
    assert not [one for one in tokens if one in said or one in str(kept)], "they are tolerated, and never kept"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Answer.DROP, Effect.DONE),
        Fault(Answer.ERROR, Effect.DONE, 503),
        Fault(Answer.HTML, Effect.DONE, 200),
        Fault(Answer.EMPTY, Effect.DONE),
        Fault(Answer.CUT, Effect.DONE),
        Fault(Answer.DUPLICATE_KEYS, Effect.DONE),
        Fault(Answer.DEEP_JSON, Effect.DONE),
        Fault(Answer.HUGE, Effect.DONE),
        Fault(Answer.GZIP_BOMB, Effect.DONE),
        Fault(Answer.REDIRECT, Effect.NONE, 307),
        throttle("1"),
    ],
    ids=lambda fault: f"{fault.answer}-{fault.effect}",
)
def test_a_creation_that_is_answered_badly_leaves_no_orphan_and_ends_well(vendor: Bench, fault: Fault) -> None:
    vendor.sandbox.fail_next(Route.CONSOLE_CREATE, fault)
    done = vendor.run("rotate", NAME, "-o", "json")
    if done.code != 0:
        done = vendor.run("rotate", NAME, "-o", "json")
    assert (done.code, done.items[0]["outcome"]) == (0, "promoted"), done.err
    ours = [one for one in held(vendor) if one.label.startswith("rotator/")]
    assert [one.key_id for one in ours] == [done.items[0]["new_key_id"]]
    assert vendor.run("orphans", "--check").code == 0
    assert vendor.sandbox.stolen() == []


def test_a_vendor_that_has_no_room_says_so_with_the_hint_of_its_description(vendor: Bench) -> None:
    vendor.sandbox.vendors.issue(Vendor.SCREENING_EAGLE, CLIENT, timedelta(days=60))
    done = vendor.run("rotate", NAME)
    assert done.code == 1
    assert "no free slot" in done.err


def test_a_login_that_is_refused_is_77_and_names_where_it_stands(vendor: Bench) -> None:
    (vendor.folder / "console-token").write_text("wrong", encoding="ascii")
    done = vendor.run("rotate", NAME)
    assert done.code == 77
    assert "`auth`" in done.err
